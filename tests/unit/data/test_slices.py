"""A value has one text in any column that can hold it, and a row one slice; a plain loop over values says which."""

from __future__ import annotations

import math
import pickle
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.data.slices import (
    bin_codes,
    bin_names,
    check_sliceable,
    codes_of,
    edge_text,
    places_of,
    slice_family,
    texts_of,
)
from ortbatch.errors import DataError
from ortbatch.metrics.slices import OTHER, Cut

MOMENT = datetime(2026, 11, 25, 10, 0, 0, 500_000)
EQUALS = [
    ("a", ["a"], [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]),
    ("", [""], [pa.string()]),
    ("ü\n\0", ["ü\n\0"], [pa.string(), pa.dictionary(pa.int32(), pa.large_string())]),
    ("true", [True], [pa.bool_()]),
    ("-7", [-7], [pa.int8(), pa.int16(), pa.int32(), pa.int64()]),
    ("255", [255], [pa.uint8(), pa.int16(), pa.uint64(), pa.dictionary(pa.int8(), pa.int64())]),
    ("18446744073709551615", [2**64 - 1], [pa.uint64()]),
    ("-9223372036854775808", [-(2**63)], [pa.int64()]),
    ("2026-11-25", [date(2026, 11, 25)], [pa.date32(), pa.date64()]),
    ("0001-01-01", [date(1, 1, 1)], [pa.date32()]),
    ("2026-11-25T10:00:00.5", [MOMENT], [pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns")]),
    ("2026-11-25T10:00:00", [MOMENT.replace(microsecond=0)], [pa.timestamp(u) for u in ("s", "ms", "us", "ns")]),
    ("2026-11-25T10:00:00Z", [MOMENT.replace(microsecond=0)], [pa.timestamp("s", "UTC"), pa.timestamp("ns", "UTC")]),
    ("1.5", [Decimal("1.50")], [pa.decimal128(5, 2), pa.decimal128(20, 9), pa.decimal256(50, 3), pa.decimal64(9, 1)]),
    ("-100", [Decimal("-100")], [pa.decimal128(5, 2), pa.decimal32(5, 0), pa.decimal128(5, -2)]),
    ("0", [Decimal("0.00")], [pa.decimal128(5, 2), pa.decimal256(50, 0)]),
    ("0.00000000001", [Decimal("0.00000000001")], [pa.decimal128(30, 11), pa.decimal128(38, 20)]),
    ("1.00000000000000000000000000000000001", [Decimal("1." + "0" * 34 + "1")], [pa.decimal128(38, 35)]),
]
HELD = [(text, values, kind) for text, values, kinds in EQUALS for kind in kinds]


def one(values: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.array(values, kind)


@pytest.mark.parametrize(("text", "values", "kind"), HELD, ids=lambda item: str(item)[:40])
def test_a_value_has_its_text_in_every_type(text: str, values: list[Any], kind: pa.DataType) -> None:
    array = one(values, kind)
    plain = array.dictionary_decode() if pa.types.is_dictionary(kind) else array
    assert texts_of("c", plain) == [text]


@pytest.mark.parametrize(("text", "values", "kind"), HELD, ids=lambda item: str(item)[:40])
def test_a_text_finds_its_value_in_every_type(text: str, values: list[Any], kind: pa.DataType) -> None:
    array = pa.concat_arrays([one(values, kind), one([None], kind), one(values, kind)])
    assert codes_of(array, (text, "(null)")).tolist() == [0, 1, 0]
    assert codes_of(array, (text,)).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("texts", "array"),
    [
        (("300", "-1"), pa.array([44, 255], pa.uint8())),
        (("1.55",), pa.array([Decimal("1.5")], pa.decimal128(3, 1))),
        (("2026-11-25T10:00:00.5",), pa.array([MOMENT.replace(second=5, microsecond=0)], pa.timestamp("s"))),
        (("9999-12-31T00:00:00",), pa.array([0], pa.timestamp("ns"))),
        (("true",), pa.array([False])),
    ],
    ids=str,
)
def test_a_text_that_a_type_cannot_hold_is_no_other_value(texts: tuple[str, ...], array: pa.Array) -> None:
    assert codes_of(array, texts).tolist() == [len(texts)] * len(array)


def test_other_texts_keep_their_places_beside_one_that_a_type_cannot_hold() -> None:
    assert codes_of(pa.array([7, 44, None, 8], pa.uint8()), ("300", "44", "-1", "7", "(null)")).tolist() == [3, 1, 4, 5]


def test_a_null_in_a_dictionary_is_null() -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["a", None]))
    assert codes_of(array, ("a", "(null)")).tolist() == [0, 1, 1]


def test_far_dates_have_texts_too() -> None:
    days = pa.array([10**8, -(10**6), -(2**31)], pa.int32()).cast(pa.date32())
    texts = texts_of("c", days)
    assert texts[:2] == ["275760-09-13", "-768-02-04"]
    assert codes_of(days, tuple(texts)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["(null)", "(nan)", "(other)"])
def test_a_text_that_is_the_name_of_another_slice_is_refused(name: str) -> None:
    said = rf"column `c` of slices holds the text `\({name[1:-1]}\)`, which is the name of another slice\. Write these"
    with pytest.raises(DataError, match=said):
        texts_of("c", pa.array(["a", name]))


def test_a_text_too_long_for_a_name_is_refused() -> None:
    assert texts_of("c", pa.array(["é" * 1_000])) == ["é" * 1_000]
    with pytest.raises(DataError, match=r"column `c` of slices holds a text of 1,001 characters; up to 1,000 can name"):
        texts_of("c", pa.array(["é" * 1_001]))


def test_a_text_that_is_not_utf_8_is_refused() -> None:
    array = pa.array([b"a\xff"]).view(pa.string())
    with pytest.raises(DataError, match=r"column `c` of slices holds text that is not UTF-8: b'a\\xff'\."):
        texts_of("c", array)


@pytest.mark.parametrize(
    ("kind", "by_bins", "said"),
    [
        (pa.float32(), False, "holds float; floats cut rows by bins only: write `{column: c, bins: [0, 10, 100]}`."),
        (pa.string(), True, "holds string; `bins` are for numbers. Take `bins` out."),
        (pa.bool_(), True, "holds bool; `bins` are for numbers. Take `bins` out."),
        (pa.date32(), True, "holds date32[day]; `bins` are for numbers. Take `bins` out."),
        (pa.list_(pa.string()), False, "holds list<element: string>; expected text, true and false, whole numbers, "),
        (pa.struct({"a": pa.int8()}), False, "holds struct<a: int8>; expected text, true and false, whole numbers, "),
        (pa.binary(), False, "holds binary; expected text, true and false, whole numbers, dates, timestamps and "),
        (pa.null(), False, "holds null; expected text, true and false, whole numbers, dates, timestamps and decimals"),
        (pa.duration("s"), True, "holds duration[s]; `bins` are for numbers."),
    ],
)
def test_a_column_that_cannot_cut_rows_is_refused(kind: pa.DataType, by_bins: bool, said: str) -> None:
    with pytest.raises(DataError) as caught:
        check_sliceable(pa.field("c", kind), "a.parquet", by_bins=by_bins)
    assert str(caught.value).replace("item:", "element:").startswith(f"a.parquet: column `c` of slices {said}")


@pytest.mark.parametrize(
    "kind",
    [pa.float16(), pa.float64(), pa.int8(), pa.uint64(), pa.decimal128(9, 2), pa.dictionary(pa.int8(), pa.int8())],
)
def test_any_number_may_be_cut_by_bins(kind: pa.DataType) -> None:
    check_sliceable(pa.field("c", kind), "a.parquet", by_bins=True)


def test_what_two_files_may_hold_as_one_column() -> None:
    alike = [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
    assert {slice_family(kind) for kind in alike} == {"text"}
    assert slice_family(pa.timestamp("s")) != slice_family(pa.timestamp("s", "UTC"))
    assert slice_family(pa.int8()) == slice_family(pa.uint64()) != slice_family(pa.bool_())


EDGES = ("-1", "0", "0.5", "10")
NUMBERS = [
    (-math.inf, 0), (-1.0000001, 0), (-1, 1), (-0.5, 1), (-0.0, 2), (0, 2), (0.25, 2), (0.5, 3), (9.999999, 3), (10, 4),
    (math.inf, 4), (None, 5), (math.nan, 6),
]  # fmt: skip


def test_bins_are_closed_below_and_hold_everything() -> None:
    values, places = zip(*NUMBERS, strict=True)
    array = pa.array(values, pa.float64(), from_pandas=False)
    assert bin_codes(array, EDGES).tolist() == list(places)
    assert bin_names(EDGES) == ("below -1", "-1..0", "0..0.5", "0.5..10", "10 or more", "(null)", "(nan)")


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.float16(), pa.float32(), pa.decimal128(9, 3)])
def test_equal_numbers_fall_into_one_bin_whatever_their_type(kind: pa.DataType) -> None:
    array = pa.array([-2, -1, 0, 1, 9, 10, 11, None], pa.int8()).cast(kind)
    assert bin_codes(array, EDGES).tolist() == [0, 1, 2, 3, 3, 4, 4, 5]
    encoded = array.dictionary_encode() if not pa.types.is_float16(kind) else array
    assert bin_codes(encoded, EDGES).tolist() == [0, 1, 2, 3, 3, 4, 4, 5]


def test_no_digit_of_a_large_number_is_lost_at_an_edge() -> None:
    edge = ("-9223372036854775808", edge_text(float(2**53)), edge_text(2.0**63), "1e+30")
    signed = pa.array([-(2**63), 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1])
    assert bin_codes(signed, edge).tolist() == [1, 1, 2, 2, 2]
    assert bin_codes(pa.array([2**63 - 1, 2**63, 2**64 - 1], pa.uint64()), edge).tolist() == [2, 3, 3]


@settings(max_examples=200)
@given(st.data())
def test_whole_numbers_and_floats_agree_with_python(data: st.DataObject) -> None:
    edges = sorted(set(data.draw(st.lists(st.floats(-300, 300) | st.integers(-300, 300).map(float), min_size=2))))
    if len(edges) < 2:
        return
    texts = tuple(map(edge_text, edges))
    assert [float(text) for text in texts] == edges
    numbers = data.draw(st.lists(st.none() | st.integers(-128, 127)))
    floats = data.draw(st.lists(st.floats(width=32) | st.sampled_from(edges)))
    for values, kind in ((numbers, pa.int8()), (numbers, pa.int64()), (floats, pa.float64())):
        expected = [binned(value, edges) for value in values]
        assert bin_codes(pa.array(values, kind, from_pandas=False), texts).tolist() == expected


def binned(value: Any, edges: list[float]) -> int:
    if value is None:
        return len(edges) + 1
    return len(edges) + 2 if math.isnan(value) else sum(value >= edge for edge in edges)


VALUES = st.sampled_from(["a", "b", "c", "d", None])
FLAGS = st.sampled_from([True, False, None])


@settings(max_examples=200)
@given(st.data())
def test_the_slice_of_a_row_is_that_of_a_loop(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(VALUES, FLAGS, st.integers(0, 3)), max_size=30))
    texts = {tuple(named(value) for value in row) for row in rows}
    kept = data.draw(st.lists(st.sampled_from(sorted(texts)), unique=True)) if texts else []
    cut = Cut(("x", "y", "z"), tuple(kept), 3)
    table = pa.table(
        {
            "z": pa.array([row[2] for row in rows], pa.int16()),
            "x": pa.array([row[0] for row in rows], pa.string()).dictionary_encode(),
            "y": pa.array([row[1] for row in rows], pa.bool_()),
        }
    )
    expected = [kept.index(t) if (t := tuple(named(value) for value in row)) in kept else len(kept) for row in rows]
    places = places_of(cut, table)
    assert places.tolist() == expected
    assert [list(cut.of(place).values()) for place in places] == [
        list(kept[place]) if place < len(kept) else [OTHER] * 3 for place in expected
    ]
    assert (places_of(pickle.loads(pickle.dumps(cut)), table) == places).all()


def named(value: Any) -> str:
    return "(null)" if value is None else str(value).lower()


def test_a_bin_without_a_slice_is_another_value() -> None:
    cut = Cut(("x",), (("0..10",), ("(nan)",)), 1, ("0", "10"))
    table = pa.table({"x": pa.chunked_array([[5.0, -1.0], [math.nan, None, 10.0]])})
    assert places_of(cut, table).tolist() == [0, 2, 1, 2, 2]


@pytest.mark.parametrize(
    ("edge", "text"), [(0.0, "0"), (-0.0, "0"), (10.0, "10"), (-2.5, "-2.5"), (0.1, "0.1"), (1e20, "1e+20")]
)
def test_edges_are_written_as_a_job_writes_them(edge: float, text: str) -> None:
    assert edge_text(edge) == text
