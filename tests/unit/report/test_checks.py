"""Sections, findings, gates and texts about the training data, from counts that are known."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ortbatch.job import Gate
from ortbatch.metrics.checked import CHECKED
from ortbatch.metrics.leakage import Leakage, Overfitting
from ortbatch.report.build import judged
from ortbatch.report.markdown import markdown_summary
from ortbatch.report.schema import problems_of
from ortbatch.report.summary import print_summary
from ortbatch.report.table import metrics_table
from tests.unit.report.made import binary
from tests.unit.report.made_checks import (
    LEAKAGE,
    TRAINING,
    checked,
    leaky,
    of_three_classes,
    overfitting,
    tallies,
)

DOCS = (Path(__file__).parents[3] / "docs" / "report.md").read_text()
NONE = Leakage(compared=200, distinct=200)


def codes(report: dict[str, Any]) -> dict[str, str]:
    return {finding["code"]: finding["severity"] for finding in report["findings"]}


def text_of(report: dict[str, Any], code: str) -> str:
    return next(str(finding["text"]) for finding in report["findings"] if finding["code"] == code)


@pytest.mark.parametrize(
    "made",
    [
        leaky(), of_three_classes(), leaky(leakage=NONE, without=None, leaked=None), leaky(leakage=None),
        leaky(overfitting=None), leaky(overfitting=Overfitting(None, "no label")),
        leaky(training=replace(TRAINING, no_labels="none"), leakage=replace(LEAKAGE, training_conflicts=None)),
    ],
    ids=["binary", "multiclass", "no leak", "not looked for", "no overfitting", "no labels", "no labels there"],
)  # fmt: skip
def test_reports_with_checks_keep_the_schema(made: dict[str, Any]) -> None:
    assert problems_of(made) == []


def test_a_report_without_checks_has_neither_section() -> None:
    assert not {"leakage", "overfitting"} & binary().keys()


def test_examples_are_named_by_file_row_and_class() -> None:
    section = leaky()["leakage"]
    assert section["examples"][0] == {
        "file": "data/a.parquet", "row": 3, "training_file": "train/b.parquet", "training_row": 8,
    }  # fmt: skip
    assert section["duplicate_examples"] == [
        {"file": "data/a.parquet", "row": 9, "first_file": "data/a.parquet", "first_row": 2}
    ]
    assert section["conflict_examples"] == [
        {"file": "data/a.parquet", "row": 7, "class": "cat", "other_file": "data/b.parquet", "other_row": 6,
         "other_class": "dog"}
    ]  # fmt: skip
    assert section["training_conflict_examples"][0]["training_class"] == "cat"


def test_shares_are_of_the_rows_that_were_compared() -> None:
    section = leaky()["leakage"]
    assert (section["share"]["value"], section["duplicate_share"]["value"]) == (0.1, 0.05)
    assert section["share"]["method"] == "wilson"


def test_quality_is_told_with_and_without_the_leaked_rows() -> None:
    report = leaky()
    section, accuracy = report["leakage"], report["quality"]["accuracy"]["value"]
    right = sum(section[part]["rows"] * section[part]["accuracy"]["value"] for part in ("without", "leaked"))
    assert right / 200 == pytest.approx(accuracy, abs=1e-12)
    assert section["difference"]["accuracy"] == pytest.approx(accuracy - section["without"]["accuracy"]["value"])


def test_without_a_leak_quality_without_leaked_rows_is_that_of_all() -> None:
    report = leaky(leakage=NONE, without=None, leaked=None)
    section = report["leakage"]
    assert "leaked" not in section
    assert section["without"]["accuracy"] == report["quality"]["accuracy"]
    assert set(section["difference"].values()) <= {0.0, None}


@pytest.mark.parametrize(
    ("rows", "compared", "severity"), [(1, 10_000, "info"), (20, 10_000, "warning"), (200, 10_000, "error")]
)
def test_a_leak_is_as_serious_as_it_is_large(rows: int, compared: int, severity: str) -> None:
    found = codes(leaky(leakage=replace(NONE, compared=compared, rows=rows)))
    assert found["leaked_rows"] == severity


def test_all_rows_leaked_is_an_error_of_its_own() -> None:
    same = replace(TRAINING, same_files=2)
    report = leaky(leakage=replace(NONE, rows=200), training=same)
    assert codes(report)["evaluated_on_training_data"] == "error"
    assert "(2 of the training files are files of it)" in text_of(report, "evaluated_on_training_data")


def test_a_model_that_is_better_on_leaked_rows_is_told_of_only_if_surely_so() -> None:
    everything, without, leaked = tallies(right=1.0, leaked=100)
    assert "better_on_leaked_rows" in codes(leaky(without=without, leaked=leaked))
    _, without, leaked = tallies(right=1.0, leaked=4)
    assert "better_on_leaked_rows" not in codes(leaky(without=without, leaked=leaked))
    _, without, leaked = tallies(right=0.3, leaked=100)
    assert "better_on_leaked_rows" not in codes(leaky(without=without, leaked=leaked))
    assert everything.confusion.rows == 280


def test_conflicts_duplicates_and_columns_are_findings() -> None:
    found = codes(leaky())
    expected = {"label_conflicts", "labels_unlike_training", "duplicate_rows", "column_gives_label_away"}
    assert expected <= found.keys()
    assert "row 7 of data/a.parquet" in text_of(leaky(), "label_conflicts")
    assert "column `amount` gives the label away: the order of its values" in text_of(
        leaky(), "column_gives_label_away"
    )


def test_a_clean_job_has_no_finding_of_the_checks() -> None:
    report = leaky(leakage=NONE, without=None, leaked=None, overfitting=overfitting(860))
    known = {"leaked_rows", "label_conflicts", "duplicate_rows", "overfitting", "column_gives_label_away"}
    assert not known & codes(report).keys()


@pytest.mark.parametrize(("right", "found"), [(990, True), (880, False), (700, False)])
def test_overfitting_is_told_of_if_the_gap_is_large_and_sure(right: int, found: bool) -> None:
    assert ("overfitting" in codes(leaky(overfitting=overfitting(right)))) == found


def test_gaps_are_of_the_metrics_that_the_task_has() -> None:
    assert set(leaky()["overfitting"]["gaps"]) == {"accuracy_gap", "f1_gap", "roc_auc_gap", "log_loss_gap"}
    gaps = of_three_classes()["overfitting"]["gaps"]
    assert set(gaps) == {"accuracy_gap", "f1_macro_gap", "roc_auc_gap", "log_loss_gap"}
    assert gaps["log_loss_gap"]["reason"] == "of the training rows: the model puts out labels only"


def test_a_gap_says_why_it_has_no_value() -> None:
    report = leaky("overfitting.accuracy_gap <= 0.02", overfitting=Overfitting(None, "x has no label column `y`"))
    (gate,) = report["gates"]
    assert (gate["outcome"], gate["why"]) == ("failed", "x has no label column `y`")


def verdict(report: dict[str, Any], gate: str) -> dict[str, Any]:
    (found,) = judged([Gate.parse(gate)], report)["gates"]
    return dict(found)


@pytest.mark.parametrize(
    ("gate", "value", "outcome"),
    [
        ("leakage.rows <= 0", 20, "failed"), ("leakage.share <= 0.1", 0.1, "passed"),
        ("leakage.duplicates <= 10", 10, "passed"), ("leakage.duplicate_share < 0.05", 0.05, "failed"),
        ("leakage.conflicts == 4", 4, "passed"), ("leakage.training_conflicts <= 0", 2, "failed"),
    ],
)  # fmt: skip
def test_gates_find_counts_and_shares(gate: str, value: float, outcome: str) -> None:
    found = verdict(leaky(), gate)
    assert (found["value"], found["outcome"], found["rows"], found["volatile"]) == (value, outcome, 200, False)


def test_a_gate_on_what_was_not_checked_fails_with_what_to_do() -> None:
    found = verdict(binary(), "leakage.rows <= 0")
    assert found["outcome"] == "failed"
    assert found["why"].endswith("the job did not ask for it under `checks`")


def test_a_gate_with_a_confidence_is_decided_by_the_interval() -> None:
    sure = Gate(Gate.parse("leakage.share <= 0.2").metric, "<=", 0.2, None, 0.95)
    (found,) = judged([sure], leaky())["gates"]
    assert (found["outcome"], found["confidence"]) == ("passed", 0.95)


def test_labels_that_are_not_known_fail_a_gate_on_their_conflicts() -> None:
    report = leaky(training=replace(TRAINING, no_labels="none"), leakage=replace(LEAKAGE, training_conflicts=None))
    assert verdict(report, "leakage.training_conflicts <= 0")["why"] == "no labels of the training data: none"


def test_the_table_has_every_number_that_a_gate_may_ask_for() -> None:
    rows = list(csv.DictReader(io.StringIO(metrics_table(leaky()))))
    assert {row["metric"] for row in rows} >= CHECKED - {"overfitting.f1_macro_gap"}
    share = next(row for row in rows if row["metric"] == "leakage.share")
    assert (share["value"], share["n"]) == ("0.1", "200")


def test_terminal_and_markdown_tell_the_numbers() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    print_summary(leaky(), console)
    shown = console.export_text()
    assert "20 of 200 rows stand in the training data" in shown
    assert "data/a.parquet row 3 is row 8 of train/b.parquet" in shown
    for text in (shown, markdown_summary(leaky())):
        assert "without leaked" in text
        assert "training rows" in text


@pytest.mark.parametrize(
    "code",
    ["leaked_rows", "evaluated_on_training_data", "better_on_leaked_rows", "duplicate_rows", "label_conflicts",
     "labels_unlike_training", "column_gives_label_away", "overfitting", "overfitting_unknown",
     "training_rows_left_out"],
)  # fmt: skip
def test_every_finding_is_documented(code: str) -> None:
    assert f"`{code}`" in DOCS


def test_training_rows_that_could_not_be_read_are_told_of() -> None:
    report = leaky(training=replace(TRAINING, left_out=1_200))
    assert "1,200 training rows could not be read" in text_of(report, "training_rows_left_out")


def test_missing_labels_are_told_of() -> None:
    nothing = Overfitting(None, "a has no label column `y`")
    report = leaky(training=replace(TRAINING, no_labels="a has no label column `y`"), overfitting=nothing)
    assert codes(report)["overfitting_unknown"] == "info"
    assert checked().overfitting is not None


def test_precision_and_recall_without_leaked_rows_rest_on_the_rows_that_they_are_shares_of() -> None:
    report = leaky()
    without = report["leakage"]["without"]
    assert verdict(report, "leakage.without.recall >= 0")["rows"] == without["support"]
    assert verdict(report, "leakage.without.precision >= 0")["rows"] == without["predicted"]
    assert verdict(report, "leakage.without.accuracy >= 0")["rows"] == without["rows"] == 180
