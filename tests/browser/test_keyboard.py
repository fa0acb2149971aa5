"""Every control is reached and worked with the keyboard alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.reports import Made, Reports

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

CONTROLS = "a[href], button, input, select, summary, textarea, [tabindex='0']"
# Of a group of radio buttons one is a stop.
STOPS = f"""() => [...document.querySelectorAll("{CONTROLS}")].filter((it) =>
    it.checkVisibility({{ visibilityProperty: true }}) && !it.disabled && it.tabIndex >= 0
    && (it.type !== "radio" || it.checked)).map((it, place) => (it.dataset.stop = place, place))"""


@pytest.mark.parametrize("name", ["digits", "fraud", "fidelity", "leaky", "hostile"])
def test_tab_reaches_every_control_in_order(page: Page, reports: Reports, name: str) -> None:
    page.goto(reports[name].url)
    page.wait_for_timeout(200)  # boxes that do not scroll have lost their stop
    stops = page.evaluate(STOPS)
    reached = []
    for _ in stops:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("Number(document.activeElement.dataset.stop ?? -1)"))
    assert reached == stops


def test_what_is_reached_is_seen(page: Page, reports: Reports) -> None:
    page.goto(reports["fraud"].url)
    for _ in range(20):
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_the_first_stop_leads_to_the_content(page: Page, reports: Reports) -> None:
    page.goto(reports["fraud"].url)
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_every_fold_opens_and_closes(page: Page, made: Made) -> None:
    page.goto(made.url)
    for fold in page.locator("details").all():
        if not fold.is_visible():
            continue
        before = fold.evaluate("it => it.open")
        fold.locator("summary").first.press("Enter")
        assert fold.evaluate("it => it.open") is not before


def searched(page: Page) -> Locator:
    return page.locator("label.search:visible input[data-search]").first


def test_a_field_narrows_its_table_to_rows_that_hold_all_words(page: Page, reports: Reports) -> None:
    page.goto(reports["wide"].url)
    table = page.locator("label.search:visible + .scroll").first
    searched(page).focus()
    page.keyboard.type("17 0.")
    kept = [row.inner_text().lower() for row in table.locator("tbody tr").all() if row.is_visible()]
    assert 0 < len(kept) < table.locator("tbody tr").count()
    assert all("17" in row and "0." in row for row in kept)
    assert page.locator("label.search:visible output").first.inner_text().startswith(f"{len(kept)} of ")


def test_an_emptied_field_shows_all_rows_again(page: Page, reports: Reports) -> None:
    page.goto(reports["wide"].url)
    rows = page.locator("label.search:visible + .scroll").first.locator("tbody tr")
    searched(page).fill("no row holds this")
    assert not any(row.is_visible() for row in rows.all())
    searched(page).fill("")
    assert rows.first.is_visible()


def column(table: Locator, head: str) -> list[float]:
    """Values below a head, from top to bottom."""
    place = [text.strip() for text in table.locator("thead th").all_inner_texts()].index(head) + 1
    cells = table.locator(f"tbody tr > :nth-child({place}) data")
    return [float(value) for value in cells.evaluate_all("them => them.map(it => Number(it.value))")]


def test_a_head_sorts_its_table_by_value_and_back(page: Page, reports: Reports) -> None:
    page.goto(reports["fraud"].url)
    table = page.locator("#slices table:has(th button)").first
    head = table.locator("th[scope=col]", has_text="rows")
    for how, order in (("descending", True), ("ascending", False)):
        head.locator("button").press("Enter")
        assert head.get_attribute("aria-sort") == how
        found = column(table, "rows")
        assert found == sorted(found, reverse=order)
    assert len(set(found)) > 5


def test_a_text_column_is_sorted_from_a_to_z(page: Page, reports: Reports) -> None:
    page.goto(reports["fraud"].url)
    table = page.locator("#slices table:has(th button)").first
    table.locator("th button").first.press("Enter")
    names = [text.strip().lower() for text in table.locator("tbody th").all_inner_texts()]
    assert names.index("country=de") < names.index("country=fr") < names.index("day=2026-11-23")
    assert table.locator("[aria-sort]").count() == 1


def test_a_short_table_has_nothing_to_sort(page: Page, reports: Reports) -> None:
    page.goto(reports["fraud"].url)
    assert page.locator("#gates tbody tr").count() < 6
    assert page.locator("#gates th button").count() == 0
