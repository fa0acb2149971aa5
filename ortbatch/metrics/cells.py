"""Counts over a shape, held as all of them or as the non-zero ones: whichever is smaller.

The form follows from the content alone (sparse if twice the non-zero cells are fewer than all cells), so equal counts
are equal bytes, however they were come by. Counts never become fewer by merging: what is dense stays dense.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.value import LARGEST, Counts, Value, add, frozen, require_inside, require_same

_CELLS_A_ROW = 16  # so many cells are passed over in the time in which one row is sorted


@dataclass(frozen=True, eq=False)
class Cells(Value):
    """Non-negative counts that merge; made by `of`, `of_dense` and `empty`.

    Args:
        shape: of the counts.
        indices: int64[n], rising flat (C order) indices of the non-zero cells; None if all cells are held.
        counts: int64[n] > 0 of those cells, or int64[size] of all.

    >>> Cells.of((2, 2), np.array([3, 0, 3])).dense().tolist()
    [[1, 0], [0, 2]]
    """

    shape: tuple[int, ...]
    indices: Counts | None
    counts: Counts

    @classmethod
    def empty(cls, shape: Sequence[int]) -> Cells:
        """All zero."""
        return _of_nonzero(tuple(shape), np.empty(0, np.int64), np.empty(0, np.int64))

    @classmethod
    def of(cls, shape: Sequence[int], flat: NDArray[np.int64], *, inside: bool = False) -> Cells:
        """Count rows by cell. Needs memory of the order of the rows when they are few, whatever the shape.

        Args:
            shape: of the counts.
            flat: int64[N], flat (C order) index of each row's cell.
            inside: the caller knows that every index lies in the shape; not looked at again.

        Raises:
            TypeError: if the indices are not int64.
            ValueError: if an index lies outside the shape.
        """
        if flat.dtype != np.int64:
            raise TypeError(f"expected indices of int64, got {flat.dtype}")
        shape, size = tuple(shape), math.prod(shape)
        if not inside:
            require_inside("cell", flat, size)
        if size <= _CELLS_A_ROW * flat.size:
            return _of_all(shape, np.bincount(flat, minlength=size))
        ordered = np.sort(flat)
        first = _firsts(ordered)
        return _of_nonzero(shape, ordered[first], np.diff(first, append=ordered.size))

    @classmethod
    def of_dense(cls, counts: NDArray[np.int64]) -> Cells:
        """Hold int64 counts of any shape; the array is copied.

        Raises:
            TypeError: if the counts are not int64.
            ValueError: if a count is negative.
        """
        if counts.dtype != np.int64:
            raise TypeError(f"expected counts of int64, got {counts.dtype}")
        if counts.size and counts.min() < 0:
            raise ValueError(f"a count is not negative, got {counts.min()}")
        return _of_all(counts.shape, counts.flatten())

    @classmethod
    def stacked(cls, shape: Sequence[int], parts: Sequence[Cells]) -> Cells:
        """K values of one shape along a new first axis."""
        stack, size = (len(parts), *shape), math.prod(shape)
        if len(parts) == 1:
            return cls(stack, parts[0].indices, parts[0].counts)
        nonzero = [part.nonzero() for part in parts]
        indices = [indices + place * size for place, (indices, _) in enumerate(nonzero)]
        return _of_nonzero(stack, _joined(indices), _joined([counts for _, counts in nonzero]))

    def merge(self, other: Cells) -> Cells:
        """Counts of both; raises MergeError if the shapes differ, OverflowError if a count passes int64."""
        require_same("shapes of cells", self.shape, other.shape)
        small, large = sorted((self, other), key=lambda cells: cells.counts.size)
        if small.indices is None:
            return Cells(self.shape, None, add(small.counts, large.counts))
        if large.indices is None:
            total = large.counts.copy()
            _raise(total, small.indices, small.counts)
            return Cells(self.shape, None, frozen(total))
        return _inserted(large, small.indices, small.counts)

    def without(self, other: Cells) -> Cells:
        """Counts of these rows less those of some of them: `a.merge(b).without(b) == a`.

        Raises:
            MergeError: if the shapes differ.
            ValueError: if there are fewer rows of a cell here than there.
        """
        require_same("shapes of cells", self.shape, other.shape)
        indices, counts = other.nonzero()
        if self.indices is None:
            places, known = indices, True
        else:
            places = np.minimum(np.searchsorted(self.indices, indices), max(0, self.indices.size - 1))
            known = not indices.size or bool(self.indices.size and (self.indices[places] == indices).all())
        if not known or (self.counts[places] < counts).any():
            raise ValueError("cannot take rows away that are not there: a cell would hold fewer than none")
        left = self.counts.copy()
        left[places] -= counts
        if self.indices is None:
            return _of_all(self.shape, left)
        filled = left > 0
        return _of_nonzero(self.shape, self.indices[filled], left[filled])

    @classmethod
    def merged(cls, values: Sequence[Cells]) -> Cells:
        """Counts of one or more values, as merging one after another gives them, at the cost of all cells together."""
        shape = values[0].shape
        for value in values:
            require_same("shapes of cells", shape, value.shape)
        if sum(int(value.counts.max(initial=0)) for value in values) > LARGEST:
            return reduce(Cells.merge, values)
        sparse = [(value.indices, value.counts) for value in values if value.indices is not None]
        dense = [value.counts for value in values if value.indices is None]
        indices, counts = _joined([indices for indices, _ in sparse]), _joined([counts for _, counts in sparse])
        size = math.prod(shape)
        if not dense and size > _CELLS_A_ROW * indices.size:
            order = np.argsort(indices, kind="stable")
            first = _firsts(indices[order])
            return _of_nonzero(shape, indices[order[first]], _sums(counts[order], first))
        total = np.zeros(size, np.int64)
        for all_counts in dense:
            total += all_counts
        np.add.at(total, indices, counts)
        return Cells(shape, None, frozen(total)) if dense else _of_all(shape, total)

    def dense(self) -> Counts:
        """All counts, int64 of the shape, read-only."""
        return self._between(0, math.prod(self.shape)).reshape(self.shape)

    def part(self, index: int) -> Counts:
        """All counts at an index of the first axis, int64 of the other axes, read-only."""
        size = math.prod(self.shape[1:])
        return self._between(index * size, (index + 1) * size).reshape(self.shape[1:])

    def at(self, index: int) -> Cells:
        """Counts at an index of the first axis, as cells of the other axes; costs what is filled there."""
        shape, size = self.shape[1:], math.prod(self.shape[1:])
        if self.indices is None:
            return _of_all(shape, self.counts[index * size : (index + 1) * size].copy())
        low, high = np.searchsorted(self.indices, (index * size, (index + 1) * size))
        return _of_nonzero(shape, self.indices[low:high] - index * size, self.counts[low:high].copy())

    def nonzero(self) -> tuple[Counts, Counts]:
        """Rising flat indices and counts of the cells that are not zero, two int64[n], read-only."""
        if self.indices is not None:
            return self.indices, self.counts
        indices = np.flatnonzero(self.counts)
        return frozen(indices), frozen(self.counts[indices])

    def sum(self) -> int:
        """All rows."""
        return int(self.counts.sum())

    def row_sums(self) -> Counts:
        """Sums over the columns, int64[R] of a shape [R, C]."""
        if self.indices is None:
            return frozen(self.dense().sum(axis=1))
        return self._summed(self.indices // self.shape[1], self.shape[0])

    def column_sums(self) -> Counts:
        """Sums over the rows, int64[C] of a shape [R, C]."""
        if self.indices is None:
            return frozen(self.dense().sum(axis=0))
        return self._summed(self.indices % self.shape[1], self.shape[1])

    def diagonal(self) -> Counts:
        """Cells whose row is their column, int64[C] of a shape [C, C], read-only."""
        size = self.shape[0]
        if self.indices is None:
            return np.diagonal(self.dense())
        on_it = self.indices % (size + 1) == 0
        diagonal = np.zeros(size, np.int64)
        diagonal[self.indices[on_it] // (size + 1)] = self.counts[on_it]
        return frozen(diagonal)

    def _between(self, start: int, stop: int) -> Counts:
        """Flat counts of cells [start, stop)."""
        if self.indices is None:
            return self.counts[start:stop]
        low, high = np.searchsorted(self.indices, (start, stop))
        counts = np.zeros(stop - start, np.int64)
        counts[self.indices[low:high] - start] = self.counts[low:high]
        return frozen(counts)

    def _summed(self, places: Counts, size: int) -> Counts:
        # Not bincount: its weights are float64, which lose single rows beyond 2^53.
        total = np.zeros(size, np.int64)
        np.add.at(total, places, self.counts)
        return frozen(total)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        arrays = {name: frozen(item) for name, item in state.items() if isinstance(item, np.ndarray)}
        self.__dict__.update(state | arrays)


def _joined(arrays: Sequence[Counts]) -> Counts:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)


def _of_all(shape: tuple[int, ...], counts: Counts) -> Cells:
    """From int64[size] that nobody else holds."""
    filled = counts != 0
    if 2 * np.count_nonzero(filled) >= counts.size:
        return Cells(shape, None, frozen(counts))
    indices = np.flatnonzero(filled)
    return Cells(shape, frozen(indices), frozen(counts[indices]))


def _of_nonzero(shape: tuple[int, ...], indices: Counts, counts: Counts) -> Cells:
    """From rising indices and their counts > 0, both int64[n] that nobody else holds."""
    size = math.prod(shape)
    if 2 * indices.size < size:
        return Cells(shape, frozen(indices), frozen(counts))
    total = np.zeros(size, np.int64)
    total[indices] = counts
    return Cells(shape, None, frozen(total))


def _inserted(large: Cells, indices: Counts, counts: Counts) -> Cells:
    """A sparse value with some cells more; searches for the few among the many."""
    assert large.indices is not None
    at = np.searchsorted(large.indices, indices)
    known = np.zeros(at.size, np.bool_)
    inside = at < large.indices.size
    known[inside] = large.indices[at[inside]] == indices[inside]
    total = large.counts.copy()
    _raise(total, at[known], counts[known])
    new = ~known
    return _of_nonzero(
        large.shape, np.insert(large.indices, at[new], indices[new]), np.insert(total, at[new], counts[new])
    )


def _raise(total: Counts, places: Counts, counts: Counts) -> None:
    """Add to distinct places of `total`; raises OverflowError if a count passes int64."""
    total[places] = add(total[places], counts)


def _firsts(ordered: Counts) -> NDArray[np.intp]:
    """Where each distinct value of a sorted array begins."""
    begins = np.ones(ordered.size, np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return np.flatnonzero(begins)


def _sums(counts: Counts, first: NDArray[np.intp]) -> Counts:
    """Sums of the runs that begin at `first`."""
    return np.add.reduceat(counts, first) if first.size else counts
