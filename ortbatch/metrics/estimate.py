"""One number of a report, how sure we are of it, and why it is missing when it is."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval; an undefined value is None with a reason, never 0.

    A value whose interval cannot be had from so few rows has `ci` None and says why in `reason`.

    >>> Estimate.undefined("no positive rows")
    Estimate(value=None, ci=None, reason='no positive rows')
    """

    value: float | None
    ci: tuple[float, float] | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.value is None and (self.reason is None or self.ci is not None):
            raise ValueError(f"an undefined value has a reason and no interval, got {self}")
        if self.ci is not None and self.reason is not None:
            raise ValueError(f"a value with its interval needs no reason, got {self}")
        numbers = [self.value, *(self.ci or ())]
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise ValueError(f"an estimate is finite, got {numbers}")

    @classmethod
    def undefined(cls, reason: str) -> Estimate:
        """A value that the data do not define."""
        return cls(None, None, reason)
