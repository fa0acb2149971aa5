"""Values of columns as 32-bit words, and sums of words times keys: what fingerprints are made of.

A value has the same words wherever it lies: -0.0 is 0.0, every NaN is the same NaN, whole numbers have the words of
their two's complement. Rows are done in blocks that the cache holds; nothing is done once a row.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ortbatch.data.columns import to_numpy

LANES = 3
_SEED = 0x6F72_7462_6174_6368
_GOLDEN = 0x9E37_79B9_7F4A_7C15
_NARROW = 64  # lists up to so many words a row are summed word by word, longer ones row by row
_WORDS_AT_ONCE = 1 << 16
_OTHER = np.uint64(0xD1B5_4A32_D192_ED03)


def mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A permutation of 64 bits in which every bit of a number changes about half of all; uint64[N], overwritten.

    References:
        Steele, Lea & Flood (2014), OOPSLA (the finaliser of SplitMix64).
    """
    shifted = np.empty_like(x)
    for bits, factor in ((30, 0xBF58_476D_1CE4_E5B9), (27, 0x94D0_49BB_1331_11EB)):
        x ^= np.right_shift(x, np.uint64(bits), out=shifted)
        x *= np.uint64(factor)
    x ^= np.right_shift(x, np.uint64(31), out=shifted)
    return x


@lru_cache(maxsize=16_384)
def keys(first: int, count: int) -> NDArray[np.uint64]:
    """Keys `first`, `first` + 1, ... of all lanes, uint64[LANES, count]; the same numbers in every process."""
    number = np.arange(first, first + count, dtype=np.uint64) * np.uint64(LANES)
    lanes = number + np.arange(LANES, dtype=np.uint64)[:, None]
    found = mixed(lanes * np.uint64(_GOLDEN) + np.uint64(_SEED))
    found.flags.writeable = False
    return found


class Lanes:
    """For some rows the sum of key · word, modulo 2^64, in each lane.

    Two rows of unlike words have equal sums in one lane with a probability of at most 2^-33 over the keys, as the words
    differ by less than 2^32; in all three with at most 2^-99.

    References:
        Lemire & Kaser (2014), The Computer Journal 57(11), section 3 (the family MULTILINEAR).
    """

    def __init__(self, rows: int) -> None:
        self._all = np.empty((LANES, rows), np.uint64)
        self._wide = np.empty(rows, np.uint64)
        self._product = np.empty(rows, np.uint64)
        self.sums = self._all

    def begin(self, rows: int) -> None:
        """Begin with other rows, at most those that there is room for."""
        self.sums = self._all[:, :rows]
        self.sums[:] = 0

    def add(self, words: NDArray[np.uint32], key: NDArray[np.uint64]) -> None:
        """Add one word of each row, uint32[rows], with its key in each lane, uint64[LANES]."""
        wide, product = self._wide[: words.size], self._product[: words.size]
        np.copyto(wide, words)
        for lane, factor in zip(self.sums, key, strict=True):
            np.multiply(wide, factor, out=product)
            np.add(lane, product, out=lane)

    def fingerprints(self, out: NDArray[np.uint64]) -> None:
        """Write those of the rows, uint64[rows, 2]: the sums of all lanes, stirred; the third goes into both halves."""
        one, two, three = self.sums
        out[:, 0] = mixed(one + mixed(three.copy()))
        out[:, 1] = mixed(two + mixed(three ^ _OTHER))


class Field(Protocol):
    """Something that every row has, as words."""

    def add(self, lanes: Lanes, start: int, stop: int) -> None:
        """Add the words of rows [start, stop), which are all rows of the lanes."""


def canonical(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers with one zero and one NaN, contiguous; a copy only where there are others.

    Looks at all values twice, as whole arrays: once as integers, of which -0.0 is the least there is.
    """
    values = np.ascontiguousarray(values)
    if values.dtype.kind != "f" or not values.size:
        return values
    if values.dtype.itemsize == np.dtype(np.float16).itemsize:
        values = values.astype(np.float32)
    bits = 8 * values.dtype.itemsize
    with np.errstate(invalid="ignore"):
        if values.view(f"i{bits // 8}").min() == -(1 << (bits - 1)):
            values = values + values.dtype.type(0)
        if np.isnan(values.min()):
            values = np.where(np.isnan(values), values.dtype.type(np.nan), values)
    return values


def words_of(values: NDArray[Any]) -> list[NDArray[np.uint32]]:
    """The words of canonical numbers of one dtype, contiguous: one or two arrays uint32[N]."""
    if values.dtype.itemsize <= np.dtype(np.uint32).itemsize:
        return [values.view(np.uint32) if values.dtype.kind == "f" else values.astype(np.uint32)]
    halves = values.view(np.uint32).reshape(-1, 2)
    return [halves[:, 0], halves[:, 1]]


def words_each(dtype: np.dtype[Any]) -> int:
    """How many words a value of this dtype has."""
    return 2 if dtype.itemsize > np.dtype(np.uint32).itemsize else 1


@dataclass(frozen=True)
class Numbers:
    """One number a row.

    Args:
        values: dtype[N], canonical.
        first_key: number of its first key.
    """

    values: NDArray[Any]
    first_key: int

    def add(self, lanes: Lanes, start: int, stop: int) -> None:
        """See `Field`."""
        key = keys(self.first_key, 2)
        for place, words in enumerate(words_of(self.values[start:stop])):
            lanes.add(words, key[:, place])


@dataclass(frozen=True)
class Rectangle:
    """As many numbers in each row.

    Args:
        values: dtype[N, W], canonical.
        first_key: number of its first key.
    """

    values: NDArray[Any]
    first_key: int

    def add(self, lanes: Lanes, start: int, stop: int) -> None:
        """See `Field`."""
        each = words_each(self.values.dtype)
        width = self.values.shape[1] * each
        key = keys(self.first_key, max(1, width))
        step = max(1, _WORDS_AT_ONCE // max(1, width))
        if width <= _NARROW:
            block = self.values[start:stop]
            for column in range(block.shape[1]):
                for place, words in enumerate(words_of(np.ascontiguousarray(block[:, column]))):
                    lanes.add(words, key[:, column * each + place])
            return
        for first in range(start, stop, step):
            block = self.values[first : min(first + step, stop)]
            parts = words_of(block.reshape(-1))
            together = parts[0] if each == 1 else np.column_stack(parts)
            wide = together.reshape(len(block), width).astype(np.uint64)
            rows = slice(first - start, first - start + len(block))
            for lane, factors in zip(lanes.sums, key, strict=True):
                lane[rows] += np.einsum("ij,j->i", wide, factors)


@dataclass(frozen=True)
class Texts:
    """One text, or some bytes, a row: four words of a hash of each distinct one.

    Args:
        codes: int64[N], which of the distinct ones.
        hashes: uint32[U, 4].
        first_key: number of its first key.
    """

    codes: NDArray[np.int64]
    hashes: NDArray[np.uint32]
    first_key: int

    @classmethod
    def of(cls, array: pa.Array, first_key: int) -> Texts:
        """Of an Arrow array of text or bytes without nulls."""
        encoded = array.dictionary_encode()
        distinct = (value.as_buffer() for value in encoded.dictionary)
        digests = b"".join(hashlib.blake2b(value or b"", digest_size=16).digest() for value in distinct)
        codes = to_numpy(encoded.indices).astype(np.int64)
        return cls(codes, np.frombuffer(digests, np.uint32).reshape(-1, 4), first_key)

    def add(self, lanes: Lanes, start: int, stop: int) -> None:
        """See `Field`."""
        key = keys(self.first_key, 4)
        codes = self.codes[start:stop]
        for place in range(4):
            lanes.add(self.hashes[codes, place], key[:, place])


@dataclass(frozen=True)
class Lists:
    """A list of numbers a row, of any length.

    Args:
        values: dtype[total], canonical.
        starts: int64[N], where each list begins in `values`.
        lengths: int64[N].
        first_key: number of its first key.
    """

    values: NDArray[Any]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    first_key: int

    def add(self, lanes: Lanes, start: int, stop: int) -> None:
        """See `Field`: the length, and each value with the key of its place in its list."""
        longest = int(self.lengths[start:stop].max(initial=0))
        step = max(1, _WORDS_AT_ONCE // max(1, longest))
        lanes.add(self.lengths[start:stop].astype(np.uint32), keys(self.first_key, 1)[:, 0])
        if not longest:
            return
        # Rounded up, so that few tables of keys are made.
        each = words_each(self.values.dtype)
        key = keys(self.first_key + 1, each * (1 << (longest - 1).bit_length()))
        for first in range(start, stop, step):
            rows = slice(first, min(first + step, stop))
            self._add_sums(lanes.sums[:, rows.start - start : rows.stop - start], rows, key)

    def _add_sums(self, sums: NDArray[np.uint64], rows: slice, key: NDArray[np.uint64]) -> None:
        starts, lengths = self.starts[rows], self.lengths[rows]
        ends = np.cumsum(lengths)
        begins, total = ends - lengths, int(ends[-1])
        if not total:
            return
        every = np.arange(total)
        place = every - np.repeat(begins, lengths)
        each = words_each(self.values.dtype)
        for number, words in enumerate(words_of(self.values[every + np.repeat(starts - begins, lengths)])):
            wide = words.astype(np.uint64)
            for lane, factors in zip(sums, key, strict=True):
                # Sums wrap around, and so do their differences.
                up_to = np.concatenate([np.zeros(1, np.uint64), np.cumsum(wide * factors[place * each + number])])
                lane += up_to[ends] - up_to[begins]
