"""Confidence intervals, two-sided, at 95% unless another level is asked for. All assume independent rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

CONFIDENCE = 0.95
ROWS_ENOUGH, CLASS_ROWS_ENOUGH = 1_000, 50
"""Rows in all, and of the smallest class, from which on the intervals of docs/report.md were seen to hold."""

WRONG_ENOUGH = 5
"""Rows that are wrong, or right if those are fewer, from which on the same is so."""

Interval = tuple[float, float]


def caution(rows: int, smallest: int, wrong: int | None = None) -> str | None:
    """What to say of an interval that rests on so few rows; None where they are enough.

    Args:
        rows: all of them.
        smallest: rows of the smallest class.
        wrong: rows that are wrong, or right if those are fewer; None where that has no meaning.
    """
    if rows < ROWS_ENOUGH or smallest < CLASS_ROWS_ENOUGH:
        return (
            f"{rows:,} rows, {smallest:,} of the smallest class: below {ROWS_ENOUGH:,} and {CLASS_ROWS_ENOUGH} the "
            "interval may be too narrow"
        )
    return None if wrong is None or wrong >= WRONG_ENOUGH else _coarse(wrong)


def caution_of_share(successes: int, trials: int) -> str | None:
    """The same for a proportion by itself."""
    if trials < CLASS_ROWS_ENOUGH:
        return f"{trials:,} rows: below {CLASS_ROWS_ENOUGH} the interval is coarse"
    fewer = min(successes, trials - successes)
    return None if fewer >= WRONG_ENOUGH else _coarse(fewer)


def _coarse(fewer: int) -> str:
    return f"it hangs on {fewer} rows that differ from the others: below {WRONG_ENOUGH} the interval is coarse"


def normal_quantile(confidence: float) -> float:
    """Standard normal quantile of a two-sided interval.

    >>> round(normal_quantile(0.95), 6)
    1.959964
    """
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson(successes: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a proportion.

    Raises:
        ValueError: unless 0 <= successes <= trials and trials >= 1.

    References:
        Wilson (1927), JASA 22(158); Brown, Cai & DasGupta (2001), Statistical Science 16(2), section 3.1.1.

    >>> [round(end, 4) for end in wilson(9, 10)]
    [0.5958, 0.9821]
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"expected 0 <= successes <= trials and trials >= 1, got {successes} of {trials}")
    z = normal_quantile(confidence)
    share, square = successes / trials, z * z
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = z / (1 + square / trials) * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    # Rounding must push neither an end beyond 0 or 1 nor the share outside.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def f1_interval(true_positive: int, errors: int, confidence: float = CONFIDENCE) -> Interval:
    """Interval of F1 = 2J / (1 + J) from Wilson's on J = tp / (tp + fp + fn).

    Args:
        true_positive: tp.
        errors: fp + fn.
        confidence: level.

    References:
        Takahashi et al. (2022), Applied Intelligence 52 (F1 as a function of proportions); Wilson (1927).
    """
    low, high = wilson(true_positive, true_positive + errors, confidence)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def mean_of_shares(shares: Sequence[tuple[int, int]], of: int) -> tuple[float, float]:
    """Σ successes/trials / `of` over independent proportions, and its standard error.

    The variance of each is taken with half a success and half a failure more, so that a share of 0 or 1 in few trials
    is not held for certain.

    Args:
        shares: (successes, trials) of each, trials >= 1.
        of: how many the mean is over; those that are not in `shares` count as exactly 0.

    References:
        Brown, Cai & DasGupta (2001), Statistical Science 16(2), section 4.1.2 (half a row: Jeffreys' prior); Agresti
        (2013), Categorical Data Analysis, section 16.1 (delta method).

    >>> mean_of_shares([(9, 10), (10, 10)], 2)[0]
    0.95
    """
    variance = 0.0
    for successes, trials in shares:
        smooth = (successes + 0.5) / (trials + 1)
        variance += smooth * (1 - smooth) / trials
    return sum(successes / trials for successes, trials in shares) / of, math.sqrt(variance) / of


def logit_interval(
    value: float, error: float, confidence: float = CONFIDENCE, freedom: float | None = None
) -> Interval:
    """Normal interval on the logit scale, for a value inside (0, 1) with its standard error.

    Args:
        value: inside (0, 1).
        error: its standard error.
        confidence: level.
        freedom: degrees of freedom of the error, for Student's quantile; None for the normal one.

    References:
        Agresti (2013), Categorical Data Analysis, section 3.1.6 (delta method).
    """
    centre, half = math.log(value / (1 - value)), _quantile(confidence, freedom) * error / (value * (1 - value))
    return _logistic(centre - half), _logistic(centre + half)


def fisher_interval(value: float, error: float, confidence: float = CONFIDENCE) -> Interval:
    """Normal interval on Fisher's z scale, for a coefficient inside (-1, 1) with its standard error.

    References:
        Fisher (1915), Biometrika 10(4) (the transformation); Agresti (2013), section 3.1.6 (delta method).
    """
    centre, half = math.atanh(value), normal_quantile(confidence) * error / (1 - value * value)
    return math.tanh(centre - half), math.tanh(centre + half)


def mean_interval(mean: float, mean_square: float, rows: int, confidence: float = CONFIDENCE) -> Interval:
    """Interval of the mean of values that are not negative, by the central limit theorem.

    Args:
        mean: of the values.
        mean_square: of their squares.
        rows: number of values, at least 2.
        confidence: level.
    """
    spread = max(0.0, mean_square - mean * mean) * rows / (rows - 1)
    half = normal_quantile(confidence) * math.sqrt(spread / rows)
    return max(0.0, mean - half), mean + half


def quantile_ranks(count: int, quantile: float, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """Ranks (1-based) of the order statistics that enclose a quantile with at least the confidence.

    Raises:
        ValueError: if `count` is below `rows_for_quantile(quantile)`.

    References:
        David & Nagaraja (2003), Order Statistics, section 7.1; Hahn & Meeker (1991), section 5.2.
    """
    from scipy.special import betainc

    if count < rows_for_quantile(quantile, confidence):
        needed = rows_for_quantile(quantile, confidence)
        raise ValueError(f"{count} values do not bound the {quantile} quantile; {needed} do")
    tail = (1 - confidence) / 2

    def smallest(level: float) -> int:
        """Smallest k with P(Binomial(count, quantile) <= k) >= level."""
        low, high = -1, count
        while high - low > 1:
            middle = (low + high) // 2
            # P(Binomial <= middle); scipy's own bdtr takes no count beyond int32.
            at_most = betainc(count - middle, middle + 1, 1 - quantile)
            low, high = (low, middle) if at_most >= level else (middle, high)
        return high

    return max(1, smallest(tail)), min(count, smallest(1 - tail) + 1)


def rows_for_quantile(quantile: float, confidence: float = CONFIDENCE) -> int:
    """Fewest values whose extremes bound a quantile from both sides: the smallest n with q^n <= (1 - confidence) / 2.

    >>> rows_for_quantile(0.99), rows_for_quantile(0.999)
    (368, 3688)
    """
    needed = math.log((1 - confidence) / 2)
    return max(math.ceil(needed / math.log(quantile)), math.ceil(needed / math.log1p(-quantile)))


def _quantile(confidence: float, freedom: float | None) -> float:
    if freedom is None:
        return normal_quantile(confidence)
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
