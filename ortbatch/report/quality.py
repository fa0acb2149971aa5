"""How good the model is: scikit-learn's metrics of the merged confusion matrix and score histogram.

The cells (true, predicted) with their counts as weights are a sufficient statistic: scikit-learn gives the same numbers
from them as from the raw rows, and every definition, average and zero-division rule stays its own. Above 256 classes
the same metrics come from diagonal and margins, and nothing is as large as the matrix. A value that the data do not
define is null with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.curves import mean_of
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.intervals import caution_of_share, f1_interval
from ortbatch.metrics.scores import ScoreHistogram
from ortbatch.metrics.tally import Tally
from ortbatch.report.averages import overall, share
from ortbatch.report.calibration import expected_calibration_error, ranking
from ortbatch.report.losses import LABELS_ONLY, losses

AREAS = ("roc_auc", "average_precision")
POSITIVE = ("precision", "recall", "f1", "specificity")
"""Metrics that a binary report repeats without class: those of its positive class."""


@dataclass(frozen=True)
class ClassCounts:
    """One class against the rest, in rows."""

    tp: int
    fp: int
    fn: int
    tn: int


def quality_section(tally: Tally, positive: int | None) -> dict[str, Any]:
    """The `quality` section of a report.

    Args:
        tally: the merged counts.
        positive: index of the positive class of a binary task; None for multiclass.
    """
    confusion = tally.confusion
    per_class = [
        class_row(name, counts) | _class_curves(tally, index, positive)
        for index, (name, counts) in enumerate(zip(confusion.classes, class_counts(confusion), strict=True))
    ]
    section: dict[str, Any] = {
        "task": "multiclass" if positive is None else "binary",
        "classes": list(confusion.classes),
        "rows": confusion.rows,
    }
    if positive is not None:
        section["positive"] = confusion.classes[positive]
        section |= {name: per_class[positive][name] for name in POSITIVE}
    section |= overall(confusion)
    section |= losses(tally)
    section["ece"] = expected_calibration_error(tally, positive)
    section |= ranking(tally)
    section |= _curves(tally, per_class, positive)
    if tally.own_label.rows:
        section["own_label"] = {"rows": tally.own_label.rows, "disagreements": tally.own_label.disagreeing}
    section["per_class"] = per_class
    return section


def class_counts(confusion: ConfusionMatrix) -> list[ClassCounts]:
    """tp, fp, fn, tn of every class; one pass over the non-empty cells."""
    table, rows = confusion.table, confusion.rows
    hits, support, predicted = (sums.tolist() for sums in (table.diagonal(), table.row_sums(), table.column_sums()))
    margins = zip(hits, support, predicted, strict=True)
    return [ClassCounts(tp, column - tp, row - tp, rows - row - column + tp) for tp, row, column in margins]


def rows_behind(metric: str, class_row: Mapping[str, Any] | None, rows: int) -> int:
    """The rows that a metric is a share of.

    Args:
        metric: its name without class.
        class_row: the class's entry of `per_class`; None for a metric of all classes.
        rows: all evaluated rows.
    """
    if class_row is None:
        return rows
    support, predicted = class_row["support"], class_row["predicted"]
    return int({"precision": predicted, "recall": support, "specificity": rows - support}.get(metric, rows))


def positive_row(quality: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The entry of the positive class in a decoded section; None for multiclass."""
    return next((row for row in quality["per_class"] if row["class"] == quality.get("positive")), None)


def class_row(name: str, counts: ClassCounts) -> dict[str, Any]:
    return {
        "class": name,
        "support": counts.tp + counts.fn,
        "predicted": counts.tp + counts.fp,
        "precision": share(counts.tp, counts.tp + counts.fp, f"class `{name}` is never predicted"),
        "recall": share(counts.tp, counts.tp + counts.fn, f"no row of class `{name}`"),
        "f1": _f1(counts, name),
        "specificity": share(counts.tn, counts.tn + counts.fp, f"no row of a class other than `{name}`"),
    }


def _class_curves(tally: Tally, index: int, positive: int | None) -> dict[str, Any]:
    curve = _curve_of(tally.scores, index, positive)
    if curve is None:
        missing = Estimate.undefined(_no_scores(tally))
        return {"roc_auc": missing, "average_precision": missing}
    binned = tally.scores.curve(curve)
    return {"roc_auc": binned.roc_auc(), "average_precision": binned.average_precision()}


def _curve_of(scores: ScoreHistogram, index: int, positive: int | None) -> int | None:
    """The curve of a class; a binary model's one curve is that of the positive class."""
    if not scores.curves or (positive is not None and index != positive):
        return None
    return 0 if positive is not None else index


def _no_scores(tally: Tally) -> str:
    if tally.scores.curves:
        return "curves are kept for the positive class"
    if len(tally.confusion.classes) > 2:
        return "one-vs-rest curves are kept for models with scores and up to 20 classes"
    return LABELS_ONLY


def _f1(counts: ClassCounts, name: str) -> Estimate:
    errors = counts.fp + counts.fn
    if not counts.tp + errors:
        return Estimate.undefined(f"class `{name}` neither occurs nor is predicted")
    value = 2 * counts.tp / (2 * counts.tp + errors)
    low, high = f1_interval(counts.tp, errors)
    few = caution_of_share(counts.tp, counts.tp + errors)
    return Estimate(value, (min(low, value), max(high, value)), method="wilson_f1", caution=few)


def _curves(tally: Tally, per_class: Sequence[Mapping[str, Any]], positive: int | None) -> dict[str, Any]:
    """Areas of the positive class, or means over all classes."""
    if not tally.scores.curves:
        missing = Estimate.undefined(_no_scores(tally))
        return {"roc_auc": missing, "average_precision": missing}
    if positive is not None:
        return {name: per_class[positive][name] for name in AREAS}
    return {name: _mean_of_classes(name, per_class) for name in AREAS}


def _mean_of_classes(name: str, per_class: Sequence[Mapping[str, Any]]) -> Estimate:
    mean = mean_of([row[name] for row in per_class])
    if mean.value is not None:
        return mean
    missing = next(row["class"] for row in per_class if row[name].value is None)
    return Estimate.undefined(f"class `{missing}`: {mean.reason}")
