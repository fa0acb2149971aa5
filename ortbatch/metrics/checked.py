"""Names of the metrics that come from checks against the training data: `leakage.share`, `overfitting.accuracy_gap`."""

from __future__ import annotations

import math

QUALITY = (
    "accuracy", "balanced_accuracy", "precision", "recall", "f1", "f1_macro", "roc_auc", "average_precision",
    "log_loss", "brier",
)  # fmt: skip
"""Metrics that are told with and without the leaked rows; precision, recall and F1 of the positive class only."""

GAPS = ("accuracy", "f1", "f1_macro", "roc_auc", "log_loss")
"""Metrics whose gap is told, training rows minus evaluation rows; `f1` of two classes, `f1_macro` of more."""

COUNTS = ("leakage.rows", "leakage.duplicates", "leakage.conflicts", "leakage.training_conflicts")
SHARES = ("leakage.share", "leakage.duplicate_share")
_WITHOUT = "leakage.without."
_GAP = "_gap"

CHECKED = frozenset(
    {*COUNTS, *SHARES, *(f"{_WITHOUT}{name}" for name in QUALITY), *(f"overfitting.{name}{_GAP}" for name in GAPS)}
)
"""All of them."""


def is_of_checks(name: str) -> bool:
    """Is a metric about the training data, known or not?

    >>> is_of_checks("leakage.share"), is_of_checks("recall")
    (True, False)
    """
    return name.partition(".")[0] in ("leakage", "overfitting")


def plain_name(name: str) -> str:
    """The metric that one of them is about; a count or a share is about itself.

    >>> plain_name("leakage.without.log_loss"), plain_name("overfitting.f1_gap"), plain_name("leakage.share")
    ('log_loss', 'f1', 'leakage.share')
    """
    return name.removeprefix(_WITHOUT).removeprefix("overfitting.").removesuffix(_GAP)


def bounds_of_checks(name: str) -> tuple[float, float]:
    """Smallest and largest value that one of them can take.

    >>> bounds_of_checks("overfitting.accuracy_gap"), bounds_of_checks("leakage.rows")
    ((-1.0, 1.0), (0.0, inf))
    """
    loss = plain_name(name) in ("log_loss", "brier")
    if name.endswith(_GAP):
        return (-math.inf, math.inf) if loss else (-1.0, 1.0)
    return (0.0, math.inf) if loss or name in COUNTS else (0.0, 1.0)


def lower_is_better_of_checks(name: str) -> bool:
    """Is a fall of one of them good news? A model that learnt its rows by heart has a lower loss there: its gap rises.

    >>> lower_is_better_of_checks("overfitting.accuracy_gap"), lower_is_better_of_checks("overfitting.log_loss_gap")
    (True, False)
    """
    loss = plain_name(name) in ("log_loss", "brier")
    if name.startswith(_WITHOUT):
        return loss
    return not loss
