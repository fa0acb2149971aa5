"""List columns: a row that cannot be taken keeps its place, and no other row moves into it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.data.columns import INEXACT_VALUE, NULL_FEATURE, WRONG_LENGTH, Cast, castable
from ortbatch.data.lists import take_lists
from tests.unit.data.arrow import NUMBERS, columns, lists_of, same, values_of
from tests.unit.data.test_columns import expected

KINDS = {"list": pa.list_, "large_list": pa.large_list, "fixed_size_list": lambda kind: pa.list_(kind, 3)}
HIDDEN = [False, True, False, False]


def row_expected(row: list[Any] | None, width: int, dtype: str) -> tuple[list[Any], set[str]]:
    """Values of a good row, or the reasons against it."""
    if row is None:
        return [], {NULL_FEATURE}
    if len(row) != width:
        return [], {WRONG_LENGTH}
    taken = [expected(value, dtype) for value in row]
    return [value for value, _ in taken], {reason for _, reason in taken if reason}


@pytest.mark.parametrize("shape", KINDS)
@settings(max_examples=120)
@given(data=st.data())
def test_every_row_is_what_a_plain_loop_makes_of_it(shape: str, data: st.DataObject) -> None:
    kind, width = data.draw(st.sampled_from(NUMBERS)), 3
    dtype = data.draw(st.sampled_from([d for d in ("float32", "int32", "uint8", "bool") if castable(kind, Cast(d))]))
    exact = st.lists(st.none() | values_of(kind), min_size=width, max_size=width)
    column = data.draw(columns(KINDS[shape](kind), exact if shape == "fixed_size_list" else lists_of(kind, width)))
    taken = take_lists(column, (width,), Cast(dtype))
    assert (taken.values.dtype, taken.values.shape) == (np.dtype(dtype), (len(column), width))
    for place, row in enumerate(column.to_pylist()):
        want, reasons = row_expected(row, width, dtype)
        assert {name for name, mask in taken.bad.items() if mask[place]} == reasons
        assert reasons or all(same(a, b) for a, b in zip(taken.values[place].tolist(), want, strict=True))


def hiding(shape: str) -> pa.Array:
    """[[1, 2], null, [5, 6], [7, 8]], the null row hiding 3 and 4."""
    values, mask = pa.array(range(1, 9)), pa.array(HIDDEN)
    if shape == "fixed_size_list":
        return pa.FixedSizeListArray.from_arrays(values, 2, mask=mask)
    kind = pa.LargeListArray if shape == "large_list" else pa.ListArray
    offsets = pa.array([0, 2, 4, 6, 8], pa.int64() if shape == "large_list" else pa.int32())
    return kind.from_arrays(offsets, values, mask=mask)


@pytest.mark.parametrize("shape", KINDS)
@pytest.mark.parametrize("start", range(4))
def test_values_hidden_by_a_null_row_shift_nothing(shape: str, start: int) -> None:
    taken = take_lists(pa.chunked_array([hiding(shape).slice(start)]), (2,), Cast("int64"))
    null = HIDDEN[start:]
    assert taken.bad.get(NULL_FEATURE, np.zeros(len(null), bool)).tolist() == null
    rows = [[1, 2], None, [5, 6], [7, 8]][start:]
    assert [None if bad else row for row, bad in zip(taken.values.tolist(), null, strict=True)] == rows


@pytest.mark.parametrize("shape", KINDS)
def test_a_slice_of_lists_without_nulls_begins_where_the_slice_does(shape: str) -> None:
    array = pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int64(), 2) if shape == "fixed_size_list" else
                     KINDS[shape](pa.int64()))  # fmt: skip
    assert take_lists(pa.chunked_array([array.slice(1, 1)]), (2,), Cast("int64")).values.tolist() == [[3, 4]]


def test_a_row_too_short_and_a_row_too_long_do_not_make_two_right_ones() -> None:
    taken = take_lists(pa.chunked_array([[[1, 2], [3], [4, 5, 6], [7, 8]]]), (2,), Cast("int64"))
    assert taken.bad[WRONG_LENGTH].tolist() == [False, True, True, False]
    assert taken.values[[0, 3]].tolist() == [[1, 2], [7, 8]]


def test_nulls_inside_a_list_become_nan_in_a_float_input() -> None:
    taken = take_lists(pa.chunked_array([[[1.0, None], [None, 4.0]]]), (2,), Cast("float32"))
    assert taken.bad == {}
    assert np.isnan(taken.values).tolist() == [[False, True], [True, False]]


def test_one_null_inside_a_list_takes_its_row_from_an_integer_input() -> None:
    taken = take_lists(pa.chunked_array([[[1, 2], [3, None], [5, 6]]]), (2,), Cast("int64"))
    assert taken.bad[NULL_FEATURE].tolist() == [False, True, False]


def test_nulls_inside_a_list_become_the_value_that_the_job_gives() -> None:
    taken = take_lists(pa.chunked_array([[[1, None], None]]), (2,), Cast("int64", null=9))
    assert taken.values[0].tolist() == [1, 9]
    assert taken.bad[NULL_FEATURE].tolist() == [False, True]


def test_one_inexact_value_takes_its_whole_row() -> None:
    taken = take_lists(pa.chunked_array([[None, [2**24 + 1, 0], [1, 2]]]), (2,), Cast("float32"))
    assert taken.bad[INEXACT_VALUE].tolist() == [False, True, False]
    assert taken.values[2].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("rows", [[], [None, None], [[1], [1, 2, 3]]])
def test_a_column_without_a_good_row_has_its_shape_all_the_same(rows: list[Any]) -> None:
    taken = take_lists(pa.chunked_array([pa.array(rows, pa.list_(pa.int32()))]), (2,), Cast("float32"))
    assert taken.values.shape == (len(rows), 2)
    assert sum(mask.sum() for mask in taken.bad.values()) == len(rows)
