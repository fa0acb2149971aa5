"""Exact sums of real numbers: fixed point, so that the order of adding cannot change a bit.

A value is rounded once, to a multiple of 2^-40, and summed as integers. Integer part and fraction are summed apart
within a batch, as one int64 of 2^-40 units would overflow after 232,758 rows of a loss of 36.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

FRACTION_BITS = 40
_UNIT = 2.0**FRACTION_BITS
_LARGEST = 2.0**20
_PART = 1 << 22  # fractions of 2^23 values fill an int64
_SMALL = 64.0
_SMALL_PART = 1 << 16  # values below 2^6 in units of 2^-40: 2^17 of them fill an int64


@dataclass(frozen=True)
class FixedSum:
    """Sum and number of real values; the mean is exact to 2^-41 a value (4.5e-13).

    Args:
        units: the sum in units of 2^-40.
        rows: number of values.

    >>> FixedSum.of(np.array([0.25, 0.5])).result()
    0.375
    """

    units: int = 0
    rows: int = 0

    @classmethod
    def empty(cls) -> FixedSum:
        """No values yet."""
        return cls()

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> FixedSum:
        """Sum float64[N].

        Raises:
            ValueError: if a value is not finite, or its magnitude passes 2^20.
        """
        if not values.size:
            return cls()
        low, high = float(values.min()), float(values.max())
        if not (low >= -_LARGEST and high <= _LARGEST):
            raise ValueError(f"expected finite values of magnitude up to 2^20, got {low} to {high}")
        if low >= -_SMALL and high <= _SMALL:
            parts = range(0, values.size, _SMALL_PART)
            return cls(sum(_small_units(values[at : at + _SMALL_PART]) for at in parts), values.size)
        return cls(sum(_units(values[at : at + _PART]) for at in range(0, values.size, _PART)), values.size)

    def merge(self, other: FixedSum) -> FixedSum:
        """Sum of both."""
        return FixedSum(self.units + other.units, self.rows + other.rows)

    def without(self, other: FixedSum) -> FixedSum:
        """Sum of these values less those of some of them; raises ValueError if there are fewer here than there."""
        if self.rows < other.rows:
            raise ValueError(f"cannot take {other.rows} values away from {self.rows}")
        return FixedSum(self.units - other.units, self.rows - other.rows)

    def result(self) -> float | None:
        """The mean; None without values."""
        return float(Fraction(self.units, self.rows << FRACTION_BITS)) if self.rows else None


def _small_units(values: NDArray[np.float64]) -> int:
    """As `_units`, of up to 2^16 values of magnitude up to 2^6: at 2^46 a unit still has seven bits below it."""
    return int(np.rint(values * _UNIT).astype(np.int64).sum())


def _units(values: NDArray[np.float64]) -> int:
    """Exact sum, in units of 2^-40, of up to 2^22 values that are each rounded once."""
    # trunc, not floor: -1e-20 minus its floor is 1 after rounding, which would round a value twice.
    whole = np.trunc(values)
    fraction = np.rint((values - whole) * _UNIT)
    return (int(whole.astype(np.int64).sum()) << FRACTION_BITS) + int(fraction.astype(np.int64).sum())
