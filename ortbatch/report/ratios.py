"""How long the baselines take beside the model: the same measurements, and how many times as long.

A ratio is that of two medians, baseline to model: 2 means that the model takes half the time. Does not know why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ortbatch.metrics.differences import Bounded, independent_difference
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.tally import Tally
from ortbatch.report.latency import latency_values

_HALF = 0.5


def baselines_part(
    tally: Tally, batch_size: int, single: LatencyHistogram, facts: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The part `baselines` of the latency section, by its own name; nothing where none ran beside the model.

    Args:
        tally: with the times of the pass.
        batch_size: rows of a batch.
        single: the model's single predictions.
        facts: name → `single`, the same of a baseline if it was measured, and `single_facts`, how.
    """
    parts = {}
    for name, counts in zip(tally.baselines.names, tally.baselines.values, strict=True):
        part: dict[str, Any] = {"batch": latency_values(counts.latency) | {"batch_size": batch_size}}
        own = facts.get(name, {}).get("single")
        if own is not None:
            measured = facts[name].get("single_facts") or {}
            part["single"] = latency_values(own) | {"batch_size": 1, **measured}
        part["batch_ratio"] = ratio(counts.latency, tally.latency)
        part["single_ratio"] = ratio(LatencyHistogram.empty() if own is None else own, single)
        parts[name] = part
    return {"baselines": parts} if parts else {}


def ratio(baseline: LatencyHistogram, model: LatencyHistogram) -> Estimate:
    """Median of one over median of the other, with the interval of two independent estimates on the log scale.

    References:
        Zou & Donner (2008), Statistics in Medicine 27(10), formula 4, of the logarithms; order statistics: David &
        Nagaraja (2003), Order Statistics, section 7.1.
    """
    medians = [histogram.percentile_ms(_HALF) for histogram in (model, baseline)]
    for whose, median in zip(("model", "baseline"), medians, strict=True):
        if not median.value:
            return Estimate.undefined(f"the {whose} has no times: {median.reason or 'they are 0'}")
    value = (medians[1].value or 0.0) / (medians[0].value or 1.0)
    logs = [_logs(median) for median in medians]
    if logs[0] is None or logs[1] is None:
        reason = next((median.reason for median in medians if median.ci is None), "no interval: a limit is 0")
        return Estimate(value, None, reason)
    low, high = (math.exp(end) for end in independent_difference(logs[0], logs[1]))
    return Estimate(value, (min(low, value), max(high, value)), method="order_statistics_log")


def _logs(median: Estimate) -> Bounded | None:
    """Logarithms of a value and its limits; None where it has no limits."""
    if median.value is None or median.ci is None or median.ci[0] <= 0:
        return None
    return Bounded(math.log(median.value), math.log(median.ci[0]), math.log(median.ci[1]))
