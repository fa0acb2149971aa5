"""metrics.csv says what report.json says, whatever the classes are called."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.metrics.reference import KNOWN, TOP, MetricRef
from ortbatch.report.gates import Found, look_up
from ortbatch.report.table import COLUMNS, metrics_table
from tests.unit.report.made import binary, label_tally, multiclass, report

SETTINGS = settings(max_examples=30, deadline=None, derandomize=True, database=None)
ODD = (
    "a, b",
    'say "no"',
    "two\nlines",
    "carriage\rreturn",
    "crlf\r\n",
    "猫 🐈",
    "[red]x[/red]",
    " ",
    "=1+1",
    "'",
    "\0",
)


def rows_of(made: dict[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(metrics_table(made), newline="")))


def ref_of(row: dict[str, str]) -> MetricRef:
    return replace(MetricRef.parse(row["metric"]), class_name=row["class"] or None)


@pytest.mark.parametrize("made", [binary(), multiclass()], ids=["binary", "multiclass"])
def test_every_line_equals_what_the_report_says_of_that_metric(made: dict[str, Any]) -> None:
    for row in rows_of(made):
        found = look_up(ref_of(row), made)
        assert isinstance(found, Found), row
        assert (float(row["value"]) if row["value"] else None) == found.estimate["value"]
        assert int(row["n"]) == found.rows


@pytest.mark.parametrize("made", [binary(), multiclass()], ids=["binary", "multiclass"])
def test_interval_columns_equal_the_report(made: dict[str, Any]) -> None:
    for row in rows_of(made):
        found = look_up(ref_of(row), made)
        assert isinstance(found, Found)
        assert [float(row[end]) for end in ("lo", "hi") if row[end]] == (found.estimate["ci"] or [])


def test_every_known_metric_has_a_line() -> None:
    assert {row["metric"] for row in rows_of(binary())} >= KNOWN - {f"top_{k}_accuracy" for k in TOP}


def test_the_header_and_the_run_stand_in_every_line() -> None:
    made = multiclass()
    lines = rows_of(made)
    assert tuple(lines[0]) == COLUMNS
    assert {(row["run_id"], row["date"]) for row in lines} == {(made["run"]["id"], made["run"]["started_at"])}


def test_an_undefined_value_is_an_empty_cell() -> None:
    line = next(row for row in rows_of(multiclass()) if row["metric"] == "log_loss")
    assert (line["value"], line["lo"], line["hi"]) == ("", "", "")


def test_odd_class_names_survive() -> None:
    counts = [[int(true == predicted) for predicted in range(len(ODD))] for true in range(len(ODD))]
    lines = rows_of(report(label_tally(counts, ODD)))
    assert [row["class"] for row in lines if row["metric"] == "recall"] == list(ODD)


@SETTINGS
@given(st.lists(st.text(min_size=1), min_size=2, max_size=4, unique=True))
def test_any_class_names_survive(classes: list[str]) -> None:
    counts = [[1] * len(classes)] * len(classes)
    lines = rows_of(report(label_tally(counts, classes)))
    assert [row["class"] for row in lines if row["metric"] == "f1" and row["class"]] == classes
    assert all(None not in row and row["n"] for row in lines)


def test_lines_end_as_unix_tools_expect() -> None:
    assert "\r" not in metrics_table(multiclass())
    assert metrics_table(multiclass()).endswith("\n")
