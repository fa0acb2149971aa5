"""A gate with a confidence is decided by the interval; more rows of the same kind decide what is open."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ortbatch.errors import JobError
from ortbatch.report.gates import judge
from tests.unit.report.made import job, label_tally, report, score_tally


def verdict(right: int, wrong: int, gate: dict[str, Any]) -> dict[str, Any]:
    made = report(label_tally([[right, wrong], [wrong, right]]))
    return judge(job(gate).gates, made)[0]


@given(
    st.integers(1, 400),
    st.integers(1, 400),
    st.floats(0, 1),
    st.sampled_from([0.8, 0.95, 0.99]),
    st.sampled_from(["min", "max"]),
)
def test_the_outcome_is_that_of_the_interval(right: int, wrong: int, limit: float, sure: float, side: str) -> None:
    low, high = stats.binomtest(2 * right, 2 * (right + wrong)).proportion_ci(sure, method="wilson")
    keeps = [end >= limit if side == "min" else end <= limit for end in (low, high)]
    expected = "passed" if all(keeps) else "inconclusive" if any(keeps) else "failed"
    got = verdict(right, wrong, {"metric": "accuracy", side: limit, "confidence": sure})
    assert got["outcome"] == expected
    assert got["limits"] == pytest.approx([low, high], abs=1e-9)


@pytest.mark.parametrize(("right", "limit"), [(450, 0.88), (450, 0.91), (480, 0.95), (497, 0.99)])
def test_so_many_rows_more_as_it_says_decide_it(right: int, limit: float) -> None:
    gate = {"metric": "accuracy", "min": limit, "confidence": 0.95}
    got = verdict(right, 500 - right, gate)
    assert got["outcome"] == "inconclusive"
    share, rows = right / 500, 1_000 + got["rows_missing"]
    low, high = stats.binomtest(round(share * rows), rows).proportion_ci(0.95, method="wilson")
    assert not low < limit < high
    fewer = 1_000 + int(0.97 * got["rows_missing"])
    low, high = stats.binomtest(round(share * fewer), fewer).proportion_ci(0.95, method="wilson")
    assert low < limit < high
    assert f"about {got['rows_missing']:,} rows more" in got["why"]


def test_a_value_on_its_limit_is_never_decided() -> None:
    got = verdict(450, 50, {"metric": "accuracy", "min": 0.9, "confidence": 0.95})
    assert got["outcome"] == "inconclusive"
    assert "no number of rows like these would decide it" in got["why"] or got["rows_missing"] > 10**6


def test_a_metric_of_another_scale_widens_with_the_confidence() -> None:
    made = report(label_tally([[450, 50], [60, 440]]))
    gates = [{"metric": "matthews_corrcoef", "min": 0.75, "confidence": sure} for sure in (0.8, 0.95, 0.999)]
    limits = [got["limits"] for got in judge(job(*gates).gates, made)]
    assert limits[0][0] > limits[1][0] > limits[2][0]
    assert limits[1] == made["quality"]["matthews_corrcoef"]["ci"]


def test_a_value_without_interval_is_inconclusive_and_says_why() -> None:
    made = report(score_tally(np.arange(10) % 2, np.zeros(10), ("no", "yes"), 1), positive=1)
    got = judge(job({"metric": "roc_auc", "min": 0.4, "confidence": 0.95}).gates, made)[0]
    assert (got["value"], got["outcome"]) == (0.5, "inconclusive")
    assert got["why"] == "cannot be decided at 0.95: no interval: too few rows differ in score"


def test_the_same_value_passes_without_confidence() -> None:
    made = report(label_tally([[450, 50], [50, 450]]), "accuracy >= 0.89")
    assert made["status"] == "passed"
    unsure = report(label_tally([[450, 50], [50, 450]]), {"metric": "accuracy", "min": 0.89, "confidence": 0.95})
    assert (unsure["status"], unsure["exit_code"]) == ("inconclusive", 4)


@pytest.mark.parametrize("metric", ["coverage", "ece", "throughput.rows_per_s", "latency.single.max_ms"])
def test_a_confidence_in_what_has_no_interval_is_refused(metric: str) -> None:
    with pytest.raises(JobError, match="has no interval to be sure by"):
        job({"metric": metric, "max": 0.5, "confidence": 0.95})


def test_a_gate_shows_its_confidence() -> None:
    assert (
        str(job({"metric": "accuracy", "min": 0.9, "confidence": 0.95}).gates[0]) == "accuracy >= 0.9 (confidence 0.95)"
    )


def test_counts_of_a_latency_are_no_rows_of_data() -> None:
    made = report(label_tally(np.eye(2, dtype=np.int64) * 100))
    got = judge(job({"metric": "latency.single.p50_ms", "max": 501, "confidence": 0.95}).gates, made)[0]
    assert (got["rows"], got["outcome"]) == (1_000, "inconclusive")
