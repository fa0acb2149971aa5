"""The schedule with many workers: the decisions of the plain one, and every shard counted once whatever happens."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.engine.schedule import Decision, Event, Give, Joined, Lost, Returned, Schedule, StartWorker, Stop
from tests.unit.engine.plain_schedule import PlainSchedule


class Cluster:
    """Workers in virtual time: each does its leases one after the other, at its own speed."""

    def __init__(self, rows: Sequence[int], workers: int, seed: int, *, lost: float, double: float) -> None:
        self.schedule = Schedule(np.array(rows, np.int64), workers=workers, streams=2)
        self._plain = PlainSchedule(dict(enumerate(rows)), workers=workers, streams=2)
        self._random = random.Random(seed)
        self._rows, self._lost, self._double = rows, lost, double
        self._events: list[tuple[float, int, Event]] = []
        self._free_at: dict[int, float] = {}
        self._speed: dict[int, float] = {}
        self._out: dict[tuple[int, int], tuple[int, ...]] = {}
        self._numbers = 0
        self.counted: Counter[int] = Counter()
        self.stop: Stop | None = None
        for _ in range(workers):
            self._start()

    def _at(self, when: float, event: Event) -> None:
        assert self._numbers < 200_000, "the run has no end"
        heapq.heappush(self._events, (when, self._numbers, event))
        self._numbers += 1

    def _start(self, now: float = 0.0) -> None:
        worker = len(self._speed)
        self._speed[worker] = self._random.lognormvariate(0, 0.5) * 100
        ready = now + self._random.random()
        self._free_at[worker] = ready
        self._at(ready, Lost(worker, "no memory") if self._chance(self._lost / 4) else Joined(worker))

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def run(self) -> None:
        while self._events and not self.schedule.finished:
            now, _, event = heapq.heappop(self._events)
            if isinstance(event, Returned) and self.schedule.holds(event.worker, event.lease):
                self.counted.update(self._out[event.worker, event.lease])
            decisions = self.schedule.handle(event)
            assert decisions == self._plain.handle(event)
            assert (self.schedule.retries, self.schedule.finished) == (self._plain.retries, self._plain.finished)
            self._do(now, decisions)
            if self._double and self._chance(self._double):
                self._at(now + self._random.random(), event)

    def _do(self, now: float, decisions: list[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, StartWorker):
                self._start(now)
            elif isinstance(decision, Stop):
                self.stop = decision
            else:
                self._give(now, decision)

    def _give(self, now: float, give: Give) -> None:
        self._out[give.worker, give.lease] = give.shards
        seconds = sum(self._rows[shard] for shard in give.shards) / self._speed[give.worker]
        done = self._free_at[give.worker] = max(now, self._free_at[give.worker]) + seconds
        returned = Returned(give.worker, give.lease, seconds)
        if not self._chance(self._lost):
            self._at(done, returned)
            return
        # The worker dies in the middle; now and then what it did arrives all the same, before or after the news.
        self._at(now + seconds * self._random.random(), Lost(give.worker, "killed"))
        if self._chance(0.5):
            self._at(done, returned)


@settings(max_examples=60)
@given(
    shards=st.integers(1, 400),
    workers=st.integers(1, 40),
    seed=st.integers(0, 10**6),
    lost=st.sampled_from([0.0, 0.02, 0.2]),
    double=st.sampled_from([0.0, 0.3]),
)
def test_every_shard_is_counted_once_by_the_plain_decisions(
    shards: int, workers: int, seed: int, lost: float, double: float
) -> None:
    rows = np.random.default_rng(seed).integers(0, 200, shards).tolist()
    cluster = Cluster(rows, workers, seed, lost=lost, double=double)
    cluster.run()
    assert cluster.schedule.finished
    if cluster.stop is None:
        assert cluster.counted == Counter(range(shards))
    else:
        assert max(cluster.counted.values(), default=0) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_shards_over_fifty_workers_with_losses(seed: int) -> None:
    cluster = Cluster([100] * 1_000, 50, seed, lost=0.02, double=0.1)
    cluster.run()
    assert cluster.stop is None
    assert cluster.counted == Counter(range(1_000))
    assert cluster.schedule.retries > 0


@given(st.permutations(range(30)), st.integers(1, 4))
def test_shards_go_out_in_the_order_that_is_asked_for(order: list[int], workers: int) -> None:
    schedule = Schedule(np.ones(30, np.int64), workers=workers, streams=1, order=order)
    given = [give for worker in range(workers) for give in schedule.handle(Joined(worker))]
    while not schedule.finished:
        give = given[sum(schedule.holds(g.worker, g.lease) is False for g in given)]
        given += schedule.handle(Returned(give.worker, give.lease, 0.01))
    assert [shard for give in given for shard in give.shards] == order


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [0, 1, 3], [0, 1, 2, 2]])
def test_an_order_that_leaves_a_shard_out_or_names_it_twice_is_refused(order: list[int]) -> None:
    with pytest.raises(ValueError, match="an order of all 3 shards, each once"):
        Schedule([1, 1, 1], workers=1, streams=1, order=order)


def test_without_shards_there_is_nothing_to_do() -> None:
    assert Schedule([], workers=1, streams=1).finished
