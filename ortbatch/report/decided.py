"""A gate that must be sure: decided by the interval of its metric, not by the value alone.

Passed, if the whole interval keeps the limit; failed, if none of it does; else inconclusive, with how many rows more
would decide it if they were like those that there are.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from ortbatch.job import Gate
from ortbatch.metrics.intervals import CONFIDENCE, Interval, wilson
from ortbatch.report.versus import Found, bounded

_KEEPS: dict[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le}


def decided(gate: Gate, found: Found) -> dict[str, Any]:
    """Outcome, reason, interval at the gate's confidence, and rows that are missing: parts of a verdict.

    Args:
        gate: with a confidence, and `>=` or `<=`.
        found: a value; its interval may be missing.
    """
    assert gate.confidence is not None
    value, level = found.estimate["value"], f"{gate.confidence:.12g}"
    limits = bounded(gate.metric, found, gate.confidence)
    if limits is None:
        why = f"cannot be decided at {level}: {found.estimate.get('reason') or 'the metric has no interval'}"
        return {"outcome": "inconclusive", "why": why}
    interval = limits.low, limits.high
    kept = [_KEEPS[gate.op](end, gate.limit) for end in interval]
    told: dict[str, Any] = {"confidence": gate.confidence, "limits": list(interval)}
    span = f"{limits.low:.6g} to {limits.high:.6g} at {level}"
    if all(kept) or not any(kept):
        word = "" if all(kept) else "not "
        return told | {
            "outcome": "passed" if all(kept) else "failed",
            "why": f"{value:.6g} ({span}) is {word}{gate.op} {gate.limit:.12g}",
        }
    missing = _missing(gate, found, interval)
    more = (
        "no number of rows like these would decide it"
        if missing is None
        else f"about {missing:,} rows more like these would decide it"
    )
    told |= {"outcome": "inconclusive", "why": f"{value:.6g} ({span}) holds {gate.limit:.12g}: {more}"}
    return told if missing is None else told | {"rows_missing": missing}


def _missing(gate: Gate, found: Found, interval: Interval) -> int | None:
    """Rows that would narrow the interval down to one side of the limit; None if it is the value itself."""
    value, rows = float(found.estimate["value"]), found.rows
    distance, towards = gate.limit - value, interval[1] if gate.limit > value else interval[0]
    if not distance or not rows:
        return None
    if found.estimate.get("method") == "wilson":
        return _by_wilson(gate, value, rows)
    # The width goes with the root of the rows.
    return max(1, math.ceil(rows * ((towards - value) / distance) ** 2) - rows)


def _by_wilson(gate: Gate, share: float, rows: int) -> int | None:
    """The fewest rows of the same share whose interval does not hold the limit."""
    confidence = gate.confidence or CONFIDENCE

    def decides(trials: int) -> bool:
        low, high = wilson(min(trials, round(share * trials)), trials, confidence)
        return not low < gate.limit <= high if gate.op == ">=" else not low <= gate.limit < high

    enough = rows
    while not decides(enough):
        enough *= 2
        if enough > 10**15:
            return None
    few = rows
    while enough - few > max(1, few // 1_000):
        middle = (few + enough) // 2
        few, enough = (few, middle) if decides(middle) else (middle, enough)
    return max(1, enough - rows)
