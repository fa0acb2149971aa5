"""The few rows of many that a report names: the first ones of a total order, which merge exactly.

A float64 that is not negative is kept as its bits, an int64: they rise with the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.value import Counts, Value, frozen, zeros

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

KEPT = 20
UNKNOWN = -1
COLUMNS = ("gap", "file", "row", "label", "predicted", "baseline", "differing", "score", "baseline_score")


@dataclass(frozen=True)
class KeptRow:
    """One row, as a report names it.

    Args:
        gap: largest difference of its probabilities; None without scores.
        file: index of its file in the plan. row: its number in that file.
        label, predicted, baseline: true class, and what the two models said.
        differing: the class whose probability differs most; -1 without scores.
        scores: what the model and the baseline gave that class; None without scores.
    """

    gap: float | None
    file: int
    row: int
    label: int
    predicted: int
    baseline: int
    differing: int
    scores: tuple[float, float] | None

    @classmethod
    def of(cls, line: Sequence[int]) -> KeptRow:
        """From a line of the table of `KeptRows`."""
        gap, file, row, label, predicted, baseline, differing, score, other = line
        if gap == UNKNOWN:
            return cls(None, file, row, label, predicted, baseline, differing, None)
        scores = value_of(score), value_of(other)
        return cls(value_of(gap), file, row, label, predicted, baseline, differing, scores)


@dataclass(frozen=True, eq=False)
class KeptRows(Value):
    """The first few rows of a total order: the largest difference first, then by file and row.

    The first of a union are the first of the firsts, so they merge exactly.

    Args:
        table: int64[n, 9], n <= 20, one row a line, `COLUMNS`: bits of the difference, file, row, label, predicted,
            baseline, class whose probability differs most, and bits of the two scores; -1 without scores.
    """

    table: Counts

    @classmethod
    def empty(cls) -> KeptRows:
        """No rows yet."""
        return cls(zeros(0, len(COLUMNS)))

    @classmethod
    def of(cls, table: Ints) -> KeptRows:
        """Keep the first of int64[N, 9]."""
        # The difference falls along the order, everything else rises.
        ordered = [-table[:, 0], *table.T[1:]]
        few = _first(ordered, KEPT)
        order = few[np.lexsort([column[few] for column in reversed(ordered)])][:KEPT]
        return cls(frozen(np.ascontiguousarray(table[order])))

    def merge(self, other: KeptRows) -> KeptRows:
        """The first rows of both."""
        return KeptRows.of(np.concatenate([self.table, other.table]))

    @classmethod
    def merged(cls, values: Sequence[KeptRows]) -> KeptRows:
        """The first rows of one or more values."""
        return cls.of(np.concatenate([value.table for value in values]))

    def rows(self) -> list[KeptRow]:
        """All of them, in their order."""
        return [KeptRow.of(line) for line in self.table.tolist()]


def bits_of(values: Floats) -> Ints:
    """The bits of float64 that are not negative: they rise with the values; -0.0 becomes 0."""
    return np.add(values, 0.0).view(np.int64)


def value_of(bits: int) -> float:
    """The float64 that has these bits.

    >>> value_of(int(bits_of(np.array([0.1]))[0]))
    0.1
    """
    return float(np.array(bits, np.int64).view(np.float64))


def _first(columns: Sequence[NDArray[Any]], count: int) -> NDArray[np.intp]:
    """Places of the first rows in the order of some columns; a few more where rows are alike in all of them."""
    sure: list[NDArray[np.intp]] = []
    left = np.arange(len(columns[0]))
    for column in columns:
        if left.size <= count:
            break
        values = column[left]
        limit = np.partition(values, count - 1)[count - 1]
        sure.append(left[values < limit])
        count -= sure[-1].size
        left = left[values == limit]
    return np.concatenate([*sure, left])
