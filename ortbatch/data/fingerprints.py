"""A 128-bit fingerprint of what the model is given of each row: equal inputs, equal fingerprints, in whatever file.

What counts is the value as the job's binding casts it: the order of columns in a file does not matter, nor whether it
holds float64 where the model takes float32. -0.0 equals 0.0, every NaN is the same, and so are nulls that the binding
turns into NaN or into a value. A transform is not run: its columns are taken as they are. Unlike inputs share a
fingerprint with a probability of at most about 2^-96: among 10^9 training rows and 10^8 others, once in 10^11 jobs.
Knows neither labels nor which rows are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ortbatch.data.binding import InputBinding
from ortbatch.data.columns import family, one_chunk, stored, take_scalars, to_numpy
from ortbatch.data.lists import is_list, leaf, take_lists
from ortbatch.data.ragged import Padding, Ragged, take_ragged
from ortbatch.data.words import Field, Lanes, Lists, Numbers, Rectangle, Texts, canonical

BLOCK_ROWS = 32_768
_KEYS_OF_A_COLUMN = 1 << 28


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of N rows.

    Args:
        values: uint64[N, 2]; arbitrary where a row is bad.
        good: bool[N], rows that the model can be given; None for all.
    """

    values: NDArray[np.uint64]
    good: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Fingerprinter:
    """How fingerprints of a job's rows are made; the same for all of its files, and in every process.

    Args:
        bound: inputs of the model that columns feed.
        transformed: columns that the transform reads.
    """

    bound: tuple[InputBinding, ...]
    transformed: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Columns that are read, each once."""
        bound = [name for binding in self.bound for name in binding.columns]
        return list(dict.fromkeys([*bound, *self.transformed]))

    def __call__(self, table: pa.Table) -> Fingerprints:
        """The fingerprints of a table that has all columns."""
        fields, bad = self._fields(table)
        rows = table.num_rows
        # Each half lies together.
        out, lanes = np.empty((2, rows), np.uint64).T, Lanes(min(rows, BLOCK_ROWS))
        for start in range(0, rows, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, rows)
            lanes.begin(stop - start)
            for field in fields:
                field.add(lanes, start, stop)
            lanes.fingerprints(out[start:stop])
        return Fingerprints(out, None if not bad else ~np.any(list(bad.values()), axis=0))

    def _fields(self, table: pa.Table) -> tuple[list[Field], dict[str, NDArray[np.bool_]]]:
        """What rows are made of, each with keys of its own, and the rows that are not to be used."""
        fields: list[Field] = []
        bad: dict[str, NDArray[np.bool_]] = {}
        masked = {binding.like for binding in self.bound if binding.like is not None and binding.fill is None}
        key = count(step=_KEYS_OF_A_COLUMN)
        for binding in self.bound:
            for name in binding.columns:
                of_column, flags = _of_input(binding, table.column(name), next(key), masked=binding.name in masked)
                fields += of_column
                for reason, mask in flags.items():
                    bad[reason] = bad[reason] | mask if reason in bad else mask
        for name in self.transformed:
            fields += _as_it_is(table.column(name), next(key))
        return fields, bad


def _of_input(
    binding: InputBinding, column: pa.ChunkedArray, key: int, *, masked: bool
) -> tuple[list[Field], Mapping[str, NDArray[np.bool_]]]:
    """One column of an input, as the model is given it, and its bad rows by reason."""
    if binding.padding is not None:
        ragged, flags = take_ragged(column, binding.padding, binding.cast)
        # Where nothing tells a list from what it is filled up with, the two are one.
        lengths = ragged.lengths if masked else _without_filling(ragged, binding.padding)
        return [Lists(canonical(ragged.values), ragged.starts, lengths, key)], flags
    if binding.is_list:
        taken = take_lists(column, binding.row_shape, binding.cast)
        if binding.cast.dtype == "string":
            each = _KEYS_OF_A_COLUMN // max(1, binding.width)
            columns = enumerate(taken.values.T)
            return [_of_texts(values, key + place * each) for place, values in columns], taken.bad
        return [Rectangle(canonical(taken.values), key)], taken.bad
    taken = take_scalars(column, binding.cast)
    if binding.cast.dtype == "string":
        return [_of_texts(taken.values, key)], taken.bad
    return [Numbers(canonical(taken.values), key)], taken.bad


def _of_texts(values: NDArray[Any], key: int) -> Field:
    """Of object[N] of texts."""
    return Texts.of(pa.array(values, pa.large_string()), key)


def _without_filling(ragged: Ragged, padding: Padding) -> NDArray[np.int64]:
    """int64[N], length of each list without the values at its end that are those it would be filled up with."""
    if not ragged.values.size:
        return ragged.lengths
    filling = np.array(padding.value).astype(ragged.values.dtype)
    own = ragged.values != filling
    if filling != filling:
        own = ~np.isnan(ragged.values)
    last = np.maximum.accumulate(np.where(own, np.arange(own.size), -1))
    ends = np.maximum(ragged.starts + ragged.lengths - 1, 0)
    lengths = np.where(ragged.lengths > 0, last[np.minimum(ends, last.size - 1)] - ragged.starts + 1, 0)
    return np.maximum(lengths, 0)


def _as_it_is(column: pa.ChunkedArray, key: int) -> list[Field]:
    """A column that a transform reads: which rows are null, which below 0, and their values in a wide type.

    Whole numbers that are equal are the same in any width, and so are floats; a float is never a whole number. Lists of
    numbers are taken likewise. What else there is (structs, lists of lists) is compared by how it is written.
    """
    array = one_chunk(column)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    null = to_numpy(array.is_null()) if array.null_count else np.zeros(len(array), np.bool_)
    kind = array.type
    if is_list(kind) and family(leaf(kind)) is not None and not is_list(stored(kind).value_type):
        return [Numbers(null, key), *_of_lists(array, key)]
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        array = array.cast(pa.int32() if kind.bit_width == pa.int32().bit_width else pa.int64())
    if family(array.type) is not None:
        values = _wide(to_numpy(_filled(array)))
        return [Numbers(null | (values < 0) << np.uint8(1), key), Numbers(canonical(values), key + 2)]
    if not _is_bytes(array.type):
        array = pa.array([repr(value) for value in array.to_pylist()], pa.large_string())
    return [Numbers(null, key), Texts.of(pc.fill_null(array, _nothing(array.type)), key + 2)]


def _is_bytes(kind: pa.DataType) -> bool:
    known = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_kind(kind) for is_kind in known)


def _nothing(kind: pa.DataType) -> pa.Scalar:
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return pa.scalar("" if text else b"", kind)


def _filled(array: pa.Array) -> pa.Array:
    """The same with zeros for nulls."""
    if not array.null_count:
        return array
    return pc.fill_null(array, False if pa.types.is_boolean(array.type) else pa.scalar(0).cast(array.type))


def _wide(values: NDArray[Any]) -> NDArray[Any]:
    """Floats as float64, others as 64-bit integers."""
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    return values if values.dtype == np.uint64 else values.astype(np.int64)


def _of_lists(array: pa.Array, key: int) -> list[Field]:
    """Lists of numbers: their values, which of them are null, and which are below 0."""
    lengths = to_numpy(pc.fill_null(pc.list_value_length(array), 0)).astype(np.int64)
    inner = array.flatten()
    null = to_numpy(inner.is_null()) if inner.null_count else np.zeros(len(inner), np.bool_)
    values = _wide(to_numpy(_filled(inner)))
    starts = np.cumsum(lengths) - lengths
    half = _KEYS_OF_A_COLUMN // 2
    flags = null | (values < 0) << np.uint8(1)
    return [Lists(flags, starts, lengths, key + 2), Lists(canonical(values), starts, lengths, key + half)]


def fingerprinter_of(bound: Sequence[InputBinding], transformed: Sequence[str]) -> Fingerprinter:
    """For a model's inputs, and the columns of its transform."""
    return Fingerprinter(tuple(bound), tuple(transformed))
