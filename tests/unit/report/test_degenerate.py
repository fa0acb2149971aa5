"""The smallest and the strangest data have a whole report: every section defined, valid, encoded and shown."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from ortbatch.errors import ReportError
from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.operating import Aim
from ortbatch.metrics.scores import ScoreHistogram
from ortbatch.metrics.sums import FixedSum
from ortbatch.metrics.tally import CONFIDENCE, RANKS, Tally
from ortbatch.report.choose import choose_threshold
from ortbatch.report.encode import encode, is_estimate
from ortbatch.report.junit import junit_xml
from ortbatch.report.markdown import markdown_summary
from ortbatch.report.report import Report
from ortbatch.report.schema import problems_of
from ortbatch.report.summary import print_summary
from ortbatch.report.table import metrics_table
from tests.unit.report.made import label_tally, names, report

INF = float("inf")
GATES = (
    "accuracy >= 0.5",
    "roc_auc[yes] >= 0.5",
    "recall_at_precision(0.9)[yes] >= 0.1",
    {"metric": "f1", "class": "yes", "min": 0.5, "confidence": 0.95},
)


def binary(odds: list[float], true: list[int]) -> Tally:
    """Of a binary model with these log-odds; threshold 0.5."""
    scores, label = np.array(odds, np.float64), np.array(true, np.int64)
    empty, rows = Tally.empty(("no", "yes"), ("yes",)), len(true)
    p = 1 / (1 + np.exp(-scores))
    own = np.clip(np.where(label == 1, p, 1 - p), 2.0**-52, 1)
    return replace(
        empty,
        coverage=Coverage(rows, rows),
        confusion=ConfusionMatrix.of(("no", "yes"), label, (scores >= 0).astype(np.int64)),
        scores=ScoreHistogram.of(
            ("yes",), empty.scores.bins, scores[:, None], (label == 1)[:, None], (np.arange(rows) % 2).astype(np.uint8)
        ),
        log_loss=FixedSum.of(-np.log(own)),
        brier=FixedSum.of((p - label) ** 2),
    )


def many(classes: int, rows: int) -> Tally:
    """Of a model of many classes without curves."""
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(0, classes, (2, rows))
    empty = Tally.empty(names(classes), ())
    sure, half = rng.normal(0, 2, (rows, 1)), rng.integers(0, 2, rows).astype(np.uint8)
    return replace(
        empty,
        coverage=Coverage(rows, rows),
        confusion=ConfusionMatrix.of(names(classes), label, predicted),
        confidence=ScoreHistogram.of(CONFIDENCE, empty.confidence.bins, sure, (label == predicted)[:, None], half),
        ranks=Cells.of((RANKS + 1,), np.minimum(rng.integers(0, classes, rows), RANKS)),
        log_loss=FixedSum.of(rng.random(rows)),
        brier=FixedSum.of(rng.random(rows)),
        log_loss_squares=FixedSum.of(rng.random(rows)),
        brier_squares=FixedSum.of(rng.random(rows)),
    )


BINARY = {
    "no rows": ([], []),
    "one row, right": ([2.0], [1]),
    "one row, wrong": ([2.0], [0]),
    "only positives": ([1.0, -1.0, 3.0], [1, 1, 1]),
    "no positives": ([1.0, -1.0, 3.0], [0, 0, 0]),
    "all scores equal": ([0.5] * 40, [0, 1] * 20),
    "all at one half": ([0.0] * 40, [0, 1] * 20),
    "all certain and right": ([-INF, INF] * 30, [0, 1] * 30),
    "all certain and wrong": ([INF, -INF] * 30, [0, 1] * 30),
    "all certain, some wrong": ([-INF, INF, INF] * 30, [0, 1, 0] * 30),
    "beyond the bins": ([-300.0, 300.0, -26.0, 26.0], [0, 1, 1, 0]),
    "perfect": ([-3.0, -2.0, 2.0, 3.0] * 300, [0, 0, 1, 1] * 300),
    "one positive": ([-1.0] * 999 + [4.0], [0] * 999 + [1]),
}


def shown(made: dict[str, Any]) -> str:
    """Every way to show it."""
    console = Console(file=io.StringIO(), width=100)
    print_summary(made, console)
    file: Any = console.file
    return str(file.getvalue()) + markdown_summary(made) + junit_xml(made) + metrics_table(made)


def estimates(value: Any) -> list[dict[str, Any]]:
    """All estimates anywhere."""
    if is_estimate(value):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for item in inner for found in estimates(item)]


@pytest.mark.parametrize("case", BINARY)
def test_a_binary_report_is_whole(case: str) -> None:
    made = report(binary(*BINARY[case]), *GATES, positive=1)
    assert problems_of(made) == []
    assert Report.decode(encode(made), "report.json").data == made
    assert "nan" not in shown(made).lower()
    for estimate in estimates(made["quality"]) + estimates(made.get("thresholds", {})):
        assert (estimate["value"] is None) <= bool(estimate.get("reason"))
        if estimate["ci"] is not None:
            assert estimate["ci"][0] <= estimate["value"] <= estimate["ci"][1]
            assert estimate["method"]


def picked(made: Report, *, confirm: bool) -> float | str:
    """A threshold, or why there is none."""
    try:
        return float(choose_threshold(made, Aim(), None, confirm=confirm).picked.threshold)
    except ReportError as error:
        return str(error)


@pytest.mark.parametrize("case", [case for case in BINARY if case != "no rows"])
@pytest.mark.parametrize("confirm", [False, True])
def test_a_threshold_is_chosen_or_it_is_said_why_not(case: str, confirm: bool) -> None:
    found = picked(Report(report(binary(*BINARY[case]), positive=1)), confirm=confirm)
    assert "row" in found if isinstance(found, str) else 0 <= found <= 1
    assert isinstance(found, str) or len(set(BINARY[case][1])) > 1 or case in ("one row, right", "only positives")


@pytest.mark.parametrize(("classes", "rows"), [(3, 0), (3, 1), (21, 500), (1_000, 3_000)])
def test_a_report_of_many_classes_is_whole(classes: int, rows: int) -> None:
    made = report(many(classes, rows), "accuracy >= 0.5")
    assert problems_of(made) == []
    assert Report.decode(encode(made), "report.json").data == made
    assert shown(made)


@pytest.mark.parametrize(
    "counts", [[[1, 0], [0, 0]], [[0, 0], [0, 0]], [[7, 0], [0, 0]], [[0, 7], [0, 0]], [[0, 5], [5, 0]]]
)
def test_a_report_of_labels_is_whole(counts: list[list[int]]) -> None:
    made = report(label_tally(counts), "accuracy >= 0.5")
    assert problems_of(made) == []
    assert shown(made)
