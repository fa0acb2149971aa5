"""Differences of the probabilities of two models on the same rows, as counts and sums that merge exactly.

A row's difference is the largest over its classes. It is counted in HdrHistogram's layout over units of 2^-40, which
gives percentiles to 0.1%; the largest is exact, mean and mean of squares are to a millionth of a difference of 10^-6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ortbatch.metrics.cells import Cells
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.intervals import mean_interval, quantile_ranks, rows_for_quantile
from ortbatch.metrics.kept import Floats, Ints, bits_of, value_of
from ortbatch.metrics.latency import cell_of, highest_of
from ortbatch.metrics.sums import FRACTION_BITS, FixedSum
from ortbatch.metrics.value import Counts, Value, merged

TOLERANCES = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
BANDS = len(TOLERANCES) + 1
"""Bands of differences: up to the first tolerance, then above each of them."""

SQUARE_SCALE = 1_024
"""Squares are summed of differences times this: 2^-40 is 10^-12, the square of a difference of 10^-6."""

GAP_CELLS = int(cell_of(np.array([1 << FRACTION_BITS]))[0]) + 1
_UNIT = float(1 << FRACTION_BITS)
_BLOCK_VALUES, _ROWS_AT_LEAST = 1 << 14, 64

NO_SCORES = "the model or the baseline puts out labels only"


@dataclass(frozen=True, eq=False)
class Gaps(Value):
    """Differences of probabilities, of each row the largest over its classes.

    Args:
        histogram: counts in HdrHistogram's layout over units of 2^-40, of shape [31745].
        total: Σ difference.
        squares: Σ (1,024 · difference)².
        largest: bits of the largest, as float64; 0 without rows.
        bands: counts of shape [C, 8]: class whose probability differs most, tolerances that the difference is above.
            A score of one column is of class 0.
    """

    histogram: Cells
    total: FixedSum
    squares: FixedSum
    largest: int
    bands: Cells

    @classmethod
    def empty(cls, classes: int) -> Gaps:
        """No rows yet, of C classes."""
        return cls(Cells.empty((GAP_CELLS,)), FixedSum(), FixedSum(), 0, Cells.empty((classes, BANDS)))

    @classmethod
    def of(cls, classes: int, gap: Floats, differing: Ints, band: Ints) -> Gaps:
        """Count rows: difference float64[N], class that differs most and band int64[N].

        Raises:
            ValueError: if a difference is not finite.
        """
        if not gap.size:
            return cls.empty(classes)
        if not math.isfinite(largest := float(gap.max())):
            raise ValueError(f"expected finite values, got {largest} as the difference of two scores")
        cells, total, squares = np.empty(gap.size, np.int64), FixedSum(), FixedSum()
        for block in _blocks(gap.size, 1):
            # A probability may lie above 1 by rounding.
            inside = np.minimum(gap[block], 1.0)
            cells[block] = cell_of(np.rint(inside * _UNIT).astype(np.int64))
            total = total.merge(FixedSum.of(inside))
            squares = squares.merge(FixedSum.of(np.square(inside * SQUARE_SCALE)))
        return cls(
            Cells.of((GAP_CELLS,), cells, inside=True),
            total,
            squares,
            int(bits_of(np.array([largest]))[0]),
            Cells.of((classes, BANDS), differing * BANDS + band),
        )

    def merge(self, other: Gaps) -> Gaps:
        """Of the rows of both; raises MergeError for another number of classes."""
        return Gaps(
            self.histogram.merge(other.histogram),
            self.total.merge(other.total),
            self.squares.merge(other.squares),
            max(self.largest, other.largest),
            self.bands.merge(other.bands),
        )

    @classmethod
    def merged(cls, values: Sequence[Gaps]) -> Gaps:
        """Of the rows of one or more values; raises MergeError for another number of classes."""
        return cls(
            Cells.merged([value.histogram for value in values]),
            merged([value.total for value in values]),
            merged([value.squares for value in values]),
            max(value.largest for value in values),
            Cells.merged([value.bands for value in values]),
        )

    @property
    def rows(self) -> int:
        """Rows that both models gave scores."""
        return self.total.rows

    def largest_gap(self) -> Estimate:
        """The largest difference, exact."""
        if not self.rows:
            return Estimate.undefined(NO_SCORES)
        return Estimate(value_of(self.largest))

    def mean(self) -> Estimate:
        """Mean of the differences."""
        mean, square = self.total.result(), self._mean_square()
        if mean is None or square is None:
            return Estimate.undefined(NO_SCORES)
        if self.rows < 2:
            return Estimate(mean)
        low, high = mean_interval(mean, square, self.rows)
        return Estimate(mean, (min(low, mean), max(high, mean)), method="normal")

    def rms(self) -> Estimate:
        """Root of the mean of their squares."""
        square = self._mean_square()
        return Estimate.undefined(NO_SCORES) if square is None else Estimate(math.sqrt(square))

    def _mean_square(self) -> float | None:
        scaled = self.squares.result()
        return None if scaled is None else scaled / SQUARE_SCALE**2

    def percentile(self, quantile: float) -> Estimate:
        """The difference at rank ⌈q·n⌉, to 0.1% or 2^-40, with its 95% order-statistics interval.

        The interval is None, and the reason names the rows needed, where there are too few for it.
        """
        if not self.rows:
            return Estimate.undefined(NO_SCORES)
        cells, counts = self.histogram.nonzero()
        ranks = np.cumsum(counts)
        # As the decimal that was meant: 0.55 * 100 is 55.00000000000001 in floats.
        value = self._at(cells, ranks, max(1, math.ceil(Fraction(quantile).limit_denominator(10**6) * self.rows)))
        needed = rows_for_quantile(quantile)
        if self.rows < needed:
            return Estimate(value, None, f"insufficient: {needed} rows bound this percentile, got {self.rows}")
        low, high = (self._at(cells, ranks, rank) for rank in quantile_ranks(self.rows, quantile))
        return Estimate(value, (low, high), method="order_statistics")

    def _at(self, cells: Counts, ranks: Counts, rank: int) -> float:
        """Upper end of the cell that holds a 1-based rank; no more than the largest difference."""
        cell = int(cells[np.searchsorted(ranks, rank)])
        return min(highest_of(cell) / _UNIT, value_of(self.largest))

    def above(self) -> Counts:
        """Rows above each tolerance by the class that differs most, int64[C, 7]."""
        bands = self.bands.dense()
        return np.cumsum(bands[:, ::-1], axis=1)[:, -2::-1]


def apart(scores: tuple[Floats, Floats]) -> tuple[Floats, Ints, Ints]:
    """The largest difference of each row, the class whose it is (of equal ones the first), and its band."""
    rows, columns = scores[0].shape
    gap, differing, band = np.empty(rows), np.zeros(rows, np.int64), np.empty(rows, np.int64)
    for block in _blocks(rows, columns):
        gaps = np.abs(scores[0][block] - scores[1][block])
        if columns == 1:
            gap[block] = gaps[:, 0]
        else:
            differing[block] = gaps.argmax(axis=1)
            gap[block] = gaps[np.arange(len(gaps)), differing[block]]
        band[block] = bands_of(gap[block])
    return gap, differing, band


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    """Places of rows whose values stay in a core's cache."""
    step = max(_ROWS_AT_LEAST, _BLOCK_VALUES // max(1, columns))
    return (slice(start, start + step) for start in range(0, rows, step))


def bands_of(gap: Floats) -> Ints:
    """How many tolerances each difference is above."""
    # In single bytes, as eight passes over int64 would leave the cache.
    band = np.zeros(len(gap), np.uint8)
    for tolerance in TOLERANCES:
        band += gap > tolerance
    return band.astype(np.int64)
