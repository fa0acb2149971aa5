"""Finding rows among known fingerprints, against a dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ortbatch.data.known import Known, Part, parts_of


def of(rows: list[tuple[int, int]]) -> NDArray[np.uint64]:
    return np.array(rows, np.uint64).reshape(-1, 2)


def found(known: Known, rows: list[tuple[int, int]]) -> dict[int, int]:
    places, numbers = known.find(of(rows))
    return dict(zip(places.tolist(), numbers.tolist(), strict=True))


def expected(known: list[tuple[int, int]], rows: list[tuple[int, int]]) -> dict[int, int]:
    numbers = {row: number for number, row in enumerate(known)}
    return {place: numbers[row] for place, row in enumerate(rows) if row in numbers}


# Few first halves, so that unlike fingerprints often share one.
half = st.sampled_from([0, 1, 2**62, 2**63, 2**63 + 1, 2**64 - 1])
print_ = st.tuples(half, half)


@given(known=st.sets(print_, max_size=20), rows=st.lists(print_, max_size=40))
def test_rows_are_found_exactly_if_a_dictionary_finds_them(
    known: set[tuple[int, int]], rows: list[tuple[int, int]]
) -> None:
    ordered = sorted(known)
    assert found(Known.of(of(ordered)), rows) == expected(ordered, rows)


def test_among_a_hundred_thousand_none_is_missed_and_none_invented() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 2**64, (200_000, 2), np.uint64)
    known = drawn[:100_000]
    known = known[np.lexsort((known[:, 1], known[:, 0]))]
    places, numbers = Known.of(known).find(drawn)
    assert places.tolist() == list(range(100_000))
    assert np.array_equal(known[numbers], drawn[:100_000])


def test_the_filter_lets_few_of_the_unknown_through() -> None:
    rng = np.random.default_rng(1)
    drawn = rng.integers(0, 2**64, (50_000, 2), np.uint64)
    known = Known.of(drawn[np.lexsort((drawn[:, 1], drawn[:, 0]))])
    assert np.unpackbits(known.filter).mean() < 0.032


@pytest.mark.parametrize("bits", [0, 1, 3])
def test_parts_hold_every_fingerprint_once(bits: int) -> None:
    drawn = np.random.default_rng(2).integers(0, 2**64, (10_000, 2), np.uint64)
    held = np.array([Part(bits, index).of(drawn) for index in range(2**bits)])
    assert held.sum(axis=0).tolist() == [1] * 10_000


@pytest.mark.parametrize("bits", [1, 3])
def test_the_known_ones_of_a_part_are_found_among_rows_of_all_parts(bits: int) -> None:
    drawn = np.random.default_rng(3).integers(0, 2**64, (20_000, 2), np.uint64)
    drawn = drawn[np.lexsort((drawn[:, 1], drawn[:, 0]))]
    for index in range(2**bits):
        part = Part(bits, index)
        known = drawn[part.of(drawn)][::2]
        places, numbers = Known.of(known, part).find(drawn)
        assert np.array_equal(drawn[places], known)
        assert numbers.tolist() == list(range(len(known)))


def test_as_many_parts_as_keep_each_within_the_limit() -> None:
    assert [len(parts_of(rows, 100)) for rows in (1, 100, 101, 200, 201, 1_000)] == [1, 1, 2, 2, 4, 16]


def test_nothing_is_found_among_none() -> None:
    assert found(Known.of(of([])), [(1, 2)]) == {}
