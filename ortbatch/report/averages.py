"""Metrics of a whole confusion matrix, with how sure we are of them: scikit-learn's, asked with the cells as weights.

Above 256 classes the same metrics come from diagonal and margins, and nothing is as large as the matrix. Intervals
come from the same cells: Wilson's where a metric is a share, the delta method elsewhere.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Container
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.delta import standard_errors
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.intervals import (
    Interval,
    caution,
    caution_of_share,
    f1_interval,
    fisher_interval,
    logit_interval,
    mean_of_shares,
    wilson,
)

NO_ROWS = "no row was evaluated"
_CELLS_UP_TO = 256
_COEFFICIENTS = ("matthews_corrcoef", "cohen_kappa")


def share(successes: int, trials: int, reason: str) -> Estimate:
    """A proportion with Wilson's interval; undefined, for this reason, without trials."""
    if not trials:
        return Estimate.undefined(reason)
    few = caution_of_share(successes, trials)
    return Estimate(successes / trials, wilson(successes, trials), method="wilson", caution=few)


def overall(confusion: ConfusionMatrix, *, by_cells: bool = True) -> dict[str, Estimate]:
    """Metrics of the whole matrix, by name.

    Args:
        confusion: the counts.
        by_cells: ask scikit-learn where there are few classes; it takes 5 ms, margins a tenth of it.
    """
    rows, support = confusion.rows, confusion.table.row_sums()
    if not rows:
        return dict.fromkeys(["accuracy", *_WHOLE, "majority_class_accuracy"], Estimate.undefined(NO_ROWS))
    few_classes = len(confusion.classes) <= _CELLS_UP_TO
    values = _by_cells(confusion) if by_cells and few_classes else _by_margins(confusion)
    intervals = _intervals(confusion, values)
    right = int(confusion.table.diagonal().sum())
    few = caution(rows, int(support[support > 0].min()), min(right, rows - right))
    return {
        "accuracy": share(int(confusion.table.diagonal().sum()), rows, NO_ROWS),
        **{name: _defined(name, values[name], intervals, few) for name in _WHOLE},
        "majority_class_accuracy": _majority(support, rows),
    }


def _majority(support: NDArray[np.int64], rows: int) -> Estimate:
    """Share of the largest class; its interval is that of a class that was known beforehand."""
    second, largest = np.sort(support)[-2:].tolist()
    found = share(largest, rows, NO_ROWS)
    if found.ci is None or second < found.ci[0] * rows:
        return found
    return replace(found, caution="another class may be the largest: the interval may be too narrow")


_AVERAGED = [f"{name}_{average}" for average in ("macro", "weighted") for name in ("precision", "recall", "f1")]
_WHOLE = ["balanced_accuracy", *_AVERAGED, "matthews_corrcoef", "cohen_kappa"]
_WHY_UNDEFINED = {
    "matthews_corrcoef": "labels or predictions are all of one class",
    "cohen_kappa": "labels and predictions are all of one class",
}


def _defined(name: str, value: float, intervals: dict[str, tuple[Interval, str]], few: str | None) -> Estimate:
    if not np.isfinite(value):
        return Estimate.undefined(_WHY_UNDEFINED[name])
    if name not in intervals:
        return Estimate(float(value), reason="no interval: nothing varies from row to row")
    (low, high), method = intervals[name]
    return Estimate(float(value), (min(low, value), max(high, value)), method=method, caution=few)


def _intervals(confusion: ConfusionMatrix, values: dict[str, float]) -> dict[str, tuple[Interval, str]]:
    """Interval of each metric and its method; without those that cannot be had."""
    table = confusion.table
    hits, support, predicted = (sums.tolist() for sums in (table.diagonal(), table.row_sums(), table.column_sums()))
    present = sum(1 for true, called in zip(support, predicted, strict=True) if true or called)
    recalls = [(hit, true) for hit, true in zip(hits, support, strict=True) if true]
    precisions = [(hit, called) for hit, called in zip(hits, predicted, strict=True) if called]
    means = {
        "balanced_accuracy": mean_of_shares(recalls, len(recalls)),
        "recall_macro": mean_of_shares(recalls, present),
        "precision_macro": mean_of_shares(precisions, present),
    }
    found: dict[str, tuple[Interval, str]] = {"recall_weighted": (wilson(sum(hits), sum(support)), "wilson")}
    for name, error in {**standard_errors(confusion), **{name: error for name, (_, error) in means.items()}}.items():
        value = values[name]
        if np.isfinite(value) and error > 0 and -1 < value < 1 and (value > 0 or name in _COEFFICIENTS):
            by_name = fisher_interval if name in _COEFFICIENTS else logit_interval
            found[name] = by_name(value, error), _method(name, means)
        elif value in (0.0, 1.0):
            found[name] = _all_alike(name, confusion), "wilson_all_alike"
    return found


def _method(name: str, means: Container[str]) -> str:
    if name in means:
        return "jeffreys_logit"
    return "delta_fisher" if name in _COEFFICIENTS else "delta_logit"


def _all_alike(name: str, confusion: ConfusionMatrix) -> Interval:
    """Of a metric that is 0 or 1 as all rows are wrong or all are right, where the delta method sees no spread.

    Wilson's limits: of each class, averaged as if they rose and fell together; of accuracy, carried through the
    coefficient's definition.
    """
    table = confusion.table
    hits, support, predicted = (sums.tolist() for sums in (table.diagonal(), table.row_sums(), table.column_sums()))
    rows, right = sum(support), sum(hits)
    if name in _COEFFICIENTS:
        by_chance = sum(true * called for true, called in zip(support, predicted, strict=True)) / rows**2
        low, high = wilson(right, rows)
        return (max(-1.0, (low - by_chance) / (1 - by_chance)), (high - by_chance) / (1 - by_chance))
    classes = [(h, t + p - 2 * h) for h, t, p in zip(hits, support, predicted, strict=True) if t or p]
    limits = [f1_interval(hit, errors) for hit, errors in classes]
    return sum(low for low, _ in limits) / len(limits), sum(high for _, high in limits) / len(limits)


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
