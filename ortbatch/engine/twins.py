"""Rows of equal inputs, from their fingerprints: duplicates, labels that contradict, and rows that were seen elsewhere.

Counts and the first few of each kind, by place: the number of a row among those of all files of a plan, one file after
the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortbatch.data.plan import PlannedFile
from ortbatch.metrics.leakage import EXAMPLES, Leakage, Twins
from ortbatch.metrics.matches import NO_LABEL, Matches

_NO_CLASS = np.iinfo(np.int64).max
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Places:
    """Where rows are: `starts` int64[F], the place of each file's first row."""

    starts: Ints

    @classmethod
    def of(cls, files: Sequence[PlannedFile]) -> Places:
        """Of the files of a plan."""
        rows = [file.rows for file in files]
        return cls(np.cumsum([0, *rows[:-1]], dtype=np.int64))

    def row(self, place: int) -> tuple[int, int]:
        """File and row of a place; files without rows have no place."""
        file = int(np.searchsorted(self.starts, place, side="right")) - 1
        return file, place - int(self.starts[file])


@dataclass(frozen=True)
class SortedRows:
    """M rows sorted by their inputs, and by place where these are equal; K of the inputs are distinct.

    Args:
        prints: uint64[K, 2], the distinct inputs.
        starts: int64[K], the first row of each.
        inputs: int64[M], which of the inputs each row has.
        places: int64[M].
        labels: int64[M], class indices; NO_LABEL where there is none.
    """

    prints: NDArray[np.uint64]
    starts: Ints
    inputs: Ints
    places: Ints
    labels: Ints

    @classmethod
    def of(cls, prints: NDArray[np.uint64], places: Ints, labels: NDArray[np.integer]) -> SortedRows:
        """Sort rows.

        Args:
            prints: uint64[M, 2], their fingerprints.
            places: int64[M], distinct.
            labels: int[M].
        """
        if (places[1:] < places[:-1]).any():
            by_place = np.argsort(places)
            prints, places, labels = prints[by_place], places[by_place], labels[by_place]
        order = np.argsort(prints[:, 0], kind="stable")
        first, second = prints[order, 0], prints[order, 1]
        if ((first[1:] == first[:-1]) & (second[1:] != second[:-1])).any():
            # Unlike inputs whose first halves are equal: about once in 2^64 pairs.
            order = np.lexsort((places, prints[:, 1], prints[:, 0]))
            first, second = prints[order, 0], prints[order, 1]
        begins = np.ones(order.size, np.bool_)
        begins[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
        starts = np.flatnonzero(begins)
        distinct = np.column_stack([first[starts], second[starts]])
        return cls(distinct, starts, np.cumsum(begins) - 1, places[order], labels[order].astype(np.int64))


def leaked_rows(rows: SortedRows, matches: Matches) -> NDArray[np.bool_]:
    """Which of the M rows have inputs that were seen, bool[M]."""
    seen = np.zeros(rows.starts.size, np.bool_)
    seen[matches.inputs] = True
    return seen[rows.inputs]


def leakage_of(rows: SortedRows, matches: Matches, own: Places, training: Places, *, labelled: bool) -> Leakage:
    """What rows and their matches in the training data tell.

    Args:
        rows: of the evaluation data.
        matches: training rows of their inputs.
        own: where the rows are.
        training: where training rows are.
        labelled: are the labels of training rows known?
    """
    leaked = np.flatnonzero(leaked_rows(rows, matches))
    again = np.ones(rows.places.size, np.bool_)
    again[rows.starts] = False
    repeated = np.flatnonzero(again)
    within = np.flatnonzero(_unlike(rows, *_ranges(rows.starts.size, rows.inputs, rows.labels)))
    across = np.flatnonzero(_unlike(rows, *_ranges(rows.starts.size, matches.inputs, matches.labels)))

    def twins(chosen: Ints, other: Callable[[int], tuple[int, int]], of: Places) -> tuple[Twins, ...]:
        found = []
        for row in _earliest(rows.places, chosen):
            place, label = other(row)
            found.append(Twins(*own.row(int(rows.places[row])), *of.row(place), int(rows.labels[row]), label))
        return tuple(sorted(found))

    return Leakage(
        compared=rows.places.size,
        distinct=rows.starts.size,
        rows=leaked.size,
        duplicates=repeated.size,
        conflicts=within.size,
        training_conflicts=across.size if labelled else None,
        leaked=twins(leaked, lambda row: _seen(matches, int(rows.inputs[row])), training),
        repeated=twins(repeated, lambda row: _first(rows, row), own),
        contradicting=twins(within, lambda row: _contradicting(rows, row), own),
        contradicted=twins(across, lambda row: _seen(matches, int(rows.inputs[row]), int(rows.labels[row])), training),
    )


def _ranges(size: int, inputs: Ints, labels: Ints) -> tuple[Ints, Ints]:
    """Smallest and largest class of each inputs, int64[K] each; the largest is NO_LABEL where no label is known."""
    low, high = np.full(size, _NO_CLASS, np.int64), np.full(size, NO_LABEL, np.int64)
    known = labels != NO_LABEL
    np.minimum.at(low, inputs[known], labels[known])
    np.maximum.at(high, inputs[known], labels[known])
    return low, high


def _unlike(rows: SortedRows, low: Ints, high: Ints) -> NDArray[np.bool_]:
    """Rows with a label whose inputs have another one too, bool[M]."""
    low, high = low[rows.inputs], high[rows.inputs]
    return np.asarray((rows.labels != NO_LABEL) & (high != NO_LABEL) & ((low != rows.labels) | (high != rows.labels)))


def _earliest(places: Ints, chosen: Ints) -> list[int]:
    """Those of some rows that are first by place."""
    if chosen.size > EXAMPLES:
        chosen = chosen[np.argpartition(places[chosen], EXAMPLES - 1)[:EXAMPLES]]
    return [int(row) for row in chosen]


def _first(rows: SortedRows, row: int) -> tuple[int, int]:
    """Place and label of the first row of the same inputs."""
    start = int(rows.starts[rows.inputs[row]])
    return int(rows.places[start]), int(rows.labels[start])


def _contradicting(rows: SortedRows, row: int) -> tuple[int, int]:
    """Place and label of the first row of the same inputs with another label."""
    number = int(rows.inputs[row])
    stop = int(rows.starts[number + 1]) if number + 1 < rows.starts.size else rows.places.size
    labels = rows.labels[rows.starts[number] : stop]
    at = int(rows.starts[number]) + int(np.flatnonzero((labels != NO_LABEL) & (labels != rows.labels[row]))[0])
    return int(rows.places[at]), int(rows.labels[at])


def _seen(matches: Matches, inputs: int, unlike: int = NO_LABEL) -> tuple[int, int]:
    """Place and label of the first match of some inputs; with `unlike` of those with another label."""
    start, stop = np.searchsorted(matches.inputs, [inputs, inputs + 1])
    labels, first = matches.labels[start:stop], matches.first[start:stop]
    if unlike != NO_LABEL:
        other = (labels != NO_LABEL) & (labels != unlike)
        labels, first = labels[other], first[other]
    at = int(first.argmin())
    return int(first[at]), int(labels[at])
