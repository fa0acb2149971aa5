"""Score counts that merge: the sufficient statistic of ROC and precision-recall curves.

Scores are counted in uniform bins of log-odds over [-24, 24), p = 0.5 on an edge, bins closed below, so that `score >=
edge` is exact at every edge. Log-odds outside have a cell on each side, and p = 0 and p = 1 cells of their own: rows
there are true ties. The two halves of the rows (by a hash of file and row) are kept apart, so that a threshold can be
chosen on one and judged on the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.cells import Cells
from ortbatch.metrics.curves import Curve
from ortbatch.metrics.value import Counts, Value, require_same

LIMIT = 24.0
BINARY_BINS = 65_536
ONE_VS_REST_BINS = 4_096
ONE_VS_REST_CLASSES = 20
_HALVES = 2
_OUTER_CELLS = 4  # p = 0, below -24, at or above 24, p = 1


@dataclass(frozen=True, eq=False)
class ScoreHistogram(Value):
    """Scores of K curves, each one class against the rest.

    Args:
        curves: the class of each curve; one for a binary model, all for a small multiclass one, none when the model
            puts out labels only.
        table: counts of shape [K, 2, 2, cells]: curve, half of the rows, truth (0 = rest, 1 = the class), cell by
            rising score.
    """

    curves: tuple[str, ...]
    table: Cells

    @classmethod
    def empty(cls, curves: Sequence[str], bins: int) -> ScoreHistogram:
        """No rows yet; `bins` is even."""
        return cls(tuple(curves), Cells.empty((len(curves), _HALVES, 2, bins + _OUTER_CELLS)))

    @classmethod
    def of(
        cls,
        curves: Sequence[str],
        bins: int,
        log_odds: NDArray[np.float64],
        truth: NDArray[np.bool_],
        half: NDArray[np.uint8],
    ) -> ScoreHistogram:
        """Count rows.

        Args:
            curves: K class names.
            bins: an even number of bins.
            log_odds: float64[N, K], log p - log(1 - p); -inf and inf where p is 0 or 1.
            truth: bool[N, K], is the row of the curve's class?
            half: uint8[N], 0 or 1.

        Raises:
            ValueError: if a score is NaN, or the shapes do not agree.
        """
        if not log_odds.shape == truth.shape == (half.size, len(curves)):
            shapes = f"{log_odds.shape} and {truth.shape}"
            raise ValueError(f"expected scores and truths of shape {(half.size, len(curves))}, got {shapes}")
        # One curve after the other: the cells of all curves at once would pass the cache.
        columns = (joint_cells(log_odds[:, k], truth[:, k], half, bins) for k in range(len(curves)))
        return cls._counted(curves, bins, columns)

    @classmethod
    def of_cells(cls, curves: Sequence[str], bins: int, cells: Sequence[NDArray[np.int64]]) -> ScoreHistogram:
        """Count rows whose cells are known, from one or many calls of `joint_cells`.

        Args:
            curves: K class names.
            bins: an even number of bins.
            cells: for each curve int64[N], in [0, 2 · 2 · (bins + 4)).

        Raises:
            ValueError: if a cell lies outside, or there are not K arrays of one length.
        """
        lengths = [len(column) for column in cells]
        if len(lengths) != len(curves) or len(set(lengths)) > 1:
            raise ValueError(f"expected cells of {len(curves)} curves, as many of each, got {lengths}")
        return cls._counted(curves, bins, cells)

    @classmethod
    def _counted(cls, curves: Sequence[str], bins: int, cells: Iterable[NDArray[np.int64]]) -> ScoreHistogram:
        block = (_HALVES, 2, bins + _OUTER_CELLS)
        return cls(tuple(curves), Cells.stacked(block, [Cells.of(block, column) for column in cells]))

    @property
    def bins(self) -> int:
        """Bins of a curve, without the outer cells."""
        return self.table.shape[3] - _OUTER_CELLS

    @property
    def counts(self) -> Counts:
        """All cells, int64[K, 2, 2, cells], read-only; made anew where few are filled."""
        return self.table.dense()

    def merge(self, other: ScoreHistogram) -> ScoreHistogram:
        """Counts of both; raises MergeError if curves or bins differ."""
        require_same("curves of score histograms", self.curves, other.curves)
        return ScoreHistogram(self.curves, self.table.merge(other.table))

    def without(self, other: ScoreHistogram) -> ScoreHistogram:
        """Counts of these rows less those of some of them; raises MergeError, and ValueError if they are not there."""
        require_same("curves of score histograms", self.curves, other.curves)
        return ScoreHistogram(self.curves, self.table.without(other.table))

    @classmethod
    def merged(cls, values: Sequence[ScoreHistogram]) -> ScoreHistogram:
        """Counts of one or more histograms; raises MergeError if curves or bins differ."""
        for value in values:
            require_same("curves of score histograms", values[0].curves, value.curves)
        return cls(values[0].curves, Cells.merged([value.table for value in values]))

    def curve(self, index: int, half: int | None = None) -> Curve:
        """One of the K curves, of all rows or of one half of them."""
        halves_of = self.table.part(index)
        rest, own = halves_of.sum(axis=0) if half is None else halves_of[half]
        return Curve(rest, own)


def edges(bins: int) -> NDArray[np.float64]:
    """Lower edge of each cell in log-odds, float64[bins + 4]: -inf, then what is above it, and inf for p = 1."""
    inner = np.arange(bins + 1) * (2 * LIMIT / bins) - LIMIT
    return np.concatenate([[-math.inf, -math.inf], inner, [math.inf]])


def centres(bins: int) -> NDArray[np.float64]:
    """Middle of each cell in log-odds, float64[bins + 4]; infinite where p is 0 or 1, ±24 in the outer cells."""
    half = LIMIT / bins
    inner = np.arange(bins) * (2 * half) - LIMIT + half
    return np.concatenate([[-math.inf, -LIMIT], inner, [LIMIT, math.inf]])


def cells_of(log_odds: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Cell of each score; monotone in the score. float64[N] → int64[N] in [0, bins + 4).

    Exact where `bins` is a power of two: then the width of a bin is a float, and one division rounds once.

    Raises:
        ValueError: if a score is NaN.
    """
    return _cells_of(log_odds, bins).astype(np.int64)


def joint_cells(
    log_odds: NDArray[np.float64], truth: NDArray[np.bool_], half: NDArray[np.uint8], bins: int
) -> NDArray[np.int64]:
    """Flat cell of each row in a curve's block [half, truth, cell]; rows in chunks that the cache holds cost least.

    Args:
        log_odds: float64[N], as `ScoreHistogram.of` takes them for one curve.
        truth: bool[N], is the row of the curve's class?
        half: uint8[N], 0 or 1.
        bins: an even number of bins.

    Returns:
        int64[N] in [0, 2 · 2 · (bins + 4)).

    Raises:
        ValueError: if a score is NaN.
    """
    cell = _cells_of(log_odds, bins)
    cell += np.multiply(half * np.uint8(2) + truth, bins + _OUTER_CELLS, dtype=np.int32)
    return cell.astype(np.int64)


def _cells_of(log_odds: NDArray[np.float64], bins: int) -> NDArray[np.int32]:
    """As `cells_of`; int32 takes a quarter of the time, and four times 65,540 cells fit."""
    low, high = (float(log_odds.min()), float(log_odds.max())) if log_odds.size else (0.0, 0.0)
    if math.isnan(low):
        raise ValueError("a score is NaN; reject the row before it is counted")
    width = 2 * LIMIT / bins
    inside = low >= -LIMIT and high < LIMIT
    # Half a bin below the lowest is still the cell below it, whatever the rounding.
    scaled = np.divide(log_odds if inside else np.clip(log_odds, -LIMIT - width / 2, LIMIT), width)
    cell = np.floor(scaled, out=scaled).astype(np.int32)
    cell += bins // 2 + _OUTER_CELLS // 2
    if low == -math.inf:
        cell[log_odds == -math.inf] = 0
    if high == math.inf:
        cell[log_odds == math.inf] = bins + _OUTER_CELLS - 1
    return cell


def halves(file_key: int | NDArray[np.uint64], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Which half each row belongs to: a hash of its file and its place in it.

    Args:
        file_key: 64 bits that name the file's content, of all rows or uint64[N].
        rows: int64[N], row numbers within the file.

    References:
        Steele, Lea & Flood (2014), OOPSLA (the finaliser of SplitMix64).
    """
    x = rows.astype(np.uint64)
    x *= np.uint64(0x9E3779B97F4A7C15)
    x += np.uint64(file_key & (2**64 - 1)) if isinstance(file_key, int) else file_key
    shifted = np.empty_like(x)
    for bits, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x ^= np.right_shift(x, np.uint64(bits), out=shifted)
        x *= np.uint64(factor)
    return np.right_shift(x, np.uint64(63), out=shifted).astype(np.uint8)
