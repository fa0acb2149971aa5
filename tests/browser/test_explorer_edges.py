"""The explorer where shares are of nothing, thresholds are as cheap as one another, or names are markup."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.browser.explorer import page_of, read, slide
from tests.browser.reports import Reports
from tests.unit.report import made as by_hand

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_names_that_are_markup_stay_text_in_the_summary(page: Page, reports: Reports) -> None:
    page.goto(reports["hostile"].url)
    name = reports["hostile"].report["thresholds"]["curves"][0]["class"]
    assert f"rows are called {name}" in page.locator("[data-said]").inner_text()


def degenerate(true: NDArray[np.int64], scores: NDArray[np.float64], **keys: object) -> dict[str, Any]:
    tally = by_hand.timed(by_hand.score_tally(true, scores, by_hand.CATS, 1))
    return by_hand.report(tally, positive=1, keys=keys)


def test_shares_of_nothing_are_dashes(page: Page, tmp_path: Path) -> None:
    report = degenerate(np.zeros(50, np.int64), np.linspace(-3, 3, 50))
    page.goto(page_of(report, tmp_path / "page"))
    shown = slide(page, 10)
    assert shown["recall"] is shown["recall_low"] is None
    assert page.locator("[data-at=recall]").inner_text() == "–"
    assert page.locator("[data-interval=recall]").is_hidden()
    assert "NaN" not in page.locator("#thresholds").inner_text()
    assert page.locator("[data-plot=pr]").count() == page.locator("[data-plot=roc]").count() == 0


def test_precision_of_nothing_called_is_a_dash_and_its_marker_is_gone(page: Page, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    report = degenerate(rng.integers(0, 2, 80), rng.normal(-3, 0.5, 80))
    page.goto(page_of(report, tmp_path / "page"))  # at 0.5, which no score reaches
    shown = read(page)
    assert (shown["precision"], shown["recall"], shown["f1"], shown["fpr"]) == (None, 0, 0, 0)
    assert page.locator("[data-plot=pr] circle.marker").count() == 0
    assert page.locator("[data-plot=roc] circle.marker").count() == 1


def test_a_threshold_that_calls_nothing_is_never_the_cheapest(page: Page, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    report = degenerate(rng.integers(0, 2, 80), rng.normal(-3, 0.5, 80))
    page.goto(page_of(report, tmp_path / "page"))
    assert read(page)["tp"] == read(page)["fp"] == 0
    page.locator("[data-cost=fp]").fill("1000")
    page.locator("[data-cheapest]").click()
    assert read(page)["tp"] + read(page)["fp"] > 0


def test_nothing_is_cheapest_without_rows_of_the_class(page: Page, tmp_path: Path) -> None:
    page.goto(page_of(degenerate(np.zeros(50, np.int64), np.linspace(-3, 3, 50)), tmp_path / "page"))
    page.locator("[data-cheapest]").click()
    assert "no row of dog" in page.locator("[data-note]").inner_text()


def test_of_equally_cheap_thresholds_it_is_the_highest(page: Page, tmp_path: Path) -> None:
    report = degenerate(np.array([0, 0, 1, 1]), np.array([-2.0, -1.0, 1.0, 2.0]))
    page.goto(page_of(report, tmp_path / "page"))
    page.locator("[data-cost=fn]").fill("0")
    page.locator("[data-cheapest]").click()
    shown = read(page)  # no false alarm from a score of 0 in log-odds on, but a row must be called
    assert shown["threshold"] == pytest.approx(1 / (1 + math.exp(-2)), abs=1e-3)
    assert (shown["tp"], shown["fp"]) == (1, 0)
