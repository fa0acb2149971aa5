"""Without JavaScript the page says the same: every section, every table, and no control that does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.reports import Made

if TYPE_CHECKING:
    from playwright.sync_api import Page

SECTIONS = "main section"


def test_scripts_are_off_indeed(page_without_script: Page, made: Made) -> None:
    page_without_script.goto(made.url)
    assert page_without_script.locator("th button").count() == 0


def test_every_section_shows_its_text(page_without_script: Page, page: Page, made: Made) -> None:
    for shown in (page, page_without_script):
        shown.goto(made.url)
    with_script = page.eval_on_selector_all(SECTIONS, "them => them.map(it => it.id)")
    sections = page_without_script.locator(SECTIONS).all()
    assert [section.get_attribute("id") for section in sections] == with_script
    assert all(len(section.inner_text()) > 40 for section in sections)


def test_every_section_has_something_to_look_at(page_without_script: Page, made: Made) -> None:
    page_without_script.goto(made.url)
    for section in page_without_script.locator(SECTIONS).all():
        assert section.locator("table, svg, ul, dl, p").count() > 0


def test_no_control_is_shown_that_does_nothing(page_without_script: Page, made: Made) -> None:
    page_without_script.goto(made.url)
    page_without_script.locator("details:not([open]) > summary").first.wait_for()
    for fold in page_without_script.locator("details:not([open]) > summary").all():
        if fold.is_visible():
            fold.click()
    controls = page_without_script.locator("input, select, button, textarea, output").all()
    assert [control.evaluate("it => it.outerHTML") for control in controls if control.is_visible()] == []


def test_folded_tables_unfold(page_without_script: Page, made: Made) -> None:
    page_without_script.goto(made.url)
    closed = page_without_script.locator("details:not([open])")
    before = closed.count()
    # What is inside is told by the element itself: a locator looks again, and an open fold is no closed one.
    fold = closed.first.element_handle()
    inside = fold.query_selector("table, p, ul, dl")
    assert not inside.is_visible()
    fold.query_selector("summary").click()
    assert inside.is_visible()
    assert closed.count() == before - 1
