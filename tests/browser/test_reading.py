"""The page is read by everybody: enough contrast in both modes, names for pictures and fields, headings in order."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.reports import Made, Reports

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.windows import Shown

MODES = ("light", "dark")
# Colours as the browser paints them: a pixel of each, over what lies below. Text of a picture has its fill.
CONTRAST = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    canvas.canvas.width = canvas.canvas.height = 1;
    const light = ([r, g, b]) => {
        const linear = (v) => v <= 10.31 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
        const [R, G, B] = [r, g, b].map(linear);
        return 0.2126 * R + 0.7152 * G + 0.0722 * B;
    };
    const painted = (colours) => {
        canvas.fillStyle = "#fff"; canvas.fillRect(0, 0, 1, 1);
        for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const behind = (it) => {
        const layers = [];
        for (; it; it = it.parentElement) layers.unshift(getComputedStyle(it).backgroundColor);
        return layers;
    };
    const found = new Map();
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const it = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || it.matches("script, style") || !it.checkVisibility()) continue;
        const style = getComputedStyle(it), below = behind(it);
        const colour = it.closest("svg") ? style.fill : style.color;
        const [one, two] = [light(painted([...below, colour])), light(painted(below))].sort((a, b) => b - a);
        const key = colour + " on " + below.filter((c) => c !== "rgba(0, 0, 0, 0)").join(" ");
        if (!found.has(key)) found.set(key, [(one + 0.05) / (two + 0.05), texts.currentNode.data.trim().slice(0, 40)]);
    }
    return [...found].map(([key, [ratio, text]]) => ({ key, ratio, text }));
}"""
UNNAMED = """() => [...document.querySelectorAll("svg:not([aria-hidden=true])")].filter((it) =>
    it.getAttribute("role") !== "img" || !(it.getAttribute("aria-label")?.trim().length > 10)
).map((it) => it.outerHTML.slice(0, 200))"""
CONTROLS = """() => [...document.querySelectorAll("input, select, button, summary, a[href]")]
    .filter((it) => it.getClientRects().length && getComputedStyle(it).visibility !== "hidden")
    .map((it) => [it.outerHTML, (it.labels?.[0] ?? it).textContent.trim() || it.getAttribute("aria-label")])"""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Contrast has a test of its own, of both modes and in a tenth of the time.
AXE = {"resultTypes": ["violations"], "runOnly": RULES, "rules": {"color-contrast": {"enabled": False}}}


def opened(page: Page, made: Made, mode: str = "light") -> Page:
    """With everything unfolded."""
    page.emulate_media(color_scheme=mode)  # type: ignore[arg-type]
    page.goto(made.url)
    page.evaluate("for (const it of document.querySelectorAll('details')) it.open = true")
    return page


@pytest.mark.parametrize("mode", MODES)
def test_every_text_is_told_from_its_ground(page: Page, made: Made, mode: str) -> None:
    found: list[dict[str, Any]] = opened(page, made, mode).evaluate(CONTRAST)
    assert [one for one in found if one["ratio"] < 4.5] == []
    assert len(found) > 3


def test_the_two_modes_are_a_light_and_a_dark_one(page: Page, made: Made) -> None:
    grounds = [opened(page, made, mode).evaluate("getComputedStyle(document.body).backgroundColor") for mode in MODES]
    light, dark = (sum(map(int, ground.removeprefix("rgb(").removesuffix(")").split(","))) for ground in grounds)
    assert light > 650
    assert dark < 150


@pytest.mark.parametrize("name", ["fraud", "fidelity", "leaky"])
def test_axe_finds_nothing(page: Page, reports: Reports, name: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(opened(page, reports[name]), options=AXE)
    assert found.violations_count == 0, found.generate_report()[:3_000]


def test_every_picture_has_a_name_or_is_left_out_of_reading(shown: Shown) -> None:
    unnamed = shown.page.evaluate(UNNAMED)
    assert unnamed == []


def test_headings_leave_no_level_out(shown: Shown) -> None:
    levels = shown.page.eval_on_selector_all("h1, h2, h3, h4, h5, h6", "them => them.map(it => Number(it.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


def test_every_control_has_a_name(page: Page, made: Made) -> None:
    controls = opened(page, made).evaluate(CONTROLS)
    assert len(controls) > 3
    assert [html for html, name in controls if not name] == []


def test_every_table_has_a_caption_and_heads(shown: Shown) -> None:
    bare = shown.page.eval_on_selector_all(
        "table", "them => them.filter(it => !it.caption?.textContent.trim() || !it.tHead?.querySelector('th'))"
        ".map(it => it.outerHTML.slice(0, 200))",
    )  # fmt: skip
    assert bare == []
