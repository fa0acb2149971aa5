"""How good the model is: scikit-learn's metrics of the merged confusion matrix and score histogram.

The cells (true, predicted) with their counts as weights are a sufficient statistic: scikit-learn gives the same numbers
from them as from the raw rows, and every definition, average and zero-division rule stays its own. Above 256 classes
the same metrics come from diagonal and margins, and nothing is as large as the matrix. A value that the data do not
define is null with a reason.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.intervals import f1_interval, wilson
from ortbatch.metrics.scores import Bounded, ScoreHistogram, macro
from ortbatch.metrics.tally import Tally

_CELLS_UP_TO = 256
NO_ROWS = "no row was evaluated"
POSITIVE = ("precision", "recall", "f1", "specificity")
"""Metrics that a binary report repeats without class: those of its positive class."""

_LABELS_ONLY = "the model puts out labels only"


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
        _class_row(name, counts) | _class_curves(tally, index, positive)
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
    section |= _overall(confusion)
    section |= {name: _mean(getattr(tally, name).result(), tally) for name in ("log_loss", "brier")}
    section |= _curves(tally, positive)
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


def _class_row(name: str, counts: ClassCounts) -> dict[str, Any]:
    return {
        "class": name,
        "support": counts.tp + counts.fn,
        "predicted": counts.tp + counts.fp,
        "precision": _share(counts.tp, counts.tp + counts.fp, f"class `{name}` is never predicted"),
        "recall": _share(counts.tp, counts.tp + counts.fn, f"no row of class `{name}`"),
        "f1": _f1(counts, name),
        "specificity": _share(counts.tn, counts.tn + counts.fp, f"no row of a class other than `{name}`"),
    }


def _class_curves(tally: Tally, index: int, positive: int | None) -> dict[str, Any]:
    curve = _curve_of(tally.scores, index, positive)
    if curve is None:
        missing = Estimate.undefined(_no_scores(tally))
        return {"roc_auc": missing, "average_precision": missing}
    scores = tally.scores
    return {"roc_auc": bounded(scores.roc_auc(curve)), "average_precision": bounded(scores.average_precision(curve))}


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
    return _LABELS_ONLY


def _share(successes: int, trials: int, reason: str) -> Estimate:
    return Estimate(successes / trials, wilson(successes, trials)) if trials else Estimate.undefined(reason)


def _f1(counts: ClassCounts, name: str) -> Estimate:
    errors = counts.fp + counts.fn
    if not counts.tp + errors:
        return Estimate.undefined(f"class `{name}` neither occurs nor is predicted")
    value = 2 * counts.tp / (2 * counts.tp + errors)
    low, high = f1_interval(counts.tp, errors)
    return Estimate(value, (min(low, value), max(high, value)))


def _mean(value: float | None, tally: Tally) -> Estimate:
    if value is not None:
        return Estimate(value)
    return Estimate.undefined(_LABELS_ONLY if tally.confusion.rows else NO_ROWS)


def bounded(value: Bounded | str) -> Estimate | dict[str, Any]:
    """An estimate that carries the bound that the bins prove."""
    if isinstance(value, str):
        return Estimate.undefined(value)
    return {"value": value.value, "ci": None, "bound": [value.low, value.high]}


def _curves(tally: Tally, positive: int | None) -> dict[str, Any]:
    scores = tally.scores
    if not scores.curves:
        missing = Estimate.undefined(_no_scores(tally))
        return {"roc_auc": missing, "average_precision": missing}
    if positive is not None:
        return {"roc_auc": bounded(scores.roc_auc(0)), "average_precision": bounded(scores.average_precision(0))}
    curves = range(len(scores.curves))
    return {
        "roc_auc": _macro([scores.roc_auc(curve) for curve in curves], scores.curves),
        "average_precision": _macro([scores.average_precision(curve) for curve in curves], scores.curves),
    }


def _macro(curves: list[Bounded | str], names: Sequence[str]) -> Estimate | dict[str, Any]:
    """Mean of one-vs-rest curves, and of their bounds."""
    mean = macro(curves)
    if mean.value is None:
        missing = next(index for index, curve in enumerate(curves) if isinstance(curve, str))
        return Estimate.undefined(f"class `{names[missing]}`: {mean.reason}")
    known = [curve for curve in curves if isinstance(curve, Bounded)]
    low, high = (float(np.mean([getattr(curve, end) for curve in known])) for end in ("low", "high"))
    return {"value": mean.value, "ci": None, "bound": [low, high]}


def _overall(confusion: ConfusionMatrix) -> dict[str, Estimate]:
    """Metrics of the whole matrix."""
    rows = confusion.rows
    if not rows:
        return dict.fromkeys(["accuracy", *_WHOLE, "majority_class_accuracy"], Estimate.undefined(NO_ROWS))
    values = _by_cells(confusion) if len(confusion.classes) <= _CELLS_UP_TO else _by_margins(confusion)
    return {
        "accuracy": _share(int(confusion.table.diagonal().sum()), rows, NO_ROWS),
        **{name: _defined(name, values[name]) for name in _WHOLE},
        "majority_class_accuracy": Estimate(int(confusion.table.row_sums().max()) / rows),
    }


_AVERAGED = [f"{name}_{average}" for average in ("macro", "weighted") for name in ("precision", "recall", "f1")]
_WHOLE = ["balanced_accuracy", *_AVERAGED, "matthews_corrcoef", "cohen_kappa"]
_WHY_UNDEFINED = {
    "matthews_corrcoef": "labels or predictions are all of one class",
    "cohen_kappa": "labels and predictions are all of one class",
}


def _defined(name: str, value: float) -> Estimate:
    return Estimate(float(value)) if np.isfinite(value) else Estimate.undefined(_WHY_UNDEFINED[name])


def _by_cells(confusion: ConfusionMatrix) -> dict[str, float]:
    """Ask scikit-learn, one weighted row a cell."""
    from sklearn import metrics

    true, predicted, counts = confusion.cells()
    # Older scikit-learn multiplies the margins as it gets them: integers would pass int64 at three billion rows.
    weight = counts.astype(np.float64)

    def ask(function: Callable[..., Any], **options: Any) -> Any:
        with warnings.catch_warnings():
            # It warns of classes without rows or predictions; the report says so itself, per class.
            warnings.simplefilter("ignore")
            return function(true, predicted, sample_weight=weight, **options)

    values = {"balanced_accuracy": ask(metrics.balanced_accuracy_score)}
    for average in ("macro", "weighted"):
        triple = ask(metrics.precision_recall_fscore_support, average=average, zero_division=0)[:3]
        values |= {f"{name}_{average}": v for name, v in zip(("precision", "recall", "f1"), triple, strict=True)}
    one_class = len(np.unique(true)) == 1 or len(np.unique(predicted)) == 1
    # scikit-learn calls an undefined coefficient 0, which would read as "no better than chance".
    values["matthews_corrcoef"] = np.nan if one_class else ask(metrics.matthews_corrcoef)
    values["cohen_kappa"] = ask(metrics.cohen_kappa_score)
    return values


def _by_margins(confusion: ConfusionMatrix) -> dict[str, float]:
    """The same from diagonal and margins, in O(C) after a pass over the filled cells; coefficients in exact integers.

    References:
        Gorodkin (2004), Computational Biology and Chemistry 28 (Matthews for many classes); Cohen (1960), Educational
        and Psychological Measurement 20; scikit-learn's conventions for classes that do not occur.
    """
    hits = confusion.table.diagonal().astype(np.float64)
    support = confusion.table.row_sums().astype(np.float64)
    predicted = confusion.table.column_sums().astype(np.float64)
    rows = support.sum()
    present = (support + predicted) > 0
    scores = {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, support + predicted),
    }
    values = {"balanced_accuracy": float(scores["recall"][support > 0].mean())}
    for average in ("macro", "weighted"):
        for name, score in scores.items():
            mean = score[present].mean() if average == "macro" else (score * support).sum() / rows
            values[f"{name}_{average}"] = float(mean)
    return values | _coefficients(confusion)


def _coefficients(confusion: ConfusionMatrix) -> dict[str, float]:
    support, predicted = confusion.table.row_sums().tolist(), confusion.table.column_sums().tolist()
    rows, hits = sum(support), int(confusion.table.diagonal().sum())
    expected = sum(s * p for s, p in zip(support, predicted, strict=True))
    spread = (rows**2 - sum(s * s for s in support)) * (rows**2 - sum(p * p for p in predicted))
    covariance, beyond_chance = rows * hits - expected, rows**2 - expected
    return {
        "matthews_corrcoef": covariance / math.sqrt(spread) if spread else math.nan,
        "cohen_kappa": covariance / beyond_chance if beyond_chance else math.nan,
    }


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
