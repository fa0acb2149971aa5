"""ROC and precision-recall curves of binned scores: areas, the bound that the bins prove, and how sure we are.

A curve is what is known of one class against the rest: rows of the rest and of the class, by rising cell of the score.
Areas are scikit-learn's, asked with each cell as one weighted row. What is lost inside a cell is bounded, and the bound
is part of the result. Standard errors come from the same cells, without another pass and without resampling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.intervals import Interval, caution, logit_interval, wilson
from ortbatch.metrics.value import Counts


@dataclass(frozen=True, eq=False)
class Curve:
    """One class against the rest.

    Args:
        negative: int64[cells], rows of the rest, by rising score; the first cell is p = 0, the last p = 1.
        positive: int64[cells], rows of the class.
    """

    negative: Counts
    positive: Counts

    @property
    def undefined(self) -> str | None:
        """Why there is no curve; None if there is one."""
        if not self.positive.any():
            return "no row of this class"
        return None if self.negative.any() else "no row of another class"

    @property
    def rows(self) -> tuple[int, int]:
        """Rows of the rest and of the class."""
        return int(self.negative.sum()), int(self.positive.sum())

    def roc_auc(self) -> Estimate:
        """Area under the ROC curve.

        Ties inside a cell count half, as scikit-learn counts ties; the bound places them all wrong and all right. The
        interval is DeLong's on the logit scale, with Student's quantile for a small class; for a perfect order it is
        Wilson's of the smaller class.

        References:
            DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44(3); Brunner & Munzel (2000), Biometrical Journal 42(1)
            (the degrees of freedom); Obuchowski & Lieber (2002), Academic Radiology 9(5) (an area of 1).
        """
        if (missing := self.undefined) is not None:
            return Estimate.undefined(missing)
        value = self._roc_area()
        # Python integers: the number of pairs passes int64 at 3 billion rows of each kind.
        inside = zip(self.negative[1:-1].tolist(), self.positive[1:-1].tolist(), strict=True)
        rest, own = self.rows
        slack = sum(n * p for n, p in inside if n and p) / (2 * rest * own)
        bound = max(0.0, value - slack), min(1.0, value + slack)
        if value in (0.0, 1.0):
            smaller = min(rest, own)
            low, high = wilson(smaller if value else 0, smaller)
            return self._estimate(value, (low, high), "wilson_perfect", bound)
        error, freedom = self._roc_auc_error()
        if not error:
            return Estimate(value, reason="no interval: too few rows differ in score", bound=bound)
        return self._estimate(value, logit_interval(value, error, freedom=freedom), "delong_logit", bound)

    def average_precision(self) -> Estimate:
        """Average precision.

        Inside a cell the worst order puts every other row first, the best puts the class's rows first and together. The
        interval is normal on the logit scale, with the variance of the influence function; for a perfect order it is
        Wilson's of the class.

        References:
            Boyd, Eng & Page (2013), ECML PKDD (the logit scale); Jaeckel (1972), Bell Labs memorandum, and Efron
            (1982), The Jackknife, chapter 6 (the infinitesimal jackknife).
        """
        if (missing := self.undefined) is not None:
            return Estimate.undefined(missing)
        value = min(1.0, self._precision_area())
        low, high = _average_precision_bound(self.negative, self.positive)
        bound = min(low, value), max(high, value)
        own = self.rows[1]
        if value == 1.0:
            return self._estimate(value, wilson(own, own), "wilson_perfect", bound)
        error = self._average_precision_error(value)
        if not error:
            return Estimate(value, reason="no interval: too few rows differ in score", bound=bound)
        return self._estimate(value, logit_interval(value, error), "influence_logit", bound)

    def _roc_area(self) -> float:
        from sklearn.metrics import roc_auc_score

        return _on_cells(roc_auc_score, self)

    def _precision_area(self) -> float:
        from sklearn.metrics import average_precision_score

        return _on_cells(average_precision_score, self)

    def _estimate(self, value: float, ci: Interval, method: str, bound: Interval) -> Estimate:
        rest, own = self.rows
        ci = min(ci[0], value), max(ci[1], value)
        few = caution(rest + own, min(rest, own), self._out_of_order)
        return Estimate(value, ci, method=method, caution=few, bound=bound)

    @property
    def _out_of_order(self) -> int:
        """The fewest rows that would have to move for a perfect order, of the rest or of the class."""
        beaten = self.negative[np.cumsum(self.positive) > 0].sum(), self.positive[_from_top(self.negative) > 0].sum()
        return int(min(beaten))

    def _roc_auc_error(self) -> tuple[float, float]:
        """Standard error, 0 if there is none, and its degrees of freedom."""
        rest, own = self.rows
        if min(rest, own) < 2:
            return 0.0, 0.0
        below = np.cumsum(self.negative) - self.negative
        above = own - np.cumsum(self.positive)
        of_positive = (below + self.negative / 2) / rest
        of_negative = (above + self.positive / 2) / own
        parts = _variance(of_positive, self.positive, own) / own, _variance(of_negative, self.negative, rest) / rest
        lost = parts[0] ** 2 / (own - 1) + parts[1] ** 2 / (rest - 1)
        return math.sqrt(sum(parts)), sum(parts) ** 2 / lost if lost else 0.0

    def _average_precision_error(self, value: float) -> float:
        """The derivative of AP = Σ p · precision / Σ p by the rows of each cell, squared and summed over the rows."""
        own = self.rows[1]
        hits, misses = (_from_top(counts).astype(np.float64) for counts in (self.positive, self.negative))
        called = hits + misses
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(called > 0, hits / called, 0.0)
            # A row more in a cell is one more at every threshold at or below it.
            gained = np.cumsum(np.where(called > 0, self.positive * misses / called**2, 0.0))
            lost = np.cumsum(np.where(called > 0, self.positive * hits / called**2, 0.0))
        of_positive = (precision - value + gained) / own
        of_negative = -lost / own
        return math.sqrt(float(self.positive @ of_positive**2 + self.negative @ of_negative**2))


def _from_top(counts: Counts) -> Counts:
    """Rows in a cell or in one above it."""
    return np.cumsum(counts[::-1])[::-1]


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """Unweighted mean of one-vs-rest areas, as scikit-learn's `average="macro"`; undefined if one of them is.

    How the curves depend on each other is not kept. The interval is the mean of their limits: right if they rise and
    fall together, too wide otherwise.
    """
    if not estimates:
        return Estimate.undefined("no scores")
    values = [estimate.value for estimate in estimates]
    if any(value is None for value in values):
        return Estimate.undefined(next(e.reason or "" for e in estimates if e.value is None))
    value = float(np.mean([v for v in values if v is not None]))
    bound = _mean_pair([e.bound for e in estimates if e.bound is not None])
    if any(e.ci is None for e in estimates):
        return Estimate(value, reason=next(e.reason for e in estimates if e.ci is None), bound=bound)
    ci = _mean_pair([e.ci for e in estimates if e.ci is not None])
    warned = next((e.caution for e in estimates if e.caution is not None), None)
    return Estimate(value, ci, method="mean_of_limits", caution=warned, bound=bound)


def _mean_pair(pairs: Sequence[Interval]) -> Interval:
    low, high = np.mean(np.array(pairs), axis=0)
    return float(low), float(high)


def _variance(values: NDArray[np.float64], counts: Counts, rows: int) -> float:
    """Sample variance of values that occur `counts` times."""
    mean = float(values @ counts) / rows
    return float((values - mean) ** 2 @ counts) / (rows - 1)


def _on_cells(score_function: object, curve: Curve) -> float:
    """Ask scikit-learn, with each non-empty (cell, truth) as one weighted row."""
    rest, own = np.flatnonzero(curve.negative), np.flatnonzero(curve.positive)
    truth = np.concatenate([np.zeros(rest.size, np.int64), np.ones(own.size, np.int64)])
    weight = np.concatenate([curve.negative[rest], curve.positive[own]])
    score: float = score_function(truth, np.concatenate([rest, own]), sample_weight=weight)  # type: ignore[operator]
    return float(score)


def _average_precision_bound(negative: Counts, positive: Counts) -> tuple[float, float]:
    """Least and greatest average precision of any scores with these counts by cell."""
    own, rest = positive[::-1].astype(np.float64), negative[::-1].astype(np.float64)
    # Differences in int64: beyond 2^53 a float64 would lose the rows of small cells.
    hits_before = (np.cumsum(positive[::-1]) - positive[::-1]).astype(np.float64)
    misses_before = (np.cumsum(negative[::-1]) - negative[::-1]).astype(np.float64)
    tied = np.zeros(own.size, np.bool_)
    tied[[0, -1]] = True  # p = 1 and p = 0: one score, no order inside
    with np.errstate(invalid="ignore", divide="ignore"):
        hits = hits_before + own
        together = own * hits / (hits + misses_before + rest)
        best = own * hits / (hits + misses_before)
    # Σ_j (h + j) / (h + j + m) over j = 1..own, with m misses before them all, in closed form.
    misses = misses_before + rest
    worst = own - misses * _reciprocals(hits_before + misses, own)
    filled = own > 0
    low = np.where(tied, together, worst)[filled].sum() / own.sum()
    high = np.where(tied, together, best)[filled].sum() / own.sum()
    return max(0.0, float(low)), min(1.0, float(high))


def _reciprocals(start: NDArray[np.float64], terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """1/(start + 1) + ... + 1/(start + terms), exact to 1e-13 for any counts.

    References:
        NIST Digital Library of Mathematical Functions, 5.11.2 (about the half-integer, where 1/x drops out).
    """
    from scipy.special import digamma

    # The difference of two digammas near 20 is wrong by 1e-15, and a billion misses make 1e-6 of that.
    low = start + 0.5
    high = low + terms
    large = np.log1p(terms / low) + (1 / high**2 - 1 / low**2) / 24
    total: NDArray[np.float64] = np.where(low < 1_000, digamma(high + 0.5) - digamma(low + 0.5), large)
    return total
