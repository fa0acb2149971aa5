"""Gates: what the job demands, held against what the report says.

A gate passes, fails or is inconclusive; a metric that is not in the report, or has no value, fails: a gate never passes
for want of a number. A latency percentile that its sample does not bound is inconclusive and says how many values
would bound it.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ortbatch.job import Gate, MetricRef

_OPERATORS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "==": operator.eq}
_VOLATILE = ("latency.", "throughput.")
PASSED, FAILED, INCONCLUSIVE, INCOMPLETE, UNGATED = "passed", "failed", "inconclusive", "incomplete", "ungated"
EXIT_CODES = {PASSED: 0, UNGATED: 0, FAILED: 1, INCOMPLETE: 3, INCONCLUSIVE: 4}


@dataclass(frozen=True)
class Found:
    """What a report says of a metric.

    Args:
        estimate: `{"value", "ci", "reason"}` as decoded.
        rows: rows, or values, that it rests on.
    """

    estimate: Mapping[str, Any]
    rows: int


def judge(gates: Sequence[Gate], report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `gates` section of a report: one verdict a gate, in the job's order."""
    return [_verdict(gate, look_up(gate.metric, report)) for gate in gates]


def _verdict(gate: Gate, found: Found | str) -> dict[str, Any]:
    verdict: dict[str, Any] = {"gate": str(gate), "metric": str(gate.metric), "op": gate.op, "limit": gate.limit}
    volatile = gate.metric.name.startswith(_VOLATILE)
    if isinstance(found, str):
        return verdict | _result(None, None, 0, FAILED, found, volatile)
    value, ci, reason = (found.estimate.get(key) for key in ("value", "ci", "reason"))
    if value is None:
        return verdict | _result(None, None, found.rows, FAILED, str(reason), volatile)
    if reason is not None and reason.startswith("insufficient"):
        return verdict | _result(value, None, found.rows, INCONCLUSIVE, reason, volatile)
    passed = _OPERATORS[gate.op](value, gate.limit)
    why = f"{value:.6g} is {'' if passed else 'not '}{gate.op} {gate.limit:g}"
    return verdict | _result(value, ci, found.rows, PASSED if passed else FAILED, why, volatile)


def _result(
    value: float | None, ci: list[float] | None, rows: int, outcome: str, why: str, volatile: bool
) -> dict[str, Any]:  # fmt: skip
    return {"value": value, "ci": ci, "rows": rows, "outcome": outcome, "why": why, "volatile": volatile}


def look_up(ref: MetricRef, report: Mapping[str, Any]) -> Found | str:
    """Find a metric in a decoded report; a sentence if it is not there."""
    head, _, rest = ref.name.partition(".")
    if head == "coverage":
        return Found(report["coverage"]["fraction"], report["coverage"]["rows"]["planned"])
    if head == "latency":
        return _latency(report, rest)
    if head == "throughput":
        return Found(report["throughput"]["rows_per_s"], report["quality"]["rows"])
    quality = report["quality"]
    if ref.class_name is None:
        estimate = quality.get(ref.name)
        if estimate is None:
            return f"the report has no metric `{ref}`" + _class_hint(ref, quality)
        return Found(estimate, _support(ref.name, quality, quality.get("positive")))
    row = next((row for row in quality["per_class"] if row["class"] == ref.class_name), None)
    if row is None or ref.name not in row:
        return f"the report has no metric `{ref}`; its classes are {', '.join(quality['classes'][:20])}"
    return Found(row[ref.name], _support(ref.name, quality, ref.class_name))


def _support(name: str, quality: Mapping[str, Any], class_name: str | None) -> int:
    """Rows that a metric rests on: for recall those of its class, else all."""
    if name == "recall" and class_name is not None:
        return int(next(row["support"] for row in quality["per_class"] if row["class"] == class_name))
    return int(quality["rows"])


def _class_hint(ref: MetricRef, quality: Mapping[str, Any]) -> str:
    if quality["per_class"] and ref.name in quality["per_class"][0]:
        return f": say of which class, `{ref.name}[{quality['classes'][0]}]`"
    return ""


def _latency(report: Mapping[str, Any], rest: str) -> Found | str:
    kind, _, statistic = rest.partition(".")
    section = report["latency"].get(kind)
    if section is None or statistic not in section:
        return f"the report has no metric `latency.{rest}`"
    return Found(section[statistic], section["count"])


def status_of(report: Mapping[str, Any], verdicts: Sequence[Mapping[str, Any]]) -> str:
    """One word for the run: incomplete before failed before inconclusive before passed."""
    coverage_failed = any(v["metric"] == "coverage" and v["outcome"] == FAILED for v in verdicts)
    if report["coverage"]["bad_rows"]["count"] > report["coverage"]["bad_rows"]["allowed"] or coverage_failed:
        return INCOMPLETE
    outcomes = {verdict["outcome"] for verdict in verdicts}
    if not outcomes:
        return UNGATED
    return next(word for word in (FAILED, INCONCLUSIVE, PASSED) if word in outcomes)
