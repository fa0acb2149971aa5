"""How sure we are of a threshold that was chosen by looking: seeded multinomial resamples of the score cells.

Resampling independent rows is multinomial resampling of the cells (truth, score). Cells are first put together to runs
of about equal mass, of the class and of the rest alike, so that the cost depends neither on rows nor on bins. What is
asked does not change the draw: every number of a curve rests on the same resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.intervals import CONFIDENCE, Interval
from ortbatch.metrics.operating import NONE, Aim, Floats, Outcomes, Steps, Table, chosen
from ortbatch.metrics.scores import BINARY_BINS

REPLICATES, REPLICATES_OF_MANY = 1_000, 400
"""Of a binary model's curve, and of each of several classes."""

SEED = 0
_RUNS_AT_LEAST, _BINS_A_RUN = 256, 64  # 1,024 runs of a binary model's bins, 256 of one class of many
_SHARES = ("precision", "recall", "f1")


@dataclass(frozen=True, eq=False)
class Resample:
    """A curve by runs of cells, and what it might have been.

    Args:
        once: counts at the runs of the curve itself.
        often: the same of each replicate, [replicates, runs].
    """

    once: Table
    often: Table

    @classmethod
    def of(cls, steps: Steps) -> Resample:
        """Draw; the same curve gives the same draw.

        References:
            Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 6.
        """
        starts = run_starts(steps)
        once = Table(steps.tp[starts].astype(np.float64), steps.fp[starts].astype(np.float64), steps.usable[starts])
        if not starts.size:
            return cls(once, once)
        both = np.concatenate([np.add.reduceat(counts, starts) for counts in (steps.negative, steps.positive)])
        filled, rows = np.flatnonzero(both), int(both.sum())
        replicates = REPLICATES if steps.bins >= BINARY_BINS else REPLICATES_OF_MANY
        drawn = np.random.default_rng(SEED).multinomial(rows, both[filled] / rows, size=replicates)
        counts = np.zeros((replicates, both.size))
        counts[:, filled] = drawn
        fp, tp = (np.cumsum(half[:, ::-1], axis=1)[:, ::-1] for half in np.split(counts, 2, axis=1))
        return cls(once, Table(tp, fp, once.usable))

    def of_functional(self, value: float, functional: Callable[[Table], Floats]) -> Interval | None:
        """Percentile interval of a number that is a function of all rows.

        Args:
            value: of the cells themselves; what putting them together loses is added to the limits.
            functional: float64[...] of a table [..., n]; NaN where it is not defined.

        Returns:
            Limits inside [0, 1] around the value; None if no replicate defines it.

        References:
            Efron & Tibshirani (1993), chapter 13.
        """
        values = functional(self.often)
        values = values[np.isfinite(values)]
        coarse = float(functional(self.once))
        if not values.size or not np.isfinite(coarse):
            return None
        low, high = np.quantile(values, _tails()) + (value - coarse)
        return max(0.0, min(float(low), value)), min(1.0, max(float(high), value))

    def of_choice(self, aim: Aim, outcomes: Outcomes) -> dict[str, Interval]:
        """Intervals of precision, recall and F1 that the threshold chosen will have on other rows of the same kind.

        Each replicate chooses anew, and is then judged on the rows that it was drawn from: how much better it looked on
        its own is how much too good the choice may look. Without those that no replicate defines.

        References:
            Efron & Tibshirani (1993), chapter 17 (the optimism of the apparent error).
        """
        places = chosen(aim, self.often)
        made = np.flatnonzero(places != NONE)
        if not made.size:
            return {}
        at = places[made]
        looked = Table(self.often.tp[made, at], self.often.fp[made, at], self.once.usable)
        is_true = Table(self.once.tp[at], self.once.fp[at], self.once.usable)
        own_then, own = self.often.own[made, 0], self.once.own[0]
        apparent, real = _shares(looked, own_then), _shares(is_true, np.full(made.size, own))
        tp, called = outcomes.tp, outcomes.tp + outcomes.fp
        values = dict(zip(_SHARES, (tp / called, tp / own, 2 * tp / (called + own)), strict=True))
        found = {}
        for name in _SHARES:
            better = apparent[name] - real[name]
            least, most = np.quantile(better[np.isfinite(better)], _tails())
            found[name] = max(0.0, values[name] - float(most)), min(1.0, values[name] - float(least))
        return found


def run_starts(steps: Steps) -> NDArray[np.int64]:
    """First cell of each run, as rising places among the cells with rows; all of them if they are few enough.

    Half of the runs split the class by its quantiles; of the others one half splits the rest by quantiles, one half by
    equal ratios from above, so that a false positive rate of 0.001 is found too.
    """
    size, most = steps.cells.size, max(_RUNS_AT_LEAST, steps.bins // _BINS_A_RUN)
    if size <= most:
        return np.arange(size)
    quarter = most // 4
    even = np.arange(1, quarter + 1) / quarter
    of_own = np.arange(1, 2 * quarter) / (2 * quarter) if steps.own else even
    marks = [(steps.tp, of_own)] if steps.own else []
    if steps.rest:
        marks += [(steps.fp, even), (steps.fp, np.geomspace(1 / steps.rest, 1, quarter))]
    places = [np.searchsorted(-counts, -(shares * counts[0]), side="right") - 1 for counts, shares in marks]
    return np.unique(np.concatenate([[0], *places])).astype(np.int64)


def _tails() -> list[float]:
    tail = (1 - CONFIDENCE) / 2
    return [tail, 1 - tail]


def _shares(at: Table, own: Floats) -> dict[str, Floats]:
    """Precision, recall and F1 at one threshold of each replicate."""
    with np.errstate(invalid="ignore"):
        called = at.tp + at.fp
        return {"precision": at.tp / called, "recall": at.tp / own, "f1": 2 * at.tp / (called + own)}
