"""Runs that are timed: when a series of them has become steady, and what is known of those of one batch size.

What was run is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ortbatch.metrics.latency import LatencyHistogram

LEAST_RUNS = 50
"""Fewest runs of which it can be told whether they are steady."""

MOST_RUNS = 5_000
"""Runs after which what still moves is no cold start, but the machine."""

STEADY_WITHIN = 0.03
_WINDOWS = 4


def is_steady(times_ns: Sequence[int]) -> bool:
    """Have runs stopped getting faster, or slower?

    The second half of the series is cut into four windows; it is steady where their medians have a coefficient of
    variation of at most 3%. A median does not know of a run that the machine interrupted. Windows grow with the series:
    what chance does to short ones averages out, and how it began is forgotten. Fewer than 50 runs are never steady.

    Args:
        times_ns: in the order in which they were run.

    References:
        Georges, Buytaert & Eeckhout (2007), Statistically Rigorous Java Performance Evaluation, OOPSLA: a steady state
        is where the coefficient of variation of the last k times is below a limit. Theirs are single iterations.

    >>> is_steady([1000] * 60), is_steady([1000] * 30 + [1500] * 30), is_steady([1000] * 49)
    (True, True, False)
    """
    if len(times_ns) < LEAST_RUNS:
        return False
    second_half = np.asarray(times_ns[len(times_ns) // 2 :], np.float64)
    medians = np.array([np.median(window) for window in np.array_split(second_half, _WINDOWS)])
    return bool(medians.std(ddof=1) <= STEADY_WITHIN * medians.mean())


@dataclass(frozen=True)
class WarmUp:
    """Runs before the first that counts.

    Args:
        runs: how many.
        seconds: how long they took together.
        stable: were they steady at last?
    """

    runs: int
    seconds: float
    stable: bool


@dataclass(frozen=True)
class TimedBatches:
    """Runs of one batch size in one session.

    Args:
        batch_size: rows of each.
        threads: intra-op threads of the session.
        session_s: seconds that it took to load the session.
        rows: distinct rows in all of them together.
        warm_up: what was run before.
        histogram: how long each took.
    """

    batch_size: int
    threads: int
    session_s: float
    rows: int
    warm_up: WarmUp
    histogram: LatencyHistogram
