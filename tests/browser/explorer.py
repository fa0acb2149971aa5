"""The explorer of thresholds as a reader uses it, and a page for any report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ortbatch.report.page.page import report_page

if TYPE_CHECKING:
    from playwright.sync_api import Page


def page_of(report: dict[str, Any], folder: Path) -> str:
    folder.mkdir(parents=True)
    (folder / "report.html").write_text(report_page(report), "utf-8")
    return (folder / "report.html").as_uri()


def read(page: Page) -> dict[str, float | None]:
    """What the page shows, by name; None for what it leaves undefined."""
    them = page.eval_on_selector_all("[data-at]", "them => them.map(it => [it.dataset.at, it.dataset.value])")
    return {name: json.loads(value) if value else None for name, value in them} | {"threshold": threshold_of(page)}


def threshold_of(page: Page) -> float:
    return float(page.locator("[data-threshold]").input_value())


def slide(page: Page, place: int) -> dict[str, float | None]:
    page.locator("[data-slider]").evaluate("(it, v) => { it.value = v; it.dispatchEvent(new Event('input')); }", place)
    return read(page)
