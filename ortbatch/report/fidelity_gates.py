"""Gates on a model that runs beside this one: what the report says of the two, and their difference row by row.

`fidelity[torch].agreement >= 0.999` asks for a number of its entry; `versus: torch` for the difference of a metric on
the same rows, with its paired interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ortbatch.job import Gate, MetricRef
from ortbatch.metrics.differences import Bounded, JointCounts, at_level, paired_difference
from ortbatch.metrics.intervals import Interval
from ortbatch.metrics.reference import FIDELITY_SHARES
from ortbatch.report.quality import POSITIVE
from ortbatch.report.versus import Difference, Found, verdict

_RATIOS = {"latency_ratio": "batch_ratio", "single_latency_ratio": "single_ratio"}


def of_baseline(ref: MetricRef, report: Mapping[str, Any]) -> Found | str:
    """What a report says of a metric of the family `fidelity`; a sentence if it is not there."""
    entry = report.get("fidelity", {}).get(ref.class_name)
    what = ref.name.removeprefix("fidelity.")
    if entry is None:
        known = ", ".join(f"`{name}`" for name in list(report.get("fidelity", {}))[:20]) or "none"
        return f"the report has no metric `{ref}`: beside the model ran {known}"
    if what in _RATIOS:
        beside = report["latency"].get("baselines", {}).get(ref.class_name, {})
        if (ratio := beside.get(_RATIOS[what])) is None:
            return f"the report has no metric `{ref}`"
        kind = what.removesuffix("latency_ratio").rstrip("_") or "batch"
        return Found(ratio, beside.get(kind, {"count": 0})["count"])
    if ref.slice:
        return _of_slice(ref, entry, what)
    if what == "agreement":
        return Found(entry["agreement"], entry["rows"])
    if what in ("flips", "unusable"):
        count = entry["flips"] if what == "flips" else sum(entry["unusable"].values())
        return Found({"value": count, "ci": None}, entry["rows"])
    of = what.removesuffix("_difference")
    if of in FIDELITY_SHARES:
        if (both := entry["metrics"].get(of)) is None:
            return f"the report has no metric `{ref}`: `{of}` of the positive class is kept for binary models"
        return Found(both["difference"], entry["rows"])
    if "scores" not in entry:
        return f"the report has no metric `{ref}`: the model or the baseline puts out labels only"
    estimate = entry["scores"].get(of)
    return f"the report has no metric `{ref}`" if estimate is None else Found(estimate, entry["scores"]["rows"])


def _of_slice(ref: MetricRef, entry: Mapping[str, Any], what: str) -> Found | str:
    part = _slice(ref, entry)
    if part is None:
        return f"the report has no metric `{ref}`: there is no such slice"
    if what == "agreement":
        return Found(part["agreement"], part["rows"])
    return Found(part["accuracy"]["difference"], part["rows"])


def _slice(ref: MetricRef, entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
    wanted = dict(ref.slice)
    return next((part for part in entry.get("slices", []) if part["slice"] == wanted), None)


def beside(gate: Gate, report: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict of a gate against a model on the same rows: an entry of the section `gates`."""
    found = _both(gate.metric, report["fidelity"][gate.versus], report["quality"])
    if isinstance(found, str):
        told, limits = Difference(None, None, None, why=found), None
    else:
        told, limits = _difference(found), _limits(found, gate.confidence)
    # Two runs of the same thing have the same counts.
    return verdict(gate, told, limits, f"of `{gate.versus}`") | {"volatile": False}


@dataclass(frozen=True)
class _Both:
    """A metric of both models.

    Args:
        values: `model`, `baseline` and `difference`, as decoded.
        rows: that it rests on.
        joint: who is right, where the metric is a share of the rows.
    """

    values: Mapping[str, Any]
    rows: int
    joint: Mapping[str, int] | None = None


def _both(ref: MetricRef, entry: Mapping[str, Any], quality: Mapping[str, Any]) -> _Both | str:
    missing = f"the report has no `{ref}` of both models"
    if ref.slice:
        part = _slice(ref, entry)
        if part is None:
            return f"{missing}: there is no such slice"
        return _Both(part["accuracy"], part["rows"], part["joint"])
    of_class = ref.class_name or (quality.get("positive") if ref.name in POSITIVE else None)
    if of_class is not None:
        row = next((row for row in entry["per_class"] if row["class"] == of_class), None)
        if row is None or ref.name not in ("recall", "f1"):
            return missing
        return _Both(row["recall"], row["support"], row) if ref.name == "recall" else _Both(row["f1"], entry["rows"])
    both = entry["metrics"].get(ref.name)
    if both is None:
        return missing
    return _Both(both, entry["rows"], entry["joint"] if ref.name == "accuracy" else None)


def _difference(both: _Both) -> Difference:
    values, estimate = both.values, both.values["difference"]
    ci: Interval | None = None if estimate["ci"] is None else (estimate["ci"][0], estimate["ci"][1])
    how = estimate.get("method"), estimate.get("reason")
    return Difference(values["baseline"], values["model"], estimate["value"], ci, *how, rows=both.rows)


def _limits(both: _Both, confidence: float | None) -> Interval | None:
    """The interval at a gate's own level: computed anew of a share, else widened in proportion."""
    value, ci = both.values["difference"]["value"], both.values["difference"]["ci"]
    if confidence is None or value is None or ci is None:
        return None
    if both.joint is not None and both.rows:
        sides = ("both_right", "only_baseline_right", "only_model_right", "both_wrong")
        return paired_difference(JointCounts(*(both.joint[side] for side in sides)), confidence)
    limits = at_level(Bounded(value, ci[0], ci[1]), confidence, (-1.0, 1.0))
    return limits.low, limits.high
