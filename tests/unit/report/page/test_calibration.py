"""The section on calibration has the numbers of the report."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np

from ortbatch.report.page.blocks import Section
from ortbatch.report.page.calibration import calibration
from tests.unit.report import made
from tests.unit.report.page.cells import cell, keyed, tables, texts


@cache
def _section(text: str) -> Section:
    """Drawn once for each report: pictures take a while."""
    found = calibration(json.loads(text))
    assert found is not None
    return found


def section(report: dict[str, Any]) -> Section:
    return _section(json.dumps(report))


def test_a_model_that_puts_out_labels_has_no_section() -> None:
    assert calibration(made.multiclass()) is None


def test_numbers_are_those_of_the_report() -> None:
    report = made.binary()
    of = report["calibration"]
    assert keyed(section(report)) == {
        "ece": of["ece"]["value"], "brier": report["quality"]["brier"]["value"],
        **{f"calibration.{key}": of[key] for key in ("largest_gap", "overconfidence", "mean_score")},
        "calibration.share": of["share"]["value"],
        **{f"calibration.brier.{part}": of["brier"][part] for part in of["brier"]},
    }  # fmt: skip


def test_parts_of_the_brier_score_add_up_on_the_page() -> None:
    found = keyed(section(made.binary()))
    parts = {key.removeprefix("calibration.brier."): value for key, value in found.items() if ".brier." in key}
    sum_of_parts = parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within_bins"]
    assert np.isclose(found["brier"], sum_of_parts, atol=1e-12)


def test_bins_have_their_rows_scores_and_shares() -> None:
    report = made.binary()
    rows = tables(section(report))["Bins"].rows
    assert [[row[at].value for at in (2, 3, 4)] for row in rows] == [
        [one["rows"], one["mean_score"], one["share"]["value"]] for one in report["calibration"]["bins"]
    ]


def test_what_chance_would_show_stands_beside_the_error() -> None:
    report = made.binary()
    beside = cell(tables(section(report))["Calibration in numbers"], "expected calibration error (ece)", 2).text
    assert f"{report['calibration']['ece_if_calibrated']:.4f}" in beside


def with_risk(points: int) -> dict[str, Any]:
    """A report of many classes as far as calibration is concerned."""
    report = made.binary()
    of = {key: value for key, value in report["calibration"].items() if key != "brier"}
    risk = [
        {
            "confidence": 1 - at / points,
            "coverage": at / points,
            "accuracy": {"value": 0.9, "ci": [0.8, 0.95], "method": "wilson"},
        }
        for at in range(1, points + 1)
    ]
    return {**report, "calibration": {**of, "of": "predicted class", "risk_coverage": risk}}


def test_of_many_classes_the_surest_rows_are_shown_down_to_all_rows() -> None:
    table = tables(section(with_risk(100)))["Some of the points"]
    assert [row[0].value for row in table.rows] == [at / 10 for at in range(1, 11)]
    assert texts(tables(section(with_risk(3)))["Some of the points"])[-1][0] == "1.0000"
