"""Queues of workers and retries do what sorted lists would."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.engine.waiting import Queue, Retries, Untouched

place = st.integers(0, 6)
steps = st.lists(st.tuples(st.sampled_from(["add", "add", "discard", "pop"]), place), max_size=60)

time = st.integers(0, 5).map(float)
worker = st.integers(0, 2)
shards = st.lists(st.integers(0, 99), min_size=1, max_size=3).map(tuple)
additions = st.tuples(shards, time, st.none() | worker)
tries = st.lists(
    st.tuples(st.just("add"), additions) | st.tuples(st.just("pop"), st.tuples(time, worker, st.booleans()))
)

Entry = tuple[tuple[int, ...], float, int | None]


@settings(max_examples=200)
@given(steps)
def test_a_queue_gives_the_number_at_the_first_place(steps: list[tuple[str, int]]) -> None:
    queue, plain = Queue(), dict[int, int]()
    for number, (step, place) in enumerate(steps):
        if step == "add" and place not in plain:
            queue.add(place, number)
            plain[place] = number
        elif step == "discard":
            queue.discard(place)
            plain.pop(place, None)
        elif step == "pop" and plain:
            assert queue.pop() == plain.pop(min(plain))
        assert bool(queue) == bool(plain)


@settings(max_examples=200)
@given(steps)
def test_what_is_left_in_a_queue_comes_out_in_the_order_of_places(steps: list[tuple[str, int]]) -> None:
    queue, plain = Queue(), dict[int, int]()
    for number, (step, place) in enumerate(steps):
        if step == "add" and place not in plain:
            queue.add(place, number)
            plain[place] = number
        elif step == "discard":
            queue.discard(place)
            plain.pop(place, None)
    assert [queue.pop() for _ in plain] == [plain[place] for place in sorted(plain)]
    assert not queue


def test_a_place_can_be_taken_again_by_another() -> None:
    queue = Queue()
    queue.add(5, 1)
    queue.discard(5)
    queue.add(5, 2)
    assert queue.pop() == 2
    assert not queue


def test_number_and_place_zero_are_ones_like_others() -> None:
    queue = Queue()
    queue.add(1, 1)
    queue.add(0, 0)
    assert (queue.pop(), queue.pop()) == (0, 1)


def due(plain: list[Entry], now: float) -> list[Entry]:
    """What may be tried, earliest first, and of one time in the order in which it was added."""
    return sorted((entry for entry in plain if entry[1] <= now), key=lambda entry: entry[1])


@settings(max_examples=300)
@given(tries)
def test_the_first_due_retry_that_another_worker_failed_at_is_given(tries: list[tuple[str, tuple]]) -> None:
    retries, plain = Retries(), list[Entry]()
    for step, arguments in tries:
        if step == "add":
            retries.add(*arguments)
            plain.append(arguments)
        else:
            now, worker, only = arguments
            looked_at = due(plain, now)[:8]
            fit = [entry for entry in looked_at if only or entry[2] != worker]
            assert retries.pop(now, worker, only=only) == (fit[0][0] if fit else None)
            if fit:
                del plain[next(at for at, entry in enumerate(plain) if entry is fit[0])]
        assert len(retries) == len(plain)


@given(st.lists(additions), time)
def test_retries_are_ready_when_one_of_them_is_due(entries: list[Entry], now: float) -> None:
    retries = Retries()
    for entry in entries:
        retries.add(*entry)
    assert retries.ready(now) == bool(due(entries, now))


@given(st.lists(additions))
def test_a_worker_that_is_alone_gets_all_retries_in_their_order(entries: list[Entry]) -> None:
    retries = Retries()
    for entry in entries:
        retries.add(*entry)
    assert [retries.pop(9, 0, only=True) for _ in entries] == [entry[0] for entry in due(entries, 9)]
    assert len(retries) == 0


def test_a_worker_that_failed_at_all_it_may_look_at_gets_nothing_and_nothing_is_lost() -> None:
    retries = Retries()
    for shard in range(20):
        retries.add((shard,), 0, failed=1 if shard < 19 else 2)
    assert retries.pop(1, 1, only=False) is None
    assert [retries.pop(1, 2, only=False) for _ in range(19)] == [(shard,) for shard in range(19)]
    assert len(retries) == 1


def test_a_worker_gets_the_first_it_did_not_fail_at_of_those_it_may_look_at() -> None:
    retries = Retries()
    for shard in range(10):
        retries.add((shard,), 0, failed=2 if shard == 7 else 1)
    assert retries.pop(1, 1, only=False) == (7,)
    assert [retries.pop(1, 2, only=False) for _ in range(9)] == [(shard,) for shard in range(10) if shard != 7]


def test_a_retry_that_nobody_failed_at_is_anybodys() -> None:
    retries = Retries()
    retries.add((1, 2), 3)
    assert retries.pop(2.9, 0, only=False) is None
    assert retries.pop(3, 0, only=False) == (1, 2)
    assert retries.pop(3, 0, only=True) is None


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(0, 120), st.integers(1, 5), st.data())
def test_what_is_untouched_goes_out_once_in_order_and_adds_up(
    rows: list[int], target: int, at_least: int, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(rows))))
    done = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    untouched, out = Untouched(np.array(rows), order, done), list[int]()
    while untouched:
        before = untouched.rows
        shards, taken = untouched.take(target, at_least)
        assert taken == sum(rows[shard] for shard in shards) == before - untouched.rows
        assert taken <= target or len(shards) <= at_least
        out += shards
    assert out == [shard for shard in order if not done[shard]]
    assert (len(untouched), untouched.rows) == (0, 0)
