"""Latency counts that merge, in the bucket layout of HdrHistogram.

Three significant digits up to 1 h: a percentile is exact to 0.1%, and to the nanosecond below 2 µs; minimum, maximum
and sum are exact. A value beyond an hour is counted in `overflow`, not dropped. Percentiles are read from merged
counts, never averaged. What was timed is not known here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.intervals import quantile_ranks, rows_for_quantile
from ortbatch.metrics.value import Counts, Value, add, frozen, require_same, zeros

LOWEST_NS = 1  # HdrHistogram's smallest unit: 1 µs would leave only one digit at 10 µs
HIGHEST_NS = 3_600_000_000_000
DIGITS = 3
_UNIT_BITS = LOWEST_NS.bit_length() - 1
_HALF_BITS = 10  # 2,048 sub-buckets give 3 digits; each bucket but the first uses the upper half
_HALF = 1 << _HALF_BITS
_MANTISSA_BITS, _EXPONENT_OF_ONE_BIT = 52, 1_023


def cell_of(value_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of the cell that counts each value; int64[N] of nanoseconds in [0, HIGHEST_NS] → int64[N].

    The layout is one of integers: whoever counts other units may use it, and `highest_of`, too.
    """
    # The exponent of a float64 is the bit length, exactly for integers below 2^53; an hour is 2^41.7 ns.
    bits = (value_ns.astype(np.float64).view(np.int64) >> _MANTISSA_BITS) - _EXPONENT_OF_ONE_BIT + 1
    bucket = np.maximum(bits - (_UNIT_BITS + _HALF_BITS + 1), 0)
    cell: NDArray[np.int64] = (bucket << _HALF_BITS) + (value_ns >> (bucket + _UNIT_BITS))
    return cell


def highest_of(cell: int) -> int:
    """Largest number of nanoseconds that a cell counts."""
    bucket = max((cell >> _HALF_BITS) - 1, 0)
    shift = bucket + _UNIT_BITS
    return (((cell - (bucket << _HALF_BITS)) + 1) << shift) - 1


CELLS = int(cell_of(np.array([HIGHEST_NS]))[0]) + 1


@dataclass(frozen=True, eq=False)
class LatencyHistogram(Value):
    """Latencies in integer nanoseconds.

    Args:
        counts: int64[CELLS].
        overflow: values beyond an hour.
        total_ns: exact sum. min_ns, max_ns: exact extremes, None without values.

    References:
        HdrHistogram, http://hdrhistogram.org (layout; `hdrhistogram` on PyPI is the oracle in tests).
    """

    counts: Counts
    overflow: int = 0
    total_ns: int = 0
    min_ns: int | None = None
    max_ns: int | None = None

    @classmethod
    def empty(cls) -> LatencyHistogram:
        """No values yet."""
        return cls(zeros(CELLS))

    @classmethod
    def of(cls, values_ns: NDArray[np.int64]) -> LatencyHistogram:
        """Count int64[N] nanoseconds.

        Raises:
            ValueError: if a value is negative.
        """
        if not values_ns.size:
            return cls.empty()
        low, high = int(values_ns.min()), int(values_ns.max())
        if low < 0:
            raise ValueError(f"a latency is not negative, got {low} ns")
        inside = values_ns[values_ns <= HIGHEST_NS] if high > HIGHEST_NS else values_ns
        counts = np.bincount(cell_of(inside), minlength=CELLS).astype(np.int64, copy=False)
        return cls(frozen(counts), values_ns.size - inside.size, sum(values_ns.tolist()), low, high)

    def merge(self, other: LatencyHistogram) -> LatencyHistogram:
        """Counts of both; raises MergeError if the numbers of cells differ."""
        require_same("shapes of latency histograms", self.counts.shape, other.counts.shape)
        return LatencyHistogram(
            add(self.counts, other.counts),
            self.overflow + other.overflow,
            self.total_ns + other.total_ns,
            min((v for v in (self.min_ns, other.min_ns) if v is not None), default=None),
            max((v for v in (self.max_ns, other.max_ns) if v is not None), default=None),
        )

    @property
    def count(self) -> int:
        """Values counted."""
        return int(self.counts.sum()) + self.overflow

    def mean_ms(self) -> Estimate:
        """Exact mean in milliseconds."""
        count = self.count
        return Estimate(self.total_ns / count / 1e6) if count else Estimate.undefined("no values")

    def worst_ms(self) -> Estimate:
        """Exact maximum in milliseconds."""
        return Estimate(self.max_ns / 1e6) if self.max_ns is not None else Estimate.undefined("no values")

    def percentile_ms(self, quantile: float) -> Estimate:
        """The value at rank ⌈q·n⌉ with its 95% order-statistics interval, in milliseconds.

        Too few values for the interval's upper rank to lie inside the sample: the interval is None and the reason
        starts with `insufficient` and names the number needed.
        """
        count, needed = self.count, rows_for_quantile(quantile)
        if not count:
            return Estimate.undefined("no values")
        # As the decimal that was meant: 0.55 * 100 is 55.00000000000001 in floats.
        value = self._at_ms(max(1, math.ceil(Fraction(quantile).limit_denominator(10**6) * count)))
        if count < needed:
            return Estimate(value, None, f"insufficient: {needed} values bound this percentile, got {count}")
        lower, upper = quantile_ranks(count, quantile)
        return Estimate(value, (self._at_ms(lower), self._at_ms(upper)), method="order_statistics")

    def _at_ms(self, rank: int) -> float:
        """Value at a 1-based rank."""
        assert self.min_ns is not None
        assert self.max_ns is not None
        cell = int(np.searchsorted(np.cumsum(self.counts), rank))
        if cell >= CELLS:
            return self.max_ns / 1e6
        return min(max(highest_of(cell), self.min_ns), self.max_ns) / 1e6
