"""The schedule's laws: whatever happens, every shard is accepted once or left out, and the run ends."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.engine.events import (
    Decision,
    Dismiss,
    Event,
    Fault,
    Give,
    Joined,
    Kill,
    Lost,
    Quarantine,
    Returned,
    Room,
    ShardFailure,
    StartWorker,
    Stop,
    Tick,
    Want,
)
from ortbatch.engine.rules import DEATHS_OF_A_SHARD, ERRORS_OF_A_SHARD, Rules
from ortbatch.engine.schedule import Schedule

TICK = 0.5
FATAL = (Fault.WORKER, Fault.MEMORY, Fault.DEADLINE)


class Cluster:
    """Workers in virtual time: each does its leases one after the other, at its own speed, with trouble as asked for.

    Args:
        rows: of each shard.
        workers: how many.
        seed: of all chances.
        lost: chance that a lease ends its worker; node: that it is its node's doing.
        double: chance that an event is said twice.
        poison: shards that end every worker that gets to them. broken: shards that raise wherever they are tried.
        hangs: shards that never come back.
        moves: chance at each tick that nodes come and go.
        rules: of the schedule.
    """

    def __init__(
        self, rows: Sequence[int], workers: int, seed: int, *, lost: float = 0, node: float = 0, double: float = 0,
        poison: frozenset[int] = frozenset(), broken: frozenset[int] = frozenset(),
        hangs: frozenset[int] = frozenset(), rules: Rules | None = None, moves: float = 0,
    ) -> None:  # fmt: skip
        self.schedule = Schedule(np.array(rows, np.int64), workers=workers, streams=2, rules=rules)
        self._random = random.Random(seed)
        self._rows, self._lost, self._node, self._double = rows, lost, node, double
        self._poison, self._broken, self._hangs, self._moves = poison, broken, hangs, moves
        self.leaving: set[int] = set()
        self.dismissed: set[int] = set()
        self.started = 0
        self._events: list[tuple[float, int, Event]] = []
        self._free_at: dict[int, float] = {}
        self._speed: dict[int, float] = {}
        self._out: dict[tuple[int, int], tuple[int, ...]] = {}
        self._alone: dict[int, tuple[int, int]] = {}
        self._numbers = 0
        self.accepted: Counter[int] = Counter()
        self.deaths_alone: Counter[int] = Counter()
        self.errors: Counter[int] = Counter()
        self.left_out: list[int] = []
        self.stop: Stop | None = None
        for _ in range(workers):
            self._start(0.0)
        self._at(TICK, Tick())

    def _at(self, when: float, event: Event) -> None:
        assert self._numbers < 200_000, "the run has no end"
        heapq.heappush(self._events, (when, self._numbers, event))
        self._numbers += 1

    def _start(self, now: float) -> None:
        worker = len(self._speed)
        self._speed[worker] = self._random.lognormvariate(0, 0.5) * 100
        ready = self._free_at[worker] = now + self._random.random()
        self._at(ready, Lost(worker, "no memory") if self._chance(self._lost / 4) else Joined(worker))

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def run(self) -> None:
        while self._events and not self.schedule.finished:
            now, _, event = heapq.heappop(self._events)
            self._note(event)
            self._do(now, self.schedule.handle(event, now))
            if isinstance(event, Tick):
                self._at(now + TICK, Tick())
                if self._chance(self._moves):
                    self._at(now, self._nodes_move())
            elif self._double and self._chance(self._double):
                self._at(now + self._random.random(), event)

    def _nodes_move(self) -> Room:
        """Some nodes are about to go, and some others there."""
        self.leaving |= {worker for worker in self._free_at if self._chance(0.2)} - self.dismissed
        places = self._random.randrange(1, 12)
        return Room(places, places + self._random.choice([0, 30]), frozenset(self.leaving))

    def _note(self, event: Event) -> None:
        """What the driver and the reducer would make of it."""
        if isinstance(event, Returned) and self.schedule.holds(event.worker, event.lease):
            failed = {failure.shard for failure in event.failures}
            self.errors.update(failed)
            self.accepted.update(set(self._out[event.worker, event.lease]) - failed)
            self._alone.pop(event.worker, None)
        elif isinstance(event, Lost) and event.worker in self._alone:
            lease, shard = self._alone.pop(event.worker)
            if event.fault in FATAL and self.schedule.holds(event.worker, lease):
                self.deaths_alone[shard] += 1

    def _do(self, now: float, decisions: list[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, StartWorker):
                self.started += 1
                self._start(now)
            elif isinstance(decision, Dismiss):
                held = [key for key in self._out if key[0] == decision.worker and self.schedule.holds(*key)]
                assert held == [], "let go with a lease"
                assert decision.worker in self.leaving - self.dismissed
                self.dismissed.add(decision.worker)
            elif isinstance(decision, Want):
                assert decision.workers >= 1
            elif isinstance(decision, Stop):
                self.stop = decision
            elif isinstance(decision, Quarantine):
                self.left_out.append(decision.shard)
            elif isinstance(decision, Kill):
                held = self._alone.pop(decision.worker, None)
                self.deaths_alone.update([] if held is None else [held[1]])
            else:
                self._give(now, decision)

    def _give(self, now: float, give: Give) -> None:
        assert not set(give.shards) & (set(self.accepted) | set(self.left_out)), "given again after it was done"
        assert give.worker not in self._alone, "a suspect is not alone"
        assert give.worker not in self.dismissed, "given after it was let go"
        if give.alone:
            held = [key for key in self._out if key[0] == give.worker and self.schedule.holds(*key)]
            assert held == [], "a suspect is not alone"
            self._alone[give.worker] = give.lease, give.shards[0]
        self._out[give.worker, give.lease] = give.shards
        seconds = sum(self._rows[shard] for shard in give.shards) / self._speed[give.worker]
        done = self._free_at[give.worker] = max(now, self._free_at[give.worker]) + seconds
        failures = tuple(ShardFailure(shard, "broken") for shard in give.shards if shard in self._broken)
        returned = Returned(give.worker, give.lease, seconds, failures)
        if self._hangs.intersection(give.shards):
            self._free_at[give.worker] = float("inf")
        elif done == float("inf"):
            return
        elif self._poison.intersection(give.shards):
            self._at(done, Lost(give.worker, "signal 11"))
        elif not self._chance(self._lost):
            self._at(done, returned)
        else:
            # The worker dies in the middle; now and then what it did arrives all the same, before or after the news.
            fault = Fault.NODE if self._chance(self._node) else self._random.choice([Fault.WORKER, Fault.MEMORY])
            self._at(now + seconds * self._random.random(), Lost(give.worker, "killed", fault))
            if self._chance(0.5):
                self._at(done, returned)


def every_shard_is_accepted_once_or_left_out(cluster: Cluster, shards: int) -> None:
    assert cluster.schedule.finished
    assert max(cluster.accepted.values(), default=0) <= 1
    assert len(set(cluster.left_out)) == len(cluster.left_out)
    assert not set(cluster.left_out) & set(cluster.accepted)
    if cluster.stop is None:
        assert set(cluster.accepted) | set(cluster.left_out) == set(range(shards))


@settings(max_examples=150)
@given(
    shards=st.integers(1, 300),
    workers=st.integers(1, 40),
    seed=st.integers(0, 10**6),
    lost=st.sampled_from([0.0, 0.02, 0.2]),
    node=st.sampled_from([0.0, 0.5, 1.0]),
    double=st.sampled_from([0.0, 0.3]),
    bad=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    rules=st.builds(Rules, quarantine=st.booleans(), speculate=st.booleans(), shard_seconds=st.sampled_from([None, 9])),
)
def test_any_trouble_ends_with_every_shard_accepted_once_or_left_out(
    shards: int, workers: int, seed: int, lost: float, node: float, double: float, bad: tuple[int, int], rules: Rules
) -> None:
    rng = np.random.default_rng(seed)
    rows, picked = rng.integers(0, 200, shards).tolist(), rng.permutation(shards).tolist()
    poison, broken = frozenset(picked[: bad[0]]), frozenset(picked[bad[0] : sum(bad)])
    cluster = Cluster(
        rows, workers, seed, lost=lost, node=node, double=double, poison=poison, broken=broken, rules=rules
    )
    cluster.run()
    every_shard_is_accepted_once_or_left_out(cluster, shards)
    assert not (poison | broken) & set(cluster.accepted)
    for shard in cluster.left_out:
        # Nobody is blamed for what happened beside others.
        assert (
            cluster.deaths_alone[shard] == DEATHS_OF_A_SHARD or cluster.errors[shard] == ERRORS_OF_A_SHARD
        ), shard  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_shards_over_fifty_workers_with_losses(seed: int) -> None:
    cluster = Cluster([100] * 1_000, 50, seed, lost=0.02, double=0.1, rules=Rules(speculate=True))
    cluster.run()
    assert cluster.stop is None
    assert cluster.accepted == Counter(range(1_000))
    assert cluster.schedule.retries > 0


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_a_poison_shard_is_left_out_and_those_beside_it_are_done(workers: int) -> None:
    cluster = Cluster([100] * 60, workers, 0, poison=frozenset({5}), rules=Rules(quarantine=True))
    cluster.run()
    assert cluster.left_out == [5]
    assert cluster.accepted == Counter(set(range(60)) - {5})


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_a_shard_that_hangs_is_left_out_and_those_beside_it_are_done(workers: int) -> None:
    rules = Rules(quarantine=True, shard_seconds=10)
    cluster = Cluster([100] * 60, workers, 0, hangs=frozenset({5}), rules=rules)
    cluster.run()
    assert cluster.left_out == [5]
    assert cluster.accepted == Counter(set(range(60)) - {5})


def test_a_worker_that_hangs_does_not_hold_up_the_end() -> None:
    # Racing alone ends it, an hour before the deadline would.
    cluster = Cluster([100] * 60, 4, 0, rules=Rules(speculate=True))
    cluster._speed[3] = 1e-6
    cluster.run()
    assert cluster.accepted == Counter(range(60))
    assert cluster._events[0][0] < 600


@settings(max_examples=100)
@given(
    shards=st.integers(1, 300),
    workers=st.integers(1, 10),
    seed=st.integers(0, 10**6),
    lost=st.sampled_from([0.0, 0.02, 0.2]),
    moves=st.sampled_from([0.05, 0.5]),
    double=st.sampled_from([0.0, 0.3]),
)
def test_nodes_that_come_and_go_end_with_every_shard_accepted_once(
    shards: int, workers: int, seed: int, lost: float, moves: float, double: float
) -> None:
    cluster = Cluster([100] * shards, workers, seed, lost=lost, node=1.0, moves=moves, double=double)
    cluster.run()
    every_shard_is_accepted_once_or_left_out(cluster, shards)
    assert cluster.stop is None or lost > 0


@given(st.integers(50, 300), st.integers(1, 10), st.integers(0, 10**6))
def test_nodes_that_go_with_notice_cost_no_retry(shards: int, workers: int, seed: int) -> None:
    cluster = Cluster([100] * shards, workers, seed, moves=0.3)
    cluster.run()
    assert cluster.accepted == Counter(range(shards))
    assert cluster.schedule.retries == 0


@given(st.integers(1, 200), st.integers(1, 5))
def test_without_faults_every_shard_is_given_once(shards: int, workers: int) -> None:
    cluster = Cluster([100] * shards, workers, 0)
    cluster.run()
    assert cluster.accepted == Counter(range(shards))
    assert cluster.schedule.retries == 0


@given(st.permutations(range(30)), st.integers(1, 4))
def test_shards_go_out_in_the_order_that_is_asked_for(order: list[int], workers: int) -> None:
    schedule = Schedule(np.ones(30, np.int64), workers=workers, streams=1, order=order)
    given = [give for worker in range(workers) for give in schedule.handle(Joined(worker)) if isinstance(give, Give)]
    while not schedule.finished:
        give = given[sum(schedule.holds(g.worker, g.lease) is False for g in given)]
        more = schedule.handle(Returned(give.worker, give.lease, 0.01))
        given += [give for give in more if isinstance(give, Give)]
    assert [shard for give in given for shard in give.shards] == order
