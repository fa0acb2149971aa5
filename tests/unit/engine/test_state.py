"""Shard sets and run states: nothing is counted twice."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.engine.reducer import Reducer
from ortbatch.engine.state import RunState, ShardSet
from ortbatch.errors import MergeError
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.tally import Tally

IDS = st.sets(st.integers(0, 60))


def state(*shards: int) -> RunState:
    """A state of some shards, one evaluated row each."""
    empty = Tally.empty(("a", "b"), ())
    coverage = Coverage(planned=len(shards), evaluated=len(shards))
    tally = Tally(
        coverage, empty.confusion, empty.scores, empty.log_loss, empty.brier, empty.latency, empty.stages
    )  # fmt: skip
    return RunState(ShardSet.of(shards), tally)


@given(IDS, IDS)
def test_a_shard_set_is_a_set(a: set[int], b: set[int]) -> None:
    first, second = ShardSet.of(a), ShardSet.of(b)
    assert set(first) == a
    assert len(first) == len(a)
    assert first.common(second) == len(a & b)
    if a & b:
        with pytest.raises(MergeError, match="counted twice"):
            first.union(second)
    else:
        assert set(first.union(second)) == a | b


@given(IDS, IDS)
def test_ranges_are_disjoint_sorted_and_not_adjacent(a: set[int], b: set[int]) -> None:
    ranges = ShardSet.of(a).union(ShardSet.of(b - a)).ranges
    assert all(start < stop for start, stop in ranges)
    assert all(one[1] < other[0] for one, other in pairwise(ranges))


def test_all_shards_of_a_run_are_one_range() -> None:
    assert ShardSet.of(range(100_000)).ranges == ((0, 100_000),)


def test_an_id_that_comes_twice_is_refused() -> None:
    with pytest.raises(MergeError, match="shard 3 would be counted twice"):
        ShardSet.of([3, 3])


def test_states_that_share_a_shard_do_not_merge() -> None:
    with pytest.raises(MergeError, match="counted twice"):
        state(1, 2).merge(state(2, 3))


def test_a_twin_is_dropped() -> None:
    reducer = Reducer(Tally.empty(("a", "b"), ()))
    assert reducer.accept(state(1, 2))
    assert not reducer.accept(state(1, 2))
    assert not reducer.accept(state(2))
    assert reducer.duplicates == 2
    assert reducer.state.tally.coverage.planned == 2


def test_a_state_that_is_counted_in_part_is_an_error_not_a_loss() -> None:
    reducer = Reducer(Tally.empty(("a", "b"), ()))
    reducer.accept(state(1, 2))
    with pytest.raises(MergeError, match="1 of 2 shards"):
        reducer.accept(state(2, 3))


@given(st.lists(st.sets(st.integers(0, 90), min_size=1, max_size=9), max_size=60))
def test_any_leases_give_the_set_of_a_plain_merge(leases: list[set[int]]) -> None:
    reducer, plain, duplicates = Reducer(Tally.empty(("a", "b"), ())), state(), 0
    for lease in leases:
        counted = lease & set(plain.shards)
        if counted and counted != lease:
            with pytest.raises(MergeError, match=f"{len(counted)} of {len(lease)} shards"):
                reducer.accept(state(*lease))
            continue
        duplicates += bool(counted)
        assert reducer.accept(state(*lease)) is not bool(counted)
        plain = plain if counted else plain.merge(state(*lease))
        assert (reducer.rows, reducer.done) == (plain.tally.coverage.planned, len(plain.shards))
    assert (reducer.state, reducer.duplicates) == (plain, duplicates)


@given(st.permutations(range(12)), st.integers(1, 5))
def test_any_order_of_states_gives_the_same_run(order: list[int], size: int) -> None:
    reducer = Reducer(Tally.empty(("a", "b"), ()))
    leases = [state(*order[start : start + size]) for start in range(0, 12, size)]
    for lease in leases + leases:
        reducer.accept(lease)
    assert reducer.state == state(*range(12))
