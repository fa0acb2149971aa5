"""Quality and classes: every number is the report's, worst classes first, doubts in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ortbatch.report.page.blocks import Sentence, Table
from ortbatch.report.page.classes import classes
from ortbatch.report.page.quality import quality
from tests.unit.report import made
from tests.unit.report.page.cells import cell, keyed, tables, texts

METRICS = ("precision", "recall", "f1", "specificity", "roc_auc", "average_precision")


def estimates(section: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in section.items() if isinstance(item, dict) and "ci" in item}


def of_all(report: dict[str, Any]) -> Table:
    return next(table for title, table in tables(quality(report)).items() if title.startswith("All metrics"))


def many(size: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return made.report(made.label_tally(rng.integers(0, 9, (size, size)) + 20 * np.eye(size, dtype=int)))


@pytest.mark.parametrize("report", [made.binary(), made.multiclass()], ids=["binary", "multiclass"])
def test_every_metric_of_all_rows_is_there_with_the_reports_value(report: dict[str, Any]) -> None:
    assert keyed(quality(report)) == {name: item["value"] for name, item in estimates(report["quality"]).items()}


def test_intervals_are_the_reports() -> None:
    report = made.binary()
    low, high = report["quality"]["accuracy"]["ci"]
    assert cell(of_all(report), "accuracy", 2).text.startswith(f"{low:.4f}–{high:.4f}")


def test_accuracy_stands_beside_that_of_the_largest_class() -> None:
    table = tables(quality(made.multiclass()))["Accuracy, beside that of always giving the most frequent answer"]
    assert [row[:2] for row in texts(table)] == [["this model", "0.9333"], ["always answering class_2", "0.5000"]]


def test_metrics_of_which_less_is_better_say_so() -> None:
    names = [row[0] for row in texts(of_all(made.binary()))]
    assert {name for name in names if "lower" in name} == {
        f"{loss} (lower is better)" for loss in ("log_loss", "brier", "ece")
    }


def test_every_caution_and_every_reason_can_be_read() -> None:
    report = made.binary()
    told = " ".join(row[0] for row in texts(tables(quality(report))["What * stands for"]))
    items = estimates(report["quality"]).values()
    assert all(item.get("caution", item.get("reason", "")) in told for item in items)


def test_every_method_is_told_with_its_metrics() -> None:
    report = made.binary()
    told = {
        name for row in texts(tables(quality(report))["How the intervals are found"]) for name in row[1].split(", ")
    }
    assert told == {name for name, item in estimates(report["quality"]).items() if "method" in item}


def test_methods_are_told_in_words() -> None:
    methods = [row[0] for row in texts(tables(quality(made.binary()))["How the intervals are found"])]
    assert not any("_" in method for method in methods)


def test_a_label_of_the_models_own_is_told() -> None:
    report = made.multiclass()
    report["quality"]["own_label"] = {"rows": 60, "disagreements": 7}
    said = [block.text for block in quality(report).blocks if isinstance(block, Sentence)]
    assert any("in 7 of 60 rows" in text for text in said)


def test_a_report_of_labels_only_has_no_number_for_scores() -> None:
    assert keyed(quality(made.multiclass()))["roc_auc"] is None


@pytest.mark.parametrize("report", [made.binary(), made.multiclass()], ids=["binary", "multiclass"])
def test_every_metric_of_every_class_has_the_reports_value(report: dict[str, Any]) -> None:
    found = keyed(classes(report))
    wanted = {
        f"{name}[{row['class']}]": row[name]["value"] for row in report["quality"]["per_class"] for name in METRICS
    }
    assert found.items() <= wanted.items()
    assert {name for name, value in wanted.items() if value is not None} <= found.keys()


def test_classes_come_worst_f1_first() -> None:
    report = many(30)
    f1 = {row["class"]: row["f1"]["value"] for row in report["quality"]["per_class"]}
    shown = [f1[row[0]] for row in texts(tables(classes(report))["Classes, worst F1 first"])]
    assert shown == sorted(shown)


@pytest.mark.parametrize(("size", "search"), [(20, False), (21, True)])
def test_more_than_twenty_classes_can_be_searched(size: int, search: bool) -> None:
    assert tables(classes(many(size)))["Classes, worst F1 first"].search is search


def test_of_very_many_classes_the_worst_are_shown_and_the_rest_is_counted() -> None:
    table = tables(classes(many(300)))["Classes, worst F1 first"]
    assert len(table.rows) <= 200
    assert table.note.startswith(f"{len(table.rows)} of 300 classes, those of worst F1, are shown")


def test_a_class_without_rows_has_no_recall() -> None:
    table = tables(classes(made.report(made.label_tally([[5, 1], [0, 0]]))))["Classes, worst F1 first"]
    assert [row[3] for row in texts(table)] == ["–", "0.8333"]
