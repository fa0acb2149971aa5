"""What is asked of every row, and which rows the model is asked about.

filter → labels → features: a row leaves under one name, and is counted under it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ortbatch.data.features import Feed
from ortbatch.data.filters import Term, matching
from ortbatch.data.labels import NULL_LABEL, Labels
from ortbatch.data.plan import PlannedFile
from ortbatch.engine.feeder import Feeder, Inputs
from ortbatch.metrics.tally import Tally
from ortbatch.model.outputs import Decision

UNLABELLED = -1


@dataclass(frozen=True)
class Evaluation:
    """Everything but the model that turns a shard into a tally; frozen before work starts, the same for all workers.

    Args:
        files: the plan's files.
        inputs: how columns feed the model.
        labels: how labels are read.
        decision: how scores become predictions.
        batch_size: rows of a batch.
        example: one row of the model's inputs, for a warm-up.
        terms: the job's filter.
        score_unlabelled: are rows without a label scored, or rejected?
    """

    files: tuple[PlannedFile, ...]
    inputs: Inputs
    labels: Labels
    decision: Decision
    batch_size: int
    example: Feed
    terms: tuple[Term, ...] = ()
    score_unlabelled: bool = False

    @property
    def columns(self) -> list[str]:
        """Columns that are read, each once."""
        filtered = [column for column, _, _ in self.terms]
        return list(dict.fromkeys([*self.inputs.columns, self.labels.column, *filtered]))

    def empty(self) -> Tally:
        """The tally of no rows."""
        return Tally.empty(self.decision.classes, self.decision.curves)


@dataclass(frozen=True)
class DecodedRows:
    """The rows of a block that the model is asked about.

    Args:
        feeder: their inputs.
        labels: int64[N], their class indices; UNLABELLED where there is no label and none is needed.
        kept: int64[N], their places in the block.
        rejected: reason → rows that are left out; a row with several reasons counts under the first.
        filtered: rows that the job's filter leaves out.
    """

    feeder: Feeder
    labels: NDArray[np.int64]
    kept: NDArray[np.int64]
    rejected: dict[str, int]
    filtered: int


def decode(evaluation: Evaluation, table: pa.Table) -> DecodedRows:
    """Decode labels and features of some rows, and leave out what cannot be evaluated, counted by reason."""
    chosen = matching(table, evaluation.terms)
    filtered = int(table.num_rows - chosen.sum())
    if filtered:
        table = table.filter(pa.array(chosen))
    labels, bad = evaluation.labels.take(table.column(evaluation.labels.column))
    if evaluation.score_unlabelled and NULL_LABEL in bad:
        labels = np.where(bad.pop(NULL_LABEL), UNLABELLED, labels)
    feeder = Feeder(evaluation.inputs, table)
    kept, rejected = without({**bad, **feeder.bad}, table.num_rows)
    if rejected:
        feeder.keep(kept)
        labels = labels[kept]
    return DecodedRows(feeder, labels, np.flatnonzero(chosen)[kept], rejected, filtered)


def without(bad: Mapping[str, NDArray[np.bool_]], rows: int) -> tuple[NDArray[np.intp], dict[str, int]]:
    """Indices of rows with no reason against them, and how many each reason takes; the first reason wins."""
    left = np.ones(rows, np.bool_)
    rejected = {}
    for reason, mask in bad.items():
        if count := int((mask & left).sum()):
            rejected[reason] = count
        left &= ~mask
    return np.flatnonzero(left), rejected
