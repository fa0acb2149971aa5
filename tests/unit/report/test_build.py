"""What a report says of its counts can be read back from it, exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.latency import HIGHEST_NS, LatencyHistogram
from ortbatch.metrics.value import frozen
from ortbatch.report.report import Report
from ortbatch.report.schema import problems_of
from tests.unit.report.made import binary, label_tally, multiclass, report, timed

SETTINGS = settings(max_examples=20, deadline=None, derandomize=True, database=None)


def recorded(histogram: HdrHistogram) -> dict[int, int]:
    """Value → count, as HdrHistogram's own iterator tells them."""
    return {item.value_iterated_to: item.count_at_value_iterated_to for item in histogram.get_recorded_iterator()}


def encoded(histogram: LatencyHistogram) -> str | None:
    text: str | None = report(replace(label_tally([[1, 0], [0, 1]]), latency=histogram))["latency"]["batch"][
        "histogram"
    ]
    return text


@SETTINGS
@given(st.lists(st.integers(1, HIGHEST_NS) | st.integers(1, 10**7), min_size=1, max_size=40))
def test_latency_decodes_with_hdrhistogram_to_what_it_would_have_recorded(values_ns: list[int]) -> None:
    official = HdrHistogram(1, HIGHEST_NS, 3)
    for value in values_ns:
        official.record_value(value)
    text = encoded(LatencyHistogram.of(np.array(values_ns, np.int64)))
    assert recorded(HdrHistogram.decode(text)) == recorded(official)


def test_latency_counts_beyond_32_bits_survive_the_encoding() -> None:
    one = LatencyHistogram.of(np.array([5_000_000]))
    text = encoded(replace(one, counts=frozen(one.counts * 10**10)))
    assert list(recorded(HdrHistogram.decode(text)).values()) == [10**10]


def test_latency_without_values_has_no_histogram() -> None:
    assert encoded(LatencyHistogram.empty()) is None


@pytest.mark.parametrize(("size", "form"), [(2, "dense"), (100, "dense"), (101, "coo"), (300, "coo")])
def test_the_confusion_matrix_is_read_back_cell_for_cell(size: int, form: str) -> None:
    rng = np.random.default_rng(size)
    counts = rng.integers(0, 10**12, (size, size)) * (rng.random((size, size)) < 0.1)
    made = Report(report(label_tally(counts)))
    assert made.data["confusion_matrix"]["format"] == form
    assert np.array_equal(made.confusion_matrix, counts)


def test_a_sparse_matrix_keeps_only_cells_with_rows() -> None:
    counts = np.zeros((101, 101), np.int64)
    counts[3, 100], counts[100, 100] = 7, 2
    assert report(label_tally(counts))["confusion_matrix"]["cells"] == [[3, 100, 7], [100, 100, 2]]


@pytest.mark.parametrize("made", [binary(), multiclass(), report(label_tally(np.eye(101, dtype=int)))])
def test_a_report_keeps_its_own_schema(made: dict[str, Any]) -> None:
    assert problems_of(made) == []


@pytest.fixture(scope="module")
def rejected() -> dict[str, Any]:
    """50 planned rows: 30 evaluated, 5 unlabelled, 4 filtered, 11 rejected in 30 files."""
    reasons = {(file, "null_label"): 1 for file in range(9)} | {(29, "nan_score"): 2}
    coverage = Coverage(planned=50, evaluated=30, unlabelled=5, filtered=4, rejected_rows=reasons)
    tally = replace(label_tally([[20, 0], [0, 10]]), coverage=coverage)
    keys: dict[str, object] = {"data": {"max_bad_rows": "10%"}}
    return report(tally, keys=keys, files=[f"data/{index:02}.parquet" for index in range(30)])


def test_coverage_adds_up(rejected: dict[str, Any]) -> None:
    rows = rejected["coverage"]["rows"]
    assert rows == {
        "planned": 50, "evaluated": 30, "unlabelled": 5, "filtered": 4, "rejected": {"nan_score": 2, "null_label": 9},
    }  # fmt: skip


def test_coverage_is_the_share_of_wanted_rows_that_were_used(rejected: dict[str, Any]) -> None:
    assert rejected["coverage"]["fraction"]["value"] == 35 / 46


def test_bad_rows_name_the_worst_file_first(rejected: dict[str, Any]) -> None:
    bad = rejected["coverage"]["bad_rows"]
    assert (bad["count"], bad["allowed"], bad["files"]) == (11, 5, 10)
    assert bad["worst_files"][:2] == [{"file": "data/29.parquet", "rows": 2}, {"file": "data/00.parquet", "rows": 1}]


def test_more_than_twenty_bad_files_are_counted_but_not_all_named() -> None:
    coverage = Coverage(planned=25, rejected_rows={(file, "null_label"): 1 for file in range(25)})
    tally = replace(label_tally([[0, 0], [0, 0]]), coverage=coverage)
    bad = report(tally, files=[f"{index}.parquet" for index in range(25)])["coverage"]["bad_rows"]
    assert (bad["files"], len(bad["worst_files"])) == (25, 20)


def test_more_bad_rows_than_allowed_make_the_report_incomplete(rejected: dict[str, Any]) -> None:
    assert (rejected["status"], rejected["exit_code"]) == ("incomplete", 3)


def test_throughput_counts_planned_rows() -> None:
    assert multiclass(pass_s=2.0)["throughput"]["rows_per_s"]["value"] == 30.0


def test_throughput_of_no_time_is_null() -> None:
    estimate = multiclass(pass_s=0.0)["throughput"]["rows_per_s"]
    assert estimate == {"value": None, "ci": None, "reason": "no time passed"}


def test_times_of_a_made_report_are_milliseconds() -> None:
    batch = report(timed(label_tally([[1, 0], [0, 1]]), 400))["latency"]["batch"]
    assert (batch["count"], batch["mean_ms"]["value"], batch["max_ms"]["value"]) == (400, 200.5, 400.0)


def test_secrets_of_the_job_do_not_reach_the_report() -> None:
    made = multiclass(keys={"model": "s3://AKIA:hush@bucket/model.onnx", "data": {"path": "s3://k:hush@bucket/d"}})
    assert "hush" not in Report(made).encode()


def test_class_names_appear_as_they_are() -> None:
    odd = ("[red]x[/red]", 'a "b", c')
    made = report(label_tally([[1, 0], [0, 1]], odd))
    assert made["quality"]["classes"] == [row["class"] for row in made["quality"]["per_class"]] == list(odd)
