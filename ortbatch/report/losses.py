"""Log loss and Brier score: exact sums, and an interval from how much the rows differ."""

from __future__ import annotations

import numpy as np

from ortbatch.metrics.curves import Curve
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.intervals import CLASS_ROWS_ENOUGH, caution, mean_interval
from ortbatch.metrics.scores import centres
from ortbatch.metrics.tally import Tally
from ortbatch.report.averages import NO_ROWS

LABELS_ONLY = "the model puts out labels only"
_LARGEST_LOSS = -float(np.log(2.0**-52))


def losses(tally: Tally) -> dict[str, Estimate]:
    """`log_loss` and `brier` of a quality section.

    The mean is exact. Its interval needs the mean of squares: kept for multiclass models, read from the middles of the
    score bins for binary ones.
    """
    return {
        "log_loss": _mean(tally, tally.log_loss.result(), _square(tally, "log_loss")),
        "brier": _mean(tally, tally.brier.result(), _square(tally, "brier")),
    }


def _mean(tally: Tally, value: float | None, mean_square: float | None) -> Estimate:
    rows = tally.log_loss.rows
    if value is None:
        return Estimate.undefined(LABELS_ONLY if tally.confusion.rows else NO_ROWS)
    if mean_square is None or rows < 2:
        return Estimate(value, reason="no interval: one row")
    low, high = mean_interval(value, mean_square, rows)
    support = tally.confusion.table.row_sums()
    few = caution(rows, int(support[support > 0].min())) or _lopsided(value, mean_square, rows)
    return Estimate(value, (min(low, value), max(high, value)), method="normal", caution=few)


def _lopsided(mean: float, mean_square: float, rows: int) -> str | None:
    """Said where few rows make most of a loss: as many equal ones as give its sum and its squares.

    References:
        Kish (1965), Survey Sampling, section 11.7 (effective number of rows).
    """
    effective = rows * mean * mean / mean_square if mean_square else rows
    if effective >= CLASS_ROWS_ENOUGH:
        return None
    return f"it hangs on about {effective:.0f} rows: below {CLASS_ROWS_ENOUGH} the interval may be too narrow"


def _square(tally: Tally, name: str) -> float | None:
    """Mean of the squares of a loss."""
    kept = tally.log_loss_squares if name == "log_loss" else tally.brier_squares
    if kept.rows or len(tally.scores.curves) != 1:
        return kept.result()
    from scipy.special import expit

    curve, middle = tally.scores.curve(0), centres(tally.scores.bins)
    of_rest, of_own = _log_losses(middle) if name == "log_loss" else (expit(middle) ** 2, expit(-middle) ** 2)
    return _mean_square(curve, of_rest, of_own)


def _log_losses(middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a row of the rest and of the class with this log-odds, clipped as the sums are."""
    return (
        np.minimum(np.logaddexp(0, middle), _LARGEST_LOSS),
        np.minimum(np.logaddexp(0, -middle), _LARGEST_LOSS),
    )


def _mean_square(curve: Curve, of_rest: np.ndarray, of_own: np.ndarray) -> float | None:
    rows = sum(curve.rows)
    total = float(curve.negative @ of_rest**2 + curve.positive @ of_own**2)
    return total / rows if rows else None
