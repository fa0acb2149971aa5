"""What is asked of every row, and which rows the model is asked about.

filter → labels → features: a row leaves under one name, and is counted under it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ortbatch.data.features import Feed
from ortbatch.data.filters import Term, matching
from ortbatch.data.labels import NULL_LABEL, Labels
from ortbatch.engine.feeder import Feeder, Inputs
from ortbatch.metrics.tally import Tally
from ortbatch.model.outputs import Decision

UNLABELLED = -1


@dataclass(frozen=True)
class Evaluation:
    """Everything but the model that turns a shard into a tally; frozen before work starts, the same for all workers.

    Args:
        inputs: how columns feed the model.
        labels: how labels are read.
        decision: how scores become predictions.
        batch_size: rows of a batch.
        example: one row of the model's inputs, for a warm-up.
        terms: the job's filter.
        score_unlabelled: are rows without a label scored, or rejected?
    """

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

    def by_rows(self) -> Evaluation:
        """The same for the model as its file has it: all inputs row by row."""
        turned = self.inputs.by_columns
        example = {name: array.T if name in turned else array for name, array in self.example.items()}
        return replace(self, inputs=self.inputs.fed_by_columns(()), example=example)

    def by_columns(self, names: Sequence[str]) -> Evaluation:
        """The same for a model that takes these inputs column by column; none does so far."""
        example = {name: array.T if name in names else array for name, array in self.example.items()}
        return replace(self, inputs=self.inputs.fed_by_columns(names), example=example)

    def empty(self) -> Tally:
        """The tally of no rows."""
        return Tally.empty(self.decision.classes, self.decision.curves)


@dataclass(frozen=True)
class DecodedRows:
    """The rows of a block that the model is asked about.

    Args:
        feeder: their inputs.
        labels: int64[N], their class indices; UNLABELLED where there is no label and none is needed.
        kept: their N places in the block.
        rejected: reason → rows that are left out; a row with several reasons counts under the first.
        filtered: rows that the job's filter leaves out.
    """

    feeder: Feeder
    labels: NDArray[np.int64]
    kept: NDArray[np.int64] | slice
    rejected: dict[str, int]
    filtered: int


def decode(evaluation: Evaluation, table: pa.Table) -> DecodedRows:
    """Decode labels and features of some rows, and leave out what cannot be evaluated, counted by reason."""
    chosen: NDArray[np.int64] | None = None
    rows = table.num_rows
    if evaluation.terms:
        chosen = np.flatnonzero(matching(table, evaluation.terms))
        table = table.take(pa.array(chosen)) if chosen.size < rows else table
    filtered = rows - table.num_rows
    labels, bad = evaluation.labels.take(table.column(evaluation.labels.column))
    if evaluation.score_unlabelled and NULL_LABEL in bad:
        labels = np.where(bad.pop(NULL_LABEL), UNLABELLED, labels)
    feeder = Feeder(evaluation.inputs, table)
    bad = {**bad, **feeder.bad}
    if not bad:
        return DecodedRows(feeder, labels, slice(None) if chosen is None else chosen, {}, filtered)
    kept, rejected = without(bad, table.num_rows)
    if rejected:
        feeder.keep(kept)
        labels = labels[kept]
    return DecodedRows(feeder, labels, kept if chosen is None else chosen[kept], rejected, filtered)


def without(bad: Mapping[str, NDArray[np.bool_]], rows: int) -> tuple[NDArray[np.intp], dict[str, int]]:
    """Indices of rows with no reason against them, and how many each reason takes; the first reason wins."""
    left = np.ones(rows, np.bool_)
    rejected = {}
    for reason, mask in bad.items():
        if count := int((mask & left).sum()):
            rejected[reason] = count
        left &= ~mask
    return np.flatnonzero(left), rejected
