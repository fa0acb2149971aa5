"""Thresholds: what each would do, which does best, and the score counts that answer the same for any other.

Everything is a function of the merged score histogram: of a binary model the curve of its positive class, of a small
multiclass one that of each class against the rest. A threshold chosen by looking at these rows looks better on them
than it is; the intervals take that into account.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.intervals import Interval, caution, f1_interval, wilson
from ortbatch.metrics.operating import (
    NONE,
    Aim,
    Floats,
    Outcomes,
    Steps,
    Table,
    chosen,
    thresholds,
    unusable,
    why_none,
)
from ortbatch.metrics.operating_metrics import point
from ortbatch.metrics.reference import OPERATING, MetricRef
from ortbatch.metrics.resample import Resample
from ortbatch.metrics.scores import ScoreHistogram
from ortbatch.metrics.value import Counts

POINTS, POINTS_OF_MANY = 512, 128
"""Most points of a curve, and of each of several."""

COLUMNS = ("negative_0", "positive_0", "negative_1", "positive_1")
"""Rows of the rest and of the class, in each half of the rows."""

_FLOORS = (0.8, 0.9, 0.95)
RECOMMENDED = {
    "best_f1": Aim(),
    "best_youden": Aim(best="youden"),
    **{f"recall_at_precision({floor!r})": Aim(min_precision=floor) for floor in _FLOORS},
    **{f"precision_at_recall({floor!r})": Aim(min_recall=floor) for floor in _FLOORS},
}
ALWAYS = (
    MetricRef("recall_at_precision", 0.9),
    MetricRef("precision_at_recall", 0.9),
    MetricRef("recall_at_fpr", 0.01),
    MetricRef("precision_at_top", 0.01),
)
"""Metrics that every curve has, whatever the gates name."""


def thresholds_section(
    scores: ScoreHistogram, threshold: float | None, asked: Sequence[MetricRef]
) -> dict[str, Any] | None:
    """The `thresholds` section of a report; None if there are no curves or no rows.

    Args:
        scores: merged.
        threshold: of the job; None for multiclass.
        asked: metrics of gates; those that are none of an operating point are passed over.
    """
    if not scores.table.sum():
        return None
    return {
        "threshold": threshold,
        "curves": [_curve(scores, index, threshold, asked) for index in range(len(scores.curves))],
    }


def _curve(scores: ScoreHistogram, index: int, threshold: float | None, asked: Sequence[MetricRef]) -> dict[str, Any]:
    name, steps = scores.curves[index], Steps.of(scores.curve(index))
    resample = Resample.of(steps)
    picks = {rule: pick(aim, steps, resample) for rule, aim in RECOMMENDED.items()}
    mine = [ref for ref in asked if ref.name in OPERATING and not ref.slice and ref.class_name in (None, name)]
    named = dict.fromkeys(MetricRef(ref.name, ref.argument) for ref in (*ALWAYS, *mine))
    return {
        "class": name,
        "bins": steps.bins,
        "points": _points(steps, threshold, POINTS if len(scores.curves) == 1 else POINTS_OF_MANY),
        "recommended": picks,
        "operating_points": [_operating_point(ref, steps, resample) for ref in named],
        "histogram": _histogram(scores, index, steps.cells),
    }


def _operating_point(ref: MetricRef, steps: Steps, resample: Resample) -> dict[str, Any]:
    found = point(ref, steps, resample)
    return {"metric": str(ref), "rows": found.rows, "estimate": found.estimate}


def _histogram(scores: ScoreHistogram, index: int, cells: Counts) -> dict[str, Any]:
    halves = [scores.curve(index, half) for half in (0, 1)]
    columns = [counts[cells].tolist() for half in halves for counts in (half.negative, half.positive)]
    return {"cell": cells.tolist(), **dict(zip(COLUMNS, columns, strict=True))}


def pick(aim: Aim, steps: Steps, resample: Resample) -> dict[str, Any]:
    """The threshold that an aim takes, with what it does: or null, and why."""
    place = int(chosen(aim, Table.of(steps)))
    if place == NONE:
        return {"threshold": None, "reason": why_none(aim, steps)}
    cell = int(steps.cells[place])
    outcomes = steps.at(cell)
    lowest = float(thresholds(steps.bins)[cell])
    return {"threshold": lowest, **judged_at(outcomes, resample.of_choice(aim, outcomes))}


def judged_at(outcomes: Outcomes, wider: Mapping[str, Interval] | None = None) -> dict[str, Any]:
    """Confusion, precision, recall and F1 at a threshold.

    Args:
        outcomes: rows.
        wider: intervals that take the choosing into account; None for a threshold that these rows did not choose, whose
            intervals are Wilson's.
    """
    tp, fp, fn, _ = outcomes
    f1 = f1_interval(tp, fp + fn) if tp + fp + fn else None
    few = caution(sum(outcomes), min(tp + fn, sum(outcomes) - tp - fn))
    limits = wider or {}

    def estimate(name: str, hits: int, trials: int, wilsons: Interval | None, why: str) -> Estimate:
        if wilsons is None:
            return Estimate.undefined(why)
        value, both = hits / trials, [wilsons, *([limits[name]] if name in limits else [])]
        ci = min(value, *(low for low, _ in both)), max(value, *(high for _, high in both))
        simple = "wilson_f1" if name == "f1" else "wilson"
        return Estimate(value, ci, method="bootstrap_optimism_wilson" if name in limits else simple, caution=few)

    return {
        "confusion": outcomes._asdict(),
        "precision": estimate("precision", tp, tp + fp, _wilson(tp, tp + fp), "nothing is called positive"),
        "recall": estimate("recall", tp, tp + fn, _wilson(tp, tp + fn), "no row of this class"),
        "f1": estimate("f1", 2 * tp, 2 * tp + fp + fn, f1, "nothing is positive, and nothing called so"),
    }


def _wilson(hits: int, trials: int) -> Interval | None:
    return wilson(hits, trials) if trials else None


def _points(steps: Steps, threshold: float | None, most: int) -> dict[str, Any]:
    """Columns of counts and rates at up to `most` thresholds, by rising threshold."""
    lowest = thresholds(steps.bins)
    cells = _point_cells(steps, lowest, threshold, most)
    places = np.searchsorted(steps.cells, cells)
    tp, fp = (np.append(counts, 0)[places] for counts in (steps.tp, steps.fp))
    fn, tn = steps.own - tp, steps.rest - fp
    counts = {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    return {
        "threshold": lowest[cells].tolist(),
        **{name: column.tolist() for name, column in counts.items()},
        "precision": _ratios(tp, tp + fp),
        "recall": _ratios(tp, tp + fn),
        "f1": _ratios(2 * tp, 2 * tp + fp + fn),
        "fpr": _ratios(fp, fp + tn),
    }


def _ratios(parts: Counts, wholes: Counts) -> list[float | None]:
    """Null where nothing is divided."""
    return [part / whole if whole else None for part, whole in zip(parts.tolist(), wholes.tolist(), strict=True)]


def _point_cells(steps: Steps, lowest: Floats, threshold: float | None, most: int) -> Counts:
    """Cells whose lower edges are shown: the ends, around the job's threshold, what is recommended, and quantiles.

    Quantiles are of a mass that weighs the class and the rest equally, or rare positives would get few points.
    """
    table = Table.of(steps)
    usable = steps.cells[steps.usable]
    recommended = [int(chosen(aim, table)) for aim in RECOMMENDED.values()]
    fixed = {int(usable[0]), int(usable[-1]), *(int(steps.cells[at]) for at in recommended if at != NONE)}
    if threshold is not None:
        at = int(np.searchsorted(lowest, threshold, side="right")) - 1
        fixed |= {cell for cell in (at, at + 1) if cell < lowest.size} - set(unusable(steps))
    room = most - len(fixed)
    if usable.size > room:
        mass = sum((counts / total for counts, total in _halves_of_mass(steps)), np.zeros(steps.cells.size))
        below = np.cumsum(mass) / mass.sum()
        at_quantiles = np.searchsorted(below, np.arange(1, room + 1) / (room + 1))
        usable = np.intersect1d(usable, steps.cells[np.minimum(at_quantiles, steps.cells.size - 1)])
    return np.union1d(usable, sorted(fixed)).astype(np.int64)


def _halves_of_mass(steps: Steps) -> list[tuple[Counts, int]]:
    return [(counts, total) for counts, total in ((steps.negative, steps.rest), (steps.positive, steps.own)) if total]
