"""What checks against the training data found, made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ortbatch.metrics.leakage import Checked, Giveaway, Leakage, Overfitting, TrainingRows, Twins
from ortbatch.metrics.tally import Tally
from tests.unit.report.made import CATS, label_tally, report, score_tally, timed

TRAINING = TrainingRows(["train/a.parquet", "train/b.parquet"], "d" * 64, 900, 900, 3, 25, 0, 0, None)
LEAKAGE = Leakage(
    compared=200,
    distinct=190,
    rows=20,
    duplicates=10,
    conflicts=4,
    training_conflicts=2,
    leaked=(Twins(0, 3, 1, 8, 0, 0), Twins(1, 0, 0, 5, 1, 1)),
    repeated=(Twins(0, 9, 0, 2, 1, 1),),
    contradicting=(Twins(0, 7, 1, 6, 0, 1),),
    contradicted=(Twins(1, 4, 0, 4, 1, 0),),
    giveaways=(Giveaway("amount", "x", "roc_auc", 0.998, 0.6, 1_000),),
)


def tallies(right: float = 0.95, leaked: int = 20, rows: int = 180) -> tuple[Tally, Tally, Tally]:
    """Of a binary model: of all rows, of those not leaked, and of the leaked ones, of which a share is right."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, rows)
    without = score_tally(true, rng.normal(true * 2 - 1, 1.0), CATS, 1)
    of_leaked = np.arange(leaked) % 2
    sign = np.where(np.arange(leaked) < right * leaked, 1, -1) * (of_leaked * 2 - 1)
    part = score_tally(of_leaked, sign * 3.0, CATS, 1)
    return timed(without.merge(part)), without, part


def checked(**changes: Any) -> Checked:
    _, without, leaked = tallies()
    return replace(Checked(TRAINING, LEAKAGE, without, leaked, overfitting()), **changes)


def overfitting(right: int = 990, rows: int = 1_000) -> Overfitting:
    counts = [[right // 2, (rows - right) // 2], [(rows - right) // 2, right // 2]]
    true = np.repeat([0, 0, 1, 1], np.array(counts).reshape(-1))
    odds = np.repeat([-2.0, 2.0, -2.0, 2.0], np.array(counts).reshape(-1))
    return Overfitting(score_tally(true, odds, CATS, 1), None, rows, 7)


def leaky(*gates: object, **changes: Any) -> dict[str, Any]:
    """A whole report of a binary model with checks."""
    return report(tallies()[0], *gates, positive=1, checked=checked(**changes))


def of_three_classes(*gates: object, **changes: Any) -> dict[str, Any]:
    """The same of a model of three classes that puts out labels."""
    without, leaked = label_tally([[9, 1, 0], [2, 17, 1], [0, 0, 30]]), label_tally([[5, 0, 0], [0, 5, 0], [0, 0, 10]])
    none = replace(
        LEAKAGE, conflicts=0, training_conflicts=0, contradicting=(), contradicted=(), giveaways=()
    )  # fmt: skip
    found = Checked(TRAINING, none, without, leaked, Overfitting(leaked, None, None, 0))
    return report(timed(without.merge(leaked)), *gates, checked=replace(found, **changes))
