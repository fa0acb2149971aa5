"""What a sweep may be asked for, and how lists of sizes are read."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.curve import SIZES, Sweep, numbers_of


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1", (1,)),
        ("1,2,8", (1, 2, 8)),
        (" 1 , 2 ", (1, 2)),
        ("1,2,4,...,256", SIZES),
        ("1,2,...,256", SIZES),
        ("1,2,…,8", (1, 2, 4, 8)),
        ("3,9,...,81", (3, 9, 27, 81)),
        ("1,2,...,8,100", (1, 2, 4, 8, 100)),
        ("1,2,...,4", (1, 2, 4)),
    ],
)
def test_lists_of_numbers_are_read(text: str, numbers: tuple[int, ...]) -> None:
    assert numbers_of(text) == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected whole numbers such as 1,2,4,...,64; got ''"),
        ("1,,2", "got ''"),
        ("1;2", "got '1;2'"),
        ("1,2.5", "got '2.5'"),
        ("1,-2", "got '-2'"),
        ("1,two", "got 'two'"),
        ("١,2", "got '١'"),
        ("1,1e3", "got '1e3'"),
        ("9" * 5_000, "got '9999"),
        ("1,..,8", r"got '\.\.'"),
        ("...,8", "stands between two numbers and the last"),
        ("1,...,8", "stands between two numbers and the last"),
        ("1,2,...", "stands between two numbers and the last"),
        ("2,3,...,8", "3 is no multiple of 2"),
        ("2,2,...,8", "2 is no multiple of 2"),
        ("0,2,...,8", "2 is no multiple of 0"),
        ("1,2,...,100", "by a factor of 2, and 100 is not reached from 2"),
        ("4,8,...,6", "by a factor of 2, and 6 is not reached from 8"),
    ],
)
def test_what_is_no_list_of_numbers_is_refused_with_a_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        numbers_of(text)


@given(st.integers(1, 50), st.integers(2, 5), st.integers(2, 8))
def test_dots_stand_for_what_is_between(first: int, factor: int, more: int) -> None:
    powers = [first * factor**power for power in range(more + 1)]
    assert numbers_of(f"{powers[0]},{powers[1]},...,{powers[-1]}") == tuple(powers)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"batch": ()}, "batch: expected whole numbers of at least 1, rising, each once; got none"),
        ({"batch": (0, 1)}, "got 0, 1"),
        ({"batch": (4, 2)}, "got 4, 2"),
        ({"batch": (1, 1)}, "got 1, 1"),
        ({"threads": (2, 1)}, "threads: expected whole numbers"),
        ({"seconds": 0.0}, "seconds: expected a number above 0, got 0"),
        ({"seconds": math.nan}, "seconds: expected a number above 0, got nan"),
        ({"max_p99_ms": -1.0}, "max_p99_ms: expected a number above 0, got -1"),
        ({"max_p99_ms": math.inf}, "got inf"),
    ],
)
def test_a_sweep_of_nothing_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sweep(**asked)


def test_by_default_powers_of_two_are_run_for_half_a_minute() -> None:
    assert (Sweep().batch, Sweep().threads, Sweep().seconds) == ((1, 2, 4, 8, 16, 32, 64, 128, 256), None, 30.0)
