"""Does one column tell the label by itself? Rules of one column, judged on rows that they were not learnt from.

Two rules are tried: the order of the values, for a binary label (the area under its ROC curve), and the most frequent
class of each value, or of each of 256 bins of a column of many numbers. What the columns are is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SURE = 0.99
"""A rule above this gives the label away."""

_BINS = 256
_ROWS_OF_A_CLASS = 20
_ERRORS_TAKEN = 0.9


@dataclass(frozen=True)
class Rule:
    """How well a column tells the label: `roc_auc` of its order, or `accuracy` of the best class for each value."""

    measure: str
    value: float


def best_rule(values: NDArray[Any], labels: NDArray[np.int64], classes: int) -> Rule | None:
    """The rule by which a column gives the label away; None if none does.

    Args:
        values: of one column: numbers [N], or texts as object[N].
        labels: int64[N], class indices in [0, classes).
        classes: how many there are.
    """
    counts = np.bincount(labels, minlength=classes)
    if np.count_nonzero(counts) < 2:
        return None
    if classes == 2 and values.dtype.kind in "biuf" and counts.min() >= _ROWS_OF_A_CLASS:
        area = area_of_order(values, labels == 1)
        if max(area, 1 - area) > SURE:
            return Rule("roc_auc", max(area, 1 - area))
    accuracy, majority = accuracy_of_values(values, labels, classes), float(counts.max() / counts.sum())
    if accuracy > SURE and 1 - accuracy <= (1 - _ERRORS_TAKEN) * (1 - majority):
        return Rule("accuracy", accuracy)
    return None


def area_of_order(values: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Share of pairs of a positive row and another in which the positive one has the larger value; ties are halves.

    References:
        Hanley & McNeil (1982), Radiology 143(1).

    >>> area_of_order(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, True, False, True]))
    0.875
    """
    from scipy.stats import rankdata

    numbers = values.astype(np.float64)
    # A missing value is below all others.
    ranks = rankdata(np.where(np.isnan(numbers), -np.inf, numbers))
    own = int(positive.sum())
    rest = positive.size - own
    return float((ranks[positive].sum() - own * (own + 1) / 2) / (own * rest))


def accuracy_of_values(values: NDArray[Any], labels: NDArray[np.int64], classes: int) -> float:
    """Share of rows whose class is the most frequent one of their value, as learnt from the other half of the rows.

    A value that the other half does not have is answered with its most frequent class of all: a column of identifiers
    tells nothing. The halves are drawn with a fixed seed; of values and bins of values the better counts.
    """
    half = np.random.default_rng(0).random(labels.size) < 0.5
    return max(_accuracy(codes, labels, classes, half) for codes in _codings(values))


def _accuracy(codes: NDArray[np.int64], labels: NDArray[np.int64], classes: int, half: NDArray[np.bool_]) -> float:
    size, right = int(codes.max()) + 1, 0
    for learnt in (half, ~half):
        seen = np.bincount(codes[learnt] * classes + labels[learnt], minlength=size * classes).reshape(size, classes)
        answer = np.where(seen.any(axis=1), seen.argmax(axis=1), seen.sum(axis=0).argmax())
        right += int((answer[codes[~learnt]] == labels[~learnt]).sum())
    return right / labels.size


def _codings(values: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Which value each row has, and of many numbers which bin of about equally many rows; int64[N] each."""
    distinct, codes = np.unique(values, return_inverse=True)
    codings = [codes.reshape(-1).astype(np.int64)]
    if distinct.size > _BINS and values.dtype.kind in "iuf":
        finite = values[np.isfinite(values)]
        edges = np.unique(np.quantile(finite, np.arange(1, _BINS) / _BINS))
        codings.append(np.searchsorted(edges, values, side="right").astype(np.int64))
    return codings
