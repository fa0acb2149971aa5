"""Do model and labels agree? The only sign that columns, their order, labels and classes are what they are taken for.

Right predictions are held against what they would be if predictions and labels had nothing to do with each other
(Cohen's kappa): where one class is rare, being right most of the time says nothing. Rows of a few row groups that lie
far apart, as files are often sorted by the label. A sign, not a result: the report of a run has the numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortbatch.data.reader import read_shard
from ortbatch.engine.evaluation import UNLABELLED, decode
from ortbatch.engine.latency import piece_of, row_groups
from ortbatch.engine.prepared import Prepared
from ortbatch.engine.probe import affordable, run_in_batches
from ortbatch.model.outputs import score
from ortbatch.model.session import OnnxModel

_PLACES = 4
_ROWS_OF_A_PLACE = 2_000
_SURE = 3.0  # standard errors


@dataclass(frozen=True)
class Agreement:
    """How often prediction and label were the same.

    Args:
        rows: rows that were tried.
        right: of them, those with the label as prediction.
        by_chance: as many would be right by chance, given how often each class is predicted and how often it is there.
    """

    rows: int
    right: int
    by_chance: float

    @property
    def kappa(self) -> float:
        """Of what chance leaves to be right, the share that is; 0 where it leaves nothing."""
        left = self.rows - self.by_chance
        return (self.right - self.by_chance) / left if left > 0 else 0.0

    @property
    def says_something(self) -> bool:
        """Are more right than by chance?"""
        if not self.rows or self.by_chance >= self.rows:
            return False
        error = math.sqrt(self.by_chance * (1 - self.by_chance / self.rows))
        return self.right - self.by_chance > _SURE * error

    def __str__(self) -> str:
        return f"{self.right:,} of {self.rows:,} rows right, {self.by_chance:,.0f} would be by chance"


def agreement_of(prepared: Prepared, model: OnnxModel) -> Agreement:
    """Try some rows.

    Args:
        prepared: the job.
        model: a session that takes its inputs row by row.
    """
    groups = row_groups(prepared.plan)
    places = sorted({round(place * (len(groups) - 1) / (_PLACES - 1)) for place in range(_PLACES)})
    pairs = [_predicted(prepared, model, *groups[place]) for place in places]
    labels, predicted = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    classes = len(prepared.evaluation.decision.classes)
    there, said = (np.bincount(side, minlength=classes) for side in (labels, predicted))
    by_chance = float(there @ said) / labels.size if labels.size else 0.0
    return Agreement(labels.size, int((labels == predicted).sum()), by_chance)


def _predicted(
    prepared: Prepared, model: OnnxModel, file: int, group: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """Labels and predictions of the first rows of a row group, those without a label or a score aside."""
    evaluation = prepared.evaluation.by_rows()
    blocks = read_shard(prepared.plan.shard(-1, [piece_of(prepared.plan, file, group)]), evaluation.columns)
    rows = decode(evaluation, next(blocks).table.slice(0, _ROWS_OF_A_PLACE))
    feeder = affordable(rows.feeder, prepared.row_bytes * _PLACES)
    labels = rows.labels[: feeder.rows]
    if not labels.size:
        return labels, labels
    batch = min(evaluation.batch_size, int(feeder.rows))
    scored = score(
        evaluation.decision, run_in_batches(model, evaluation.decision.output, evaluation.inputs, feeder, batch)
    )
    good = labels != UNLABELLED
    for mask in scored.bad.values():
        good &= ~mask
    return labels[good], scored.predicted[good]
