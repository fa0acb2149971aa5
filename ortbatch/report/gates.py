"""Gates: what the job demands, held against what the report says.

A gate passes, fails or is inconclusive; a metric that is not in the report, or has no value, fails: a gate never passes
for want of a number. A latency percentile that its sample does not bound is inconclusive and says how many values
would bound it; so is a gate with a confidence whose interval holds the limit.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Mapping, Sequence
from typing import Any

from ortbatch.job import Gate, MetricRef
from ortbatch.metrics.checked import is_of_checks
from ortbatch.metrics.reference import OPERATING, is_fidelity
from ortbatch.report.decided import decided
from ortbatch.report.encode import is_estimate
from ortbatch.report.fidelity_gates import beside, of_baseline
from ortbatch.report.leakage import of_checks
from ortbatch.report.quality import POSITIVE, positive_row, rows_behind
from ortbatch.report.slices import written
from ortbatch.report.stored_scores import operating_point
from ortbatch.report.versus import Found, against

_OPERATORS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "==": operator.eq}
_VOLATILE = ("latency.", "throughput.")
_NAMES_SHOWN = 5
_NAME_CHARACTERS = 200
PASSED, FAILED, INCONCLUSIVE, INCOMPLETE, UNGATED = "passed", "failed", "inconclusive", "incomplete", "ungated"
EXIT_CODES = {PASSED: 0, UNGATED: 0, FAILED: 1, INCOMPLETE: 3, INCONCLUSIVE: 4}


def judge(gates: Sequence[Gate], report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `gates` section of a report: one verdict a gate, in the job's order."""
    return [_judged(gate, look_up(gate.metric, report), report) for gate in gates]


def _judged(gate: Gate, found: Found | str, report: Mapping[str, Any]) -> dict[str, Any]:
    if gate.versus in report.get("fidelity", {}):
        return beside(gate, report)
    if gate.versus is not None:
        return against(gate, found, report.get("baselines", {}))
    return _verdict(gate, found)


def _verdict(gate: Gate, found: Found | str) -> dict[str, Any]:
    verdict: dict[str, Any] = {
        "gate": str(gate),
        "metric": str(gate.metric),
        "op": gate.op,
        "limit": gate.limit,
        "value": None,
        "ci": None,
        "rows": 0,
        "outcome": FAILED,
        "why": found,
        "volatile": gate.metric.name.startswith(_VOLATILE) or gate.metric.name.endswith("latency_ratio"),
    }
    if isinstance(found, str):
        return verdict
    value, ci, reason = (found.estimate.get(key) for key in ("value", "ci", "reason"))
    verdict |= {"value": value, "ci": ci, "rows": found.rows, "why": reason}
    if value is None:
        return verdict
    if reason is not None and reason.startswith("insufficient"):
        return verdict | {"outcome": INCONCLUSIVE}
    if gate.confidence is not None:
        return verdict | decided(gate, found)
    passed = bool(_OPERATORS[gate.op](value, gate.limit))
    why = f"{_told(value, gate, passed)} is {'' if passed else 'not '}{gate.op} {gate.limit:.12g}"
    return verdict | {"outcome": PASSED if passed else FAILED, "why": why}


def _told(value: float, gate: Gate, passed: bool) -> str:
    """The value in six digits, or in all of them where six would tell the other outcome."""
    short = f"{value:.6g}"
    return short if _OPERATORS[gate.op](float(short), gate.limit) == passed else repr(value)


def look_up(ref: MetricRef, report: Mapping[str, Any]) -> Found | str:
    """Find a metric in a decoded report; a sentence if it is not there."""
    quality, planned = report["quality"], report["coverage"]["rows"]["planned"]
    if ref.name == "coverage":
        return Found(report["coverage"]["fraction"], planned)
    if ref.name == "throughput.rows_per_s":
        return Found(report["throughput"]["rows_per_s"], planned)
    if is_fidelity(ref.name):
        return of_baseline(ref, report)
    if is_of_checks(ref.name):
        told = of_checks(ref.name, report)
        return told if isinstance(told, str) else Found(*told)
    if ref.name.startswith("latency."):
        return _latency(ref, report["latency"])
    if ref.slice:
        return _of_slice(ref, report)
    if ref.name in OPERATING:
        point = operating_point(ref, report)
        return f"{_missing(ref)}: {point}" if isinstance(point, str) else Found(*point)
    if ref.class_name is not None:
        return _of_class(ref, quality)
    if not is_estimate(quality.get(ref.name)):
        return _missing(ref) + _class_hint(ref, quality)
    row = positive_row(quality) if ref.name in POSITIVE else None
    return Found(quality[ref.name], rows_behind(ref.name, row, quality["rows"]))


def _of_class(ref: MetricRef, quality: Mapping[str, Any]) -> Found | str:
    row = next((row for row in quality["per_class"] if row["class"] == ref.class_name), None)
    if row is None:
        return f"{_missing(ref)}; its classes are {', '.join(quality['classes'][:20])}"
    if not is_estimate(row.get(ref.name)):
        return f"{_missing(ref)}: `{ref.name}` is no metric of one class"
    return Found(row[ref.name], rows_behind(ref.name, row, quality["rows"]))


def _of_slice(ref: MetricRef, report: Mapping[str, Any]) -> Found | str:
    slices, wanted = report.get("slices", []), dict(ref.slice)
    entry = next((entry for entry in slices if entry["slice"] == wanted), None)
    if entry is None:
        name = str(ref).partition("@")[2] if ref.class_name is None else written(wanted)
        return f"the report has no slice `{name}`{_near(name, wanted, slices)}"
    rows, positive = entry["rows"], report["quality"].get("positive")
    per_class = entry.get("per_class", [])
    of_class = next((row for row in per_class if row["class"] == (ref.class_name or positive)), None)
    # What stands beside `per_class` is about the positive class.
    place = of_class if ref.class_name not in (None, positive) else {**(of_class or {}), **entry}
    if place is None or not is_estimate(place.get(ref.name)):
        return f"{_missing(ref)}: it is not kept for slices"
    row = of_class if ref.class_name is not None or ref.name in POSITIVE else None
    return Found(place[ref.name], rows_behind(ref.name, row, rows))


def _near(name: str, wanted: Mapping[str, str], slices: Sequence[Mapping[str, Any]]) -> str:
    """Which slices of the same columns, or of any, are called most alike."""
    if not slices:
        return ": the job asked for none"
    names = [entry["name"] for entry in slices if entry["slice"].keys() == wanted.keys()]
    names = names or [entry["name"] for entry in slices]
    near = difflib.get_close_matches(name[:_NAME_CHARACTERS], names, n=_NAMES_SHOWN, cutoff=0.0)
    return f"; nearest are {', '.join(f'`{each}`' for each in near)}"


def _latency(ref: MetricRef, latency: Mapping[str, Any]) -> Found | str:
    kind, _, statistic = ref.name.removeprefix("latency.").partition(".")
    section = latency.get(kind, {})
    return Found(section[statistic], section["count"]) if is_estimate(section.get(statistic)) else _missing(ref)


def _missing(ref: MetricRef) -> str:
    return f"the report has no metric `{ref}`"


def _class_hint(ref: MetricRef, quality: Mapping[str, Any]) -> str:
    if quality["per_class"] and is_estimate(quality["per_class"][0].get(ref.name)):
        return f": say of which class, `{ref.name}[{quality['classes'][0]}]`"
    return ""


def status_of(report: Mapping[str, Any], verdicts: Sequence[Mapping[str, Any]]) -> str:
    """One word for the run: incomplete before failed before inconclusive before passed."""
    coverage_failed = any(v["metric"] == "coverage" and v["outcome"] == FAILED for v in verdicts)
    if report["coverage"]["bad_rows"]["count"] > report["coverage"]["bad_rows"]["allowed"] or coverage_failed:
        return INCOMPLETE
    outcomes = {verdict["outcome"] for verdict in verdicts}
    if not outcomes:
        return UNGATED
    return next(word for word in (FAILED, INCONCLUSIVE, PASSED) if word in outcomes)
