"""The latency section: how long `session.run` takes, of a batch of the pass and of one row alone.

Percentiles are read from histograms of integer nanoseconds and carry intervals of order statistics; means and maxima
are exact. Each histogram is also there as a whole, in HdrHistogram's own encoding, so that its tools read it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.latency import DIGITS, HIGHEST_NS, LOWEST_NS, LatencyHistogram, highest_of

PERCENTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99, "p99_9_ms": 0.999}


def latency_section(
    batch: LatencyHistogram,
    batch_size: int,
    single: LatencyHistogram,
    single_facts: Mapping[str, Any],
    transform: LatencyHistogram | None = None,
) -> dict[str, Any]:
    """Both measurements, each with what it was made of.

    Args:
        batch: runs of the pass.
        batch_size: rows of each (the last of a shard may have fewer).
        single: runs of one row.
        single_facts: how these were measured, and what the start cost.
        transform: the job's function between columns and inputs, of one row; None if it has none.
    """
    apart = {} if transform is None else {"transform": latency_values(transform)}
    return {
        "batch": latency_values(batch) | {"batch_size": batch_size},
        "single": latency_values(single) | {"batch_size": 1, **single_facts, **apart},
    }


def not_timed(section: Mapping[str, Any], why: str) -> dict[str, Any]:
    """The same where there was nothing to time: every estimate is undefined for that reason."""
    names = ("mean_ms", *PERCENTILES, "max_ms")
    return {kind: {**values, **dict.fromkeys(names, Estimate.undefined(why))} for kind, values in section.items()}


def latency_values(histogram: LatencyHistogram) -> dict[str, Any]:
    """What is said of any histogram of times: count, mean, percentiles with intervals, maximum, all of it encoded."""
    percentiles = {name: histogram.percentile_ms(quantile) for name, quantile in PERCENTILES.items()}
    return {
        "count": histogram.count,
        "mean_ms": histogram.mean_ms(),
        **percentiles,
        "max_ms": histogram.worst_ms(),
        "histogram": encoded(histogram),
    }


def encoded(histogram: LatencyHistogram) -> str | None:
    """The counts in HdrHistogram's own encoding (base64), for its tools; None without values."""
    if not histogram.count:
        return None
    from hdrh.histogram import HdrHistogram

    official = HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)
    for cell in np.flatnonzero(histogram.counts).tolist():
        official.record_value(min(highest_of(cell), HIGHEST_NS), int(histogram.counts[cell]))
    text = official.encode()
    base64.b64decode(text, validate=True)
    return str(text.decode("ascii"))
