"""Tables as pandas sees them hold what report.json says, or are refused by name."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas
import pytest

from ortbatch.errors import ReportError
from ortbatch.report import frames
from ortbatch.report.report import Report
from tests.unit.report import made_slices
from tests.unit.report.made import binary, label_tally, multiclass, report
from tests.unit.report.made_fidelity import two
from tests.unit.report.test_table import ODD, rows_of

EVERY = ("metrics", "per_class", "gates", "findings", "latency", "rejected")


def frame(made: dict[str, Any], table: str) -> pandas.DataFrame:
    return Report(json.loads(Report(made).encode())).to_pandas(table)


def test_metrics_is_the_table_that_is_asked_for_by_default() -> None:
    assert Report(binary()).to_pandas().equals(frame(binary(), "metrics"))


def test_metrics_has_the_lines_of_metrics_csv_in_their_order() -> None:
    made, lines = frame(binary(), "metrics"), rows_of(binary())
    assert list(made.columns) == list(lines[0])
    assert [tuple(row[:5]) for row in made.itertuples(index=False)] == [tuple(row.values())[:5] for row in lines]


def test_numbers_of_metrics_are_numbers_and_undefined_ones_are_missing() -> None:
    made = frame(multiclass(), "metrics").set_index(["metric", "class"])
    assert made.loc[("accuracy", ""), "value"].item() == 56 / 60
    assert math.isnan(made.loc[("log_loss", ""), "value"].item())
    assert made["n"].dtype.kind == "i"


@pytest.mark.parametrize("metric", ["precision", "recall", "f1", "specificity"])
def test_per_class_has_value_and_both_ends_of_the_interval(metric: str) -> None:
    made = frame(multiclass(), "per_class")
    for row, line in zip(multiclass()["quality"]["per_class"], made.to_dict("records"), strict=True):
        item = json.loads(Report({"item": row[metric]}).encode())["item"]
        assert [line["class"], line["support"]] == [row["class"], row["support"]]
        assert [line[metric], line[f"{metric}_lo"], line[f"{metric}_hi"]] == [item["value"], *item["ci"]]


def test_the_confusion_matrix_has_true_classes_as_rows_and_predicted_as_columns() -> None:
    made = frame(multiclass(), "confusion_matrix")
    assert (made.index.name, made.columns.name) == ("true", "predicted")
    assert made.loc["class_1", "class_0"] == 2
    assert made.to_numpy().tolist() == multiclass()["confusion_matrix"]["counts"]


def test_a_gate_has_its_verdict_and_its_interval() -> None:
    made = binary("accuracy >= 0.5", "recall >= 2e-1")
    (line, _), gate = frame(made, "gates").to_dict("records"), made["gates"][0]
    assert {key: line[key] for key in ("gate", "value", "outcome", "rows")} == {
        key: gate[key] for key in ("gate", "value", "outcome", "rows")
    }
    assert [line["lo"], line["hi"]] == list(gate["ci"])


def test_thresholds_has_a_row_a_point() -> None:
    points = binary()["thresholds"]["curves"][0]["points"]
    made = frame(binary(), "thresholds")
    assert {column: made[column].tolist() for column in points} == points
    assert set(made["class"]) == {"dog"}


def test_latency_has_each_statistic_of_both_kinds() -> None:
    made = frame(binary(), "latency").set_index(["kind", "statistic"])
    assert made.loc[("single", "p99_ms"), "value"] == binary()["latency"]["single"]["p99_ms"]["value"]
    assert made.loc[("batch", "mean_ms"), "n"] == 400


def test_slices_have_a_row_each_with_rows_and_intervals() -> None:
    made = json.loads(Report(made_slices.made()).encode())
    lines = frame(made, "slices").to_dict("records")
    assert [line["slice"] for line in lines] == [entry["name"] for entry in made["slices"]]
    assert [line["accuracy"] for line in lines] == [entry["accuracy"]["value"] for entry in made["slices"]]
    assert [line["accuracy_lo"] for line in lines] == [entry["accuracy"]["ci"][0] for entry in made["slices"]]


def test_fidelity_has_a_row_a_metric_of_each_baseline() -> None:
    made = two().report()
    lines = frame(made, "fidelity").set_index(["baseline", "metric"])
    agreement = json.loads(Report(made).encode())["fidelity"]["torch"]["agreement"]
    assert lines.loc[("torch", "agreement"), "value"] == agreement["value"]


def test_rejected_rows_stand_under_their_reason() -> None:
    made = multiclass()
    made["coverage"]["rows"]["rejected"] = {"null_label": 3, "bad_input": 1}
    assert dict(frame(made, "rejected").itertuples(index=False)) == {"null_label": 3, "bad_input": 1}


@pytest.mark.parametrize("table", ["gates", "findings", "rejected"])
def test_what_there_is_none_of_is_an_empty_table_with_its_columns(table: str) -> None:
    made = binary()
    made["findings"] = []
    assert len(frame(made, table)) == 0
    assert set(frames._EMPTY[table]) == set(frame(made, table).columns)


def test_columns_of_an_empty_table_are_those_of_a_full_one() -> None:
    made = multiclass("accuracy >= 0.5")
    made["findings"] = [{"severity": "info", "code": "a", "text": "b"}]
    made["coverage"]["rows"]["rejected"] = {"null_label": 3}
    for table, columns in frames._EMPTY.items():
        assert set(columns) <= set(frame(made, table).columns), table


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("slices", "the job asks for none; name columns in `slices`"),
        ("fidelity", "no other model ran beside this one; name it in `baselines`"),
        ("thresholds", "no scores were kept"),
        ("calibration", "the model puts out no probabilities"),
    ],
)
def test_a_table_that_the_report_has_not_is_refused_and_says_why(table: str, why: str) -> None:
    with pytest.raises(ReportError, match=f"this report has no table `{table}`: {why}"):
        frame(multiclass(), table)


def test_an_unknown_table_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ReportError, match=r"no table `perclass` in a report; it has calibration, confusion_matrix, "):
        frame(multiclass(), "perclass")


@pytest.mark.parametrize("table", EVERY)
def test_without_pandas_the_error_says_what_to_install(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "find_spec", lambda _: None)
    with pytest.raises(ReportError, match=r"needs pandas, which is not installed: pip install 'ortbatch\[notebook\]'"):
        frame(multiclass(), table)


def test_odd_class_names_survive() -> None:
    counts = [[int(true == predicted) for predicted in range(len(ODD))] for true in range(len(ODD))]
    made = report(label_tally(counts, ODD))
    assert frame(made, "per_class")["class"].tolist() == list(ODD)
    assert list(frame(made, "confusion_matrix").columns) == list(ODD)
