"""Differences of two estimates, and two models on the same rows: intervals, and the exact test of McNemar.

Differences are new minus old. Two samples of rows that have nothing to do with each other need only the two intervals;
the same rows seen twice need their joint table, and say much more. Does not know which way a metric is better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ortbatch.metrics.intervals import CONFIDENCE, Interval, normal_quantile, wilson


@dataclass(frozen=True)
class Bounded:
    """A value and the interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class JointCounts:
    """Rows by what two models made of them.

    Args:
        both: rows that both have right.
        only_old: right before, wrong now.
        only_new: wrong before, right now.
        neither: wrong both times.

    Raises:
        ValueError: a count is negative.
    """

    both: int
    only_old: int
    only_new: int
    neither: int

    def __post_init__(self) -> None:
        if min(self.both, self.only_old, self.only_new, self.neither) < 0:
            raise ValueError(f"counts are not negative, got {self}")

    @property
    def rows(self) -> int:
        """All of them."""
        return self.both + self.only_old + self.only_new + self.neither

    @property
    def difference(self) -> float:
        """Share of right rows, new minus old; raises ZeroDivisionError without rows."""
        return (self.only_new - self.only_old) / self.rows


def independent_difference(old: Bounded, new: Bounded) -> Interval:
    """Interval of new - old from the intervals of two independent estimates, at their level (MOVER).

    With Wilson's limits of two proportions it is Newcombe's hybrid score interval.

    References:
        Zou & Donner (2008), Statistics in Medicine 27(10), formula 4; Newcombe (1998), Statistics in Medicine 17(8),
        method 10.

    >>> limits = [Bounded(x / n, *wilson(x, n)) for x, n in ((48, 80), (56, 70))]
    >>> [round(end, 4) for end in independent_difference(*limits)]
    [0.0524, 0.3339]
    """
    difference = new.value - old.value
    below = math.hypot(new.value - new.low, old.high - old.value)
    above = math.hypot(new.high - new.value, old.value - old.low)
    return difference - below, difference + above


def paired_difference(joint: JointCounts, confidence: float = CONFIDENCE) -> Interval:
    """Interval of the difference of two shares of the same rows, new minus old.

    Wilson's limits of each share, put together with the correlation of the two, which is taken for smaller by half a
    row. It is closed, stays within -1 and 1, has a width where nothing is discordant, and uses the limits that the
    report shows for each share; Tango's score interval needs iteration for about the same coverage.

    Raises:
        ValueError: without rows.

    References:
        Newcombe (1998), Statistics in Medicine 17(22), method 10; Fagerland, Lydersen & Laake (2014), Statistics in
        Medicine 33(16), which recommends it beside Tango's.

    >>> [round(end, 3) for end in paired_difference(JointCounts(1, 7, 1, 12))]
    [-0.507, -0.026]
    """
    rows = joint.rows
    if not rows:
        raise ValueError("no row to compare")
    old_right, new_right = joint.both + joint.only_old, joint.both + joint.only_new
    (old_low, old_high), (new_low, new_high) = wilson(old_right, rows, confidence), wilson(new_right, rows, confidence)
    old, new, phi = old_right / rows, new_right / rows, _correlation(joint)
    below = _together(new - new_low, old_high - old, phi)
    above = _together(new_high - new, old - old_low, phi)
    return max(-1.0, joint.difference - below), min(1.0, joint.difference + above)


def _together(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


def _correlation(joint: JointCounts) -> float:
    """Newcombe's phi: of the two by two table, with half of the rows taken off what is positive; 0 where undefined."""
    old, new = joint.both + joint.only_old, joint.both + joint.only_new
    scale = math.sqrt(old * (joint.rows - old)) * math.sqrt(new * (joint.rows - new))
    # Python integers: the products pass int64 at 3 billion rows.
    excess = float(joint.both * joint.neither - joint.only_old * joint.only_new)
    if excess > 0:
        excess = max(0.0, excess - joint.rows / 2)
    return excess / scale if scale else 0.0


def mcnemar_mid_p(only_old: int, only_new: int) -> float:
    """Two-sided mid-p of McNemar's exact test: are rows lost as often as rows are won? 1 where no row is discordant.

    Raises:
        ValueError: a count is negative.

    References:
        Fagerland, Lydersen & Laake (2013), BMC Medical Research Methodology 13:91, formula 2 of the supplement.

    >>> round(mcnemar_mid_p(7, 1), 4)
    0.0391
    """
    fewer, discordant = min(only_old, only_new), only_old + only_new
    if fewer < 0:
        raise ValueError(f"counts are not negative, got {only_old} and {only_new}")
    if not discordant:
        return 1.0
    at_most, fewer_than = _at_most(fewer, discordant), _at_most(fewer - 1, discordant)
    if only_old == only_new:
        return 1 - (at_most - fewer_than) / 2
    return min(1.0, at_most + fewer_than)


def _at_most(successes: int, trials: int) -> float:
    """P(Binomial(trials, 1/2) <= successes)."""
    from scipy.special import betainc

    if successes < 0:
        return 0.0
    # scipy's own bdtr takes no count beyond int32.
    return 1.0 if successes >= trials else float(betainc(trials - successes, successes + 1, 0.5))


def at_level(estimate: Bounded, confidence: float, reach: Interval) -> Bounded:
    """The same with its 95% interval widened or narrowed to another level, in proportion to the normal quantile.

    Args:
        estimate: with its limits at 95%.
        confidence: the level wanted.
        reach: smallest and largest value that there can be.
    """
    scale = normal_quantile(confidence) / normal_quantile(CONFIDENCE)
    low = estimate.value - scale * (estimate.value - estimate.low)
    high = estimate.value + scale * (estimate.high - estimate.value)
    return Bounded(estimate.value, min(estimate.value, max(reach[0], low)), max(estimate.value, min(reach[1], high)))
