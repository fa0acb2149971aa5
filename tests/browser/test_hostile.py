"""Names of classes, slices, columns and files are text: no element is made of them, nothing runs, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.reports import HOSTILE, Reports

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.windows import Windows

SPOKEN = "[...document.querySelectorAll('*')].flatMap(it => [it.title, it.ariaLabel, it.placeholder]).filter(Boolean)"


@pytest.fixture
def hostile(windows: Windows, reports: Reports) -> Iterator[Page]:
    """The page, open already: to be looked at."""
    shown = windows[reports["hostile"]]
    yield shown.page
    assert not shown.trouble


def test_no_element_is_made_of_a_name(hostile: Page) -> None:
    tags = set(hostile.eval_on_selector_all("body *", "them => them.map(it => it.tagName.toLowerCase())"))
    assert tags.isdisjoint({"img", "iframe", "object", "embed", "base", "link", "meta", "form", "style"})
    assert hostile.locator("script:not([type='application/json'])").count() == 1


def test_no_name_becomes_an_attribute_that_runs_or_a_style(hostile: Page) -> None:
    names = set(hostile.eval_on_selector_all("*", "them => them.flatMap(it => it.getAttributeNames())"))
    assert [name for name in names if name.startswith("on")] == []


def test_no_link_leads_out_of_the_page(hostile: Page) -> None:
    links = hostile.eval_on_selector_all("[href]", "them => them.map(it => it.getAttribute('href'))")
    assert [link for link in links if not link.startswith("#") and link != "data:,"] == []


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.isprintable() and len(name) < 40])
def test_a_name_is_read_as_it_is(hostile: Page, name: str) -> None:
    assert name in hostile.locator("#classes").inner_text()


def test_what_moves_a_cursor_or_turns_writing_is_spelt_out(hostile: Page) -> None:
    read = hostile.locator("body").inner_text() + "".join(hostile.evaluate(SPOKEN))
    assert not any(character in read for character in "\x1b\x07\u202e")
    assert "\\u202egnp.exe" in hostile.locator("#classes").inner_text()


def test_a_long_name_is_cut_and_whole_enough_on_hover(hostile: Page) -> None:
    assert "x" * 200 not in hostile.locator("#classes").inner_text()
    titles = hostile.eval_on_selector_all("[title]", "them => them.map(it => it.title)")
    assert any("x" * 300 in title for title in titles)


def test_the_scripts_of_the_page_put_no_name_in_as_markup(page: Page, reports: Reports) -> None:
    page.goto(reports["hostile"].url)
    for field in page.locator("input[data-search]:visible").all():
        field.fill("<b>")
        field.press("Enter")
    for head in page.locator("th button:visible").all()[:10]:
        head.press("Enter")
    assert page.locator("main b > script, main img, td script").count() == 0
