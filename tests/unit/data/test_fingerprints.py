"""Fingerprints against plain Python: rows are equal as tuples of what the model is given exactly if these are equal."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.data.binding import InputBinding
from ortbatch.data.columns import Cast
from ortbatch.data.fingerprints import BLOCK_ROWS, Fingerprinter
from ortbatch.data.ragged import Padding

CODES = {"float32": "f", "float64": "d", "int32": "i", "int64": "q"}


def bound(*columns: str, dtype: str = "float32", **options: Any) -> InputBinding:
    return InputBinding("x", columns, (len(columns),), Cast(dtype, lossy=True), False, "job", **options)


def listed(width: int, dtype: str = "float32") -> InputBinding:
    return InputBinding("x", ("v",), (width,), Cast(dtype), True, "job")


def padded(dtype: str = "int64", **options: Any) -> InputBinding:
    padding = Padding(**{"value": 0.0, "length": 8, "limit": 8, "truncate": True, **options})
    return InputBinding("x", ("v",), (0,), Cast(dtype), False, "job", padding)


MASK = InputBinding("mask", (), (0,), Cast("int64"), False, "job", None, "x")


def prints(binding: InputBinding | Sequence[InputBinding], **columns: Any) -> list[tuple[int, ...]]:
    bindings = (binding,) if isinstance(binding, InputBinding) else tuple(binding)
    return [tuple(row) for row in Fingerprinter(bindings)(pa.table(columns)).values.tolist()]


def as_they_are(values: Any, kind: pa.DataType | None = None) -> list[tuple[int, ...]]:
    found = Fingerprinter((), ("c",))(pa.table({"c": pa.array(values, kind)}))
    return [tuple(row) for row in found.values.tolist()]


def bits(value: float, dtype: str) -> bytes:
    """A number as the model is given it; one zero, one NaN."""
    if isinstance(value, float) and math.isnan(value):
        return b"nan"
    cast = np.dtype(dtype).type(value)
    return struct.pack(CODES[dtype], cast.item() if cast != 0 else 0)


def classes_of(items: Sequence[Any]) -> list[int]:
    """The first place of each item's equals."""
    return [items.index(item) for item in items]


VALUES = [0.0, -0.0, 1.0, 0.1, math.nan, -math.nan, math.inf, -math.inf, 1e-45, 16777217.0, 3e38]
few = st.sampled_from(VALUES[:6])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(rows=st.lists(st.tuples(few, few), min_size=20, max_size=60))
def test_rows_of_floats_have_equal_fingerprints_exactly_if_they_are_equal(dtype: str, rows: list[Any]) -> None:
    columns = {name: pa.array([row[place] for row in rows], pa.float64()) for place, name in enumerate("ab")}
    found = prints(bound("a", "b", dtype=dtype), **columns)
    assert classes_of(found) == classes_of([tuple(bits(value, dtype) for value in row) for row in rows])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_pair_of_odd_floats_is_told_apart_as_the_model_would(dtype: str) -> None:
    found = prints(bound("a", dtype=dtype), a=np.array(VALUES))
    assert classes_of(found) == classes_of([bits(value, dtype) for value in VALUES])
    listed_ones = pa.FixedSizeListArray.from_arrays(pa.array(VALUES, pa.float64()).cast(dtype, safe=False), 1)
    assert classes_of(prints(listed(1, dtype), v=listed_ones)) == classes_of(found)


@pytest.mark.parametrize("layout", ["scalar", "list", "ragged", "transform"])
def test_both_halves_of_a_wide_number_count_each_in_its_place(layout: str) -> None:
    values = [1, 2**32, 2**32 + 1, -1, 0]
    rows = pa.array([[value] for value in values], pa.list_(pa.int64()))
    found = {
        "scalar": lambda: prints(bound("a", dtype="int64"), a=values),
        "list": lambda: prints(listed(1, "int64"), v=rows),
        "ragged": lambda: prints((padded(), MASK), v=rows),
        "transform": lambda: as_they_are(values),
    }[layout]()
    assert classes_of(found) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@given(rows=st.lists(st.tuples(*[st.integers(-2, 2) | st.integers(-(2**31), 2**31 - 1)] * 2), min_size=1, max_size=40))
def test_rows_of_integers_have_equal_fingerprints_exactly_if_they_are_equal(dtype: str, rows: list[Any]) -> None:
    columns = {name: pa.array([row[place] for row in rows], pa.int64()) for place, name in enumerate("ab")}
    assert classes_of(prints(bound("a", "b", dtype=dtype), **columns)) == classes_of(rows)


@given(st.lists(st.lists(st.integers(-1, 2), min_size=3, max_size=3), min_size=1, max_size=40))
def test_lists_of_one_length_are_equal_exactly_if_their_values_are(rows: list[list[int]]) -> None:
    column = pa.array([[float(value) for value in row] for row in rows], pa.list_(pa.float32(), 3))
    assert classes_of(prints(listed(3), v=column)) == classes_of(rows)


@given(st.lists(st.lists(st.integers(0, 3), max_size=8), min_size=1, max_size=40))
def test_padded_lists_are_equal_exactly_if_the_rows_filled_up_are(rows: list[list[int]]) -> None:
    column = pa.array(rows, pa.list_(pa.int64()))
    assert classes_of(prints(padded(), v=column)) == classes_of([[*row, *[0] * (8 - len(row))] for row in rows])


@given(st.lists(st.lists(st.integers(0, 3), max_size=8), min_size=1, max_size=40))
def test_padded_lists_with_a_mask_are_equal_exactly_if_the_lists_are(rows: list[list[int]]) -> None:
    column = pa.array(rows, pa.list_(pa.int64()))
    assert classes_of(prints((padded(), MASK), v=column)) == classes_of(rows)


@given(st.lists(st.text("aé", max_size=3), min_size=1, max_size=40))
def test_texts_are_equal_exactly_if_they_are_the_same(rows: list[str]) -> None:
    found = prints(bound("a", dtype="string"), a=pa.array(rows, pa.string()))
    assert classes_of(found) == classes_of(rows)


def test_only_what_the_limit_leaves_of_a_list_counts() -> None:
    column = pa.array([[1, 2, 3], [1, 2, 4], [1, 3, 3]], pa.list_(pa.int64()))
    assert classes_of(prints(padded(length=2, limit=2), v=column)) == [0, 0, 2]


def test_a_list_filled_with_nan_is_that_list() -> None:
    column = pa.array([[1.0], [1.0, math.nan], [1.0, 0.0]], pa.list_(pa.float32()))
    assert classes_of(prints(padded("float32", value=math.nan), v=column)) == [0, 0, 2]


def test_the_order_of_a_file_s_columns_does_not_matter_but_that_of_the_input_does() -> None:
    a, b = pa.array([1.0, 2.0], pa.float32()), pa.array([3.0, 4.0], pa.float32())
    assert prints(bound("a", "b"), a=a, b=b) == prints(bound("a", "b"), other=b, b=b, a=a)
    assert prints(bound("a", "b"), a=a, b=b) != prints(bound("b", "a"), a=a, b=b)


def test_a_float64_column_has_the_fingerprints_of_the_float32_that_it_is_cast_to() -> None:
    wide = np.random.default_rng(0).normal(size=1_000)
    assert prints(bound("a"), a=wide) == prints(bound("a"), a=wide.astype(np.float32))


def test_a_number_has_the_same_fingerprint_in_a_list_of_any_layout() -> None:
    values = np.arange(12, dtype=np.float32)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(values), 4)
    ragged = pa.array(values.reshape(3, 4).tolist(), pa.list_(pa.float32()))
    assert prints(listed(4), v=flat) == prints(listed(4), v=ragged)


@pytest.mark.parametrize("width", [1, 5, 64, 65, 700])
def test_lists_of_any_width_tell_their_values_and_places_apart(width: int) -> None:
    rows = np.zeros((width + 1, width), np.float32)
    rows[np.arange(width), np.arange(width)] = 1
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), width)
    assert len(set(prints(listed(width), v=column))) == width + 1


def test_a_row_has_one_fingerprint_wherever_it_lies_in_a_table() -> None:
    values = np.random.default_rng(1).normal(size=2 * BLOCK_ROWS + 77).astype(np.float32)
    whole = prints(bound("a", "b"), a=values, b=values[::-1])
    some = np.random.default_rng(2).permutation(values.size)[:500]
    assert prints(bound("a", "b"), a=values[some], b=values[::-1][some]) == [whole[row] for row in some]
    assert len(set(whole)) == len(set(zip(values.tolist(), values[::-1].tolist(), strict=True)))


def test_long_lists_are_done_in_parts_without_a_change() -> None:
    rng = np.random.default_rng(3)
    rows = [rng.integers(0, 9, size).tolist() for size in rng.integers(1, 5_000, 60)]
    whole = prints(padded(length=None, limit=None), v=pa.array(rows, pa.list_(pa.int64())))
    alone = [prints(padded(length=None, limit=None), v=pa.array([row], pa.list_(pa.int64())))[0] for row in rows]
    assert whole == alone


def test_a_hundred_thousand_unlike_rows_have_unlike_fingerprints_in_each_half() -> None:
    # Unlike in a few bits only, where a weak sum would fold them together.
    a, b = np.divmod(np.arange(100_000, dtype=np.int32), 317)
    found = np.array(prints(bound("a", "b", dtype="int32"), a=a, b=b), np.uint64)
    assert [len(np.unique(found[:, half])) for half in (0, 1)] == [100_000, 100_000]


def test_every_bit_of_a_fingerprint_is_set_in_about_half_of_all_rows() -> None:
    found = Fingerprinter((bound("a"),))(pa.table({"a": np.arange(20_000, dtype=np.float32)})).values
    ones = np.array(
        [[(found[:, half] >> np.uint64(bit) & np.uint64(1)).mean() for bit in range(64)] for half in (0, 1)]
    )
    assert np.abs(ones - 0.5).max() < 0.02


def test_rows_that_the_model_cannot_be_given_are_marked() -> None:
    table = pa.table({"a": pa.array([1, None, 3, 2**60], pa.int64())})
    binding = InputBinding("x", ("a",), (1,), Cast("int32", lossy=True), False, "job")
    assert Fingerprinter((binding,))(table).good.tolist() == [True, False, True, False]
    assert Fingerprinter((bound("a", dtype="int64"),))(table.slice(2)).good is None


def test_a_null_that_becomes_nan_is_nan() -> None:
    column = pa.array([None, math.nan, 0.0], pa.float32())
    assert classes_of(prints(bound("a"), a=column)) == [0, 0, 2]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, 0, -1, 1], pa.int64()),
        ([1.5, None, 0.0, -1.5, 1.5], pa.float32()),
        (["a", None, "", "b", "a"], pa.string()),
        ([b"a", None, b"", b"b", b"a"], pa.binary()),
        ([True, None, False, True, True], pa.bool_()),
        ([[1, 2], None, [], [1, None], [1, 2]], pa.list_(pa.int32())),
        ([[1.0], None, [0.0], [math.inf], [1.0]], pa.list_(pa.float64())),
        ([{"a": 1}, None, {"a": None}, {"a": 2}, {"a": 1}], pa.struct({"a": pa.int8()})),
        ([1, None, 0, -1, 1], pa.timestamp("s")),
        ([1, None, 0, -1, 1], pa.date32()),
    ],
    ids=str,
)
def test_columns_of_a_transform_are_compared_as_they_are(values: list[Any], kind: pa.DataType) -> None:
    expected = [0, 1, 2, 0 if kind == pa.bool_() else 3, 0]
    assert classes_of(as_they_are(values, kind)) == expected


def test_columns_of_a_transform_are_the_same_in_any_width_and_encoding() -> None:
    assert as_they_are([1, 300], pa.int16()) == as_they_are([1, 300], pa.uint32()) == as_they_are([1, 300], pa.int64())
    assert as_they_are([0.5, 2.0], pa.float32()) == as_they_are([0.5, 2.0], pa.float64())
    text = pa.array(["a", "b", "a"])
    assert as_they_are(text) == as_they_are(text.dictionary_encode()) == as_they_are(text, pa.large_string())
    assert as_they_are([[1, 2]], pa.list_(pa.int8())) == as_they_are([[1, 2]], pa.list_(pa.int64(), 2))


def test_the_largest_unsigned_number_is_not_minus_one() -> None:
    assert as_they_are([2**64 - 1], pa.uint64()) != as_they_are([-1], pa.int64())


def test_no_rows_have_no_fingerprints() -> None:
    assert prints(bound("a"), a=pa.array([], pa.float32())) == []
