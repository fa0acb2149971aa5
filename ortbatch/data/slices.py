"""Values of columns as names of slices, and the slice of each row.

A value has one text, whatever the width, the unit or the encoding in which a file holds it: text as it is, `true` and
`false`, whole numbers and decimals in plain digits without trailing zeros (`-7`, `1.5`), `2026-11-25`,
`2026-11-25T10:00:00`, behind which stands `Z` where the column has a time zone (the time is then UTC). What is null is
`(null)`. Numbers may be cut by edges instead: `below 0`, `0..10` (0 is in it, 10 is not), `100 or more`, `(nan)`.
Nothing is done once a row in Python.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ortbatch.data.columns import decoded, family, is_text, one_chunk, to_numpy
from ortbatch.errors import DataError
from ortbatch.metrics.slices import OTHER, Cut

NULL, NAN = "(null)", "(nan)"
RESERVED = frozenset({NULL, NAN, OTHER})
CHARACTERS_AT_MOST = 1_000
_DECIMAL_BITS = 128
_INT64 = np.iinfo(np.int64)
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
Texts = tuple[str, ...]
_ALLOWED = "text, true and false, whole numbers, dates, timestamps and decimals"


def slice_family(kind: pa.DataType) -> str | None:
    """What a column that cuts rows holds; files may differ in anything else. None if it can cut none."""
    kind = decoded(kind)
    if is_text(kind):
        return "text"
    if pa.types.is_timestamp(kind):
        return "timestamps with a time zone" if kind.tz is not None else "timestamps"
    if pa.types.is_date(kind):
        return "dates"
    if pa.types.is_decimal(kind):
        return "decimals"
    return {"bool": "true and false", "int": "whole numbers", "float": "floats"}.get(family(kind) or "")


def check_sliceable(field: pa.Field, where: str, *, by_bins: bool) -> None:
    """Refuse a column that cannot cut rows; raises DataError naming file, column and type."""
    held, column = slice_family(field.type), field.name
    if by_bins and held not in ("whole numbers", "decimals", "floats"):
        raise DataError(
            f"{where}: column `{column}` of slices holds {field.type}; `bins` are for numbers. Take `bins` out."
        )
    if held == "floats" and not by_bins:
        raise DataError(
            f"{where}: column `{column}` of slices holds {field.type}; floats cut rows by bins only: write "
            f"`{{column: {column}, bins: [0, 10, 100]}}`."
        )
    if held is None:
        raise DataError(
            f"{where}: column `{column}` of slices holds {field.type}; expected {_ALLOWED}, or numbers with `bins`."
        )


def bin_names(edges: Sequence[str]) -> tuple[str, ...]:
    """Names of the bins between edges, from below the first to the last and more, then those of null and NaN.

    >>> bin_names(["0", "10"])
    ('below 0', '0..10', '10 or more', '(null)', '(nan)')
    """
    inner = (f"{low}..{high}" for low, high in pairwise(edges))
    return (f"below {edges[0]}", *inner, f"{edges[-1]} or more", NULL, NAN)


def edge_text(edge: float) -> str:
    """An edge as names hold it.

    >>> edge_text(10.0), edge_text(0.5)
    ('10', '0.5')
    """
    return str(int(edge)) if edge.is_integer() and abs(edge) < 2**53 else repr(edge)


def places_of(cut: Cut, table: pa.Table) -> NDArray[np.int64]:
    """The slice of each row, int64[N] in [0, cut.slices)."""
    if cut.bins:
        there = {texts[0]: place for place, texts in enumerate(cut.values)}
        of_bin = np.array([there.get(name, len(cut.values)) for name in bin_names(cut.bins)])
        return np.asarray(of_bin[bin_codes(one_chunk(table.column(cut.by[0])), cut.bins)])
    if len(cut.by) == 1:
        return codes_of(one_chunk(table.column(cut.by[0])), _only_texts(cut))
    known, ways = _ways(cut)
    place = np.zeros(table.num_rows, np.int64)
    for column, texts, way in zip(cut.by, known, ways, strict=True):
        place = way[place * (len(texts) + 1) + codes_of(one_chunk(table.column(column)), texts)]
    return place


@lru_cache(maxsize=64)
def _only_texts(cut: Cut) -> Texts:
    return tuple(texts for (texts,) in cut.values)


@lru_cache(maxsize=64)
def _ways(cut: Cut) -> tuple[list[Texts], list[NDArray[np.int64]]]:
    """Texts of each column that occur in slices, and tables from what is known of a row to what its value adds.

    After j columns a row is at the place of its first j texts among those of all slices; the last place stands for
    texts that begin no slice, and no column leads away from it. After all columns that is the slice.
    """
    known, ways, before = list[Texts](), list[NDArray[np.int64]](), list[Texts]([()])
    for column in range(len(cut.by)):
        last = column == len(cut.by) - 1
        begun = list(cut.values) if last else list(dict.fromkeys(values[: column + 1] for values in cut.values))
        texts = tuple(dict.fromkeys(values[column] for values in cut.values))
        way = np.full((len(before) + 1, len(texts) + 1), len(begun), np.int64)
        of_before, of_text = ({item: n for n, item in enumerate(items)} for items in (before, texts))
        for place, values in enumerate(begun):
            way[of_before[values[:-1]], of_text[values[-1]]] = place
        known.append(texts)
        ways.append(way.reshape(-1))
        before = begun
    return known, ways


def codes_of(array: pa.Array, texts: Texts) -> NDArray[np.int64]:
    """Place of each value among texts, int64[N]; their number for any other value."""
    other = len(texts)
    null = texts.index(NULL) if NULL in texts else other
    if pa.types.is_dictionary(array.type):
        # A null may hide in the dictionary as well as in the indices.
        of_entry = np.append(codes_of(array.dictionary, texts), null)
        return np.asarray(of_entry[_filled(array.indices, len(array.dictionary))])
    array = comparable(array)
    values, places = _values(texts, array.type)
    found = _filled(pc.index_in(array, value_set=values), len(places) - 1)
    codes: NDArray[np.int64] = places[found]
    if array.null_count:
        codes[to_numpy(array.is_null())] = null
    return codes


def comparable(array: pa.Array) -> pa.Array:
    """The same values in a type that Arrow finds in a list, and makes dictionaries of."""
    if pa.types.is_decimal(array.type) and array.type.bit_width < _DECIMAL_BITS:
        return array.cast(pa.decimal128(array.type.precision, array.type.scale))
    return array


def _filled(indices: pa.Array, null: int) -> NDArray[Any]:
    """Indices with a number in place of nulls."""
    if not indices.null_count:
        return to_numpy(indices)
    # What the indices are stored as may not hold that number.
    return to_numpy(pc.fill_null(indices.cast(pa.int64()), null))


@lru_cache(maxsize=256)
def _values(texts: Texts, kind: pa.DataType) -> tuple[pa.Array, NDArray[np.int64]]:
    """Values of a type that have these texts, and the place of each; behind them that of any other value."""
    held = slice_family(kind)
    read = [(place, _read(text, held, kind)) for place, text in enumerate(texts) if text != NULL]
    there = [(place, value) for place, value in read if value is not None]
    values = [value for _, value in there]
    if held in ("dates", "timestamps", "timestamps with a time zone"):
        array = pa.array(values, pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
    else:
        array = pa.array(values, kind)
    return array, np.array([*(place for place, _ in there), len(texts)], np.int64)


def _read(text: str, held: str | None, kind: pa.DataType) -> Any:
    """What a text stands for in a column of a type, as it is stored; None if no such column can hold it."""
    if held == "text":
        return text
    if held == "true and false":
        return text == "true"
    if held == "dates":
        days = int(np.datetime64(text, "D").astype(np.int64))
        return days if kind == pa.date32() else days * 86_400_000
    if held in ("timestamps", "timestamps with a time zone"):
        return _ticks(text.removesuffix("Z"), _DIGITS[kind.unit])
    value: Any = int(text) if held == "whole numbers" else Decimal(text)
    try:
        pa.scalar(value, kind)
    except (pa.ArrowException, OverflowError):
        return None
    return value


def _ticks(text: str, digits: int) -> int | None:
    whole, _, fraction = text.partition(".")
    seconds = int(np.datetime64(whole, "s").astype(np.int64))
    ticks = seconds * 10**digits + int(fraction.ljust(digits, "0") or 0)
    return ticks if len(fraction) <= digits and _INT64.min <= ticks <= _INT64.max else None


def texts_of(column: str, values: pa.Array) -> list[str]:
    """The texts of values of a column, none of them null.

    Raises:
        DataError: if one is no text that a report can hold.
    """
    held, kind = slice_family(values.type), values.type
    if held == "text":
        return [_checked(column, value) for value in values.cast(pa.large_binary()).to_pylist()]
    if held == "dates":
        days = to_numpy(values.cast(pa.int32() if kind == pa.date32() else pa.int64())).astype(np.int64)
        return _datetimes(days // (1 if kind == pa.date32() else 86_400_000), "D")
    if held in ("timestamps", "timestamps with a time zone"):
        zone = "Z" if kind.tz is not None else ""
        return [_short(text) + zone for text in _datetimes(to_numpy(values.cast(pa.int64())), kind.unit)]
    if held == "decimals":
        return [_short(f"{value:f}") for value in values.to_pylist()]
    return [str(value).lower() for value in values.to_pylist()]


def _datetimes(values: NDArray[np.int64], unit: str) -> list[str]:
    texts: list[str] = np.datetime_as_string(values.view(f"datetime64[{unit}]")).tolist()
    return texts


def _short(digits: str) -> str:
    """Without zeros at the end of a fraction; zero has no sign."""
    short = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return "0" if short == "-0" else short


def _checked(column: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise DataError(
            f"column `{column}` of slices holds text that is not UTF-8: {value[:40]!r}. Write it as UTF-8."
        ) from None
    if len(text) > CHARACTERS_AT_MOST:
        raise DataError(
            f"column `{column}` of slices holds a text of {len(text):,} characters; up to {CHARACTERS_AT_MOST:,} can "
            "name a slice. Name a column of few, short values."
        )
    if text in RESERVED:
        raise DataError(
            f"column `{column}` of slices holds the text `{text}`, which is the name of another slice. Write these "
            "values otherwise."
        )
    return text


def bin_codes(array: pa.Array, edges: Sequence[str]) -> NDArray[np.int64]:
    """Place of each value among `bin_names`, int64[N]. Decimals are compared as the nearest float64."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    null = to_numpy(array.is_null()) if array.null_count else None
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.string()).cast(pa.float64())
    values = to_numpy(array if null is None else pc.fill_null(array, pa.scalar(0).cast(array.type)))
    numbers = [float(edge) for edge in edges]
    if values.dtype.kind == "f":
        values = values.astype(np.float64, copy=False)
        codes = np.searchsorted(np.array(numbers), values, side="right")
        codes[np.isnan(values)] = len(edges) + 2
    else:
        codes = _whole(values, [math.ceil(number) for number in numbers])
    if null is not None:
        codes[null] = len(edges) + 1
    return codes.astype(np.int64, copy=False)


def _whole(values: NDArray[Any], edges: list[int]) -> NDArray[np.int64]:
    """How many edges are at or below each of some whole numbers; no digit is lost on the way."""
    info = np.iinfo(values.dtype)
    inside = np.array([edge for edge in edges if info.min < edge <= info.max], values.dtype)
    below = sum(edge <= info.min for edge in edges)
    return np.asarray(np.searchsorted(inside, values, side="right") + below)
