"""What the data do not define is null with a reason, never 0."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.reference import TOP
from ortbatch.metrics.scores import ScoreHistogram
from ortbatch.report.encode import is_estimate, plain
from ortbatch.report.quality import quality_section
from ortbatch.report.schema import problems_of
from tests.unit.report.made import CATS, label_tally, report, score_tally

NO_ROWS = "no row was evaluated"
LABELS_ONLY = "the model puts out labels only"


def section(counts: list[list[int]], positive: int | None = None) -> dict[str, Any]:
    return plain(quality_section(label_tally(counts), positive))


def undefined(reason: str) -> dict[str, Any]:
    return {"value": None, "ci": None, "reason": reason}


def test_precision_of_a_class_that_is_never_predicted_is_null() -> None:
    row = section([[5, 0], [3, 0]])["per_class"][1]
    assert row["precision"] == undefined("class `class_1` is never predicted")


def test_recall_of_a_class_without_rows_is_null() -> None:
    row = section([[5, 3], [0, 0]])["per_class"][1]
    assert row["recall"] == undefined("no row of class `class_1`")


def test_f1_of_a_class_that_neither_occurs_nor_is_predicted_is_null() -> None:
    row = section([[5, 1, 0], [2, 3, 0], [0, 0, 0]])["per_class"][2]
    assert row["f1"] == undefined("class `class_2` neither occurs nor is predicted")


def test_f1_of_a_class_that_is_always_missed_is_zero() -> None:
    assert section([[5, 0], [3, 0]])["per_class"][1]["f1"]["value"] == 0.0


def test_specificity_without_other_rows_is_null() -> None:
    row = section([[5, 3], [0, 0]])["per_class"][0]
    assert row["specificity"] == undefined("no row of a class other than `class_0`")


@pytest.mark.parametrize("counts", [[[5, 3], [0, 0]], [[5, 0], [3, 0]]], ids=["one label", "one prediction"])
def test_matthews_of_one_class_is_null(counts: list[list[int]]) -> None:
    assert section(counts)["matthews_corrcoef"] == undefined("labels or predictions are all of one class")


def test_kappa_of_one_class_is_null() -> None:
    assert section([[5, 0], [0, 0]])["cohen_kappa"] == undefined("labels and predictions are all of one class")


def test_kappa_is_defined_where_all_rows_of_one_class_are_predicted_as_another() -> None:
    assert section([[0, 5], [0, 0]])["cohen_kappa"]["value"] == 0.0


@pytest.mark.parametrize("size", [2, 3, 300])
def test_without_rows_every_metric_is_null_with_a_reason(size: int) -> None:
    quality = section(np.zeros((size, size), int).tolist())
    estimates = [item for item in quality.values() if is_estimate(item)]
    assert len(estimates) == 16 + (0 if size == 2 else sum(k < size for k in TOP))
    assert all(item["value"] is None and item["reason"] for item in estimates)
    assert quality["accuracy"] == quality["log_loss"] == undefined(NO_ROWS)


def test_when_all_rows_are_rejected_the_report_is_valid_and_incomplete() -> None:
    rejected = replace(
        label_tally([[0, 0], [0, 0]]), coverage=Coverage(planned=7, rejected_rows={(0, "null_label"): 7})
    )
    made = report(rejected, "accuracy >= 0.5", positive=1)
    assert problems_of(made) == []
    assert made["status"] == "incomplete"
    assert made["gates"][0]["why"] == NO_ROWS


def test_when_all_rows_are_filtered_out_coverage_is_null() -> None:
    filtered = replace(label_tally([[0, 0], [0, 0]]), coverage=Coverage(planned=7, filtered=7))
    assert report(filtered, positive=1)["coverage"]["fraction"] == undefined("every row is filtered out")


@pytest.mark.parametrize("name", ["log_loss", "brier", "roc_auc", "average_precision"])
def test_a_model_of_labels_only_has_no_metric_of_scores(name: str) -> None:
    assert section([[5, 1], [2, 9]], 1)[name] == undefined(LABELS_ONLY)


def test_many_classes_have_no_curves_and_say_so() -> None:
    quality = section(np.eye(21, dtype=int).tolist())
    expected = undefined("one-vs-rest curves are kept for models with scores and up to 20 classes")
    assert quality["roc_auc"] == quality["per_class"][3]["average_precision"] == expected


@pytest.mark.parametrize(
    ("label", "reason"), [(1, "no row of another class"), (0, "no row of this class")], ids=["only", "none"]
)
def test_curves_without_one_of_the_classes_are_null(label: int, reason: str) -> None:
    tally = score_tally(np.full(20, label), np.linspace(-2, 2, 20), CATS, 1)
    assert plain(quality_section(tally, 1))["roc_auc"] == undefined(reason)


def test_the_mean_of_curves_names_the_class_that_has_no_rows() -> None:
    true = np.array([0, 0, 1, 1])
    tally = label_tally([[2, 0, 0], [0, 2, 0], [0, 0, 0]], ("a", "b", "c"))
    scores = ScoreHistogram.of(("a", "b", "c"), 64, np.ones((4, 3)), np.eye(3, dtype=bool)[true], np.zeros(4, np.uint8))
    quality = plain(quality_section(replace(tally, scores=scores), None))
    assert quality["roc_auc"] == undefined("class `c`: no row of this class")
