"""Metrics of one operating point, as gates name them: `recall_at_precision(0.9)[fraud]`.

Each is a number of the whole curve, so its interval is that of all rows resampled. It is never narrower than Wilson's
of the share that it is: where every resample looks alike, that is what few rows still say.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.intervals import Interval, caution, wilson
from ortbatch.metrics.operating import NONE, Aim, Floats, Steps, Table, chosen, why_none
from ortbatch.metrics.reference import MetricRef
from ortbatch.metrics.resample import Resample

_ALARMS_ENOUGH = 10
"""Rows that a false positive rate allows, from which on the interval was seen to hold."""


@dataclass(frozen=True)
class Point:
    """A metric's estimate, and the rows that it is a share of."""

    estimate: Estimate
    rows: int


@dataclass(frozen=True)
class _Found:
    """A value with (successes, trials) of its share, the limits that bins prove, and the value of any rows."""

    value: float
    share: tuple[int, int]
    bound: Interval
    functional: Callable[[Table], Floats]


def aim_of(ref: MetricRef) -> Aim | None:
    """What the threshold of a metric is chosen for; None for the share of highest scores, which has none.

    >>> str(aim_of(MetricRef("recall_at_precision", 0.9)))
    'best recall at a precision of at least 0.9'
    """
    if ref.name == "recall_at_precision":
        return Aim(min_precision=ref.argument)
    if ref.name == "precision_at_recall":
        return Aim(min_recall=ref.argument)
    return Aim(max_fpr=ref.argument) if ref.name == "recall_at_fpr" else None


def point(ref: MetricRef, steps: Steps, resample: Resample) -> Point:
    """Estimate a metric.

    Args:
        ref: one of `ortbatch.metrics.reference.OPERATING`, checked.
        steps: of the class.
        resample: of the same steps.
    """
    if not steps.cells.size:
        return Point(Estimate.undefined("no row was evaluated"), 0)
    found = _at_top(ref, steps) if (aim := aim_of(ref)) is None else _at(aim, steps)
    if isinstance(found, str):
        return Point(Estimate.undefined(found), 0)
    hits, trials = found.share
    limits = [found.bound, wilson(hits, trials)]
    drawn = resample.of_functional(found.value, found.functional)
    limits += [drawn] if drawn is not None else []
    ci = min(low for low, _ in limits[1:]), max(high for _, high in limits[1:])
    ci = min(ci[0], found.value), max(ci[1], found.value)
    few = caution(steps.own + steps.rest, min(steps.own, steps.rest), min(hits, trials - hits))
    few = few or _few_alarms(ref, steps)
    method = "bootstrap_wilson" if drawn is not None else "wilson"
    return Point(Estimate(found.value, ci, method=method, caution=few, bound=found.bound), trials)


def _few_alarms(ref: MetricRef, steps: Steps) -> str | None:
    """What to say of a false positive rate that allows so few rows that the highest of the rest decide."""
    allowed = (ref.argument or 0.0) * steps.rest
    if ref.name != "recall_at_fpr" or allowed >= _ALARMS_ENOUGH:
        return None
    return (
        f"the rate allows {allowed:.3g} of {steps.rest:,} rows: below {_ALARMS_ENOUGH} the interval may be too narrow"
    )


def _at(aim: Aim, steps: Steps) -> _Found | str:
    """A metric whose threshold is chosen."""
    table = Table.of(steps)
    place = int(chosen(aim, table))
    if place == NONE:
        # Nothing positive is a point of the ROC curve, though no threshold to recommend.
        if aim.max_fpr is None or not (steps.own and steps.rest):
            return why_none(aim, steps)
        tp, fp = 0, 0
    else:
        tp, fp = int(steps.tp[place]), int(steps.fp[place])
    hits, trials = (tp, tp + fp) if aim.min_recall is not None else (tp, steps.own)
    value = hits / trials
    best = max([value, *_best_orders(aim, steps)])
    return _Found(value, (hits, trials), (value, min(1.0, best)), lambda rows: _values(aim, rows))


def _values(aim: Aim, table: Table) -> Floats:
    """The metric of any rows: float64[...]; NaN without rows of the class; 0 where no threshold does it."""
    place = chosen(aim, table)
    at = np.maximum(place, 0)[..., None]
    of = table.precision if aim.min_recall is not None else table.recall
    value = np.take_along_axis(of, at, axis=-1)[..., 0]
    undefined = table.own[..., 0] == 0
    if aim.needs_rest:
        undefined |= table.rest[..., 0] == 0
    return np.where(undefined, np.nan, np.where(place == NONE, 0.0, value))


def _best_orders(aim: Aim, steps: Steps) -> list[float]:
    """The metric at each threshold inside a cell, if all rows of the class come first in it; where that is allowed."""
    above = steps.fp - steps.negative
    fp = np.where(steps.tied, steps.fp, above)
    called = np.maximum(steps.tp + fp, 1)
    precision, recall = steps.tp / called, steps.tp / steps.own
    if aim.min_recall is not None:
        values, allowed = precision, (recall >= aim.min_recall) & (steps.tp + fp > 0)
    elif aim.min_precision is not None:
        values, allowed = recall, (precision >= aim.min_precision) & (steps.tp + fp > 0)
    else:
        values, allowed = recall, fp <= (aim.max_fpr or 0.0) * steps.rest
    return [float(values[allowed].max())] if allowed.any() else []


def _at_top(ref: MetricRef, steps: Steps) -> _Found:
    """Precision among the highest scores; rows of the cell in which they end count in proportion."""
    rows = steps.own + steps.rest
    # As the number is written: 0.07 of 100 rows are 7, not the 8 of 0.07 in binary.
    wanted = min(rows, max(1, math.ceil(Fraction(repr(ref.argument)) * rows)))
    share = wanted / rows
    called = steps.tp + steps.fp
    place = int(np.flatnonzero(called >= wanted)[-1])
    own, rest = int(steps.positive[place]), int(steps.negative[place])
    hits, taken = int(steps.tp[place]) - own, wanted - (int(called[place]) - own - rest)
    value = (hits + own * taken / (own + rest)) / wanted
    bound = (hits + max(0, taken - rest)) / wanted, (hits + min(own, taken)) / wanted
    return _Found(value, (round(value * wanted), wanted), bound, lambda table: _precision_at_top(share, table))


def _precision_at_top(share: float, table: Table) -> Floats:
    """Precision among this share of rows, float64[...] of a table [..., n]."""
    called = table.tp + table.fp
    wanted = np.maximum(1.0, np.round(share * called[..., :1]))
    place = np.maximum(np.count_nonzero(called >= wanted, axis=-1) - 1, 0)[..., None]

    def at(counts: Floats) -> tuple[Floats, Floats]:
        """Counts from the cell at `place` on, and from the one above it on."""
        padded = np.concatenate([counts, np.zeros_like(counts[..., :1])], axis=-1)
        return tuple(np.take_along_axis(padded, place + one, axis=-1)[..., 0] for one in (0, 1))  # type: ignore[return-value]

    (tp, hits), (all_rows, above) = at(table.tp), at(called)
    with np.errstate(invalid="ignore", divide="ignore"):
        taken = (wanted[..., 0] - above) / (all_rows - above)
        value: Floats = (hits + (tp - hits) * taken) / wanted[..., 0]
    return value
