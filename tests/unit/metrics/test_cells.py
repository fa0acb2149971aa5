"""Counts by cell are exact, and are the same bytes however they were come by and in whichever form they are held."""

from __future__ import annotations

import pickle
import time
import tracemalloc
from collections.abc import Callable
from functools import reduce
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import coo_matrix

from ortbatch.errors import MergeError
from ortbatch.metrics.cells import Cells

LARGEST = 2**63 - 1
SHAPES = [(0,), (1,), (5,), (3, 4), (40, 40), (2, 2, 2, 68), (10**5, 10**5)]
NONE = np.empty(0, np.int64)


def drawn(shape: tuple[int, ...], rows: int, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, prod(shape), rows)


def single(shape: tuple[int, ...], cell: int, count: int) -> Cells:
    """One cell with a count that no rows could be listed for."""
    counts = np.zeros(shape, np.int64)
    counts.ravel()[cell] = count
    return Cells.of_dense(counts)


@st.composite
def flats(draw: st.DrawFn, size: int = 12) -> NDArray[np.int64]:
    return np.array(draw(st.lists(st.integers(0, size - 1), max_size=40)), np.int64)


@given(flats())
def test_counts_equal_a_loop(flat: NDArray[np.int64]) -> None:
    expected = [0] * 12
    for cell in flat.tolist():
        expected[cell] += 1
    assert Cells.of((3, 4), flat).dense().tolist() == np.reshape(expected, (3, 4)).tolist()


@pytest.mark.parametrize("rows", [0, 1, 7, 300, 20_000])
@pytest.mark.parametrize("size", [300, 10_000])
def test_counts_of_a_large_matrix_equal_scipys(size: int, rows: int) -> None:
    flat = drawn((size, size), rows)
    expected = coo_matrix((np.ones(rows, np.int64), np.divmod(flat, size)), (size, size)).tocsr()
    cells = Cells.of((size, size), flat)
    indices, counts = cells.nonzero()
    expected.sum_duplicates()
    assert indices.tolist() == np.ravel_multi_index(expected.nonzero(), (size, size)).tolist()
    assert counts.tolist() == expected.data.tolist()
    assert cells.sum() == rows
    assert np.array_equal(cells.row_sums(), np.asarray(expected.sum(axis=1)).ravel())
    assert np.array_equal(cells.column_sums(), np.asarray(expected.sum(axis=0)).ravel())
    assert np.array_equal(cells.diagonal(), expected.diagonal())


@given(flats())
def test_both_forms_have_the_same_sums_and_parts(flat: NDArray[np.int64]) -> None:
    for rows in (flat, np.concatenate([flat, np.arange(12)])):
        cells, dense = Cells.of((3, 4), rows), np.bincount(rows, minlength=12).reshape(3, 4)
        assert np.array_equal(cells.row_sums(), dense.sum(axis=1))
        assert np.array_equal(cells.column_sums(), dense.sum(axis=0))
        assert [cells.part(row).tolist() for row in range(3)] == dense.tolist()
        assert [cells.at(row) for row in range(3)] == [Cells.of_dense(row) for row in dense]
        assert cells.sum() == len(rows)
        indices, counts = cells.nonzero()
        assert indices.tolist() == np.flatnonzero(dense).tolist()
        assert counts.tolist() == dense[dense > 0].tolist()


@given(flats(16))
def test_the_diagonal_is_numpys(flat: NDArray[np.int64]) -> None:
    cells = Cells.of((4, 4), flat)
    assert cells.diagonal().tolist() == np.diagonal(cells.dense()).tolist()


@pytest.mark.parametrize("filled", range(11))
def test_sparse_is_what_fills_less_than_half(filled: int) -> None:
    cells = Cells.of((2, 5), np.arange(filled))
    assert (cells.indices is not None) == (2 * filled < 10)


def out_of_band(cells: Cells) -> Cells:
    buffers: list[pickle.PickleBuffer] = []
    wire = pickle.dumps(cells, protocol=5, buffer_callback=buffers.append)
    copy: Cells = pickle.loads(wire, buffers=[bytes(buffer) for buffer in buffers])
    return copy


WAYS: dict[str, Callable[[tuple[int, ...], NDArray[np.int64]], Cells]] = {
    "at once": Cells.of,
    "known to be inside": lambda shape, flat: Cells.of(shape, flat, inside=True),
    "by row": lambda shape, flat: reduce(Cells.merge, [Cells.of(shape, flat[i : i + 1]) for i in range(len(flat))]),
    "by row, at once": lambda shape, flat: Cells.merged([Cells.of(shape, flat[i : i + 1]) for i in range(len(flat))]),
    "in halves": lambda shape, flat: Cells.of(shape, flat[::2]).merge(Cells.of(shape, flat[1::2])),
    "in halves, at once": lambda shape, flat: Cells.merged([Cells.of(shape, flat[::2]), Cells.of(shape, flat[1::2])]),
    "with none": lambda shape, flat: Cells.empty(shape).merge(Cells.of(shape, flat)).merge(Cells.empty(shape)),
    "over the wire": lambda shape, flat: pickle.loads(pickle.dumps(Cells.of(shape, flat))),
    "out of band": lambda shape, flat: out_of_band(Cells.of(shape, flat)),
    "over the wire in part": lambda shape, flat: pickle.loads(pickle.dumps(Cells.of(shape, flat[::2]))).merge(
        Cells.of(shape, flat[1::2])
    ),
    "from all counts": lambda shape, flat: Cells.of_dense(np.bincount(flat, minlength=prod(shape)).reshape(shape)),
    "in parts": lambda shape, flat: Cells.stacked(
        shape[1:], [Cells.of_dense(part) for part in np.bincount(flat, minlength=prod(shape)).reshape(shape)]
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rows", [1, 10, 200, 2_000])
@pytest.mark.parametrize("shape", [(1, 3), (8, 8), (40, 40), (3, 2, 2, 68)])
def test_equal_counts_are_equal_bytes(shape: tuple[int, ...], rows: int, way: str) -> None:
    flat = drawn(shape, rows)
    cells, expected = WAYS[way](shape, flat), Cells.of(shape, np.sort(flat))
    assert cells == expected
    assert pickle.dumps(cells) == pickle.dumps(expected)


@given(flats(), flats())
def test_values_are_equal_if_and_only_if_their_counts_are(one: NDArray[np.int64], other: NDArray[np.int64]) -> None:
    a, b = Cells.of((3, 4), one), Cells.of((3, 4), other)
    assert (a == b) == np.array_equal(a.dense(), b.dense())
    assert (a != b) == (not np.array_equal(a.dense(), b.dense()))


def test_equal_cells_of_another_shape_are_not_equal() -> None:
    assert Cells.of((3, 4), np.array([5])) != Cells.of((4, 3), np.array([5]))


@pytest.mark.parametrize("shape", SHAPES)
def test_none_is_the_empty_value(shape: tuple[int, ...]) -> None:
    assert Cells.of(shape, NONE) == Cells.empty(shape) == Cells.merged([Cells.empty(shape)] * 3)
    assert Cells.empty(shape).sum() == 0


@given(st.lists(flats(), min_size=1, max_size=6))
def test_many_at_once_are_one_after_another(parts: list[NDArray[np.int64]]) -> None:
    values = [Cells.of((3, 4), flat) for flat in parts]
    assert Cells.merged(values) == reduce(Cells.merge, values) == Cells.of((3, 4), np.concatenate(parts))


@pytest.mark.parametrize("large", [0, 300, 60_000])
def test_sparse_values_of_any_size_merge_to_the_counts_of_all_rows(large: int) -> None:
    shape = (1, 2, 2, 65_540)
    parts = [drawn(shape, large, seed=1), *(drawn(shape, 200, seed) for seed in range(2, 12))]
    values = [Cells.of(shape, part) for part in parts]
    expected = np.bincount(np.concatenate(parts), minlength=prod(shape)).reshape(shape)
    assert np.array_equal(reduce(Cells.merge, values).dense(), expected)
    assert np.array_equal(reduce(Cells.merge, reversed(values)).dense(), expected)
    assert np.array_equal(Cells.merged(values).dense(), expected)


@pytest.mark.parametrize("shape", [(2, 2), (100, 100)], ids=["dense", "sparse"])
@pytest.mark.parametrize(("a", "b"), [(LARGEST, 1), (1, LARGEST), (2**62, 2**62), (LARGEST, LARGEST)])
def test_a_count_beyond_int64_is_refused(shape: tuple[int, ...], a: int, b: int) -> None:
    with pytest.raises(OverflowError, match="limit of int64"):
        single(shape, 3, a).merge(single(shape, 3, b))
    with pytest.raises(OverflowError, match="limit of int64"):
        Cells.merged([single(shape, 3, a), single(shape, 3, b)])


@pytest.mark.parametrize("full", [False, True], ids=["sparse", "dense"])
def test_a_sum_that_wraps_twice_is_refused(full: bool) -> None:
    values = [single((5, 5), 7, 2**62)] * 4
    rest = [Cells.of((5, 5), np.arange(25))] if full else []
    with pytest.raises(OverflowError):
        Cells.merged([*rest, *values])


@pytest.mark.parametrize("shape", [(2, 2), (100, 100)], ids=["dense", "sparse"])
def test_counts_up_to_the_largest_int64_are_exact(shape: tuple[int, ...]) -> None:
    parts = [single(shape, 3, LARGEST - 1), single(shape, 3, 1), single(shape, 2, LARGEST)]
    for total in (reduce(Cells.merge, parts), Cells.merged(parts)):
        assert total.dense().ravel()[[2, 3]].tolist() == [LARGEST, LARGEST]


def test_sums_are_exact_beyond_the_integers_of_a_float() -> None:
    cells = single((50, 50), 0, 2**53).merge(single((50, 50), 1, 1)).merge(single((50, 50), 50, 1))
    assert cells.row_sums()[0] == cells.column_sums()[0] == 2**53 + 1
    assert cells.sum() == 2**53 + 2


@pytest.mark.parametrize("cell", [-1, 12, 2**40, -(2**63)])
@pytest.mark.parametrize("rows", [1, 100])
def test_an_index_outside_the_shape_is_refused(cell: int, rows: int) -> None:
    with pytest.raises(ValueError, match=r"cell index outside \[0, 12\)"):
        Cells.of((3, 4), np.array([0] * rows + [cell]))


@pytest.mark.parametrize("make", [lambda array: Cells.of((9,), array), Cells.of_dense], ids=["indices", "counts"])
@pytest.mark.parametrize("dtype", [np.int32, np.uint64, np.float64])
def test_another_dtype_is_refused(dtype: type, make: Callable[[Any], Cells]) -> None:
    with pytest.raises(TypeError, match=f"of int64, got {np.dtype(dtype)}"):
        make(np.array([1, 2], dtype))


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="a count is not negative, got -3"):
        Cells.of_dense(np.array([4, -3]))


def test_other_shapes_are_refused_also_at_once() -> None:
    for merge in (Cells.merge, lambda a, b: Cells.merged([a, b])):
        with pytest.raises(MergeError, match=r"shapes of cells differ: \(2, 3\) and \(3, 2\)"):
            merge(Cells.empty((2, 3)), Cells.empty((3, 2)))


@pytest.mark.parametrize("rows", [3, 60])
def test_what_is_handed_out_cannot_be_written_to(rows: int) -> None:
    cells = Cells.of((6, 6), drawn((6, 6), rows))
    sums = (cells.row_sums(), cells.column_sums(), cells.diagonal())
    for array in (cells.dense(), cells.part(1), *cells.nonzero(), *sums, cells.counts):
        assert not array.flags.writeable


def test_counts_that_are_held_are_nobody_elses() -> None:
    mine = np.ones((2, 2), np.int64)
    cells = Cells.of_dense(mine)
    mine[0, 0] = 7
    assert cells.sum() == 4


def test_few_rows_of_a_huge_shape_take_little_memory() -> None:
    shape = (10**5, 10**5)
    rows = [drawn(shape, 500, seed) for seed in range(4)]
    tracemalloc.start()
    values = [Cells.of(shape, flat) for flat in rows]
    total = Cells.merged(values).merge(values[0])
    total.diagonal()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total.sum() == 2_500
    assert peak < 2_000_000


def seconds(work: Callable[[], object]) -> float:
    """Shortest of five."""
    times = []
    for _ in range(5):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def test_a_thousand_small_values_merge_into_a_large_one_in_a_blink() -> None:
    shape = (1, 2, 2, 65_540)
    values = [Cells.of(shape, drawn(shape, 70_000)), *(Cells.of(shape, drawn(shape, 300, n)) for n in range(1_000))]
    assert seconds(lambda: Cells.merged(values)) < 0.1


def test_two_small_values_of_a_large_shape_merge_without_a_pass_over_it() -> None:
    shape = (10**5, 10**5)
    a, b = (Cells.of(shape, drawn(shape, 300, seed)) for seed in (1, 2))
    assert seconds(lambda: [a.merge(b) for _ in range(100)]) < 0.1
