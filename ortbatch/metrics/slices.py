"""Counts of parts of the rows that merge: for each slice a confusion matrix, and scores in coarse bins.

Which slices there are is settled before the first row is counted, so that merging chooses nothing. A way to cut puts
every row into exactly one of its slices: counts of one way add up to those of all rows. What a value of a column is
called is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.cells import Cells
from ortbatch.metrics.curves import Curve
from ortbatch.metrics.scores import cells_of
from ortbatch.metrics.value import Value, require_same

SLICE_BINS = 1_024
OTHER = "(other)"
_CELLS = SLICE_BINS + 4


@dataclass(frozen=True)
class Cut:
    """One way to cut the rows, frozen.

    Args:
        by: the columns.
        values: texts of each slice, one a column; rows of no such slice are in a last one, of all other values.
        pooled: values, or combinations of them, that were found in the data and have no slice of their own.
        bins: edges, where numbers of a column are cut by them.
    """

    by: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    pooled: int = 0
    bins: tuple[str, ...] = ()

    @property
    def slices(self) -> int:
        """How many there are, that of all other values included."""
        return len(self.values) + 1

    def of(self, place: int) -> dict[str, str]:
        """Column → text of a slice."""
        texts = self.values[place] if place < len(self.values) else (OTHER,) * len(self.by)
        return dict(zip(self.by, texts, strict=True))


def _no_confusion() -> Cells:
    return Cells.empty((0, 0, 0))


def _no_scores() -> Cells:
    return Cells.empty((0, 2, _CELLS))


@dataclass(frozen=True, eq=False)
class SliceCounts(Value):
    """Counts of the S slices of some cuts, one cut after the other, and in each slice after slice.

    Args:
        cuts: the ways to cut; none where no slices are asked for.
        confusion: counts of shape [S, C, C], rows = true class, columns = predicted class.
        scores: counts of shape [S, 2, 1028]: truth (0 = rest, 1 = positive class), cell by rising score; of shape
            [0, 2, 1028] unless there is one score curve.
    """

    cuts: tuple[Cut, ...] = ()
    confusion: Cells = field(default_factory=_no_confusion)
    scores: Cells = field(default_factory=_no_scores)

    @classmethod
    def empty(cls, cuts: Sequence[Cut], classes: int, curves: int) -> SliceCounts:
        """No rows yet: of C classes and some score curves, of which one is kept if it is the only one."""
        if not cuts:
            return cls()
        size = slices_of(cuts)
        return cls(
            tuple(cuts), Cells.empty((size, classes, classes)), Cells.empty((size if curves == 1 else 0, 2, _CELLS))
        )

    def of_cells(self, confusion: NDArray[np.int64], scores: NDArray[np.int64]) -> SliceCounts:
        """Count rows whose cells are known into slices as those of this value, whose own rows are not in it.

        Args:
            confusion: int64[M], as `confusion_cells` gives them.
            scores: int64[M], as `score_cells` gives them; none where no scores are kept.

        Raises:
            ValueError: if a cell lies outside.
        """
        if not self.cuts:
            return SliceCounts()
        return SliceCounts(
            self.cuts, Cells.of(self.confusion.shape, confusion), Cells.of(self.scores.shape, scores)
        )  # fmt: skip

    def merge(self, other: SliceCounts) -> SliceCounts:
        """Counts of both; raises MergeError if the slices, classes or curves differ."""
        require_same("slices", self.cuts, other.cuts)
        if not self.cuts:
            return SliceCounts()
        return SliceCounts(self.cuts, self.confusion.merge(other.confusion), self.scores.merge(other.scores))

    @classmethod
    def merged(cls, values: Sequence[SliceCounts]) -> SliceCounts:
        """Counts of one or more values; raises MergeError if the slices, classes or curves differ."""
        cuts = values[0].cuts
        for value in values:
            require_same("slices", cuts, value.cuts)
        if not cuts:
            return cls()
        return cls(
            cuts,
            Cells.merged([value.confusion for value in values]),
            Cells.merged([value.scores for value in values]),
        )

    def curve(self, place: int) -> SliceCurve | None:
        """The curve of a slice; None if no scores are kept."""
        return SliceCurve(*self.scores.part(place)) if self.scores.shape[0] else None


class SliceCurve(Curve):
    """A curve whose areas are summed here: scikit-learn's checks take 5 ms a curve, and there may be hundreds."""

    def _roc_area(self) -> float:
        below = np.cumsum(self.negative) - self.negative
        rest, own = self.rows
        return float(self.positive @ (below + self.negative / 2)) / rest / own

    def _precision_area(self) -> float:
        hits = np.cumsum(self.positive[::-1])[::-1]
        called = hits + np.cumsum(self.negative[::-1])[::-1]
        filled = np.flatnonzero(self.positive)
        return float(self.positive[filled] @ (hits[filled] / called[filled])) / self.rows[1]


def slices_of(cuts: Sequence[Cut]) -> int:
    """Slices of all cuts together."""
    return sum(cut.slices for cut in cuts)


def confusion_cells(places: NDArray[np.int64], cell: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Flat cells of rows in the table of all slices.

    Args:
        places: int64[N, K], the slice of each row among all slices, for each cut.
        cell: int64[N], true class · C + predicted class.
        classes: C.

    Returns:
        int64[N · K].
    """
    return (places * (classes * classes) + cell[:, None]).reshape(-1)


def score_cells(
    places: NDArray[np.int64], log_odds: NDArray[np.float64], truth: NDArray[np.bool_]
) -> NDArray[np.int64]:  # fmt: skip
    """The same of scores: the positive class's log-odds float64[N], and whether a row is of it, bool[N].

    Raises:
        ValueError: if a score is NaN.
    """
    cell = cells_of(log_odds, SLICE_BINS)
    cell += truth * np.int64(_CELLS)
    return (places * (2 * _CELLS) + cell[:, None]).reshape(-1)
