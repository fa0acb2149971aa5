"""One Arrow column to one NumPy array, without losing, shifting or bending a value.

A cast stays inside its family (bool → number, integer → wider, float → float) unless the job says `cast: lossy`. A row
that cannot be taken is marked with its reason and keeps its place; nothing moves against its label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import DTypeLike, NDArray

NULL_FEATURE = "null_feature"
WRONG_LENGTH = "wrong_length"
TOO_LONG = "too_long"
INEXACT_VALUE = "inexact_value"
BAD_FEATURES = (NULL_FEATURE, WRONG_LENGTH, TOO_LONG, INEXACT_VALUE)
"""Reasons in the order in which a row with several of them counts."""


_PLAIN = {
    str(kind): kind
    for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
} | {"float32": pa.float32(), "float64": pa.float64()}
"""NumPy name → the type whose values lie in memory as NumPy has them."""

_NUMBERS = frozenset(_PLAIN.values())


@dataclass(frozen=True)
class Cast:
    """How a column becomes an array.

    Args:
        dtype: NumPy name of the model's element type, `float32`; or `string`.
        lossy: may a value be rounded or cut? One beyond the range of the type never is.
        null: the value that stands for null; None: NaN in a float array, a rejected row in any other.
    """

    dtype: str
    lossy: bool = False
    null: float | int | bool | str | None = None

    @property
    def element(self) -> np.dtype[Any]:
        """The NumPy type of the array; text lies in objects."""
        return np.dtype(np.object_ if self.dtype == "string" else self.dtype)


@dataclass(frozen=True)
class Taken:
    """Values of all rows, and the rows that must not be used.

    Args:
        values: dtype[N] or dtype[N, width]; arbitrary where a row is bad.
        bad: reason → bool[N].
    """

    values: NDArray[Any]
    bad: dict[str, NDArray[np.bool_]]


def stored(kind: pa.DataType) -> pa.DataType:
    """The type that an extension type is stored as, `arrow.fixed_shape_tensor` as its list; another one is its own.

    A tensor whose dimensions are permuted is not the list that it is stored as, and stays what it is.
    """
    if isinstance(kind, pa.FixedShapeTensorType) and kind.permutation not in (None, sorted(kind.permutation or ())):
        return kind
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def decoded(kind: pa.DataType) -> pa.DataType:
    """The type of the values that a dictionary encodes; any other type is its own."""
    kind = stored(kind)
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_text(kind: pa.DataType) -> bool:
    """Does a column of this type, decoded, hold text?"""
    kind = decoded(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def family(kind: pa.DataType) -> str | None:
    """`bool`, `int` or `float` of an Arrow type; None if it is no number."""
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind):
        return "int"
    return "float" if pa.types.is_floating(kind) else None


def feature_family(kind: pa.DataType) -> str | None:
    """As `family`, of a column that feeds a model: of what a dictionary encodes; a decimal is a float."""
    kind = decoded(kind)
    return "float" if pa.types.is_decimal(kind) else family(kind)


def castable(kind: pa.DataType, cast: Cast) -> bool:
    """May a column of this Arrow type feed this element type?"""
    if cast.dtype == "string":
        return is_text(kind)
    source, target = feature_family(kind), _family_of(cast.dtype)
    if source is None:
        return False
    order = ["bool", "int", "float"]
    return cast.lossy or order.index(source) <= order.index(target)


def _family_of(dtype: DTypeLike) -> str:
    return {"b": "bool", "i": "int", "u": "int", "f": "float"}[np.dtype(dtype).kind]


def take_scalars(column: pa.ChunkedArray, cast: Cast) -> Taken:
    """A column of numbers, booleans or text as dtype[N]; the type was checked with `castable`."""
    if column.num_chunks == 1 and column.type == _PLAIN.get(cast.dtype) and not (chunk := column.chunk(0)).null_count:
        return Taken(np.from_dlpack(chunk), {})
    array = one_chunk(_decode(column))
    if cast.dtype == "string":
        return _take_text(array, cast)
    if not array.null_count:
        values, inexact = _convert(to_numpy(array), cast)
        return Taken(values, _marked(INEXACT_VALUE, inexact))
    null = to_numpy(array.is_null())
    values, inexact = _convert(to_numpy(_without_nulls(array)), cast)
    return _fill_nulls(values, null, cast, _marked(INEXACT_VALUE, inexact))


def _take_text(array: pa.Array, cast: Cast) -> Taken:
    """Text as object[N]; a null is never the text `None`, which ONNX Runtime would make of it."""
    null = to_numpy(array.is_null()) if array.null_count else None
    filled = array if null is None else pc.fill_null(array, "" if cast.null is None else str(cast.null))
    values = filled.to_numpy(zero_copy_only=False)
    return Taken(values, _marked(NULL_FEATURE, null if cast.null is None else None))


def _fill_nulls(values: NDArray[Any], null: NDArray[np.bool_], cast: Cast, bad: dict[str, NDArray[np.bool_]]) -> Taken:
    filler = np.nan if cast.null is None and values.dtype.kind == "f" else cast.null
    if filler is None:
        return Taken(values, {**bad, NULL_FEATURE: null})
    values = values.copy()
    values[null] = filler
    return Taken(values, bad)


def _decode(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dictionaries as their values, decimals as float64, views of text as text."""
    if pa.types.is_dictionary(stored(column.type)):
        kind = decoded(column.type)
        column = pa.chunked_array([as_stored(chunk).dictionary_decode() for chunk in column.chunks], kind)
    if pa.types.is_decimal(column.type):
        # By way of text, which is read to the nearest float: Arrow's own cast makes -340.27999999999997 of -340.28.
        return column.cast(pa.string()).cast(pa.float64())
    return column.cast(pa.large_string()) if pa.types.is_string_view(column.type) else column


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """All of a column as it is stored; a copy only if it lies in several pieces."""
    if column.num_chunks == 1:
        return as_stored(column.chunk(0))
    kind = stored(column.type)
    chunks = column.chunks if kind == column.type else [as_stored(chunk) for chunk in column.chunks]
    return pa.concat_arrays(chunks) if chunks else pa.array([], kind)


def as_stored(array: pa.Array) -> pa.Array:
    """The array behind an extension type; any other is its own."""
    return array.storage if stored(array.type) != array.type else array


def _without_nulls(array: pa.Array) -> pa.Array:
    return pc.fill_null(array, False if pa.types.is_boolean(array.type) else pa.scalar(0).cast(array.type))


def to_numpy(array: pa.Array) -> NDArray[Any]:
    """Values of an array that has no nulls; zero-copy for numbers.

    By way of DLPack where that is possible: pyarrow's own way first imports pandas, if there is one, for a quarter of a
    second.
    """
    if not array.null_count:
        if array.type in _NUMBERS:
            return np.from_dlpack(array)
        if pa.types.is_boolean(array.type):
            return np.from_dlpack(array.cast(pa.uint8())).astype(np.bool_)
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values


def _convert(values: NDArray[Any], cast: Cast) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Values in the target dtype, and which of them it cannot hold."""
    target = np.dtype(cast.dtype)
    if values.dtype == target:
        return values, None
    with np.errstate(over="ignore", invalid="ignore"):
        converted = values.astype(target)
    if _always_exact(values.dtype, target):
        return converted, None
    if target.kind != "f":
        changed = _beyond(values, target)
    elif cast.lossy or values.dtype.kind == "f":
        # Rounding to a narrower float is what exporting to float32 means; becoming infinite is not.
        changed = np.isinf(converted) & ~np.isinf(values)
    else:
        changed = _rounded(values, converted)
    return converted, changed if changed.any() else None


def _always_exact(source: np.dtype[Any], target: np.dtype[Any]) -> bool:
    if source.kind in "iu" and target.kind == "f":
        # NumPy calls int64 → float64 safe; above 2^53 it is not.
        return 8 * source.itemsize <= np.finfo(target).nmant + 1
    return bool(np.can_cast(source, target, "safe"))


def _beyond(values: NDArray[Any], target: np.dtype[Any]) -> NDArray[np.bool_]:
    """Where a number has no whole part that an integer type, or no truth that a bool, could hold."""
    if target.kind == "b":
        return np.asarray(np.isnan(values))
    info = np.iinfo(target)
    if values.dtype.kind != "f":
        return np.asarray((values < info.min) | (values > info.max))
    # info.max itself is no float64 for 64 bits; the powers of two around the range are. NaN is in no range.
    whole = np.trunc(values.astype(np.float64))
    return np.asarray(~((whole >= float(info.min)) & (whole < float(int(info.max) + 1))))


def _rounded(values: NDArray[Any], converted: NDArray[Any]) -> NDArray[np.bool_]:
    """Where an integer did not survive its cast to a float."""
    bits = np.finfo(converted.dtype).nmant + 1
    beyond = (values > 2**bits) | (values < -(2**bits)) if values.dtype.kind == "i" else values > 2**bits
    if not beyond.any():
        return np.asarray(beyond)
    # A float holds an integer whose digits between first and last one bit are few enough. Modulo 2^64, -2^63 is 2^63.
    magnitude = np.where(values < 0, 0 - values.astype(np.uint64), values.astype(np.uint64))
    lowest = np.maximum(magnitude & (0 - magnitude), 1)
    return np.asarray((magnitude // lowest >= 2**bits) | np.isinf(converted))


def _marked(reason: str, mask: NDArray[np.bool_] | None) -> dict[str, NDArray[np.bool_]]:
    return {} if mask is None else {reason: mask}
