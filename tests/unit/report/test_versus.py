"""Differences of two reports' metrics, and gates that are held against an earlier run."""

from __future__ import annotations

import math
from typing import Any

import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from ortbatch.job import Gate, MetricRef
from ortbatch.report.build import judged
from ortbatch.report.gates import look_up
from ortbatch.report.schema import problems_of
from ortbatch.report.versus import Difference, Found, difference, verdict
from tests.unit.report.made import binary, job, label_tally, report

RECALL = MetricRef("recall", class_name="class_0")
PREVIOUS: dict[str, object] = {"baselines": {"previous": {"run": "runs/*", "if_missing": "pass"}}}
INSUFFICIENT = {"value": 9.0, "ci": None, "reason": "insufficient: 368 values bound this percentile, got 100"}


def of(hits: int, misses: int, **options: Any) -> dict[str, Any]:
    """A report whose class 0 has a recall of hits of hits + misses."""
    return report(label_tally([[hits, misses], [5, 95]]), **options)


def baseline(old: dict[str, Any], *metrics: str) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for metric in metrics:
        found = look_up(MetricRef.parse(metric), old)
        kept[metric] = (
            {"missing": found} if isinstance(found, str) else {"estimate": found.estimate, "rows": found.rows}
        )
    entry = {"run_id": "older", "path": "runs/older/report.json", "started_at": "2026-11-22T00:00:00Z"}
    digests = {"status": "passed", "model_sha256": "a" * 64, "data_digest": "b" * 64}
    return {"previous": {**entry, **digests, "metrics": kept}}


def gate_on(metric: str, max_drop: float, confidence: float | None = None) -> dict[str, Any]:
    return {"metric": metric, "versus": "previous", "max_drop": max_drop} | (
        {} if confidence is None else {"confidence": confidence}
    )


def judge(old: dict[str, Any], new: tuple[int, int], gate: dict[str, Any]) -> dict[str, Any]:
    """The verdict in a whole report, which keeps the schema."""
    told = baseline(old, gate["metric"])
    # A gate before it, so that the schema is asked of both kinds.
    keys = {**PREVIOUS, "gates": ["accuracy >= 0", gate]}
    whole = judged(job(**keys).gates, of(*new, keys=PREVIOUS, baselines=told))
    assert problems_of(whole) == []
    verdict: dict[str, Any] = whole["gates"][1]
    return verdict


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_the_interval_of_a_difference_of_recalls_is_newcombes(confidence: float) -> None:
    found = difference(RECALL, *(look_up(RECALL, each) for each in (of(80, 20), of(140, 10))), confidence)
    wanted = confint_proportions_2indep(140, 150, 80, 100, compare="diff", method="newcomb", alpha=1 - confidence)
    assert found.value == pytest.approx(140 / 150 - 0.8)
    assert found.ci == pytest.approx(wanted, abs=1e-9)


def test_an_interval_of_another_kind_is_scaled_to_the_level() -> None:
    ref, sides = MetricRef("cohen_kappa"), (of(80, 20), of(90, 10))
    at_95, at_80 = (difference(ref, *(look_up(ref, each) for each in sides), level).ci for level in (0.95, 0.8))
    assert at_95 is not None
    assert at_80 is not None
    assert (at_80[1] - at_80[0]) / (at_95[1] - at_95[0]) == pytest.approx(1.2816 / 1.95996, rel=1e-3)


@pytest.mark.parametrize(("hits", "outcome"), [(91, "passed"), (90, "passed"), (89, "failed"), (100, "passed")])
def test_without_confidence_the_value_decides_and_the_limit_itself_passes(hits: int, outcome: str) -> None:
    """0.90 - 0.91 is -0.010000000000000009 in binary, and no more than a drop of 0.01."""
    assert judge(of(91, 9), (hits, 100 - hits), gate_on("recall[class_0]", 0.01))["outcome"] == outcome


@pytest.mark.parametrize(
    ("new", "outcome"),
    [((8_900, 1_100), "failed"), ((9_100, 900), "passed"), ((9_000, 1_000), "inconclusive"), ((9, 1), "inconclusive")],
)
def test_with_confidence_the_interval_decides(new: tuple[int, int], outcome: str) -> None:
    found = judge(of(9_100, 900), new, gate_on("recall[class_0]", 0.01, 0.95))
    assert found["outcome"] == outcome
    low, high = found["limits"]
    assert (low >= -0.01, high < -0.01) == (outcome == "passed", outcome == "failed")


def test_a_verdict_shows_both_values_the_difference_and_its_interval() -> None:
    found = judge(of(90, 10), (80, 20), gate_on("recall[class_0]", 0.05))
    assert (found["value"], found["limit"], found["op"], found["rows"]) == (-0.1, -0.05, ">=", 100)
    assert found["versus"] == {"baseline": "previous", "old": 0.9, "new": 0.8}
    assert found["ci"] == pytest.approx(confint_proportions_2indep(80, 100, 90, 100, method="newcomb"), abs=1e-9)
    assert found["volatile"] is True
    assert found["why"] == "0.8, 0.9 in older: the difference -0.1 is not >= -0.05"
    assert found["gate"] == "recall[class_0] versus previous >= -0.05"


@pytest.mark.parametrize(
    ("name", "old", "new", "outcome"),
    [
        ("log_loss", 0.3, 0.32, "failed"),
        ("log_loss", 0.3, 0.2, "passed"),
        ("brier", 0.1, 0.12, "failed"),
        ("latency.single.p99_ms", 5.0, 5.02, "failed"),
        ("latency.single.p99_ms", 5.0, 1.0, "passed"),
        ("f1_macro", 0.9, 0.88, "failed"),
        ("f1_macro", 0.9, 0.95, "passed"),
    ],
)
def test_a_drop_is_a_rise_where_lower_is_better(name: str, old: float, new: float, outcome: str) -> None:
    gate = Gate.on_drop(MetricRef(name), 0.01, "previous")
    sides = (Found({"value": value, "ci": None, "reason": "none"}, 10) for value in (old, new))
    assert verdict(gate, difference(gate.metric, *sides))["outcome"] == outcome


def test_a_baseline_without_the_metric_fails_its_gate() -> None:
    old = report(label_tally([[0, 0], [5, 95]]))
    found = judge(old, (80, 20), gate_on("recall[class_0]", 0.5))
    assert (found["outcome"], found["value"]) == ("failed", None)
    assert found["why"] == "the old run has no value: no row of class `class_0`"


def test_a_metric_that_the_new_run_does_not_define_fails_its_gate() -> None:
    found = judge(of(80, 20), (0, 0), gate_on("recall[class_0]", 1))
    assert found["outcome"] == "failed"
    assert found["why"] == "the new run has no value: no row of class `class_0`"


def test_a_class_that_the_baseline_did_not_have_fails_its_gate() -> None:
    old = report(label_tally([[90, 10], [5, 95]], ("cat", "dog")))
    assert "no metric `recall[class_0]`" in judge(old, (80, 20), gate_on("recall[class_0]", 0.5))["why"]


@pytest.mark.parametrize("confidence", [None, 0.95])
@pytest.mark.parametrize("side", [0, 1])
def test_a_percentile_that_its_sample_does_not_bound_is_inconclusive(side: int, confidence: float | None) -> None:
    ref = MetricRef("latency.single.p99_ms")
    found = [Found({"value": 9.0, "ci": [8.0, 10.0]}, 1_000)] * 2
    found[side] = Found(INSUFFICIENT, 100)
    told = verdict(Gate.on_drop(ref, 100, "previous", confidence), difference(ref, *found))
    assert told["outcome"] == "inconclusive"
    assert "368 values" in told["why"]


def test_a_difference_without_interval_is_inconclusive_at_a_confidence() -> None:
    told = Difference(0.5, 0.6, 0.1, why="no interval in the old run: the metric has none")
    assert verdict(Gate.on_drop(MetricRef("ece"), 0.2, "previous", 0.9), told)["outcome"] == "inconclusive"
    assert verdict(Gate.on_drop(MetricRef("ece"), 0.2, "previous"), told)["outcome"] == "passed"


@pytest.mark.parametrize(("if_missing", "outcome"), [("pass", "passed"), ("fail", "failed")])
def test_without_a_run_to_compare_with_the_job_says_what_becomes_of_its_gates(if_missing: str, outcome: str) -> None:
    missing = {"previous": {"missing": "no run that passed at runs/*", "if_missing": if_missing}}
    keys = {**PREVIOUS, "gates": [gate_on("recall[class_0]", 0.01)]}
    whole = judged(job(**keys).gates, of(80, 20, keys=PREVIOUS, baselines=missing))
    assert problems_of(whole) == []
    assert (whole["gates"][0]["outcome"], whole["status"]) == (outcome, outcome)
    assert "no run that passed at runs/*" in whole["gates"][0]["why"]


def test_a_report_without_the_baseline_fails_its_gate() -> None:
    keys = {**PREVIOUS, "gates": [gate_on("recall[class_0]", 0.01)]}
    (found,) = judged(job(**keys).gates, of(80, 20))["gates"]
    assert (found["outcome"], found["why"]) == ("failed", "the report knows no baseline `previous`")


def test_a_sentence_never_contradicts_its_outcome() -> None:
    """In six digits the difference would be the limit."""
    told = Difference(0.91, 0.8999999, -0.0100001, (-0.02, 0.0), "mover")
    why = verdict(Gate.on_drop(MetricRef("accuracy"), 0.01, "previous"), told)["why"]
    shown = float(why.partition("difference ")[2].partition(" ")[0])
    assert shown < -0.01
    assert " is not >= " in why


def test_the_same_run_differs_by_nothing() -> None:
    one = binary()
    for name in ("accuracy", "recall", "roc_auc", "log_loss", "latency.single.p99_ms"):
        ref = MetricRef(name)
        found = difference(ref, look_up(ref, one), look_up(ref, one))
        assert found.value == 0
        assert found.ci is not None
        assert found.ci[0] < 0 < found.ci[1]
        assert math.isclose(-found.ci[0], found.ci[1])
