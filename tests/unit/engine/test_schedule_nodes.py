"""The schedule while nodes come and go, one rule a test. How many workers there are to be: test_size."""

from __future__ import annotations

from ortbatch.engine.events import Dismiss, Fault, Give, Joined, Kill, Lost, Returned, Room, StartWorker, Stop, Want
from ortbatch.engine.schedule import Schedule
from ortbatch.engine.size import Size
from tests.unit.engine.test_schedule import gives, of, schedule


def back(plan: Schedule, give: Give, seconds: float = 1.0, now: float = 0.0):  # type: ignore[no-untyped-def]
    return plan.handle(Returned(give.worker, give.lease, seconds), now)


def test_a_node_that_joins_gets_a_worker() -> None:
    plan = schedule(100)
    plan.handle(Joined(0))
    assert of(StartWorker, plan.handle(Room(3, 3))) == [StartWorker()] * 2
    assert of(StartWorker, plan.handle(Room(3, 3))) == []


def test_a_worker_of_a_node_that_goes_ends_its_leases_and_gets_no_more() -> None:
    plan = schedule(100)
    first, second = gives(plan.handle(Joined(0)))
    plan.handle(Joined(1))
    assert of(Dismiss, plan.handle(Room(2, 2, frozenset({0})))) == []
    after_one = back(plan, first)
    assert (gives(after_one), of(Dismiss, after_one)) == ([], [])
    after_both = back(plan, second)
    assert (gives(after_both), of(Dismiss, after_both)) == ([], [Dismiss(0)])


def test_an_idle_worker_of_a_node_that_goes_is_let_go_at_once() -> None:
    plan = schedule(1)
    plan.handle(Joined(0))
    plan.handle(Joined(1))
    assert of(Dismiss, plan.handle(Room(1, 1, frozenset({1})))) == [Dismiss(1)]


def test_what_a_worker_did_before_it_was_let_go_counts() -> None:
    plan = schedule(4)
    first, second = gives(plan.handle(Joined(0)))
    plan.handle(Room(1, 1, frozenset({0})))
    assert plan.holds(0, first.lease)
    back(plan, first)
    back(plan, second)
    assert plan.retries == 0


def test_where_all_nodes_go_a_worker_is_started_for_one_that_may_come() -> None:
    plan = schedule(10)
    plan.handle(Joined(0))
    assert of(StartWorker, plan.handle(Room(1, 1, frozenset({0})))) == [StartWorker()]


def test_a_shard_that_fails_on_the_last_worker_that_leaves_is_done_by_the_next() -> None:
    plan = schedule(1)
    (give,) = gives(plan.handle(Joined(0)))
    plan.handle(Room(1, 1, frozenset({0})))
    plan.handle(Lost(0, "node", Fault.NODE))
    assert [g.shards for g in gives(plan.handle(Joined(1)))] == [give.shards]


def test_workers_that_end_in_a_row_are_not_replaced_for_ever_because_there_is_room() -> None:
    plan = schedule(100)
    plan.handle(Joined(0))
    starting, started, now = len(of(StartWorker, plan.handle(Room(2, 2)))), 1, 0.0
    while starting and started < 100:
        now += 60.0
        decided = [*plan.handle(Lost(started, "died in its start"), now), *plan.handle(Room(2, 2), now + 50.0)]
        starting += len(of(StartWorker, decided)) - 1
        started += 1
    assert 10 <= started < 20


def test_a_node_that_is_gone_is_not_replaced_by_a_worker_without_a_place() -> None:
    plan = schedule(100, workers=2)
    plan.handle(Joined(0))
    plan.handle(Joined(1))
    plan.handle(Room(1, 1))
    assert of(StartWorker, plan.handle(Lost(1, "gone", Fault.NODE), 60.0)) == []


def test_a_worker_that_dies_while_it_leaves_leaves_one_place_and_not_two() -> None:
    plan = schedule(100, workers=2)
    plan.handle(Joined(0))
    plan.handle(Joined(1))
    assert of(StartWorker, plan.handle(Room(2, 2, frozenset({0})))) == [StartWorker()]
    assert of(StartWorker, plan.handle(Lost(0, "gone", Fault.NODE), 60.0)) == []
    assert of(StartWorker, plan.handle(Room(2, 2), 60.0)) == []


def test_a_late_word_of_a_worker_that_was_let_go_is_not_heard() -> None:
    plan = schedule(1)
    plan.handle(Joined(0))
    plan.handle(Joined(1))
    plan.handle(Room(1, 1, frozenset({1})))
    assert plan.handle(Lost(1, "died")) == []
    assert plan.handle(Joined(1)) == []


def test_machines_are_asked_for_when_the_first_lease_says_how_long_it_takes() -> None:
    plan = schedule(1_000)
    give, _ = gives(plan.handle(Joined(0)))
    assert of(Want, plan.handle(Room(1, 50))) == []
    # 100 rows in 6 s: 998 shards of 100 rows are worth 100 machines.
    back(plan, give, seconds=6.0)
    assert of(Want, plan.handle(Room(1, 50))) == [Want(50)]


def test_machines_are_asked_for_at_once_where_the_model_was_timed() -> None:
    plan = Schedule([100] * 1_000, workers=1, streams=1, size=Size(1, rate=100 / 6))
    assert of(Want, plan.handle(Room(1, 50))) == [Want(50)]


def test_a_hang_on_a_node_that_goes_is_ended_like_any_other() -> None:
    plan = schedule(2)
    plan.handle(Joined(0))
    plan.handle(Room(1, 1, frozenset({0})))
    decided = plan.handle(Room(1, 1, frozenset({0})), 10_000.0)
    assert of(Kill, decided) == []
    assert of(Stop, decided) == []
