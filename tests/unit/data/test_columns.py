"""Scalar columns: every row is what a plain loop makes of it, and only rows that cannot be taken are marked."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.data.columns import INEXACT_VALUE, NULL_FEATURE, Cast, castable, family, take_scalars
from tests.unit.data.arrow import INTEGERS, NUMBERS, columns, masked, same, values_of

TARGETS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"] + [
    f"float{bits}" for bits in (16, 32, 64)
]
SIGNIFICANT_BITS = {"float16": 11, "float32": 24, "float64": 53}
LARGEST = {"float16": 65504, "float32": (2**24 - 1) * 2**104, "float64": 2**1024}


def expected(value: Any, dtype: str) -> tuple[Any, str | None]:
    """What a plain loop makes of one value: the value, or why there is none."""
    if value is None:
        return (float("nan"), None) if dtype.startswith("float") else (None, NULL_FEATURE)
    if dtype == "bool":
        return value, None
    if not dtype.startswith("float"):
        bits, signed = int(dtype.strip("uint")), dtype[0] == "i"
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return (int(value), None) if low <= value <= high else (None, INEXACT_VALUE)
    if isinstance(value, (bool, int)):
        magnitude = abs(int(value))
        odd_part = magnitude // (magnitude & -magnitude) if magnitude else 0
        fits = odd_part.bit_length() <= SIGNIFICANT_BITS[dtype] and magnitude <= LARGEST[dtype]
        return (int(value), None) if fits else (None, INEXACT_VALUE)
    code = {"float16": "<e", "float32": "<f", "float64": "<d"}[dtype]
    try:
        return struct.unpack(code, struct.pack(code, float(value)))[0], None
    except OverflowError:
        return None, INEXACT_VALUE


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
@settings(max_examples=60)
@given(data=st.data())
def test_every_row_is_what_a_plain_loop_makes_of_it(kind: pa.DataType, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([target for target in TARGETS if castable(kind, Cast(target))]))
    column = data.draw(columns(kind, values_of(kind)))
    taken = take_scalars(column, Cast(dtype))
    assert taken.values.dtype == dtype
    assert taken.values.shape == (len(column),)
    for row, value in enumerate(column.to_pylist()):
        want, reason = expected(value, dtype)
        assert [name for name, mask in taken.bad.items() if mask[row]] == ([reason] if reason else [])
        assert reason or same(taken.values[row].item(), want)


EXACT = [
    ("int32", "float32", 2**24, True),
    ("int32", "float32", 2**24 + 1, False),
    ("int32", "float32", 2**24 + 2, True),
    ("int32", "float32", -(2**24) - 1, False),
    ("int64", "float64", 2**53, True),
    ("int64", "float64", 2**53 + 1, False),
    ("int64", "float64", -(2**53) - 1, False),
    ("int64", "float64", 2**63 - 1, False),
    ("int64", "float64", -(2**63), True),
    ("uint64", "float64", 2**53 + 1, False),
    ("uint64", "float64", 2**64 - 1, False),
    ("uint64", "float64", 2**63, True),
    ("uint64", "int64", 2**63 - 1, True),
    ("uint64", "int64", 2**63, False),
    ("int8", "uint8", -1, False),
    ("int16", "float16", 2049, False),
    ("int32", "float16", 65504, True),
    ("int32", "float16", 65520, False),
    ("uint8", "float16", 255, True),
]


@pytest.mark.parametrize(("source", "dtype", "value", "exact"), EXACT)
def test_an_integer_is_taken_exactly_or_not_at_all(source: str, dtype: str, value: int, exact: bool) -> None:
    taken = take_scalars(pa.chunked_array([pa.array([0, value], source)]), Cast(dtype))
    assert (INEXACT_VALUE in taken.bad) != exact
    assert not exact or taken.values[1].item() == value


@pytest.mark.parametrize(("value", "bad"), [(3.4e38, False), (3.5e38, True), (-3.5e38, True), (float("inf"), False)])
def test_a_double_that_would_become_infinite_is_bad_and_an_infinite_one_is_not(value: float, bad: bool) -> None:
    taken = take_scalars(pa.chunked_array([[1.0, value]]), Cast("float32"))
    assert [mask.tolist() for mask in taken.bad.values()] == ([[False, True]] if bad else [])


def test_rounding_a_double_to_a_float_is_no_loss() -> None:
    taken = take_scalars(pa.chunked_array([[0.1]]), Cast("float32"))
    assert taken.bad == {}
    assert taken.values.tolist() == [np.float32(0.1)]


@pytest.mark.parametrize("kind", INTEGERS, ids=str)
def test_nulls_of_an_integer_input_are_marked_and_move_nothing(kind: pa.DataType) -> None:
    taken = take_scalars(pa.chunked_array([pa.array([1, None], kind), pa.array([3, None], kind)]), Cast("int64"))
    assert taken.bad[NULL_FEATURE].tolist() == [False, True, False, True]
    assert taken.values[[0, 2]].tolist() == [1, 3]


def test_a_value_below_a_null_is_never_seen() -> None:
    taken = take_scalars(pa.chunked_array([masked([1, 2**24 + 1, 3], [False, True, False])]), Cast("float32"))
    assert taken.bad == {}
    assert np.isnan(taken.values).tolist() == [False, True, False]


@pytest.mark.parametrize(("dtype", "null"), [("float32", 0.5), ("int64", -7), ("bool", True), ("uint8", 255)])
def test_nulls_become_the_value_that_the_job_gives(dtype: str, null: Any) -> None:
    column = pa.chunked_array([pa.array([None, True, None]).cast(pa.bool_() if dtype == "bool" else pa.int32())])
    taken = take_scalars(column, Cast(dtype, null=null))
    assert taken.bad == {}
    assert taken.values.tolist() == [null, 1, null]


def test_the_replacement_of_nulls_does_not_write_into_the_column() -> None:
    column = pa.chunked_array([pa.array([1.0, None, 3.0])])
    take_scalars(column, Cast("float64", null=9.0))
    assert column.to_pylist() == [1.0, None, 3.0]


def test_lossy_rounds_an_integer_to_the_nearest_float() -> None:
    taken = take_scalars(pa.chunked_array([pa.array([2**24 + 1], pa.int64())]), Cast("float32", lossy=True))
    assert taken.bad == {}
    assert taken.values.tolist() == [2**24]


def test_lossy_cuts_the_fraction_off() -> None:
    taken = take_scalars(pa.chunked_array([[1.9, -1.9]]), Cast("int32", lossy=True))
    assert taken.values.tolist() == [1, -1]


NO_INTEGER = [float("nan"), float("inf"), float("-inf"), 2.0**31, -(2.0**31) - 1, 1e300]


@pytest.mark.parametrize("value", NO_INTEGER)
def test_lossy_never_makes_an_integer_up(value: float) -> None:
    taken = take_scalars(pa.chunked_array([[5.5, value, -(2.0**31)]]), Cast("int32", lossy=True))
    assert taken.bad[INEXACT_VALUE].tolist() == [False, True, False]


def test_lossy_does_not_wrap_an_integer_around() -> None:
    taken = take_scalars(pa.chunked_array([[300, 255, -1]]), Cast("uint8", lossy=True))
    assert taken.bad[INEXACT_VALUE].tolist() == [True, False, True]


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "uint64"])
def test_lossy_takes_the_ends_of_an_integer_type(dtype: str) -> None:
    info = np.iinfo(dtype)
    kind = pa.uint64() if dtype == "uint64" else pa.int64()
    taken = take_scalars(pa.chunked_array([pa.array([info.min, info.max], kind)]), Cast(dtype, lossy=True))
    assert taken.bad == {}


def test_a_double_of_two_to_the_63_is_no_int64() -> None:
    taken = take_scalars(pa.chunked_array([[2.0**63, -(2.0**63)]]), Cast("int64", lossy=True))
    assert taken.bad[INEXACT_VALUE].tolist() == [True, False]


CASTABLE = [("bool", "float32", True), ("bool", "int64", True), ("int64", "float32", True), ("double", "float32", True)]
CASTABLE += [("int64", "bool", False), ("double", "int64", False), ("float", "bool", False)]


@pytest.mark.parametrize(("source", "dtype", "allowed"), CASTABLE)
def test_casts_stay_in_their_family_unless_lossy(source: str, dtype: str, allowed: bool) -> None:
    kind = pa.type_for_alias(source)
    assert castable(kind, Cast(dtype)) == allowed
    assert castable(kind, Cast(dtype, lossy=True))


NO_NUMBERS = [
    pa.string(), pa.binary(), pa.date32(), pa.timestamp("ns"), pa.duration("s"), pa.null(),
    pa.dictionary(pa.int32(), pa.string()), pa.struct([("a", pa.int64())]), pa.list_(pa.int64()),
]  # fmt: skip


@pytest.mark.parametrize("kind", NO_NUMBERS, ids=str)
def test_what_is_no_number_is_never_cast(kind: pa.DataType) -> None:
    assert family(kind) is None
    assert not castable(kind, Cast("float32", lossy=True))


def test_no_rows_give_an_empty_array() -> None:
    taken = take_scalars(pa.chunked_array([], pa.int64()), Cast("float32"))
    assert (taken.values.shape, taken.values.dtype, taken.bad) == ((0,), np.float32, {})
