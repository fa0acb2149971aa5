"""A metric of two runs: their difference, how sure we are of it, and whether a gate allows it.

The runs are taken for independent samples of rows; where the same rows were seen twice that is a wider interval than
need be, never a narrower one for models that err alike. Does not know where the numbers of the other run come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ortbatch.job import Gate, MetricRef
from ortbatch.metrics.differences import Bounded, at_level, independent_difference
from ortbatch.metrics.intervals import CONFIDENCE, Interval, wilson
from ortbatch.metrics.reference import bounds

DIGITS = 12
"""Decimals of a difference: 0.90 - 0.91 is a drop of 0.01, not of 0.010000000000000009."""


@dataclass(frozen=True)
class Found:
    """What a report says of a metric.

    Args:
        estimate: `{"value", "ci", "reason"}` as decoded.
        rows: rows, or values, that it rests on.
    """

    estimate: Mapping[str, Any]
    rows: int


@dataclass(frozen=True)
class Difference:
    """New minus old.

    Args:
        value: None if one of the two has no value; `why` then says which.
        ci: its interval, or None; `why` then says why.
        method: of the interval.
        rows: rows, or values, that the new estimate rests on.
        insufficient: one of the two is a percentile that its sample does not bound.
    """

    old: float | None
    new: float | None
    value: float | None
    ci: Interval | None = None
    method: str | None = None
    why: str | None = None
    rows: int = 0
    insufficient: bool = False


def difference(ref: MetricRef, old: Found | str, new: Found | str, confidence: float = CONFIDENCE) -> Difference:
    """Compare what two reports say of a metric, as independent samples.

    Args:
        ref: the metric.
        old: what the older report says; a sentence if it has no such metric.
        new: what the newer report says.
        confidence: level of the interval.
    """
    before, after = _value(old), _value(new)
    rows = 0 if isinstance(new, str) else new.rows
    if isinstance(old, str) or isinstance(new, str) or before is None or after is None:
        whose, found = ("old", old) if before is None else ("new", new)
        why = found if isinstance(found, str) else str(found.estimate["reason"])
        return Difference(before, after, None, why=f"the {whose} run has no value: {why}", rows=rows)
    value = round(after - before, DIGITS)
    limits = bounded(ref, old, confidence), bounded(ref, new, confidence)
    if limits[0] is None or limits[1] is None:
        reasons = [str(found.estimate.get("reason") or "the metric has none") for found in (old, new)]
        whose, why = ("old", reasons[0]) if limits[0] is None else ("new", reasons[1])
        told = Difference(before, after, value, why=f"no interval in the {whose} run: {why}", rows=rows)
        return replace(told, insufficient=any(reason.startswith("insufficient") for reason in reasons))
    low, high = independent_difference(limits[0], limits[1])
    return Difference(before, after, value, (min(low, value), max(high, value)), "mover", rows=rows)


def _value(found: Found | str) -> float | None:
    return None if isinstance(found, str) else found.estimate["value"]


def bounded(ref: MetricRef, found: Found, confidence: float) -> Bounded | None:
    """A value with its interval at some level; None if the report has no interval.

    Wilson's is computed anew. Others are kept at 95% only, and are widened or narrowed in proportion to the normal
    quantile.
    """
    value, ci = found.estimate["value"], found.estimate["ci"]
    if ci is None:
        return None
    kept = Bounded(value, ci[0], ci[1])
    if confidence == CONFIDENCE:
        return kept
    hits = round(value * found.rows)
    if found.estimate.get("method") == "wilson" and found.rows and abs(hits / found.rows - value) < 10**-DIGITS:
        return Bounded(value, *wilson(hits, found.rows, confidence))
    return at_level(kept, confidence, bounds(ref.name))


def against(gate: Gate, found: Found | str, baselines: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict of a gate against an earlier run: an entry of the section `gates`.

    Args:
        gate: with `versus`.
        found: what the report says of its metric.
        baselines: the section of that name.
    """
    kept = baselines.get(str(gate.versus), {"missing": f"the report knows no baseline `{gate.versus}`"})
    if "missing" in kept:
        entry = verdict(gate, Difference(None, None, None, why=kept["missing"]))
        if kept.get("if_missing") == "pass":
            entry |= {"outcome": "passed", "why": f"{kept['missing']}; `if_missing: pass`"}
        return entry
    stored = kept["metrics"].get(str(gate.metric))
    if stored is None:
        old: Found | str = f"the report keeps no `{gate.metric}` of `{gate.versus}`"
    else:
        old = stored["missing"] if "missing" in stored else Found(stored["estimate"], stored["rows"])
    told = difference(gate.metric, old, found)
    at = None if gate.confidence is None else difference(gate.metric, old, found, gate.confidence).ci
    return verdict(gate, told, at, f"in {kept['run_id']}")


def verdict(gate: Gate, told: Difference, limits: Interval | None = None, there: str = "before") -> dict[str, Any]:
    """Judge a difference: by its value, or with `confidence` by its interval.

    Args:
        gate: whose limit is one of the difference.
        told: the difference, with its 95% interval.
        limits: its interval at the gate's confidence.
        there: names the old run in the sentence.
    """
    entry: dict[str, Any] = {
        "gate": str(gate),
        "metric": str(gate.metric),
        "op": gate.op,
        "limit": gate.limit,
        "value": told.value,
        "ci": None if told.ci is None else list(told.ci),
        "rows": told.rows,
        "outcome": "failed",
        "why": told.why,
        "volatile": True,
        "versus": {"baseline": gate.versus, "old": told.old, "new": told.new},
    }
    if gate.confidence is not None:
        entry |= {"confidence": gate.confidence} | ({} if limits is None else {"limits": list(limits)})
    if told.value is None:
        return entry
    outcome = _outcome(gate, told.value, limits, insufficient=told.insufficient)
    how = "" if gate.confidence is None else f" at {gate.confidence:.12g}"
    if outcome == "inconclusive":
        held = "" if limits is None else f"{_plain(limits[0])} to {_plain(limits[1])}"
        said = f"the interval of the difference, {held}, holds {gate.limit:.12g}" if held else told.why
        return entry | {"outcome": outcome, "why": f"cannot be decided{how}: {said}"}
    holds = f"{'' if outcome == 'passed' else 'not '}{gate.op} {gate.limit:.12g}{how}"
    why = f"{_plain(told.new)}, {_plain(told.old)} {there}: the difference {_apart(told.value, gate.limit)} is {holds}"
    return entry | {"outcome": outcome, "why": why}


def _apart(value: float, limit: float) -> str:
    """The value in six digits, or in all of them where six would lie on another side of the limit."""
    short = f"{value:.6g}"
    return short if (float(short) > limit, float(short) < limit) == (value > limit, value < limit) else repr(value)


def _outcome(gate: Gate, value: float, limits: Interval | None, *, insufficient: bool) -> str:
    at_least = gate.op.startswith(">")
    if insufficient:
        return "inconclusive"
    if gate.confidence is None:
        return "passed" if (value >= gate.limit if at_least else value <= gate.limit) else "failed"
    if limits is None:
        return "inconclusive"
    low, high = (round(end, DIGITS) for end in limits)
    if low >= gate.limit if at_least else high <= gate.limit:
        return "passed"
    return "failed" if (high < gate.limit if at_least else low > gate.limit) else "inconclusive"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"
