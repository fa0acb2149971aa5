"""Metrics of a run while it is at work, where the cluster's Prometheus finds Ray's own: through `ray.util.metrics`.

The driver tells them, once a second, from what it has merged: a lease that is done twice counts once, as in the report,
and a worker that evaluates rows pays nothing. Latencies of batches are counters by `le` in place of Ray's histogram,
which wants a call a batch and is passed on with a sum that is a guess. No failure of metrics ends a run: they fall
silent.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from ray.util import metrics

from ortbatch.engine.driver import Completed, Progress, Steering
from ortbatch.engine.state import RunState
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.latency import LatencyHistogram, cell_of

EDGES_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CELLS = cell_of(np.array([round(edge * 1e9) for edge in EDGES_S], np.int64)) + 1
_TAGS = ("job_name", "run_id")  # Prometheus has a `job` of its own
_FLUSH_SECONDS = 1.0
# Name: what it counts, and its own label, if any.
_COUNTERS: Mapping[str, tuple[str, str]] = {
    "rows": ("Rows by what became of them.", "fate"),
    "rejected_rows": ("Rows that could not be evaluated, by reason.", "reason"),
    "shards": ("Shards that are done.", ""),
    "retries": ("Shards that were handed out again.", ""),
    "quarantined_shards": ("Shards that were left out.", ""),
    "batch_seconds_bucket": ("Runs of the model on a batch that took at most `le` seconds.", "le"),
    "batch_seconds_sum": ("Seconds in runs of the model on a batch.", ""),
    "batch_seconds_count": ("Runs of the model on a batch.", ""),
}
_GAUGES = {
    "workers": "Workers that are there.",
    "planned_rows": "Rows of the plan.",
    "planned_shards": "Shards of the plan.",
}


class LiveMetrics:
    """Metrics of one run; all carry the name of its job and its id."""

    def __init__(self, job: str, run: str) -> None:
        self._run = {"job_name": job, "run_id": run}
        self._reached: Counter[str] = Counter()
        self._rows = Coverage.empty()
        self._more: dict[tuple[str, str], float] = {}  # counter and value of its label → what is not told yet
        self._levels: dict[str, int] = {}
        self._flushed = -math.inf
        self._counters: dict[str, Any] = {}
        self._gauges: dict[str, Any] = {}
        self.failure: Exception | None = None
        self._safely(self._register)

    def _register(self) -> None:
        for name, (text, label) in _COUNTERS.items():
            self._counters[name] = metrics.Counter(f"ortbatch_{name}", text, (*_TAGS, *filter(None, [label])))
        for name, text in _GAUGES.items():
            self._gauges[name] = metrics.Gauge(f"ortbatch_{name}", text, _TAGS)

    def beside(self, steering: Steering) -> Steering:
        """The same steering, that tells these metrics too."""

        def show(progress: Progress) -> None:
            self._safely(lambda: self._show(progress))
            steering.show(progress)

        def counted(state: RunState) -> None:
            self._safely(lambda: self._count(state))
            steering.counted(state)

        return replace(steering, show=show, counted=counted)

    def finish(self, completed: Completed) -> None:
        """Tell what only the end tells: rows of quarantined shards, and that no worker is at work."""
        self._safely(lambda: self._finish(completed))

    def _finish(self, completed: Completed) -> None:
        self._count_rows(completed.state.tally.coverage.without(self._rows))
        self._levels["workers"] = 0
        self._flush()

    def _count(self, state: RunState) -> None:
        """What one lease adds, or a segment of an earlier driver."""
        self._count_rows(state.tally.coverage)
        self._add("shards", len(state.shards))
        self._count_batches(state.tally.latency)
        self._flush_if_due()

    def _count_rows(self, rows: Coverage) -> None:
        self._rows = self._rows.merge(rows)
        for fate in ("evaluated", "unlabelled", "filtered"):
            self._add("rows", getattr(rows, fate), fate)
        self._add("rows", rows.bad_rows, "rejected")
        for reason, number in rows.rejected.items():
            self._add("rejected_rows", number, reason)

    def _count_batches(self, latency: LatencyHistogram) -> None:
        below = np.cumsum(latency.counts)[_CELLS - 1].tolist()
        for edge, number in zip(EDGES_S, below, strict=True):
            self._add("batch_seconds_bucket", number, repr(edge))
        self._add("batch_seconds_bucket", latency.count, "+Inf")
        self._add("batch_seconds_count", latency.count)
        self._add("batch_seconds_sum", latency.total_ns / 1e9)

    def _show(self, progress: Progress) -> None:
        self._reach("retries", progress.retries)
        self._reach("quarantined_shards", progress.quarantined)
        self._levels |= {"workers": progress.workers}
        self._levels |= {"planned_rows": progress.total_rows, "planned_shards": progress.total_shards}
        self._flush_if_due()

    def _reach(self, name: str, total: int) -> None:
        """Add what is missing to a total."""
        self._add(name, total - self._reached[name])
        self._reached[name] = total

    def _add(self, name: str, number: float, label: str = "") -> None:
        self._more[name, label] = self._more.get((name, label), 0) + number

    def _flush_if_due(self) -> None:
        if time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        """Tell Ray; each call of its metrics takes microseconds, and leases may come by the thousand."""
        self._flushed = time.monotonic()
        for (name, value), number in self._more.items():
            label = _COUNTERS[name][1]
            # Ray refuses to add nothing.
            if number > 0:
                self._counters[name].inc(number, {**self._run, label: value} if label else self._run)
        self._more.clear()
        for name, level in self._levels.items():
            self._gauges[name].set(level, self._run)

    def _safely(self, tell: Callable[[], None]) -> None:
        if self.failure is not None:
            return
        try:
            tell()
        except Exception as error:
            self.failure = error
