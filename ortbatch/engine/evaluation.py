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
from ortbatch.data.slices import places_of
from ortbatch.engine.baselines import Baseline
from ortbatch.engine.feeder import Feeder, Inputs
from ortbatch.engine.predictions import Kept, Sink
from ortbatch.metrics.slices import Cut
from ortbatch.metrics.tally import Tally
from ortbatch.model.outputs import Decision
from ortbatch.model.session import Predictor
from ortbatch.model.stored import StoredScores

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
        kept: what predictions hold, if they are written.
        sink: where they go.
        cuts: ways to cut the rows that are reported apart.
        baselines: other models on the same rows.
    """

    inputs: Inputs
    labels: Labels
    decision: Decision
    batch_size: int
    example: Feed
    terms: tuple[Term, ...] = ()
    score_unlabelled: bool = False
    kept: Kept | None = None
    sink: Sink | None = None
    cuts: tuple[Cut, ...] = ()
    baselines: tuple[Baseline, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Columns that are read, each once."""
        filtered = [column for column, _, _ in self.terms]
        kept = self.kept.fields.names if self.kept is not None else ()
        cutting = [column for cut in self.cuts for column in cut.by]
        beside = [column for baseline in self.baselines for column in baseline.columns]
        return list(dict.fromkeys([*self.inputs.columns, self.labels.column, *filtered, *kept, *cutting, *beside]))

    def by_rows(self) -> Evaluation:
        """The same for the model as its file has it: all inputs row by row."""
        turned = self.inputs.by_columns
        example = {name: array.T if name in turned else array for name, array in self.example.items()}
        return replace(self, inputs=self.inputs.fed_by_columns(()), example=example)

    def by_columns(self, names: Sequence[str]) -> Evaluation:
        """The same for a model that takes these inputs column by column; none does so far."""
        example = {name: array.T if name in names else array for name, array in self.example.items()}
        return replace(self, inputs=self.inputs.fed_by_columns(names), example=example)

    def reading(self, model: Predictor) -> Evaluation:
        """The same where its model is; scores that are stored are looked up in it."""
        if self.inputs.join is None:
            return self
        assert isinstance(model, StoredScores)
        return replace(self, inputs=replace(self.inputs, join=replace(self.inputs.join, scores=model)))

    def empty(self) -> Tally:
        """The tally of no rows."""
        names = [baseline.name for baseline in self.baselines]
        return Tally.empty(self.decision.classes, self.decision.curves, self.cuts, names)

    def slices(self, table: pa.Table) -> NDArray[np.int64] | None:
        """The slice of each row among all slices, for each cut, int64[N, K]; None where nothing is cut."""
        if not self.cuts:
            return None
        first = np.cumsum([0, *(cut.slices for cut in self.cuts)])
        columns = [places_of(cut, table) + start for cut, start in zip(self.cuts, first[:-1], strict=True)]
        return np.column_stack(columns)


@dataclass(frozen=True)
class DecodedRows:
    """The rows of a block that the model is asked about.

    Args:
        feeder: their inputs.
        labels: int64[N], their class indices; UNLABELLED where there is no label and none is needed.
        kept: their N places in the block.
        rejected: reason → places of rows that are left out; a row with several reasons counts under the first.
        filtered: rows that the job's filter leaves out.
        chosen: places of all others, and their class indices; UNLABELLED where there is none.
        rejected_labels: int64[M], class indices of the rejected rows that have one.
    """

    feeder: Feeder
    labels: NDArray[np.int64]
    kept: NDArray[np.int64] | slice
    rejected: dict[str, NDArray[np.int64]]
    filtered: int
    chosen: tuple[NDArray[np.int64] | slice, NDArray[np.int64]]
    rejected_labels: NDArray[np.int64]


def decode(evaluation: Evaluation, table: pa.Table) -> DecodedRows:
    """Decode labels and features of some rows, and leave out what cannot be evaluated, counted by reason."""
    chosen: NDArray[np.int64] | None = None
    rows = table.num_rows
    if evaluation.terms:
        chosen = np.flatnonzero(matching(table, evaluation.terms))
        table = table.take(pa.array(chosen)) if chosen.size < rows else table
    filtered = rows - table.num_rows
    labels, bad = evaluation.labels.take(table.column(evaluation.labels.column))
    for mask in bad.values():
        labels = np.where(mask, UNLABELLED, labels)
    if evaluation.score_unlabelled:
        bad.pop(NULL_LABEL, None)
    feeder = Feeder(evaluation.inputs, table)
    bad = {**bad, **feeder.bad}
    places: NDArray[np.int64] | slice = slice(None) if chosen is None else chosen
    if not bad:
        return DecodedRows(feeder, labels, places, {}, filtered, (places, labels), labels[:0])
    kept, rejected = without(bad, table.num_rows)
    known = places, labels
    lost = labels[:0]
    if rejected:
        lost = known_labels(np.delete(labels, kept))
        feeder.keep(kept)
        labels = labels[kept]
        if chosen is not None:
            rejected = {reason: chosen[rows] for reason, rows in rejected.items()}
    return DecodedRows(feeder, labels, kept if chosen is None else chosen[kept], rejected, filtered, known, lost)


def known_labels(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of int64[N] that are class indices."""
    known: NDArray[np.int64] = labels[labels != UNLABELLED]
    return known


def without(
    bad: Mapping[str, NDArray[np.bool_]], rows: int
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]:  # fmt: skip
    """Indices of rows with no reason against them, and those that each reason takes; the first reason wins."""
    left = np.ones(rows, np.bool_)
    rejected = {}
    for reason, mask in bad.items():
        if (taken := np.flatnonzero(mask & left)).size:
            rejected[reason] = taken
        left &= ~mask
    return np.flatnonzero(left), rejected
