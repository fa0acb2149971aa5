"""Confusion counts equal scikit-learn's, for every integer dtype, and nothing outside the classes is counted."""

from __future__ import annotations

import time
import tracemalloc
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from sklearn.metrics import confusion_matrix, f1_score, matthews_corrcoef

from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix


def names(size: int) -> tuple[str, ...]:
    return tuple(f"class_{index}" for index in range(size))


def draw_rows(size: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(size)
    return rng.integers(0, size, rows), rng.integers(0, size, rows)


@pytest.mark.parametrize("size", [2, 3, 10, 1_000])
def test_counts_equal_scikit_learn(size: int) -> None:
    true, predicted = draw_rows(size, 20_000)
    expected = confusion_matrix(true, predicted, labels=range(size))
    assert np.array_equal(ConfusionMatrix.of(names(size), true, predicted).counts, expected)


@pytest.mark.parametrize("size", [300, 10_000])
def test_cells_of_many_classes_equal_scipys(size: int) -> None:
    true, predicted = draw_rows(size, 20_000)
    expected = coo_matrix((np.ones(true.size, np.int64), (true, predicted)), (size, size)).tocsr()
    expected.sum_duplicates()
    rows, columns, counts = ConfusionMatrix.of(names(size), true, predicted).cells()
    assert np.array_equal((rows, columns), expected.nonzero())
    assert np.array_equal(counts, expected.data)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4))))
def test_counts_equal_a_loop(rows: list[tuple[int, int]]) -> None:
    expected = [[0] * 5 for _ in range(5)]
    for true, predicted in rows:
        expected[true][predicted] += 1
    columns = np.array(rows, np.int64).reshape(-1, 2).T
    assert ConfusionMatrix.of(names(5), *columns).counts.tolist() == expected


def test_rows_are_true_classes() -> None:
    assert ConfusionMatrix.of(("a", "b"), np.array([1]), np.array([0])).counts.tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.uint64])
def test_a_narrow_dtype_of_indices_does_not_wrap(dtype: type) -> None:
    true, predicted = draw_rows(120, 5_000)
    expected = confusion_matrix(true, predicted, labels=range(120))
    assert np.array_equal(ConfusionMatrix.of(names(120), true.astype(dtype), predicted.astype(dtype)).counts, expected)


def test_counts_are_int64_without_rows() -> None:
    none = np.array([], np.int64)
    matrix = ConfusionMatrix.of(("a", "b"), none, none)
    assert matrix == ConfusionMatrix.empty(["a", "b"])
    assert matrix.counts.dtype == np.int64


@pytest.mark.parametrize("index", [-1, 2, 2**40])
def test_a_label_outside_the_classes_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match=rf"label index outside \[0, 2\): {min(index, 0)} to {max(index, 0)}"):
        ConfusionMatrix.of(("a", "b"), np.array([0, index]), np.array([0, 0]))


@pytest.mark.parametrize("index", [-1, 2])
def test_a_prediction_outside_the_classes_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match=r"prediction index outside \[0, 2\)"):
        ConfusionMatrix.of(("a", "b"), np.array([0, 0]), np.array([0, index]))


def test_unlike_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"as many labels as predictions, got \(2,\) and \(1,\)"):
        ConfusionMatrix.of(("a", "b"), np.array([0, 1]), np.array([0]))


@pytest.mark.parametrize("which", [0, 1])
def test_an_index_that_is_not_an_integer_is_refused(which: int) -> None:
    columns = [np.array([0, 1]), np.array([1, 1])]
    columns[which] = np.array([0.0, 0.5])
    with pytest.raises(TypeError):
        ConfusionMatrix.of(("a", "b"), *columns)


def test_cells_are_the_matrix_without_its_zeros() -> None:
    true, predicted = draw_rows(40, 500)
    matrix = ConfusionMatrix.of(names(40), true, predicted)
    rows, columns, counts = matrix.cells()
    assert counts.min() > 0
    assert np.array_equal(confusion_matrix(rows, columns, labels=range(40), sample_weight=counts), matrix.counts)


@pytest.mark.parametrize("metric", [matthews_corrcoef, lambda *a, **k: f1_score(*a, average="macro", **k)])
def test_cells_as_weights_give_the_metric_of_the_rows(metric: object) -> None:
    true, predicted = draw_rows(10, 5_000)
    rows, columns, counts = ConfusionMatrix.of(names(10), true, predicted).cells()
    assert metric(rows, columns, sample_weight=counts) == pytest.approx(metric(true, predicted), abs=1e-14)  # type: ignore[operator]


def test_rows_are_exact_beyond_the_integers_of_a_float() -> None:
    matrix = ConfusionMatrix(("a", "b"), Cells.of_dense(np.array([[2**53, 1], [2**53, 1]], np.int64)))
    assert matrix.merge(matrix).rows == 2**55 + 4


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("rows", [(-1, 0), (0, -1), (2, 0), (0, 2)])
def test_an_index_outside_that_lands_on_another_cell_is_refused(rows: tuple[int, int], dtype: type) -> None:
    true, predicted = np.array([rows], dtype).T
    with pytest.raises(ValueError, match=r"index outside \[0, 2\)"):
        ConfusionMatrix.of(("a", "b"), true, predicted)


def test_ten_thousand_classes_take_no_memory_of_their_square() -> None:
    classes = names(10_000)
    columns = [draw_rows(10_000, 3_000), draw_rows(10_000, 3_000)]
    tracemalloc.start()
    total = reduce(ConfusionMatrix.merge, [ConfusionMatrix.of(classes, *pair) for pair in columns])
    total.cells()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total.rows == 6_000
    assert peak < 2_000_000


def test_matrices_of_the_same_classes_merge_without_comparing_their_names() -> None:
    class Names(tuple[str, ...]):
        def __ne__(self, other: object) -> bool:
            raise AssertionError("compared")

        __slots__ = ()

    classes = Names(names(3))
    matrices = [ConfusionMatrix(classes, Cells.of((3, 3), np.array([index]))) for index in range(3)]
    assert reduce(ConfusionMatrix.merge, matrices).rows == ConfusionMatrix.merged(matrices).rows == 3


def test_a_thousand_small_matrices_of_ten_thousand_classes_merge_in_a_blink() -> None:
    classes = names(10_000)
    rng = np.random.default_rng(0)
    matrices = [ConfusionMatrix.of(classes, *rng.integers(0, 10_000, (2, 200))) for _ in range(1_000)]
    start = time.process_time()
    total = ConfusionMatrix.merged(matrices)
    assert time.process_time() - start < 0.5
    assert total == reduce(ConfusionMatrix.merge, matrices)
