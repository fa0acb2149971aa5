"""Reading ahead: the same items, never more of them than asked, and an end to the thread whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.data.ahead import Next, ahead

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


def test_what_was_begun_is_taken_once() -> None:
    following: Next[str, int] = Next()
    following.begin("a", lambda: 7)
    assert (following.take("a"), following.take("a"), following.end()) == (7, None, None)
    assert not next_threads()


def test_what_was_not_begun_is_not_there() -> None:
    following: Next[str, int] = Next()
    following.begin("a", lambda: 7)
    assert following.take("b") is None
    assert following.end() == 7


def test_what_failed_is_told_to_who_takes_it_and_to_nobody_else() -> None:
    def fail() -> int:
        raise ValueError("third sector")

    following: Next[str, int] = Next()
    following.begin("a", fail)
    with pytest.raises(ValueError, match="third sector"):
        following.take("a")
    following.begin("b", fail)
    assert following.end() is None


def test_it_is_made_in_another_thread_before_it_is_taken() -> None:
    following, made = Next[str, str](), threading.Event()

    def make() -> str:
        made.set()
        return threading.current_thread().name

    following.begin("a", make)
    assert made.wait(10)
    assert str(following.take("a")).startswith("read-next")
    following.end()


def next_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-next")]
