"""Calibration: is a score of 0.8 right in 80 of 100 rows? And, for many classes, how sure is it where it is right?

A binary model's score is the probability of its positive class, and what happens is that the row is of it. A multiclass
model's is that of the predicted class, and what happens is that the prediction is right. Both come from the merged
score bins: a bin of reliability is a run of them whose ends lie nearest to k/15, so that no row is on the wrong side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.curves import Curve
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.reference import TOP
from ortbatch.metrics.scores import LIMIT, ScoreHistogram, centres, edges
from ortbatch.metrics.tally import Tally
from ortbatch.report.averages import NO_ROWS, share
from ortbatch.report.losses import LABELS_ONLY

BINS = 15
_POINTS = 100
Floats = NDArray[np.float64]


class _Binned:
    """Scores of a curve by reliability bin.

    Attributes:
        lowest, highest: float64[BINS], ends of each bin in p.
        rows, hits: int64[BINS].
        sums: float64[BINS], Σ p.
        slack: by how much Σ p of all rows may be wrong, in all.
        noise: float64[BINS], Σ p (1 - p).
    """

    def __init__(self, curve: Curve, bins: int) -> None:
        from scipy.special import expit, logit

        lower, middle = expit(edges(bins)), expit(centres(bins))
        ends = np.searchsorted(edges(bins), logit(np.arange(1, BINS) / BINS) - LIMIT / bins)
        starts = np.concatenate([[0], ends])
        counts = curve.negative + curve.positive
        self.lowest, self.highest = lower[starts], np.append(lower[ends], 1.0)
        self.rows = np.add.reduceat(counts, starts)
        self.hits = np.add.reduceat(curve.positive, starts)
        self.sums = np.add.reduceat(counts * middle, starts)
        self.noise = np.add.reduceat(counts * middle * (1 - middle), starts)
        width = np.append(np.diff(lower), 0.0)
        width[0] = 0.0  # p = 0
        self.slack = float(counts @ width)

    @property
    def gaps(self) -> Floats:
        """Mean score less share of hits, float64[BINS]; 0 in empty bins."""
        gaps: Floats = (self.sums - self.hits) / np.maximum(self.rows, 1)
        return gaps


def calibration_section(tally: Tally, positive: int | None) -> dict[str, Any] | None:
    """The `calibration` section of a report; None where the model puts out labels only, or nothing was evaluated."""
    histogram = _histogram(tally, positive)
    if histogram is None or not histogram.table.sum():
        return None
    binned = _Binned(histogram.curve(0), histogram.bins)
    rows = int(binned.rows.sum())
    weights = binned.rows / rows
    # For one class of two, sure is what lies far from one half on either side.
    outward = np.where(binned.sums >= binned.rows / 2, 1.0, -1.0) if positive is not None else np.ones(BINS)
    section: dict[str, Any] = {
        "of": "positive class" if positive is not None else "predicted class",
        "ece": _ece(binned),
        "ece_if_calibrated": _ece_if_calibrated(binned),
        "largest_gap": float(np.abs(binned.gaps).max()),
        "overconfidence": float(weights @ (binned.gaps * outward)),
        "mean_score": float(binned.sums.sum()) / rows,
        "share": share(int(binned.hits.sum()), rows, ""),
        "bins": list(_reliability(binned)),
    }
    if positive is not None:
        section["brier"] = _decomposed(binned, tally.brier.result())
    else:
        section["risk_coverage"] = _risk_coverage(histogram)
    return section


def ranking(tally: Tally) -> dict[str, Estimate]:
    """`top_k_accuracy` for each k below the number of classes; empty for two classes.

    Of classes with equal scores the higher index goes first, as in scikit-learn's `top_k_accuracy_score`.
    """
    classes, counts = len(tally.confusion.classes), tally.ranks.dense()
    rows, missing = int(counts.sum()), LABELS_ONLY if tally.confusion.rows else NO_ROWS
    known = {k: int(counts[:k].sum()) for k in TOP if k < classes and classes > 2}
    return {f"top_{k}_accuracy": share(hits, rows, missing) for k, hits in known.items()}


def expected_calibration_error(tally: Tally, positive: int | None) -> Estimate:
    """The `ece` of a quality section."""
    histogram = _histogram(tally, positive)
    if histogram is None or not histogram.table.sum():
        return Estimate.undefined(LABELS_ONLY if tally.confusion.rows else NO_ROWS)
    return _ece(_Binned(histogram.curve(0), histogram.bins))


def _histogram(tally: Tally, positive: int | None) -> ScoreHistogram | None:
    if positive is None:
        return tally.confidence
    return tally.scores if tally.scores.curves else None


def _ece(binned: _Binned) -> Estimate:
    """Expected calibration error.

    References:
        Naeini, Cooper & Hauskrecht (2015), AAAI; Guo et al. (2017), ICML (15 bins); Roelofs et al. (2022), AISTATS
        (its bias).
    """
    rows = int(binned.rows.sum())
    value = float(np.abs(binned.sums - binned.hits).sum()) / rows
    slack = binned.slack / rows
    why = f"no interval: biased upwards; a calibrated model would show about {_ece_if_calibrated(binned):.2g} here"
    return Estimate(value, reason=why, bound=(max(0.0, value - slack), min(1.0, value + slack)))


def _ece_if_calibrated(binned: _Binned) -> float:
    """What chance alone shows: the mean of |normal| in each bin."""
    return float(np.sqrt(2 / math.pi * binned.noise).sum() / binned.rows.sum())


def _reliability(binned: _Binned) -> Iterator[dict[str, Any]]:
    for at in np.flatnonzero(binned.rows).tolist():
        rows = int(binned.rows[at])
        yield {
            "low": float(binned.lowest[at]),
            "high": float(binned.highest[at]),
            "rows": rows,
            "mean_score": float(binned.sums[at]) / rows,
            "share": share(int(binned.hits[at]), rows, ""),
        }


def _decomposed(binned: _Binned, brier: float | None) -> dict[str, float]:
    """The Brier score as reliability - resolution + uncertainty + what differs inside the bins.

    References:
        Murphy (1973), Journal of Applied Meteorology 12(4); Stephenson, Coelho & Jolliffe (2008), Weather and
        Forecasting 23(4) (the part inside the bins).
    """
    assert brier is not None
    rows = int(binned.rows.sum())
    rate = float(binned.hits.sum()) / rows
    shares = binned.hits / np.maximum(binned.rows, 1)
    reliability = float(binned.rows @ binned.gaps**2) / rows
    resolution = float(binned.rows @ (shares - rate) ** 2) / rows
    uncertainty = rate * (1 - rate)
    return {
        "reliability": reliability,
        "resolution": resolution,
        "uncertainty": uncertainty,
        "within_bins": brier - (reliability - resolution + uncertainty),
    }


def _risk_coverage(histogram: ScoreHistogram) -> list[dict[str, Any]]:
    """Accuracy of the surest rows: up to 100 points, from the fewest rows to all.

    References:
        El-Yaniv & Wiener (2010), JMLR 11.
    """
    from scipy.special import expit

    curve = histogram.curve(0)
    kept = np.cumsum((curve.negative + curve.positive)[::-1])[::-1]
    hits = np.cumsum(curve.positive[::-1])[::-1]
    rows, lowest = int(kept[0]), expit(edges(histogram.bins))
    wanted = np.ceil(np.arange(1, _POINTS + 1) / _POINTS * rows)
    cells = np.unique(np.searchsorted(-kept, -wanted, side="right") - 1)[::-1]
    return [
        {
            "confidence": float(lowest[cell]),
            "coverage": int(kept[cell]) / rows,
            "accuracy": share(int(hits[cell]), int(kept[cell]), ""),
        }
        for cell in cells.tolist()
    ]
