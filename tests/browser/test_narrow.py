"""On a telephone, in either mode, and on paper: nothing lies beyond the edge, nothing is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.reports import Made, Reports

if TYPE_CHECKING:
    from playwright.sync_api import Page

# What lies beyond the window, and does not lie in a box that scrolls.
BEYOND = """(width) => [...document.body.querySelectorAll("*")].filter((it) => {
    if (!it.checkVisibility() || it.closest(".skip, .unseen")) return false;
    for (let up = it.parentElement; up && up !== document.body; up = up.parentElement)
        if (getComputedStyle(up).overflowX !== "visible") return false;
    return it.getBoundingClientRect().right > width + 1;
}).map((it) => it.tagName + "." + (it.getAttribute("class") ?? "") + " " + it.textContent.trim().slice(0, 40))"""


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_window(page: Page, made: Made, width: int, mode: str) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.emulate_media(color_scheme=mode)  # type: ignore[arg-type]
    page.goto(made.url)
    page.evaluate("for (const it of document.querySelectorAll('details')) it.open = true")
    assert page.evaluate(BEYOND, width) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_verdict_is_seen_without_scrolling_on_a_telephone(page: Page, made: Made) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(made.url)
    for place in (".status", "h1", ".lead"):
        box = page.locator(place).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 740


def test_the_list_of_sections_stays_in_sight(page: Page, reports: Reports) -> None:
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 740})
        page.goto(reports["fraud"].url)
        page.evaluate("scrollTo({ top: document.body.scrollHeight / 2, behavior: 'instant' })")
        box = page.locator("nav.sections").bounding_box()
        assert box is not None
        assert 0 <= box["y"] < 100


def test_the_section_that_is_read_is_marked_in_the_list(page: Page, reports: Reports) -> None:
    page.goto(reports["fraud"].url)
    for name in ("quality", "gates"):
        page.locator(f"#{name}").evaluate("it => it.scrollIntoView({ behavior: 'instant' })")
        page.locator(f"nav.sections a[href='#{name}'][aria-current]").wait_for()
        assert page.locator("nav.sections a[aria-current]").count() == 1


def test_paper_shows_what_was_folded_in_dark_ink(page: Page, reports: Reports) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    page.goto(reports["fraud"].url)
    folded = page.locator("details:not([open])").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper')") == "#ffffff"
    assert not page.locator("nav.sections").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() == folded
