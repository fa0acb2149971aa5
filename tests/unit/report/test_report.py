"""A stored report is read back whole, or refused with what is wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.errors import ReportError
from ortbatch.report.report import Report
from tests.unit.report.made import binary, label_tally, multiclass, report

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def stored(made: dict[str, Any]) -> Report:
    return Report.decode(Report(made).encode(), "runs/a/report.json")


@pytest.mark.parametrize("made", [binary("accuracy >= 0.5"), multiclass(), report(label_tally(np.eye(101, dtype=int)))])
def test_decoding_gives_back_what_was_encoded_byte_for_byte(made: dict[str, Any]) -> None:
    text = Report(made).encode()
    assert Report.decode(text, "r").encode() == text
    assert Report.decode(text.encode(), "r").data == made


def test_quality_has_estimates_by_name() -> None:
    accuracy = stored(multiclass()).quality["accuracy"]
    assert accuracy.value == 56 / 60
    assert accuracy.ci is not None
    assert accuracy.ci[0] < 56 / 60 < accuracy.ci[1]


def test_an_undefined_estimate_keeps_its_reason() -> None:
    assert stored(multiclass()).quality["log_loss"].reason == "the model puts out labels only"


def test_per_class_has_estimates_by_class_and_name() -> None:
    assert stored(multiclass()).per_class["class_1"]["recall"].value == 0.85


def test_status_exit_code_classes_and_matrix_are_at_hand() -> None:
    made = stored(multiclass("accuracy >= 0.99"))
    assert (made.status, made.exit_code, made.classes) == ("failed", 1, ["class_0", "class_1", "class_2"])
    assert made.confusion_matrix.tolist() == [[9, 1, 0], [2, 17, 1], [0, 0, 30]]


@pytest.mark.parametrize("size", [3, 100, 101, 150])
@pytest.mark.parametrize("share", [0, 0.05, 1])
def test_cells_are_those_of_the_matrix_in_either_form(size: int, share: float) -> None:
    rng = np.random.default_rng(size)
    counts = rng.integers(1, 10**6, (size, size)) * (rng.random((size, size)) < share)
    made = stored(report(label_tally(counts)))
    assert np.array_equal(made.confusion_matrix, counts)
    assert made.confusion_cells.tolist() == [[*cell, counts[tuple(cell)]] for cell in np.argwhere(counts).tolist()]
    assert made.confusion_cells.shape[1] == 3


@SETTINGS
@given(st.binary(max_size=60) | st.text(max_size=60) | st.sampled_from(["[" * 100_000, "NaN", "[]", "{}", "null"]))
def test_garbage_is_refused_by_its_path(text: str | bytes) -> None:
    with pytest.raises(ReportError, match=r"^runs/a/report\.json: "):
        Report.decode(text, "runs/a/report.json")


def test_an_unfinished_file_is_refused() -> None:
    text = Report(multiclass()).encode()
    with pytest.raises(ReportError, match="not a report: "):
        Report.decode(text[: len(text) // 2], "r")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_refused_and_says_which_is_read(version: object) -> None:
    text = json.dumps({**multiclass(), "schema_version": version})
    with pytest.raises(ReportError, match=f"schema_version {version!r}; this ortbatch reads version 1"):
        Report.decode(text, "r")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_lacks_are_refused(number: str) -> None:
    text = Report(multiclass()).encode().replace('"pass_s": 2.0', f'"pass_s": {number}')
    with pytest.raises(ReportError, match=r"not a valid report: report\.throughput\.pass_s: -?(nan|inf) is not finite"):
        Report.decode(text, "r")


def test_a_report_that_breaks_the_schema_is_refused_with_the_place() -> None:
    made = multiclass()
    del made["coverage"]["rows"]["planned"]
    with pytest.raises(ReportError, match=r"not a valid report: coverage\.rows: 'planned' is a required property"):
        Report.decode(json.dumps(made), "r")


def test_a_path_with_a_secret_is_redacted() -> None:
    with pytest.raises(ReportError, match=r"s3://\*\*\*@bucket/report\.json"):
        Report.decode("", "s3://key:hush@bucket/report.json")
