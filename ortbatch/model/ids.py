"""Ids of rows: integers or text, each with a key of 64 bits by which it is sorted and looked up.

The key of an integer is the integer. That of a text is a hash: two texts may share one, so that whoever finds a key
compares the texts themselves. Does not know what has the ids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ortbatch.data.columns import one_chunk, to_numpy
from ortbatch.data.words import mixed
from ortbatch.errors import DataError

INTEGER, TEXT = "integer", "text"
_WORD = 8  # bytes
_ALL = np.uint64(2**64 - 1)
_SEED, _FACTOR = np.uint64(0x9E37_79B9_7F4A_7C15), np.uint64(0xD1B5_4A32_D192_ED03)
_NOTHING = np.zeros(1, np.int64)
Keys = NDArray[np.uint64]
Hash = Callable[[pa.Array], Keys]
"""From texts without nulls to their keys."""


@dataclass(frozen=True)
class Ids:
    """N ids.

    Args:
        keys: uint64[N]; any where the id is null.
        null: bool[N].
        texts: N texts as bytes, empty where the id is null; None of integers.
    """

    keys: Keys
    null: NDArray[np.bool_]
    texts: pa.Array | None


def kind_of_ids(kind: pa.DataType) -> str | None:
    """`integer` or `text`; None of what is no id."""
    if pa.types.is_dictionary(kind):
        return kind_of_ids(kind.value_type)
    if pa.types.is_integer(kind):
        return INTEGER
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return TEXT if any(is_kind(kind) for is_kind in text) else None


def keys_of_texts(texts: pa.Array) -> Keys:
    """A hash of 64 bits of each text, the same in every process; eight bytes of all texts at a time.

    >>> keys_of_texts(pa.array(["a", "b", "a"], pa.large_string())).tolist().count(keys_of_texts(pa.array(["a"]))[0])
    2
    """
    _, offsets, data = texts.cast(pa.large_string()).buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1] if len(texts) else _NOTHING
    first, last = int(ends[0]), int(ends[-1])
    content = np.zeros(last - first + _WORD, np.uint8)  # a word may reach beyond the last text
    if data is not None:
        content[: last - first] = np.frombuffer(data, np.uint8)[first:last]
    words: Keys = np.ndarray((content.size - _WORD + 1,), "<u8", content.data, strides=(1,))
    starts, lengths = ends[:-1] - first, np.diff(ends)
    keys = mixed(lengths.astype(np.uint64) + _SEED)
    rows, at = np.flatnonzero(lengths > 0), 0
    while rows.size:
        left = np.minimum(lengths[rows] - at, _WORD).astype(np.uint64)
        word = words[starts[rows] + at] & (_ALL >> ((np.uint64(_WORD) - left) * np.uint64(8)))
        keys[rows] = mixed(keys[rows] * _FACTOR ^ word)
        at += _WORD
        rows = rows[lengths[rows] > at]
    return keys


def take_ids(column: pa.ChunkedArray, hashed: Hash = keys_of_texts) -> Ids:
    """The ids of a column of a kind of ids.

    Raises:
        DataError: if an integer has more than 64 bits with its sign.
    """
    array = one_chunk(column)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    null = to_numpy(array.is_null())
    if kind_of_ids(array.type) == INTEGER:
        try:
            whole = pc.fill_null(array.cast(pa.int64()), 0)
        except pa.ArrowInvalid as error:
            raise DataError(f"ids that do not fit 64 bits with their sign: {error}. Write them as text.") from None
        return Ids(to_numpy(whole).view(np.uint64), null, None)
    texts = pc.fill_null(array.cast(pa.large_string()), "")
    return Ids(hashed(texts), null, texts.view(pa.large_binary()))
