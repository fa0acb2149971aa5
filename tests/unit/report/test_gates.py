"""A gate passes only on a number that keeps its limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ortbatch.job import Gate
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.reference import KNOWN, PER_CLASS, TOP, MetricRef
from ortbatch.report.gates import EXIT_CODES, Found, judge, look_up, status_of
from tests.unit.report.made import binary, label_tally, milliseconds, multiclass, report, timed

VOLATILE = ("latency.", "throughput.")


def verdict(text: str, made: dict[str, Any]) -> dict[str, Any]:
    return judge([Gate.parse(text)], made)[0]


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("recall[class_0] >= 0.9", "passed"),
        ("recall[class_0] >= 0.91", "failed"),
        ("recall[class_0] > 0.89", "passed"),
        ("recall[class_0] > 0.9", "failed"),
        ("recall[class_0] <= 0.9", "passed"),
        ("recall[class_0] <= 0.89", "failed"),
        ("recall[class_0] < 0.91", "passed"),
        ("recall[class_0] < 0.9", "failed"),
        ("recall[class_0] == 0.9", "passed"),
        ("recall[class_0] == 0.90001", "failed"),
    ],
)
def test_operators_compare_the_value_with_the_limit(text: str, outcome: str) -> None:
    assert verdict(text, multiclass())["outcome"] == outcome


def test_a_verdict_says_what_was_judged_and_on_how_many_rows() -> None:
    made = multiclass()
    assert verdict("recall[class_0] >= 0.95", made) == {
        "gate": "recall[class_0] >= 0.95",
        "metric": "recall[class_0]",
        "op": ">=",
        "limit": 0.95,
        "value": 0.9,
        "ci": made["quality"]["per_class"][0]["recall"]["ci"],
        "rows": 10,
        "outcome": "failed",
        "why": "0.9 is not >= 0.95",
        "volatile": False,
    }


def test_verdicts_stand_in_the_order_of_the_gates() -> None:
    texts = ["f1_macro >= 0.9", "accuracy >= 0.9", "accuracy >= 0.99"]
    assert [v["gate"] for v in judge([Gate.parse(text) for text in texts], multiclass())] == texts


def test_why_never_rounds_a_failure_into_a_pass() -> None:
    made = report(label_tally([[949_999_999, 50_000_001], [0, 0]]))
    assert verdict("accuracy >= 0.95", made)["why"] == "0.949999999 is not >= 0.95"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("recall >= 0.5", "the report has no metric `recall`: say of which class, `recall[class_0]`"),
        ("top_5_accuracy >= 0.5", "the report has no metric `top_5_accuracy`"),
        ("rows >= 1", "the report has no metric `rows`"),
        ("latency.single.count >= 1", "the report has no metric `latency.single.count`"),
        ("latency.cold.p99_ms <= 1", "the report has no metric `latency.cold.p99_ms`"),
        ("coverage.rows >= 1", "the report has no metric `coverage.rows`"),
        ("recall[cat] >= 0.5", "no metric `recall[cat]`; its classes are class_0, class_1, class_2"),
        ("support[class_0] >= 5", "no metric `support[class_0]`: `support` is no metric of one class"),
        ("accuracy[class_0] >= 0", "no metric `accuracy[class_0]`: `accuracy` is no metric of one class"),
    ],
)
def test_a_metric_that_the_report_does_not_have_fails(text: str, why: str) -> None:
    judged = verdict(text, multiclass())
    assert (judged["outcome"], judged["value"]) == ("failed", None)
    assert why in judged["why"]


@pytest.mark.parametrize("text", ["log_loss <= 100", "log_loss >= 0"])
def test_a_value_that_is_null_fails_whatever_the_operator(text: str) -> None:
    judged = verdict(text, multiclass())
    assert (judged["outcome"], judged["why"]) == ("failed", "the model puts out labels only")


def latencies(values: int) -> dict[str, Any]:
    return report(label_tally([[1, 0], [0, 1]]), single=milliseconds(values))


@pytest.mark.parametrize("limit", ["100000", "0.001"])
def test_a_percentile_that_too_few_values_bound_is_inconclusive_and_says_how_many_would(limit: str) -> None:
    judged = verdict(f"latency.single.p99_ms <= {limit}", latencies(367))
    assert (judged["outcome"], judged["rows"]) == ("inconclusive", 367)
    assert judged["value"] == pytest.approx(364, rel=1e-3)
    assert judged["why"] == "insufficient: 368 values bound this percentile, got 367"


def test_a_percentile_of_just_enough_values_is_decided() -> None:
    assert verdict("latency.single.p99_ms <= 366", latencies(368))["outcome"] == "passed"


@pytest.mark.parametrize("statistic", ["mean", "max"])
def test_mean_and_maximum_need_no_number_of_values(statistic: str) -> None:
    assert verdict(f"latency.single.{statistic}_ms <= 5", latencies(3))["outcome"] == "passed"


def test_a_latency_without_values_fails() -> None:
    made = report(label_tally([[1, 0], [0, 1]]), single=LatencyHistogram.empty())
    judged = verdict("latency.single.p50_ms <= 10", made)
    assert (judged["outcome"], judged["why"]) == ("failed", "no values")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("recall[class_0] >= 0", 10),
        ("precision[class_0] >= 0", 11),
        ("specificity[class_0] >= 0", 50),
        ("f1[class_0] >= 0", 60),
        ("accuracy >= 0", 60),
        ("coverage >= 0", 60),
        ("latency.batch.max_ms >= 0", 400),
        ("throughput.rows_per_s >= 0", 60),
    ],
)
def test_rows_are_those_that_the_metric_is_a_share_of(text: str, rows: int) -> None:
    assert verdict(text, multiclass())["rows"] == rows


def test_rows_of_a_binary_recall_are_the_positive_ones() -> None:
    made = report(label_tally([[30, 5], [3, 7]]), positive=1)
    assert [verdict(f"{name} >= 0", made)["rows"] for name in ("recall", "precision", "specificity")] == [10, 12, 35]


RANKING = {f"top_{k}_accuracy" for k in TOP}


@pytest.mark.parametrize("name", sorted(KNOWN - RANKING))
def test_every_known_metric_has_a_value_in_a_binary_report(name: str) -> None:
    found = look_up(MetricRef(name), binary())
    assert isinstance(found, Found)
    assert found.estimate["value"] is not None


@pytest.mark.parametrize("name", sorted(KNOWN - RANKING))
def test_every_known_metric_is_in_a_multiclass_report_those_of_a_class_with_it(name: str) -> None:
    found = look_up(MetricRef(name, class_name="class_1" if name in PER_CLASS else None), multiclass())
    assert isinstance(found, Found)


def test_how_far_down_the_list_labels_stand_is_in_a_report_of_more_classes_than_that() -> None:
    made = report(timed(label_tally(np.eye(6, dtype=np.int64))))
    names = {name for name in RANKING if isinstance(look_up(MetricRef(name), made), Found)}
    assert names == {"top_2_accuracy", "top_3_accuracy", "top_5_accuracy"}


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_only_what_was_timed_is_volatile(name: str) -> None:
    gate = Gate(MetricRef(name), ">=", 0.0)
    assert judge([gate], binary())[0]["volatile"] == name.startswith(VOLATILE)


BAD_ROWS = {"count": 3, "allowed": 2}
GOOD_ROWS = {"count": 2, "allowed": 2}


@pytest.mark.parametrize(
    ("bad_rows", "outcomes", "status"),
    [
        (GOOD_ROWS, [], "ungated"),
        (GOOD_ROWS, ["passed", "passed"], "passed"),
        (GOOD_ROWS, ["passed", "inconclusive"], "inconclusive"),
        (GOOD_ROWS, ["inconclusive", "failed", "passed"], "failed"),
        (BAD_ROWS, ["inconclusive", "failed", "passed"], "incomplete"),
        (BAD_ROWS, ["passed"], "incomplete"),
        (BAD_ROWS, [], "incomplete"),
    ],
)
def test_incomplete_goes_before_failed_before_inconclusive_before_passed(
    bad_rows: dict[str, int], outcomes: list[str], status: str
) -> None:
    verdicts = [{"metric": "accuracy", "outcome": outcome} for outcome in outcomes]
    assert status_of({"coverage": {"bad_rows": bad_rows}}, verdicts) == status


@pytest.mark.parametrize(("outcome", "status"), [("failed", "incomplete"), ("passed", "passed")])
def test_a_failed_gate_on_coverage_means_incomplete(outcome: str, status: str) -> None:
    assert status_of({"coverage": {"bad_rows": GOOD_ROWS}}, [{"metric": "coverage", "outcome": outcome}]) == status


def test_exit_codes_are_those_of_the_documentation() -> None:
    assert EXIT_CODES == {"passed": 0, "ungated": 0, "failed": 1, "incomplete": 3, "inconclusive": 4}


def test_a_report_carries_its_status_and_exit_code() -> None:
    made = report(timed(label_tally([[9, 1], [2, 8]])), "accuracy >= 0.9")
    assert (made["status"], made["exit_code"]) == ("failed", 1)
