"""Lists of one length, nested or not, to one array a column; nothing moves from one row to another.

A flat list is a row of the input in row-major order. Nested lists are rectangular, and their lengths are the input's
dimensions, some of them together: lists of 3 lists of 64 feed 3×8×8, and so do lists of 24 lists of 8. Dimensions of 1
may be left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from operator import mul

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ortbatch.data.columns import (
    NULL_FEATURE,
    WRONG_LENGTH,
    Cast,
    Taken,
    as_stored,
    one_chunk,
    stored,
    take_scalars,
    to_numpy,
)


def is_list(kind: pa.DataType) -> bool:
    """Does a column of this type hold a list in each row?"""
    kind = stored(kind)
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def leaf(kind: pa.DataType) -> pa.DataType:
    """The type of what lies in the innermost lists."""
    while is_list(kind):
        kind = stored(kind).value_type
    return kind


def lengths_of(kind: pa.DataType) -> tuple[int | None, ...]:
    """Lengths of the lists that a type nests, from the outside in; None where it does not fix one."""
    lengths: list[int | None] = []
    while is_list(kind):
        kind = stored(kind)
        lengths.append(kind.list_size if pa.types.is_fixed_size_list(kind) else None)
        kind = kind.value_type
    return tuple(lengths)


def fits(lengths: Sequence[int | None], row_shape: Sequence[int]) -> bool:
    """Can lists of these lengths be a row of this shape? Lengths that are not fixed can.

    >>> fits((3, 64), (3, 8, 8)), fits((64, 3), (3, 8, 8)), fits((8, 8), (1, 8, 8)), fits((None, 8), (3, 8, 8))
    (True, False, True, True)
    """
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths):
        return True
    return math.prod(known) == math.prod(row_shape) and set(accumulate(known, mul)) <= _starts(row_shape)


def _starts(row_shape: Sequence[int]) -> set[int]:
    """How many lists of a level a row may have: products of the first few dimensions."""
    return set(accumulate(row_shape, mul, initial=1))


def take_lists(column: pa.ChunkedArray, row_shape: Sequence[int], cast: Cast) -> Taken:
    """A column of lists of numbers or text as dtype[N, width], the width that of a row.

    A null list is a bad row, lists of other lengths too. `flatten()` leaves null lists out and `.values` ignores a
    slice's offset: so the good rows are selected first, and only then flattened.
    """
    array, width = one_chunk(column), math.prod(row_shape)
    bad = _misshapen(array, row_shape)
    rows = len(array)
    good = np.ones(rows, np.bool_)
    for mask in bad.values():
        good &= ~mask
    all_good = bool(good.all())
    inner = take_scalars(pa.chunked_array([_flat(array if all_good else array.filter(pa.array(good)))]), cast)
    values = inner.values.reshape(-1, width)
    flags = {reason: np.asarray(mask.reshape(-1, width).any(axis=1)) for reason, mask in inner.bad.items()}
    if all_good:
        return Taken(values, flags)
    spread = np.zeros((rows, width), values.dtype)
    spread[good] = values
    for reason, flag in flags.items():
        mask = bad.get(reason, np.zeros(rows, np.bool_)).copy()
        mask[good] |= flag
        bad[reason] = mask
    return Taken(spread, bad)


def _flat(array: pa.Array) -> pa.Array:
    """What lies in the innermost lists."""
    while is_list(array.type):
        array = as_stored(array).flatten()
    return array


def _is_rectangle(array: pa.Array, width: int) -> bool:
    """Is it fixed-size lists of numbers, as most images and embeddings are, with nothing that must be looked for?"""
    kind = array.type
    return (
        bool(pa.types.is_fixed_size_list(kind) and kind.list_size == width and not is_list(kind.value_type))
        and not array.null_count
    )


def _misshapen(array: pa.Array, row_shape: Sequence[int]) -> dict[str, NDArray[np.bool_]]:
    """Rows with a null list at any depth, and those whose lists are not of the lengths of a row."""
    if _is_rectangle(array, math.prod(row_shape)):
        return {}
    rows, allowed = len(array), np.array(sorted(_starts(row_shape)))
    null, wrong = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    owner = np.arange(rows)
    while is_list(array.type):
        array = as_stored(array)
        if array.null_count:
            null[owner[to_numpy(array.is_null())]] = True
        # flatten() leaves out what lies below a null list, so with lengths of 0 there owners and values stay together.
        lengths = to_numpy(pc.fill_null(pc.list_value_length(array), 0)).astype(np.int64)
        first = np.minimum(np.searchsorted(owner, np.arange(rows)), max(0, len(owner) - 1))
        if len(owner):
            wrong[owner[lengths != lengths[first][owner]]] = True
        below = np.bincount(owner, weights=lengths, minlength=rows).astype(np.int64)
        innermost = not is_list(array.type.value_type)
        wrong |= (below != math.prod(row_shape)) if innermost else ~np.isin(below, allowed)
        array = array.flatten()
        owner = owner if innermost else np.repeat(owner, lengths)
    wrong &= ~null
    return {reason: mask for reason, mask in ((NULL_FEATURE, null), (WRONG_LENGTH, wrong)) if mask.any()}
