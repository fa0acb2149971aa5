"""Which of the known inputs were seen among other rows, with which labels, how often, and where first.

What is merged is a set, with counts: a shard of rows that is looked at once is counted once, in any order. Inputs are
numbers here; what they hold is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.value import Counts, Value, frozen, zeros

NO_LABEL = -1


def _none() -> Counts:
    return zeros(0)


@dataclass(frozen=True, eq=False)
class Matches(Value):
    """Rows that were looked at, and those of them whose inputs are known, by inputs and label.

    Args:
        looked_at: all rows.
        unusable: those without inputs that the model can be given.
        inputs: int64[M], number of the known inputs, rising, and within one of them the labels rise.
        labels: int64[M], class index; NO_LABEL where there is none.
        rows: int64[M] > 0, rows of these inputs and this label.
        first: int64[M], the least place of these.
    """

    looked_at: int = 0
    unusable: int = 0
    inputs: Counts = field(default_factory=_none)
    labels: Counts = field(default_factory=_none)
    rows: Counts = field(default_factory=_none)
    first: Counts = field(default_factory=_none)

    @classmethod
    def empty(cls) -> Matches:
        """Nothing looked at yet."""
        return cls()

    @classmethod
    def of(
        cls, looked_at: int, unusable: int, inputs: NDArray[np.int64], labels: NDArray[np.int64],
        places: NDArray[np.int64],
    ) -> Matches:  # fmt: skip
        """Of some rows.

        Args:
            looked_at: all of them.
            unusable: without inputs.
            inputs: int64[N], of the rows whose inputs are known: which.
            labels: int64[N], their class indices, or NO_LABEL.
            places: int64[N], where they are.
        """
        return _grouped(looked_at, unusable, (inputs, labels, np.ones(inputs.size, np.int64), places))

    def merge(self, other: Matches) -> Matches:
        """Rows of both.

        Raises:
            OverflowError: if a count passes 2^63 - 1.
        """
        return Matches.merged([self, other])

    @classmethod
    def merged(cls, values: Sequence[Matches]) -> Matches:
        """Rows of one or more values, at the cost of all together."""
        columns = [np.concatenate([getattr(v, name) for v in values]) for name in ("inputs", "labels", "rows", "first")]
        inputs, labels, rows, first = columns
        seen, unusable = sum(value.looked_at for value in values), sum(value.unusable for value in values)
        return _grouped(seen, unusable, (inputs, labels, rows, first))

    @property
    def matching(self) -> int:
        """Rows whose inputs are known."""
        return int(self.rows.sum())


def _grouped(looked_at: int, unusable: int, columns: tuple[NDArray[np.int64], ...]) -> Matches:
    """One entry for inputs and label, from (inputs, labels, rows, places)."""
    inputs, labels, rows, places = columns
    if not inputs.size:
        return Matches(looked_at, unusable)
    order = np.lexsort((places, labels, inputs))
    inputs, labels, rows, places = inputs[order], labels[order], rows[order], places[order]
    begins = np.ones(inputs.size, np.bool_)
    begins[1:] = (inputs[1:] != inputs[:-1]) | (labels[1:] != labels[:-1])
    first = np.flatnonzero(begins)
    sums = np.add.reduceat(rows, first)
    if sums.min() < 0:
        raise OverflowError("a count passed the limit of int64")
    return Matches(
        looked_at, unusable, frozen(inputs[first]), frozen(labels[first]), frozen(sums), frozen(places[first])
    )  # fmt: skip
