"""Dictionaries, decimals and text become the values that they stand for."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.data.binding import TensorSpec, bind_inputs, check_columns
from ortbatch.data.columns import NULL_FEATURE, Cast, castable, take_scalars
from ortbatch.data.features import Features, new_buffers
from ortbatch.errors import DataError
from ortbatch.job import InputSpec

TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]


def test_a_dictionary_of_numbers_is_read_by_its_values() -> None:
    chunks = [pa.array([7, 9, 7]).dictionary_encode(), pa.array([3, None]).dictionary_encode()]
    taken = take_scalars(pa.chunked_array(chunks), Cast("float32"))
    np.testing.assert_array_equal(taken.values, np.array([7, 9, 7, 3, np.nan], np.float32))


@pytest.mark.parametrize("kind", [pa.decimal128(5, 2), pa.decimal128(38, 10), pa.decimal256(50, 2)], ids=str)
@given(data=st.data())
def test_a_decimal_becomes_the_float_that_is_nearest_to_it(kind: pa.DataType, data: st.DataObject) -> None:
    most = 10**kind.precision - 1
    units = data.draw(st.lists(st.integers(-most, most), min_size=1, max_size=20))
    values = [Decimal(f"{unit}e{-kind.scale}") for unit in units]
    column = pa.chunked_array([pa.array(values, kind)])
    assert take_scalars(column, Cast("float64")).values.tolist() == [float(value) for value in values]


@pytest.mark.parametrize("kind", [pa.decimal128(9, 2), pa.decimal256(40, 2)], ids=str)
def test_a_decimal_is_a_float(kind: pa.DataType) -> None:
    column = pa.chunked_array([pa.array([Decimal("1.25"), Decimal("-7.50")], kind)])
    assert take_scalars(column, Cast("float64")).values.tolist() == [1.25, -7.5]
    assert not castable(kind, Cast("int64"))


@pytest.mark.parametrize("kind", TEXTS, ids=str)
def test_a_null_text_rejects_its_row_and_never_reads_none(kind: pa.DataType) -> None:
    column = pa.chunked_array([pa.array(["a", None, "é"]).cast(kind)])
    taken = take_scalars(column, Cast("string"))
    assert taken.bad[NULL_FEATURE].tolist() == [False, True, False]
    assert (taken.values.dtype, taken.values.tolist()) == (np.dtype(object), ["a", "", "é"])


def test_the_job_may_put_a_text_in_for_null() -> None:
    taken = take_scalars(pa.chunked_array([pa.array(["a", None])]), Cast("string", null="?"))
    assert (taken.values.tolist(), taken.bad) == (["a", "?"], {})


def test_columns_of_text_lie_side_by_side() -> None:
    table = pa.table({"a": ["p", "q"], "b": pa.array(["r", "s"]).dictionary_encode(), "y": [0, 1]})
    given = {"x": InputSpec.model_validate(["a", "b"])}
    bound = bind_inputs([TensorSpec("x", "string", (None, 2))], table.schema, given, "y")
    check_columns(bound, table.schema, "y", "a.parquet")
    feed = Features(bound, table).batch(0, 2, new_buffers(bound, 2))
    assert feed["x"].tolist() == [["p", "r"], ["q", "s"]]


def test_a_number_in_place_of_a_null_text_is_refused() -> None:
    given = {"x": InputSpec.model_validate({"column": "a", "null": 0})}
    with pytest.raises(DataError, match=r"model.inputs.x.null: 0 is not text; .* put it in quotes"):
        bind_inputs([TensorSpec("x", "string", (None, 1))], pa.schema([("a", pa.string())]), given, "y")
