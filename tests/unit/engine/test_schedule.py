"""The schedule's policy, one rule a test; no clock, no workers. Its laws on arbitrary scripts: test_schedule_laws."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import pytest

from ortbatch.engine.events import (
    Decision,
    Fault,
    Give,
    Joined,
    Kill,
    Lost,
    Quarantine,
    Returned,
    ShardFailure,
    StartWorker,
    Stop,
    Tick,
)
from ortbatch.engine.rules import DEATHS_OF_A_SHARD, ERRORS_OF_A_SHARD, STORAGE_ERRORS_OF_A_SHARD, Rules
from ortbatch.engine.schedule import LEASES_IN_FLIGHT, Schedule

D = TypeVar("D", bound=Decision)
BLAMELESS = [Fault.NODE, Fault.PREEMPTED]
DEATHS = [Fault.WORKER, Fault.MEMORY, Fault.DEADLINE]


def of(kind: type[D], decisions: list[Decision]) -> list[D]:
    return [decision for decision in decisions if isinstance(decision, kind)]


def gives(decisions: list[Decision]) -> list[Give]:
    return of(Give, decisions)


def schedule(shards: int, *, workers: int = 1, streams: int = 1, rules: Rules | None = None) -> Schedule:
    return Schedule(dict.fromkeys(range(shards), 100), workers=workers, streams=streams, rules=rules)


def fail(plan: Schedule, give: Give, fault: Fault, now: float = 0.0) -> list[Decision]:
    """The first shard of a lease failed."""
    failure = ShardFailure(give.shards[0], "broken", fault)
    return plan.handle(Returned(give.worker, give.lease, 0.1, (failure,)), now)


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


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [0, 1, 3], [0, 1, 2, 2]])
def test_an_order_that_leaves_a_shard_out_or_names_it_twice_is_refused(order: list[int]) -> None:
    with pytest.raises(ValueError, match="an order of all 3 shards, each once"):
        Schedule([1, 1, 1], workers=1, streams=1, order=order)


def test_shards_that_are_done_are_not_handed_out() -> None:
    plan = Schedule([1] * 4, workers=1, streams=4, done=np.array([True, False, True, False]))
    assert [give.shards for give in gives(plan.handle(Joined(0)))] == [(1, 3)]


@pytest.mark.parametrize("done", [None, np.zeros(0, np.bool_)])
def test_without_shards_there_is_nothing_to_do(done: None) -> None:
    assert Schedule([], workers=1, streams=1, done=done).finished


# Lost workers


def test_shards_of_a_lost_worker_go_elsewhere_one_by_one() -> None:
    plan = schedule(4, workers=2, streams=2)
    plan.handle(Joined(0))
    assert plan.handle(Lost(0, "killed")) == [StartWorker()]
    assert [(give.shards, give.alone) for give in gives(plan.handle(Joined(1)))] == [((0,), True)]
    assert plan.retries == 4


def test_a_suspect_has_its_worker_to_itself() -> None:
    plan = schedule(20)
    plan.handle(Joined(0))
    plan.handle(Lost(0, "killed"))
    (alone,) = gives(plan.handle(Joined(1)))
    assert alone.alone
    # And when it is done, the next suspect.
    assert [give.alone for give in gives(plan.handle(Returned(1, alone.lease, 0.1)))] == [True]


def test_a_result_of_a_lost_worker_is_not_held() -> None:
    plan = schedule(2)
    lease = gives(plan.handle(Joined(0)))[0].lease
    assert plan.holds(0, lease)
    plan.handle(Lost(0, "killed"))
    assert not plan.holds(0, lease)


def poison(plan: Schedule, fault: Fault, limit: int) -> tuple[int, list[Decision]]:
    """Whoever holds shard 1 dies; how often, and what was decided at last."""
    worker, deaths, decisions = 0, 0, plan.handle(Joined(0))
    while deaths < limit and not plan.finished:
        held = gives(decisions)
        if any(1 in give.shards for give in held):
            deaths += 1
            decisions = plan.handle(Lost(worker, "gone", fault), 100.0 * deaths)
            if of(Stop, decisions) or of(Quarantine, decisions):
                break
            worker += 1
            decisions = plan.handle(Joined(worker), 100.0 * deaths)
        else:
            decisions = [d for give in held for d in plan.handle(Returned(worker, give.lease, 0.1))]
    return deaths, decisions


@pytest.mark.parametrize("fault", DEATHS)
def test_a_shard_that_kills_its_worker_three_times_alone_is_named(fault: Fault) -> None:
    deaths, decisions = poison(schedule(3), fault, 20)
    assert of(Stop, decisions)[0].shard == 1
    assert deaths == 1 + DEATHS_OF_A_SHARD


@pytest.mark.parametrize("fault", DEATHS)
def test_it_is_left_out_where_the_job_says_so(fault: Fault) -> None:
    plan = schedule(3, rules=Rules(quarantine=True))
    deaths, decisions = poison(plan, fault, 20)
    assert [(left.shard, left.fault) for left in of(Quarantine, decisions)] == [(1, fault)]
    assert deaths == 1 + DEATHS_OF_A_SHARD
    assert not plan.stopped


@pytest.mark.parametrize("fault", BLAMELESS)
def test_a_node_that_is_gone_blames_no_shard(fault: Fault) -> None:
    deaths, decisions = poison(schedule(3), fault, 50)
    assert deaths == 50
    assert not of(Stop, decisions)


@pytest.mark.parametrize("fault", BLAMELESS)
def test_shards_of_a_lost_node_stay_together(fault: Fault) -> None:
    plan = schedule(4, streams=2)
    plan.handle(Joined(0))
    plan.handle(Lost(0, "node is gone", fault))
    assert [(give.shards, give.alone) for give in gives(plan.handle(Joined(1)))] == [((0, 1), False), ((2, 3), False)]


def test_the_run_stops_when_no_worker_is_left() -> None:
    plan = schedule(100)
    decisions: list[Decision] = [StartWorker()]
    worker = 0
    while of(StartWorker, decisions):
        # Each worker is lost before it is ready.
        decisions = plan.handle(Lost(worker, "no memory"), 1_000.0 * worker)
        decisions += plan.handle(Tick(), 1_000.0 * worker + 100)
        worker += 1
    assert decisions == [Stop("no worker is left; last: no memory", None)]
    assert worker > 10


def test_workers_are_replaced_later_and_later_while_nothing_comes_back() -> None:
    plan, now, waits = schedule(100), 0.0, []
    for worker in range(8):
        decisions = plan.handle(Lost(worker, "died"), now)
        lost_at = now
        while not of(StartWorker, decisions):
            now += 0.25
            decisions = plan.handle(Tick(), now)
        waits.append(now - lost_at)
    assert waits == [0, 0.5, 1, 2, 4, 8, 16, 30]


def test_a_lease_that_comes_back_ends_the_waiting() -> None:
    plan = schedule(100, workers=2)
    for worker in (0, 1, 2):
        plan.handle(Lost(worker, "died"))
    give = gives(plan.handle(Joined(3)))[0]
    plan.handle(Returned(3, give.lease, 0.1))
    assert of(StartWorker, plan.handle(Lost(3, "died")))


@pytest.mark.parametrize("event", [Joined(0), Returned(0, 0, 1.0), Lost(0, "again")])
def test_nothing_a_lost_worker_says_is_heard(event: Joined | Returned | Lost) -> None:
    plan = schedule(3)
    plan.handle(Joined(0))
    plan.handle(Lost(0, "killed"))
    assert plan.handle(event) == []


# Shards that fail


@pytest.mark.parametrize("fault", [Fault.SHARD, Fault.UNEXPECTED])
def test_a_shard_that_fails_is_tried_once_more_by_another_worker(fault: Fault) -> None:
    plan = schedule(100, workers=2)
    give = gives(plan.handle(Joined(0)))[0]
    other = gives(plan.handle(Joined(1)))[0]
    assert (0,) not in [g.shards for g in gives(fail(plan, give, fault))]
    again = gives(plan.handle(Returned(1, other.lease, 0.1)))[0]
    assert (again.worker, again.shards) == (1, (0,))
    assert fail(plan, again, fault) == [Stop("broken", 0, fault)]
    assert ERRORS_OF_A_SHARD == 2


def test_the_only_worker_tries_again_itself() -> None:
    plan = schedule(2)
    give = gives(plan.handle(Joined(0)))[0]
    assert [g.shards for g in gives(fail(plan, give, Fault.SHARD))] == [(0,)]


def test_a_shard_that_failed_twice_is_left_out_where_the_job_says_so() -> None:
    plan = schedule(2, rules=Rules(quarantine=True))
    one, two = gives(plan.handle(Joined(0)))
    (again,) = gives(fail(plan, one, Fault.SHARD))
    plan.handle(Returned(0, two.lease, 0.1))
    assert fail(plan, again, Fault.SHARD) == [Quarantine(0, "broken", Fault.SHARD)]
    assert plan.finished
    assert not plan.stopped


def test_the_other_shards_of_the_lease_are_done() -> None:
    plan = schedule(3, streams=3)
    (give,) = gives(plan.handle(Joined(0)))
    (again,) = gives(fail(plan, give, Fault.SHARD))
    assert again.shards == (0,)
    plan.handle(Returned(0, again.lease, 0.1))
    assert plan.finished


def test_a_store_that_fails_is_asked_again_later_and_later_and_then_ends_the_run() -> None:
    plan, now, waits = schedule(1, rules=Rules(quarantine=True)), 0.0, []
    (give,) = gives(plan.handle(Joined(0)))
    for _ in range(STORAGE_ERRORS_OF_A_SHARD - 1):
        decisions = fail(plan, give, Fault.STORAGE, now)
        failed_at = now
        while not gives(decisions):
            now += 1
            decisions = plan.handle(Tick(), now)
        waits.append(now - failed_at)
        (give,) = gives(decisions)
    assert waits == [1, 2, 4, 8]
    assert fail(plan, give, Fault.STORAGE, now) == [Stop("broken", 0, Fault.STORAGE)]


def test_a_shard_without_memory_is_tried_alone_and_three_times() -> None:
    plan = schedule(1, rules=Rules(quarantine=True))
    (give,) = gives(plan.handle(Joined(0)))
    assert not give.alone
    for _ in range(DEATHS_OF_A_SHARD):
        (give,) = gives(fail(plan, give, Fault.MEMORY))
        assert give.alone
    assert of(Quarantine, fail(plan, give, Fault.MEMORY))[0].fault is Fault.MEMORY


# Deadlines


def test_a_lease_that_is_out_too_long_ends_its_worker() -> None:
    plan = schedule(4, streams=2, rules=Rules(shard_seconds=10))
    plan.handle(Joined(0), 0.0)
    assert plan.handle(Tick(), 9.9) == []
    decisions = plan.handle(Tick(), 11.0)
    assert [kill.worker for kill in of(Kill, decisions)] == [0]
    assert of(StartWorker, decisions)
    assert gives(plan.handle(Joined(1), 11.0))[0].alone


def test_a_lease_of_many_shards_may_take_as_long_as_one_slow_one_and_twenty_times_the_rest() -> None:
    plan = schedule(10_000, rules=Rules(shard_seconds=10))
    one, _ = gives(plan.handle(Joined(0), 0.0))
    # 100 rows in 10 ms: the next lease is 200 shards, of two seconds.
    (many,) = gives(plan.handle(Returned(0, one.lease, 0.01), 0.0))
    assert len(many.shards) == 200
    plan.handle(Returned(0, 1, 0.01), 0.0)
    assert not of(Kill, plan.handle(Tick(), 49.9))
    assert of(Kill, plan.handle(Tick(), 51.0))


def test_while_nothing_is_known_each_may_be_slow() -> None:
    plan = schedule(8, streams=4, rules=Rules(shard_seconds=10))
    plan.handle(Joined(0), 0.0)
    assert not of(Kill, plan.handle(Tick(), 9.9))
    assert of(Kill, plan.handle(Tick(), 11.0))


def test_a_second_lease_begins_when_the_first_is_done() -> None:
    plan = schedule(2, rules=Rules(shard_seconds=10))
    one, _ = gives(plan.handle(Joined(0), 0.0))
    plan.handle(Returned(0, one.lease, 9.0), 9.0)
    assert not of(Kill, plan.handle(Tick(), 18.9))
    assert of(Kill, plan.handle(Tick(), 19.95))


def test_without_a_limit_it_follows_from_the_speed() -> None:
    plan = schedule(3)
    one, _ = gives(plan.handle(Joined(0), 0.0))
    # 100 rows take 100 s: a shard may take 20 times that.
    (third,) = gives(plan.handle(Returned(0, one.lease, 100.0), 100.0))
    plan.handle(Returned(0, 1, 100.0), 200.0)
    assert third.shards == (2,)
    assert not of(Kill, plan.handle(Tick(), 2_199.0))
    assert of(Kill, plan.handle(Tick(), 2_201.0))


# Racing at the end


def race(rules: Rules) -> tuple[Schedule, Give, list[Decision]]:
    """Worker 0 does one shard in 0.1 s and holds another; worker 1 comes 6 s later and has nothing to do."""
    plan = schedule(2, workers=2, rules=rules)
    one, two = gives(plan.handle(Joined(0), 0.0))
    plan.handle(Returned(0, one.lease, 0.1), 0.1)
    assert not gives(plan.handle(Joined(1), 1.0))
    return plan, two, plan.handle(Tick(), 6.0)


def test_what_takes_long_at_the_end_is_given_to_an_idle_worker_as_well() -> None:
    plan, slow, decisions = race(Rules(speculate=True))
    (twin,) = gives(decisions)
    assert (twin.worker, twin.lease, twin.shards) == (1, slow.lease, slow.shards)
    assert plan.holds(0, slow.lease)
    assert plan.holds(1, slow.lease)


@pytest.mark.parametrize("first", [0, 1])
def test_the_first_of_two_counts_and_the_other_does_not(first: int) -> None:
    plan, slow, _ = race(Rules(speculate=True))
    plan.handle(Returned(first, slow.lease, 6.0), 7.0)
    assert plan.finished
    assert not plan.holds(1 - first, slow.lease)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_twin_that_is_lost_costs_nothing(lost: int) -> None:
    plan, slow, _ = race(Rules(speculate=True))
    plan.handle(Lost(lost, "killed"), 7.0)
    assert plan.retries == 0
    assert plan.holds(1 - lost, slow.lease)


def test_both_lost_make_it_a_suspect() -> None:
    plan, _, _ = race(Rules(speculate=True))
    plan.handle(Lost(0, "killed"), 7.0)
    plan.handle(Lost(1, "killed"), 7.0)
    assert [give.alone for give in gives(plan.handle(Joined(2), 7.0))] == [True]


def test_nobody_races_where_the_rules_forbid_it() -> None:
    assert not gives(race(Rules(speculate=False))[2])
