"""Known fingerprints, to find rows among: sorted arrays that workers share, with a filter of bits before them.

Most rows that are looked for are not there, and the filter says so for 97 of 100 of them: a bit for each of 32 to 64
slots a known fingerprint; a row's slot is its leading bits. What passes is searched for, and compared whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SLOTS_EACH = 32
_FEWEST_BITS, _MOST_BITS = 12, 31
_ROWS_AT_ONCE = 1 << 15  # few enough to stay in the cache


@dataclass(frozen=True)
class Part:
    """One of 2^bits equal parts of all fingerprints: those whose leading bits are `index`."""

    bits: int = 0
    index: int = 0

    def of(self, prints: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of uint64[N, 2] are in it, bool[N]."""
        if not self.bits:
            return np.ones(len(prints), np.bool_)
        return np.asarray(prints[:, 0] >> np.uint64(64 - self.bits) == np.uint64(self.index))


def parts_of(rows: int, limit: int) -> list[Part]:
    """As few parts, a power of two, as hold about `limit` rows each at most.

    >>> len(parts_of(50, 50)), len(parts_of(51, 50)), len(parts_of(500, 50))
    (1, 2, 16)
    """
    bits = max(0, (-(-rows // limit) - 1).bit_length())
    return [Part(bits, index) for index in range(1 << bits)]


@dataclass(frozen=True)
class Known:
    """K distinct fingerprints of a part, sorted.

    Args:
        first: uint64[K], their first halves, rising.
        second: uint64[K], their second halves, rising where the first ones are equal.
        filter: uint8, a bit for each slot.
        bits: as many leading bits, behind those of the part, are a slot.
        part: that all of them are in.
    """

    first: NDArray[np.uint64]
    second: NDArray[np.uint64]
    filter: NDArray[np.uint8]
    bits: int
    part: Part

    @classmethod
    def of(cls, prints: NDArray[np.uint64], part: Part | None = None) -> Known:
        """Of uint64[K, 2], sorted and distinct, all in the part."""
        part = part or Part()
        bits = min(_MOST_BITS, max(_FEWEST_BITS, (_SLOTS_EACH * len(prints)).bit_length()))
        first, second = (np.ascontiguousarray(prints[:, half]) for half in (0, 1))
        slots = _slots(first, part, bits)
        table = np.zeros(1 << (bits - 3), np.uint8)
        if slots.size:
            # Slots rise as the fingerprints do: those of one byte follow each other.
            byte = slots >> np.uint64(3)
            begins = np.flatnonzero(np.diff(byte, prepend=byte[0] + np.uint64(1)))
            bit = np.uint8(1) << (slots & np.uint64(7)).astype(np.uint8)
            table[byte[begins]] = np.bitwise_or.reduceat(bit, begins)
        return cls(first, second, table, bits, part)

    def find(self, prints: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of uint64[N, 2] are known: their places among these, rising, and their numbers; int64[M] each."""
        rows, numbers = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for start in range(0, len(prints), _ROWS_AT_ONCE):
            places, found = self._find(prints[start : start + _ROWS_AT_ONCE])
            rows.append(places + start)
            numbers.append(found)
        return np.concatenate(rows), np.concatenate(numbers)

    def _find(self, prints: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        slots = _slots(prints[:, 0], self.part, self.bits)
        marked = self.filter.take((slots >> np.uint64(3)).view(np.int64), mode="clip")
        marked >>= (slots & np.uint64(7)).astype(np.uint8)
        marked &= np.uint8(1)
        rows = np.flatnonzero(marked.view(np.bool_))
        if not rows.size or not self.first.size:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        first, second = prints[rows, 0], prints[rows, 1]
        at = np.minimum(np.searchsorted(self.first, first), self.first.size - 1)
        # First halves of unlike fingerprints are hardly ever equal; the next ones may still be meant.
        while (later := (self.first[at] == first) & (self.second[at] < second) & (at < self.first.size - 1)).any():
            at[later] += 1
        found = (self.first[at] == first) & (self.second[at] == second)
        return rows[found], at[found]


def _slots(first: NDArray[np.uint64], part: Part, bits: int) -> NDArray[np.uint64]:
    return (first << np.uint64(part.bits) if part.bits else first) >> np.uint64(64 - bits)
