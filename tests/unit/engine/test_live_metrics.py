"""Metrics of a run at work: each is what was counted, and none that fails ends the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ortbatch.engine import live_metrics
from ortbatch.engine.driver import Completed, Progress, Steering
from ortbatch.engine.live_metrics import EDGES_S, LiveMetrics
from ortbatch.engine.state import RunState, ShardSet
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.tally import Tally

Key = tuple[str, tuple[tuple[str, str], ...]]
TOLD: Counter[Key] = Counter()


class Kept:
    """Keeps what it is told, as Ray's metrics take it."""

    def __init__(self, name: str, _: str, tag_keys: tuple[str, ...]) -> None:
        self.name, self.tag_keys = name, tag_keys

    def key(self, tags: Mapping[str, str]) -> Key:
        assert set(tags) == set(self.tag_keys)
        return self.name, tuple(sorted(tags.items()))

    def inc(self, number: float, tags: Mapping[str, str]) -> None:
        assert number > 0
        TOLD[self.key(tags)] += number  # type: ignore[assignment]

    def set(self, number: float, tags: Mapping[str, str]) -> None:
        TOLD[self.key(tags)] = number  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def _kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_metrics, "metrics", SimpleNamespace(Counter=Kept, Gauge=Kept))
    monkeypatch.setattr(live_metrics, "_FLUSH_SECONDS", 0.0)
    TOLD.clear()


def told(name: str, **tags: str) -> float:
    return TOLD["ortbatch_" + name, tuple(sorted({"job_name": "j", "run_id": "r", **tags}.items()))]


def state(shard: int, rows: int, milliseconds: tuple[float, ...] = (), **changes: Any) -> RunState:
    coverage = Coverage(planned=rows + sum(changes.get("rejected_rows", {}).values()), evaluated=rows, **changes)
    latency = LatencyHistogram.of(np.array([round(value * 1e6) for value in milliseconds], np.int64))
    tally = replace(Tally.empty(("a", "b"), ()), coverage=coverage, latency=latency)
    return RunState(ShardSet.of([shard]), tally)


def completed(whole: RunState) -> Completed:
    return Completed(whole, 1.0, 1, 1, 0, 0, (), ())


def test_rows_are_told_by_what_became_of_them() -> None:
    steering = LiveMetrics("j", "r").beside(Steering())
    steering.counted(state(0, 90, rejected_rows={(0, "null_label"): 7, (1, "bad_input"): 3}))
    steering.counted(state(1, 10, rejected_rows={(0, "null_label"): 1}))
    assert (told("rows", fate="evaluated"), told("rows", fate="rejected")) == (100, 11)
    assert (told("rejected_rows", reason="null_label"), told("rejected_rows", reason="bad_input")) == (8, 3)
    assert told("shards") == 2


def test_rows_of_quarantined_shards_are_told_in_the_end() -> None:
    live = LiveMetrics("j", "r")
    lease = state(0, 90, rejected_rows={(0, "null_label"): 7})
    live.beside(Steering()).counted(lease)
    live.finish(completed(lease.merge(state(1, 0, rejected_rows={(1, "quarantined_shard"): 50}))))
    assert told("rows", fate="evaluated") == 90
    assert told("rejected_rows", reason="quarantined_shard") == 50
    assert told("rows", fate="rejected") == 57


def test_latencies_are_counted_up_to_each_edge() -> None:
    values = np.random.default_rng(0).lognormal(1, 3, 2_000).round(6)
    steering = LiveMetrics("j", "r").beside(Steering())
    for start in range(0, 2_000, 500):
        steering.counted(state(start, 1, tuple(values[start : start + 500])))
    for edge in EDGES_S:
        # A cell of the histogram is 0.1% wide.
        low, high = (values <= edge * 1e3).sum(), (values <= edge * 1e3 * 1.001).sum()
        assert low <= told("batch_seconds_bucket", le=repr(edge)) <= high
    assert told("batch_seconds_bucket", le="+Inf") == told("batch_seconds_count") == 2_000
    assert told("batch_seconds_sum") == pytest.approx(values.sum() / 1e3)


@pytest.mark.parametrize("edge", EDGES_S)
def test_a_batch_that_took_just_as_long_as_an_edge_is_below_it(edge: float) -> None:
    LiveMetrics("j", "r").beside(Steering()).counted(state(0, 1, (edge * 1e3,)))
    assert told("batch_seconds_bucket", le=repr(edge)) == 1


def test_retries_and_quarantined_shards_rise_to_their_totals_once() -> None:
    steering = LiveMetrics("j", "r").beside(Steering())
    for retries, quarantined in ((0, 0), (2, 0), (2, 1), (5, 1)):
        steering.show(Progress(1, 100, 1, 10, 3, retries, quarantined))
    assert (told("retries"), told("quarantined_shards")) == (5, 1)
    assert (told("workers"), told("planned_rows"), told("planned_shards")) == (3, 100, 10)


def test_what_is_not_told_at_once_is_told_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_metrics, "_FLUSH_SECONDS", 3_600.0)
    live = LiveMetrics("j", "r")
    leases = [state(shard, 10, (1.0,)) for shard in range(5)]
    for lease in leases:
        live.beside(Steering()).counted(lease)
    assert told("rows", fate="evaluated") == 10
    live.finish(completed(leases[0].merge(leases[1]).merge(leases[2]).merge(leases[3]).merge(leases[4])))
    assert (told("rows", fate="evaluated"), told("shards"), told("batch_seconds_count")) == (50, 5, 5)


def test_no_worker_is_at_work_after_the_end() -> None:
    live = LiveMetrics("j", "r")
    live.beside(Steering()).show(Progress(1, 100, 1, 10, 3, 0))
    live.finish(completed(state(0, 1)))
    assert told("workers") == 0


def test_what_else_is_told_is_told_still() -> None:
    seen: list[object] = []
    steering = LiveMetrics("j", "r").beside(Steering(show=seen.append, counted=seen.append))
    progress, lease = Progress(1, 100, 1, 10, 3, 0), state(0, 1)
    steering.show(progress)
    steering.counted(lease)
    assert seen == [progress, lease]


@pytest.mark.parametrize("when", ["registered", "told"])
def test_metrics_that_fail_fall_silent_and_nothing_else_does(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Kept):
        def __init__(self, name: str, text: str, tag_keys: tuple[str, ...]) -> None:
            if when == "registered":
                raise RuntimeError("no agent")
            super().__init__(name, text, tag_keys)

        def inc(self, number: float, tags: Mapping[str, str]) -> None:
            raise RuntimeError("no agent")

    monkeypatch.setattr(live_metrics, "metrics", SimpleNamespace(Counter=Broken, Gauge=Kept))
    seen: list[object] = []
    live = LiveMetrics("j", "r")
    steering = live.beside(Steering(show=seen.append, counted=seen.append))
    steering.counted(state(0, 1))
    steering.show(Progress(1, 100, 1, 10, 3, 0))
    live.finish(completed(state(0, 1)))
    assert (len(seen), str(live.failure)) == (2, "no agent")
