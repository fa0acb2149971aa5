"""What the reducer gives away for segments, and what it knows is counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.engine.reducer import Reducer
from ortbatch.engine.state import Part, RunState, ShardSet
from ortbatch.errors import MergeError
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.sums import FixedSum
from ortbatch.metrics.tally import Tally

EMPTY = Tally.empty(("a", "b"), ())
leases = st.sets(st.integers(0, 40), min_size=1, max_size=5)
steps = st.lists(st.just("take") | leases, max_size=80)


def state(shards: Iterable[int]) -> RunState:
    """A state that shows how often each shard is in it: shard s adds 16^s to a sum, s + 1 rows, and a file."""
    ids = sorted(shards)
    rows = sum(shard + 1 for shard in ids)
    units = FixedSum(sum(16**shard for shard in ids), len(ids))
    parts = tuple(Part(shard, shard + 1, "") for shard in ids)
    return RunState(ShardSet.of(ids), replace(EMPTY, coverage=Coverage(rows, rows), log_loss=units), parts)


class Walk:
    """A reducer that is led through some steps, beside plain sets that say what must come of it."""

    def __init__(self) -> None:
        self.reducer = Reducer(EMPTY)
        self.counted: set[int] = set()
        self.fresh: set[int] = set()
        self.taken: list[set[int]] = []

    def through(self, steps: Iterable[object]) -> Walk:
        for step in steps:
            if isinstance(step, set):
                self.lease(step)
            else:
                self.take()
        return self

    def lease(self, shards: set[int]) -> None:
        if shards & self.counted and not shards <= self.counted:
            with pytest.raises(MergeError):
                self.reducer.accept(state(shards))
        elif self.reducer.accept(state(shards)):
            assert not shards & self.counted
            self.counted |= shards
            self.fresh |= shards

    def take(self) -> None:
        assert self.reducer.take() == (state(self.fresh) if self.fresh else None)
        self.taken += [self.fresh] if self.fresh else []
        self.fresh = set()


@settings(max_examples=100)
@given(steps)
def test_each_take_gives_what_came_since_the_one_before(steps: list[object]) -> None:
    Walk().through(steps).take()


@settings(max_examples=100)
@given(steps)
def test_what_was_taken_and_what_is_left_are_together_what_is_counted(steps: list[object]) -> None:
    walk, given_away = Walk(), state(())
    for step in [*steps, "take"]:
        if isinstance(step, set):
            walk.lease(step)
        elif (taken := walk.reducer.take()) is not None:
            given_away = given_away.merge(taken)
    assert given_away == walk.reducer.state == state(walk.counted)


@settings(max_examples=100)
@given(steps)
def test_taking_changes_nothing_that_is_counted(steps: list[object]) -> None:
    walk = Walk().through(steps)
    before = walk.reducer.state, walk.reducer.rows, walk.reducer.done, walk.reducer.duplicates
    walk.reducer.take()
    reducer = walk.reducer
    assert (reducer.state, reducer.rows, reducer.done, reducer.duplicates) == before
    assert reducer.state == state(walk.counted)


@settings(max_examples=100)
@given(steps)
def test_nothing_is_taken_twice(steps: list[object]) -> None:
    walk = Walk().through([*steps, "take"])
    assert walk.reducer.take() is None
    assert sum(len(taken) for taken in walk.taken) == len(walk.counted)


@given(steps, st.integers(0, 60))
def test_the_mask_says_of_each_of_the_first_shards_whether_it_is_counted(steps: list[object], shards: int) -> None:
    walk = Walk().through(steps)
    mask = walk.reducer.counted(shards)
    assert mask.dtype == np.bool_
    assert mask.tolist() == [shard in walk.counted for shard in range(shards)]


@given(steps, st.sets(st.integers(0, 60), max_size=5))
def test_a_state_overlaps_if_a_shard_of_it_is_counted(steps: list[object], shards: set[int]) -> None:
    walk = Walk().through(steps)
    assert walk.reducer.overlaps(state(shards)) == bool(shards & walk.counted)


@settings(max_examples=100)
@given(steps)
def test_rows_and_shards_are_those_that_are_counted(steps: list[object]) -> None:
    walk = Walk().through(steps)
    assert walk.reducer.done == len(walk.counted)
    assert walk.reducer.rows == sum(shard + 1 for shard in walk.counted)


@pytest.mark.parametrize("every", [1, 3, 17, 50, 1_000])
def test_many_leases_and_many_takes_lose_nothing(every: int) -> None:
    walk = Walk()
    for number in range(100):
        walk.lease({2 * number})
        if number % every == every - 1:
            walk.take()
    walk.take()
    assert walk.reducer.state == state(range(0, 200, 2))


def test_a_new_reducer_has_nothing_to_give() -> None:
    reducer = Reducer(EMPTY)
    assert reducer.take() is None
    assert reducer.state == state(())
    assert reducer.counted(3).tolist() == [False] * 3


def test_a_twin_of_what_was_taken_is_dropped_and_not_taken_again() -> None:
    walk = Walk().through([{1, 2}, "take", {2}, {1, 2}])
    assert walk.reducer.duplicates == 2
    assert walk.reducer.take() is None


def test_a_lease_that_is_refused_leaves_nothing() -> None:
    walk = Walk().through([{1, 2}, "take", {2, 3}])
    assert walk.reducer.take() is None
    assert walk.reducer.counted(5).tolist() == [False, True, True, False, False]
    assert not walk.reducer.overlaps(state({3}))


def test_the_mask_cannot_be_used_to_change_what_is_counted() -> None:
    reducer = Reducer(EMPTY)
    reducer.accept(state({0}))
    reducer.counted(1)[:] = False
    assert reducer.overlaps(state({0}))


def test_adjacent_leases_are_taken_as_one_range() -> None:
    reducer = Reducer(EMPTY)
    for shard in (3, 1, 2):
        reducer.accept(state({shard}))
    taken = reducer.take()
    assert taken is not None
    assert taken.shards.ranges == ((1, 4),)
