"""Reading ahead: the same items, never more of them than asked, and an end to the thread whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.data.ahead import ahead

DEPTHS = [0, 1, 3]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "read-ahead"]


@given(items=st.lists(st.integers() | st.none()), depth=st.integers(0, 5))
def test_the_same_items_come_in_the_same_order(items: list[int | None], depth: int) -> None:
    assert list(ahead(iter(items), depth)) == items
    assert not threads()


@pytest.mark.parametrize("depth", DEPTHS)
def test_an_error_comes_where_its_item_would_have_come(depth: int) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("third sector")

    taken = []
    with pytest.raises(ValueError, match="third sector"):
        taken.extend(ahead(items(), depth))
    got = ahead(items(), depth)
    assert next(got) == 1
    with pytest.raises(ValueError, match="third sector"):
        next(got)
    assert not threads()


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_items_are_made_than_fit(depth: int) -> None:
    made = []
    told = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            told.release()
            yield number

    with closing(ahead(items(), depth)) as got:
        for taken in range(5):
            assert next(got) == taken
            while len(made) < taken + 1 + depth:
                assert told.acquire(timeout=10)
            assert not told.acquire(timeout=0.05) or len(made) <= taken + 1 + depth
            assert len(made) == taken + 1 + depth
    assert not threads()


def test_a_consumer_that_stops_ends_the_thread() -> None:
    got = ahead(iter(range(1_000_000)), 2)
    assert next(got) == 0
    got.close()
    assert not threads()


def test_one_that_never_began_started_no_thread() -> None:
    ahead(iter([1]), 2).close()
    assert not threads()


def test_items_are_made_by_another_thread() -> None:
    names = list(ahead((threading.current_thread().name for _ in range(3)), 1))
    assert set(names) == {"read-ahead"}
