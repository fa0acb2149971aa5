"""How many workers there are to be: a table, and what holds whatever nodes come and go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.engine.events import Room
from ortbatch.engine.size import MACHINE_SECONDS, START_SECONDS, Left, Size


def seen(room: Room, streams: int = 2, rate: float | None = None) -> Size:
    size = Size(streams, rate)
    size.see(room)
    return size


# places, there, shards left, of them waiting, rows waiting, rows/s of a worker → workers to start
MORE = {
    "a node joins": (4, 2, 100, 80, 10_000, 10.0, 2),
    "all places are taken": (4, 4, 100, 80, 10_000, 10.0, 0),
    "a node left, and its workers are not lost yet": (2, 4, 100, 80, 10_000, 10.0, 0),
    "one shard a stream bounds them": (8, 1, 5, 5, 10_000, 10.0, 2),
    "what waits bounds them": (8, 2, 100, 3, 10_000, 10.0, 1),
    "nothing waits": (8, 2, 6, 0, 0, 10.0, 0),
    "the rest is done sooner than a worker starts": (8, 2, 100, 80, 90, 10.0, 0),
    "just worth it": (8, 2, 100, 80, 100, 10.0, 6),
    "the speed is not known": (4, 2, 100, 80, 10, None, 2),
    "no worker is there, nothing waits": (1, 0, 4, 0, 0, 10.0, 1),
    "no worker is there, all is done": (1, 0, 0, 0, 0, 10.0, 0),
}


@pytest.mark.parametrize(("places", "there", "shards", "waiting", "rows", "rate", "more"), MORE.values(), ids=MORE)
def test_workers_to_start(
    places: int, there: int, shards: int, waiting: int, rows: int, rate: float | None, more: int
) -> None:
    assert seen(Room(places, places)).more(there, Left(shards, waiting, rows, rate)) == more


# places, most, shards left, rows waiting, rows/s of a worker → workers to ask for
ASK = {
    "the cluster does not scale": (4, 4, 1_000, 10**6, 10.0, None),
    "a minute's work a worker": (1, 100, 1_000, 6_000, 10.0, 10),
    "less than a minute's work": (1, 100, 1_000, 100, 10.0, None),
    "no more than the job's most": (1, 7, 1_000, 10**6, 10.0, 7),
    "no more than shards keep busy": (1, 100, 9, 10**6, 10.0, 5),
    "no fewer than there are": (20, 100, 1_000, 6_000, 10.0, None),
    "the speed is not known": (1, 100, 1_000, 10**6, None, None),
}


@pytest.mark.parametrize(("places", "most", "shards", "rows", "rate", "workers"), ASK.values(), ids=ASK)
def test_workers_to_ask_machines_for(
    places: int, most: int, shards: int, rows: int, rate: float | None, workers: int | None
) -> None:
    assert seen(Room(places, most)).ask(Left(shards, shards, rows, rate)) == workers


def test_workers_that_are_on_their_way_will_take_of_what_waits() -> None:
    size = seen(Room(8, 8))
    assert [size.more(2, Left(100, 6, 10**6, 10.0, starting)) for starting in (0, 2, 3)] == [3, 1, 0]


def test_before_a_lease_came_back_the_speed_that_was_measured_before_the_run_counts() -> None:
    assert seen(Room(1, 100), rate=10.0).ask(Left(1_000, 1_000, 6_000, None)) == 10


def test_a_measured_speed_wins() -> None:
    assert seen(Room(1, 100), rate=1e9).ask(Left(1_000, 1_000, 6_000, 10.0)) == 10


def test_the_same_is_asked_for_once() -> None:
    size = seen(Room(1, 100))
    assert [size.ask(Left(1_000, 1_000, 6_000, 10.0)) for _ in range(3)] == [10, None, None]


def test_what_is_asked_for_grows_at_once_and_shrinks_by_halves() -> None:
    size = seen(Room(1, 100))
    asked = [size.ask(Left(1_000, 1_000, int(work * MACHINE_SECONDS), 1.0)) for work in (10, 11, 9, 6, 5, 2)]
    assert asked == [10, 11, None, None, 5, 2]


def test_nothing_is_said_before_nodes_were_seen() -> None:
    size, left = Size(2), Left(100, 100, 10_000, 1.0)
    assert (size.more(0, left), size.ask(left), size.has_room(5)) == (0, None, True)


def test_a_lost_worker_is_replaced_only_where_there_is_room() -> None:
    size = seen(Room(3, 3))
    assert [size.has_room(there) for there in (2, 3, 4)] == [True, False, False]


LEFTS = st.builds(
    lambda waiting, out, rows, rate: Left(waiting + out, waiting, rows, rate),
    st.integers(0, 500), st.integers(0, 50), st.integers(0, 10**6), st.none() | st.floats(0.1, 1e6),
)  # fmt: skip
ROOMS = st.builds(lambda places, more: Room(places, places + more), st.integers(1, 40), st.integers(0, 100))


@given(st.lists(st.tuples(ROOMS, LEFTS), min_size=1, max_size=20), st.integers(0, 40), st.integers(1, 8))
def test_workers_stay_within_room_and_shards_and_are_never_none(
    history: list[tuple[Room, Left]], there: int, streams: int
) -> None:
    size = Size(streams)
    for room, left in history:
        size.see(room)
        more = size.more(there, left)
        assert more >= 0
        assert more == 0 or there + more <= max(1, min(room.places, -(-left.shards // streams)))
        assert there + more >= 1 or left.shards == 0
        there += more


@given(ROOMS, LEFTS, st.integers(0, 40), st.integers(1, 8))
def test_it_does_not_ask_for_what_it_just_got(room: Room, left: Left, there: int, streams: int) -> None:
    size = seen(room, streams)
    more = size.more(there, left)
    assert size.more(there + more, replace(left, starting=more)) == 0 or there == 0
    assert size.more(there + more + 100, left) == 0


@given(st.lists(st.tuples(ROOMS, LEFTS), min_size=1, max_size=20), st.integers(1, 8))
def test_machines_are_asked_for_within_the_most_and_the_shards(history: list[tuple[Room, Left]], streams: int) -> None:
    size = Size(streams)
    for room, left in history:
        size.see(room)
        asked = size.ask(left)
        assert asked is None or asked <= max(1, min(room.most, -(-left.shards // streams)))
        assert asked is None or room.most > room.places


@given(st.floats(0.8, 1.25), st.floats(0.8, 1.25), st.integers(1, 90))
def test_a_speed_that_wavers_by_a_quarter_changes_the_request_once_each_way_at_most(
    one: float, other: float, work: int
) -> None:
    size = seen(Room(1, 1_000))
    asked = [size.ask(Left(5_000, 5_000, work * 600, 10 * rate)) for rate in (one, other) * 10]
    assert sum(number is not None for number in asked) <= 2


@given(LEFTS, st.integers(1, 40))
def test_a_rest_of_less_than_its_start_is_never_worth_a_worker(left: Left, there: int) -> None:
    rate = (left.rows + 1) / (there * START_SECONDS)
    quick = Left(left.shards, left.waiting, left.rows, rate)
    assert seen(Room(1_000, 1_000), 1).more(there, quick) == 0
