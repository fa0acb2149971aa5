"""Confidence intervals at 95%, two-sided. All assume independent rows."""

from __future__ import annotations

import math

CONFIDENCE = 0.95
_Z = 1.959963984540054  # standard normal quantile of 0.975


def wilson(successes: int, trials: int) -> tuple[float, float]:
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
    share, square = successes / trials, _Z * _Z
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = _Z / (1 + square / trials) * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    # Rounding must push neither an end beyond 0 or 1 nor the share outside.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def f1_interval(true_positive: int, errors: int) -> tuple[float, float]:
    """Interval of F1 = 2J / (1 + J) from Wilson's on J = tp / (tp + fp + fn).

    Args:
        true_positive: tp.
        errors: fp + fn.

    References:
        Takahashi et al. (2022), Applied Intelligence 52 (F1 as a function of proportions); Wilson (1927).
    """
    low, high = wilson(true_positive, true_positive + errors)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def quantile_ranks(count: int, quantile: float) -> tuple[int, int]:
    """Ranks (1-based) of the order statistics that enclose a quantile with at least 95% confidence.

    Raises:
        ValueError: if `count` is below `rows_for_quantile(quantile)`.

    References:
        David & Nagaraja (2003), Order Statistics, section 7.1; Hahn & Meeker (1991), section 5.2.
    """
    from scipy.special import betainc

    if count < rows_for_quantile(quantile):
        raise ValueError(f"{count} values do not bound the {quantile} quantile; {rows_for_quantile(quantile)} do")
    tail = (1 - CONFIDENCE) / 2

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


def rows_for_quantile(quantile: float) -> int:
    """Fewest values whose largest bounds a quantile from above at 97.5%: the smallest n with q^n <= 0.025.

    >>> rows_for_quantile(0.99), rows_for_quantile(0.999)
    (368, 3688)
    """
    needed = math.log((1 - CONFIDENCE) / 2)
    return max(math.ceil(needed / math.log(quantile)), math.ceil(needed / math.log1p(-quantile)))
