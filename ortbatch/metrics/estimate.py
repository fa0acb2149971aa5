"""One number of a report, how sure we are of it, and why it is missing when it is."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval and the method of that; an undefined value is None with a reason, never 0.

    A value whose interval cannot be had from so few rows has `ci` None and says why in `reason`. One whose interval
    rests on fewer rows than its method is good for says so in `caution`. A value that was read from bins carries in
    `bound` the limits between which the value of the raw scores is proven to lie.

    >>> Estimate.undefined("no positive rows").value is None
    True
    """

    value: float | None
    ci: tuple[float, float] | None = None
    reason: str | None = None
    method: str | None = None
    caution: str | None = None
    bound: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.value is None and (self.reason is None or self.ci is not None):
            raise ValueError(f"an undefined value has a reason and no interval, got {self}")
        if self.ci is not None and self.reason is not None:
            raise ValueError(f"a value with its interval needs no reason, got {self}")
        if (self.ci is None) != (self.method is None):
            raise ValueError(f"an interval has a method, and nothing else has, got {self}")
        if self.ci is None and self.caution is not None:
            raise ValueError(f"a caution is about an interval, got {self}")
        numbers = [self.value, *(self.ci or ()), *(self.bound or ())]
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise ValueError(f"an estimate is finite, got {numbers}")

    @classmethod
    def undefined(cls, reason: str) -> Estimate:
        """A value that the data do not define."""
        return cls(None, None, reason)
