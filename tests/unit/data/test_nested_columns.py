"""Nested lists and tensors: each row is its own values in row-major order, or bad; no other row moves into it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.data.columns import INEXACT_VALUE, NULL_FEATURE, WRONG_LENGTH, Cast
from ortbatch.data.lists import fits, leaf, lengths_of, take_lists

NESTED = pa.list_(pa.list_(pa.int32()))
KINDS = {
    "lists of lists": NESTED,
    "large lists of lists": pa.large_list(pa.list_(pa.int32())),
    "lists of fixed lists": pa.list_(pa.list_(pa.int32(), 2)),
    "fixed lists of lists": pa.list_(pa.list_(pa.int32()), 3),
    "fixed lists of fixed lists": pa.list_(pa.list_(pa.int32(), 2), 3),
}


def inner(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """A list of the innermost level: of 2, null, or of another length where the type allows it."""
    most = 2 if pa.types.is_fixed_size_list(kind.value_type) else 3
    numbers = st.lists(st.integers(-5, 5), min_size=2 if most == 2 else 0, max_size=most)
    return st.none() | st.lists(st.integers(-5, 5), min_size=2, max_size=2) | numbers


def rows_of(kind: pa.DataType) -> st.SearchStrategy[Any]:
    right = st.lists(st.lists(st.integers(-5, 5), min_size=2, max_size=2), min_size=3, max_size=3)
    fixed = pa.types.is_fixed_size_list(kind)
    other = st.lists(inner(kind), min_size=3 if fixed else 0, max_size=3 if fixed else 7)
    return st.lists(st.none() | right | other, max_size=9)


def reasons_of(row: Any, lengths: set[tuple[int, ...]]) -> set[str]:
    """What a plain loop has against a row whose lists must have one of some pairs of lengths."""
    if row is None or any(item is None for item in row):
        return {NULL_FEATURE}
    found = {(len(row), len(item)) for item in row}
    return set() if len(found) == 1 and found <= lengths else {WRONG_LENGTH}


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=150)
@given(data=st.data())
def test_every_row_is_what_a_plain_loop_makes_of_it(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    rows = data.draw(rows_of(kind))
    start = data.draw(st.integers(0, len(rows)))
    cut = data.draw(st.integers(start, len(rows)))
    array = pa.array(rows, kind)
    taken = take_lists(
        pa.chunked_array([array.slice(start, cut - start), array.slice(cut)], kind), (3, 2), Cast("int64")
    )
    assert taken.values.shape == (len(rows) - start, 6)
    for place, row in enumerate(rows[start:]):
        found = {reason for reason, mask in taken.bad.items() if mask[place]}
        assert found == reasons_of(row, {(3, 2), (1, 6), (6, 1)})
        assert found or taken.values[place].tolist() == [number for item in row for number in item]


@pytest.mark.parametrize(
    ("lengths", "shape", "fit"),
    [
        ((3, 8, 8), (3, 8, 8), True), ((3, 64), (3, 8, 8), True), ((24, 8), (3, 8, 8), True), ((192,), (3, 8, 8), True),
        ((8, 8), (1, 8, 8), True), ((1, 8, 8, 1), (8, 8), True), ((8, 8, 3), (3, 8, 8), False),
        ((64, 3), (3, 8, 8), False), ((3, 8), (3, 8, 8), False), ((None, 8), (3, 8, 8), True),
    ],
)  # fmt: skip
def test_lengths_fit_where_they_are_dimensions_together(lengths: Any, shape: Any, fit: bool) -> None:
    assert fits(lengths, shape) is fit


def test_an_image_with_channels_last_is_no_image_with_channels_first() -> None:
    image = np.arange(12).reshape(2, 2, 3)
    taken = take_lists(
        pa.chunked_array([[image.tolist(), image.transpose(2, 0, 1).tolist()]]), (3, 2, 2), Cast("int64")
    )
    assert taken.bad[WRONG_LENGTH].tolist() == [True, False]
    assert taken.values[1].tolist() == image.transpose(2, 0, 1).reshape(-1).tolist()


def test_the_halves_of_two_rows_do_not_make_two_right_ones() -> None:
    rows = [[[1, 2], [3, 4], [5, 6], [7, 8]], [[1, 2]], [[1, 2, 3], [4]], [[1, 2], [3, 4]]]
    taken = take_lists(pa.chunked_array([pa.array(rows, NESTED)]), (2, 2), Cast("int64"))
    assert taken.bad[WRONG_LENGTH].tolist() == [True, True, True, False]
    assert taken.values[3].tolist() == [1, 2, 3, 4]


def test_a_null_number_or_one_too_large_takes_its_row_alone() -> None:
    rows = [[[1], [None]], [[2**24 + 1], [0]], [[5], [6]]]
    column = pa.chunked_array([pa.array(rows, pa.list_(pa.list_(pa.int64())))])
    assert take_lists(column, (2, 1), Cast("int32")).bad[NULL_FEATURE].tolist() == [True, False, False]
    assert take_lists(column, (2, 1), Cast("float32")).bad[INEXACT_VALUE].tolist() == [False, True, False]


def test_a_tensor_column_is_its_values() -> None:
    numbers = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    array = pa.FixedShapeTensorArray.from_numpy_ndarray(numbers)
    taken = take_lists(pa.chunked_array([array.slice(1), array.slice(0, 1)]), (2, 3), Cast("float32"))
    assert taken.values.tolist() == [numbers[1].reshape(-1).tolist(), numbers[0].reshape(-1).tolist()]
    assert (lengths_of(array.type), leaf(array.type)) == ((6,), pa.float32())


def test_a_tensor_whose_dimensions_are_permuted_is_no_list() -> None:
    kind = pa.fixed_shape_tensor(pa.float32(), (2, 3), permutation=[1, 0])
    assert lengths_of(kind) == ()
