"""The matrix, the finder, and the pages of `compare` and `history`, as they are used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ortbatch.report.compare import compare_reports
from ortbatch.report.page.compare_page import compare_page
from ortbatch.report.page.history_page import history_page
from ortbatch.report.page.page import report_page
from tests.unit.report.made import label_tally, report
from tests.unit.report.page import test_history_page as nights

if TYPE_CHECKING:
    from playwright.sync_api import Page

ODD = ("<img src=x onerror=alert(1)>", "a & b", "class_2")


def counts(size: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    found = np.random.default_rng(size).integers(0, 3, (size, size))
    return np.where(np.eye(size, dtype=bool), 100, found).astype(np.int64)


def opened(page: Page, folder: Path, html: str) -> Page:
    (folder / "page.html").write_text(html, "utf-8")
    page.goto((folder / "page.html").as_uri())
    return page


def found(page: Page, text: str) -> str:
    page.get_by_label("Find a class").fill(text)
    return page.locator("#finder-found").inner_text()


def listed(text: str, title: str) -> dict[str, int]:
    """Class → rows of a list of the finder."""
    part = text.partition(title)[2].partition("Taken for it")[0]
    return {name: int(rows) for name, rows in re.findall(r"^(class_\d+): (\d+)", part, re.MULTILINE)}


def test_cells_show_rows_shares_or_both(page: Page, tmp_path: Path) -> None:
    opened(page, tmp_path, report_page(report(label_tally([[30, 10], [0, 60]]))))
    cell = page.locator(".matrix td.hit").first
    shown = {}
    for button in ("rows and shares", "rows", "shares of the true class"):
        page.get_by_role("button", name=button, exact=True).click()
        shown[button] = cell.inner_text().split()
        pressed = page.locator(".choice [aria-pressed=true]").all_inner_texts()
        assert pressed == [button]
    assert shown == {"rows and shares": ["30", "75%"], "rows": ["30"], "shares of the true class": ["75%"]}


def test_a_class_that_is_named_is_found_with_all_it_is_taken_for(page: Page, tmp_path: Path) -> None:
    size = 60
    opened(page, tmp_path, report_page(report(label_tally(counts(size)))))
    text = found(page, "class_7")
    row, column = counts(size)[7].copy(), counts(size)[:, 7].copy()
    row[7] = column[7] = 0
    assert f"{row.sum() + 100} rows, 100 of them right" in text
    assert listed(text, "Its rows are taken for") == {f"class_{at}": rows for at, rows in enumerate(row) if rows}
    assert listed(text, "Taken for it are rows of") == {f"class_{at}": rows for at, rows in enumerate(column) if rows}


def test_a_part_of_a_name_finds_the_first_few(page: Page, tmp_path: Path) -> None:
    opened(page, tmp_path, report_page(report(label_tally(counts(60)))))
    assert "60 classes found, 5 shown" in found(page, "CLASS")
    assert page.locator("#finder-found h3").count() == 5
    assert found(page, "nothing like it") == "0 classes found"
    assert found(page, "") == ""


def test_names_in_the_finder_are_text(page: Page, tmp_path: Path) -> None:
    opened(page, tmp_path, report_page(report(label_tally(counts(3), ODD))))
    assert ODD[0] in found(page, "onerror")
    assert page.locator("#finder-found img").count() == 0


def made_pages() -> dict[str, str]:
    reports = [report(label_tally(counts(3), ODD), id=f"run-{night}") for night in "ab"]
    runs = [nights.run(day) for day in range(5)]
    return {
        "compare": compare_page(compare_reports(*reports, "no predictions were kept").data),
        "history": history_page(nights.history(*runs)),
    }


@pytest.mark.parametrize("which", ["compare", "history"])
def test_pages_of_several_runs_fit_a_telephone(page: Page, tmp_path: Path, which: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    opened(page, tmp_path, made_pages()[which])
    page.evaluate("for (const it of document.querySelectorAll('details')) it.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("which", ["compare", "history"])
def test_pages_of_several_runs_are_read_without_script(page_without_script: Page, tmp_path: Path, which: str) -> None:
    opened(page_without_script, tmp_path, made_pages()[which])
    assert page_without_script.locator("section").count() >= 2
    assert page_without_script.locator("input:visible, button:visible").count() == 0
