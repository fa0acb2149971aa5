"""The schedule's policy, one rule a test, and its laws on arbitrary scripts of events; no clock, no workers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.engine.schedule import (
    DEATHS_OF_A_SHARD,
    LEASES_IN_FLIGHT,
    Decision,
    Failed,
    Give,
    Joined,
    Lost,
    Returned,
    Schedule,
    StartWorker,
    Stop,
)


def gives(decisions: list[Decision]) -> list[Give]:
    return [decision for decision in decisions if isinstance(decision, Give)]


def schedule(shards: int, *, workers: int = 1, streams: int = 1) -> Schedule:
    return Schedule(dict.fromkeys(range(shards), 100), workers=workers, streams=streams)


def test_a_worker_that_joins_gets_two_leases() -> None:
    given = gives(schedule(10).handle(Joined(0)))
    assert [give.shards for give in given] == [(0,), (1,)]
    assert len(given) == LEASES_IN_FLIGHT


def test_a_first_lease_has_a_shard_for_every_stream() -> None:
    assert gives(schedule(10, streams=3).handle(Joined(0)))[0].shards == (0, 1, 2)


def test_leases_grow_to_what_the_worker_does_in_two_seconds() -> None:
    plan = schedule(10_000)
    first = gives(plan.handle(Joined(0)))[0]
    # 100 rows in 10 ms: 20,000 rows, 200 shards, in two seconds.
    assert len(gives(plan.handle(Returned(0, first.lease, 0.01)))[0].shards) == 200


def test_leases_shrink_towards_the_end() -> None:
    plan = schedule(16, workers=2)
    first = gives(plan.handle(Joined(0)))[0]
    assert len(gives(plan.handle(Returned(0, first.lease, 0.001)))[0].shards) < 4


def test_an_order_is_obeyed() -> None:
    plan = Schedule({0: 1, 1: 1, 2: 1}, workers=1, streams=1, order=[2, 0, 1])
    assert [give.shards for give in gives(plan.handle(Joined(0)))] == [(2,), (0,)]


def test_shards_of_a_lost_worker_go_elsewhere_one_by_one() -> None:
    plan = schedule(4, workers=2, streams=2)
    plan.handle(Joined(0))
    decisions = plan.handle(Lost(0, "killed"))
    assert decisions == [StartWorker()]
    assert [give.shards for give in gives(plan.handle(Joined(1)))] == [(0,)]
    assert plan.retries == 4


def test_a_suspect_has_its_worker_to_itself() -> None:
    plan = schedule(20)
    plan.handle(Joined(0))
    plan.handle(Lost(0, "killed"))
    assert len(gives(plan.handle(Joined(1)))) == 1


def test_a_result_of_a_lost_worker_is_not_held() -> None:
    plan = schedule(2)
    lease = gives(plan.handle(Joined(0)))[0].lease
    assert plan.holds(0, lease)
    plan.handle(Lost(0, "killed"))
    assert not plan.holds(0, lease)


def test_an_error_in_a_shard_stops_the_run_with_its_name() -> None:
    plan = schedule(2)
    lease = gives(plan.handle(Joined(0)))[0].lease
    assert plan.handle(Failed(0, lease, 1, "corrupt")) == [Stop("corrupt", 1)]
    assert plan.finished


def test_a_shard_that_kills_its_worker_three_times_alone_is_named() -> None:
    plan = schedule(3)
    worker, stopped = 0, None
    decisions = plan.handle(Joined(0))
    while stopped is None:
        # Shard 1 is poison: whoever holds it first, dies.
        held = {give.lease: give.shards for give in gives(decisions)}
        if any(1 in shards for shards in held.values()):
            decisions = plan.handle(Lost(worker, "signal 11"))
            stopped = next((decision for decision in decisions if isinstance(decision, Stop)), None)
            worker += 1
            decisions = decisions if stopped else plan.handle(Joined(worker))
        else:
            decisions = [d for lease in held for d in plan.handle(Returned(worker, lease, 0.1))]
    assert stopped.shard == 1
    assert worker == 1 + DEATHS_OF_A_SHARD


def test_the_run_stops_when_no_worker_is_left() -> None:
    plan = schedule(100)
    decisions: list[Decision] = [StartWorker()]
    worker = 0
    while any(isinstance(decision, StartWorker) for decision in decisions):
        # Each worker is lost before it is ready.
        decisions = plan.handle(Lost(worker, "no memory"))
        worker += 1
    assert decisions == [Stop("no worker is left; last: no memory", None)]


class World:
    """Workers as the schedule sees them, under a script's control."""

    def __init__(self, shards: int, workers: int, streams: int) -> None:
        self.plan = schedule(shards, workers=workers, streams=streams)
        self.starting = workers
        self.next_worker = 0
        self.out: dict[tuple[int, int], tuple[int, ...]] = {}
        self.late: list[tuple[int, int]] = []
        self.alive: set[int] = set()
        self.done: Counter[int] = Counter()
        self.stop: Stop | None = None

    def do(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, Give):
                self.out[decision.worker, decision.lease] = decision.shards
            elif isinstance(decision, StartWorker):
                self.starting += 1
            else:
                self.stop = decision
        held = Counter(shard for shards in self.out.values() for shard in shards)
        assert not held or max(held.values()) == 1, "a shard is out twice"

    def join(self) -> None:
        self.starting -= 1
        self.alive.add(self.next_worker)
        self.do(self.plan.handle(Joined(self.next_worker)))
        self.next_worker += 1

    def give_back(self, key: tuple[int, int]) -> None:
        """A result arrives; it counts if the schedule still holds its lease."""
        if self.plan.holds(*key):
            self.done.update(self.out.pop(key))
        self.do(self.plan.handle(Returned(*key, 0.5)))

    def lose(self, worker: int) -> None:
        self.alive.discard(worker)
        gone = [key for key in self.out if key[0] == worker]
        self.late += gone
        for key in gone:
            del self.out[key]
        self.do(self.plan.handle(Lost(worker, "lost")))


@given(
    shards=st.integers(1, 30),
    workers=st.integers(1, 4),
    streams=st.integers(1, 3),
    script=st.lists(st.tuples(st.sampled_from(["join", "return", "lose", "late"]), st.integers(0, 100)), max_size=60),
)
def test_any_script_ends_with_every_shard_counted_once(
    shards: int, workers: int, streams: int, script: list[tuple[str, int]]
) -> None:
    world = World(shards, workers, streams)
    for action, pick in script:
        if action == "join" and world.starting:
            world.join()
        elif action == "return" and world.out:
            world.give_back(sorted(world.out)[pick % len(world.out)])
        elif action == "lose" and world.alive:
            world.lose(sorted(world.alive)[pick % len(world.alive)])
        elif action == "late" and world.late:
            world.give_back(world.late[pick % len(world.late)])
    # From here on nothing is lost: the run must end.
    while not world.plan.finished:
        assert world.starting or world.out, "nothing is under way and the run is not finished"
        while world.starting:
            world.join()
        for key in list(world.out):
            world.give_back(key)
    assert max(world.done.values(), default=0) <= 1
    assert world.stop is not None or set(world.done) == set(range(shards))


@given(st.integers(1, 200), st.integers(1, 5), st.floats(0.0001, 10))
def test_without_faults_every_shard_is_given_once(shards: int, workers: int, seconds: float) -> None:
    world = World(shards, workers, 2)
    while not world.plan.finished:
        while world.starting:
            world.join()
        for worker, lease in list(world.out):
            world.done.update(world.out.pop((worker, lease)))
            world.do(world.plan.handle(Returned(worker, lease, seconds)))
    assert world.done == Counter(range(shards))
    assert world.plan.retries == 0


@pytest.mark.parametrize("event", [Joined(0), Returned(0, 0, 1.0), Lost(0, "again")])
def test_nothing_a_lost_worker_says_is_heard(event: Joined | Returned | Lost) -> None:
    plan = schedule(3)
    plan.handle(Joined(0))
    plan.handle(Lost(0, "killed"))
    assert plan.handle(event) == []
