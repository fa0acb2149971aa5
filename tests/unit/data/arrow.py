"""Arrow columns as files really hold them: in chunks, sliced, with rubbish below the nulls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]
NUMBERS = [pa.bool_(), *INTEGERS, *FLOATS]
_FLOAT_BITS = {"halffloat": 16, "float": 32, "double": 64}


def values_of(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Values of a number type, edges of narrower types among them."""
    if pa.types.is_boolean(kind):
        return st.booleans()
    if pa.types.is_floating(kind):
        width = _FLOAT_BITS[str(kind)]
        edges = [0.0, -0.0, 1.5, float("inf"), float("-inf"), float("nan"), *([3.5e38, 1e300, 1e-320] * (width == 64))]
        return st.sampled_from(edges) | st.floats(width=width)
    low, high = (0, 2**kind.bit_width - 1) if str(kind)[0] == "u" else (-(2 ** (kind.bit_width - 1)), None)
    high = high or 2 ** (kind.bit_width - 1) - 1
    powers = [sign * 2**bit + step for bit in (0, 7, 8, 11, 24, 31, 53, 63) for step in (-1, 0, 1) for sign in (1, -1)]
    return st.sampled_from([low, high, *(p for p in powers if low <= p <= high)]) | st.integers(low, high)


@st.composite
def columns(draw: st.DrawFn, kind: pa.DataType, values: st.SearchStrategy[Any]) -> pa.ChunkedArray:
    """A column of up to 12 values or nulls, each chunk a slice of something longer."""
    rows = draw(st.lists(st.none() | values, max_size=12))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    chunks = [_sliced(draw, rows[a:b], kind, values) for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    return pa.chunked_array(chunks, kind)


def _sliced(draw: st.DrawFn, rows: list[Any], kind: pa.DataType, values: st.SearchStrategy[Any]) -> pa.Array:
    before, after = (draw(st.lists(st.none() | values, max_size=2)) for _ in range(2))
    return pa.array([*before, *rows, *after], kind).slice(len(before), len(rows))


def lists_of(kind: pa.DataType, width: int) -> st.SearchStrategy[Any]:
    """Lists of numbers or nulls, mostly of one length."""
    inner = st.none() | values_of(kind)
    right = st.lists(inner, min_size=width, max_size=width)
    return right | right | st.lists(inner, max_size=width + 2)


def masked(values: list[int], null: list[bool]) -> pa.Array:
    """int64 whose nulls hide values."""
    return pa.array(np.array(values), mask=np.array(null))


def same(a: Any, b: Any) -> bool:
    """Equal numbers; NaN equals NaN."""
    return bool(a == b or (a != a and b != b))
