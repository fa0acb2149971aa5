"""Score counts that merge: the sufficient statistic of ROC and precision-recall curves.

Scores are counted in uniform bins of log-odds over [-24, 24), p = 0.5 on an edge, bins closed below, so that `score >=
edge` is exact at every edge. Log-odds outside have a cell on each side, and p = 0 and p = 1 cells of their own: rows
there are true ties. The two halves of the rows (by a hash of file and row) are kept apart, so that a threshold can be
chosen on one and judged on the other. What is lost inside a bin is bounded, and the bound is part of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.value import Counts, Value, add, frozen, require_same, zeros

LIMIT = 24.0
BINARY_BINS = 65_536
ONE_VS_REST_BINS = 4_096
ONE_VS_REST_CLASSES = 20
_HALVES = 2
_OUTER_CELLS = 4  # p = 0, below -24, at or above 24, p = 1


@dataclass(frozen=True)
class Bounded:
    """A value read from bins, with the bound that the bins prove: the value of the raw scores lies in [low, high]."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class ScoreHistogram(Value):
    """Scores of K curves, each one class against the rest.

    Args:
        curves: the class of each curve; one for a binary model, all for a small multiclass one, none when the model
            puts out labels only.
        counts: int64[K, 2, 2, cells]: curve, half of the rows, truth (0 = rest, 1 = the class), cell by rising score.
    """

    curves: tuple[str, ...]
    counts: Counts

    @classmethod
    def empty(cls, curves: Sequence[str], bins: int) -> ScoreHistogram:
        """No rows yet; `bins` is even."""
        return cls(tuple(curves), zeros(len(curves), _HALVES, 2, bins + _OUTER_CELLS))

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
        cells = bins + _OUTER_CELLS
        total = np.zeros((len(curves), _HALVES, 2, cells), np.int64)
        for curve in range(len(curves)):
            cell = cells_of(log_odds[:, curve], bins)
            cell += (half.astype(np.int64) * 2 + truth[:, curve]) * cells
            total[curve] = np.bincount(cell, minlength=_HALVES * 2 * cells).reshape(_HALVES, 2, cells)
        return cls(tuple(curves), frozen(total))

    @property
    def bins(self) -> int:
        """Bins of a curve, without the outer cells."""
        return int(self.counts.shape[3]) - _OUTER_CELLS

    def merge(self, other: ScoreHistogram) -> ScoreHistogram:
        """Counts of both; raises MergeError if curves or bins differ."""
        require_same("curves of score histograms", self.curves, other.curves)
        require_same("shapes of score histograms", self.counts.shape, other.counts.shape)
        return ScoreHistogram(self.curves, add(self.counts, other.counts))

    def roc_auc(self, curve: int) -> Bounded | str:
        """Area under the ROC curve with its proven bound, or why it is undefined.

        Ties inside a bin count half, as scikit-learn counts ties; the bound places them all wrong and all right.
        """
        negative, positive = self._truths(curve)
        if (missing := _missing(negative, positive)) is not None:
            return missing
        from sklearn.metrics import roc_auc_score

        value = _on_cells(roc_auc_score, negative, positive)
        # Python integers: the number of pairs passes int64 at 3 billion rows of each kind.
        tied = sum(n * p for n, p in zip(negative[1:-1].tolist(), positive[1:-1].tolist(), strict=True) if n and p)
        slack = tied / (2 * int(negative.sum()) * int(positive.sum()))
        return Bounded(value, max(0.0, value - slack), min(1.0, value + slack))

    def average_precision(self, curve: int) -> Bounded | str:
        """Average precision with its proven bound, or why it is undefined.

        Inside a bin the worst order puts every other row first, the best puts the class's rows first and together.
        """
        negative, positive = self._truths(curve)
        if (missing := _missing(negative, positive)) is not None:
            return missing
        from sklearn.metrics import average_precision_score

        value = _on_cells(average_precision_score, negative, positive)
        low, high = _average_precision_bound(negative, positive)
        return Bounded(value, min(low, value), max(high, value))

    def _truths(self, curve: int) -> tuple[Counts, Counts]:
        """Counts by cell of the rest and of the class, both halves together."""
        both = self.counts[curve].sum(axis=0)
        return both[0], both[1]


def cells_of(log_odds: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Cell of each score; monotone in the score. float64[N] → int64[N] in [0, bins + 4)."""
    if np.isnan(log_odds).any():
        raise ValueError("a score is NaN; reject the row before it is counted")
    scaled = np.floor(np.clip(log_odds, -2 * LIMIT, 2 * LIMIT) * bins / (2 * LIMIT)) + bins // 2
    cell: NDArray[np.int64] = np.clip(scaled, -1, bins).astype(np.int64) + 2
    infinite = np.isinf(log_odds)
    if infinite.any():
        cell[infinite] = np.where(log_odds[infinite] < 0, 0, bins + _OUTER_CELLS - 1)
    return cell


def halves(file_key: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Which half each row belongs to: a hash of its file and its place in it.

    Args:
        file_key: 64 bits that name the file's content.
        rows: int64[N], row numbers within the file.

    References:
        Steele, Lea & Flood (2014), OOPSLA (the finaliser of SplitMix64).
    """
    x = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(file_key & (2**64 - 1))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x >> np.uint64(63)).astype(np.uint8)


def macro(curves: Sequence[Bounded | str]) -> Estimate:
    """Unweighted mean over one-vs-rest curves, as scikit-learn's `average="macro"`; undefined if one curve is."""
    if not curves:
        return Estimate.undefined("no scores")
    values = [curve.value for curve in curves if isinstance(curve, Bounded)]
    if len(values) < len(curves):
        return Estimate.undefined(next(curve for curve in curves if isinstance(curve, str)))
    return Estimate(float(np.mean(values)))


def _missing(negative: Counts, positive: Counts) -> str | None:
    if not positive.any():
        return "no row of this class"
    return None if negative.any() else "no row of another class"


def _on_cells(score_function: object, negative: Counts, positive: Counts) -> float:
    """Ask scikit-learn, with each non-empty (cell, truth) as one weighted row."""
    rest, own = np.flatnonzero(negative), np.flatnonzero(positive)
    truth = np.concatenate([np.zeros(rest.size, np.int64), np.ones(own.size, np.int64)])
    weight = np.concatenate([negative[rest], positive[own]])
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
