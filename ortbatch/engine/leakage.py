"""Which evaluation rows stand in the training data: exactly, without a shuffle, in memory that does not grow with them.

    evaluation rows ──▶ fingerprints, sorted ──▶ shared by all workers ◀── training rows stream past, each looked up

Workers give what they learn shard by shard, and a shard counts once, so that a worker that dies loses nothing and its
shards are not counted twice. Of more evaluation rows than are held at once, parts of the fingerprints are done in turn,
and training rows stream past once for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ortbatch.data.binding import InputBinding
from ortbatch.data.columns import take_scalars
from ortbatch.data.filters import Term, matching
from ortbatch.data.fingerprints import Fingerprinter, fingerprinter_of
from ortbatch.data.known import Known, Part, parts_of
from ortbatch.data.labels import Labels
from ortbatch.data.plan import Shard, Shards
from ortbatch.data.reader import Block
from ortbatch.data.words import mixed
from ortbatch.engine.fleet import Message
from ortbatch.engine.passes import Pass, Passes
from ortbatch.engine.prepared import Prepared
from ortbatch.engine.rules import Rules
from ortbatch.engine.tasks import LookingPool
from ortbatch.engine.training import Training
from ortbatch.engine.twins import Places, SortedRows, leakage_of, leaked_rows
from ortbatch.job.redaction import redact
from ortbatch.metrics.giveaway import best_rule
from ortbatch.metrics.leakage import Giveaway, Leakage, TrainingRows
from ortbatch.metrics.matches import NO_LABEL, Matches
from ortbatch.model.session import Predictor

ROWS_AT_ONCE = 50_000_000
_SAMPLE_ROWS = 50_000
_SAMPLE_VALUES = 8_000_000
_WAITING = 1 << 20


@dataclass(frozen=True)
class SeenRows:
    """Evaluation rows of a shard that can be compared.

    Args:
        prints: uint64[M, 2], fingerprints.
        places: int64[M].
        labels: int32[M], class indices, or NO_LABEL.
        sample: (label int32[S], column → values [S]) of a few of them, block by block.
    """

    prints: NDArray[np.uint64]
    places: NDArray[np.int64]
    labels: NDArray[np.int32]
    sample: tuple[tuple[NDArray[np.int32], dict[str, NDArray[Any]]], ...] = ()

    @classmethod
    def joined(cls, parts: Sequence[SeenRows]) -> SeenRows:
        """One after another; none, if there are none."""
        return cls(
            np.concatenate([np.empty((0, 2), np.uint64), *(part.prints for part in parts)]),
            np.concatenate([np.empty(0, np.int64), *(part.places for part in parts)]),
            np.concatenate([np.empty(0, np.int32), *(part.labels for part in parts)]),
            tuple(sample for part in parts for sample in part.sample),
        )


@dataclass(frozen=True)
class Collect:
    """A task: the fingerprints of evaluation rows, with their places and labels.

    Args:
        key: see `Task`.
        prints: how they are made.
        labels: how labels are read.
        terms: the job's filter.
        places: where rows are.
        part: which fingerprints are wanted.
        sampled: columns of which values are wanted too.
        rate: share of rows of which they are.
    """

    key: str
    prints: Fingerprinter
    labels: Labels
    terms: tuple[Term, ...]
    places: Places
    part: Part
    sampled: tuple[InputBinding, ...] = ()
    rate: float = 0.0

    def pool(self, model: Predictor, streams: int) -> LookingPool:
        """See `Task`."""
        del model
        filtered = [column for column, _, _ in self.terms]
        columns = dict.fromkeys([*self.prints.columns, self.labels.column, *filtered])
        return LookingPool(list(columns), self.look, streams)

    def look(self, shard: Shard, blocks: Iterator[Block]) -> SeenRows:
        """What is learnt of a shard."""
        del shard
        return SeenRows.joined([self._of_block(block) for block in blocks])

    def _of_block(self, block: Block) -> SeenRows:
        table, places = block.table, block.numbers + self.places.starts[block.file]
        if self.terms and not (kept := matching(table, self.terms)).all():
            table, places = table.filter(pa.array(kept)), places[kept]
        prints = self.prints(table)
        labels = _classes_of(self.labels, table)
        wanted = self.part.of(prints.values) if prints.good is None else self.part.of(prints.values) & prints.good
        sample = self._sample(table, places, labels, prints.good)
        if wanted.all():
            return SeenRows(prints.values, places, labels, sample)
        return SeenRows(prints.values[wanted], places[wanted], labels[wanted], sample)

    def _sample(
        self, table: pa.Table, places: NDArray[np.int64], labels: NDArray[np.int32], good: NDArray[np.bool_] | None
    ) -> tuple[tuple[NDArray[np.int32], dict[str, NDArray[Any]]], ...]:
        """Values of a few rows, of whichever part: those whose place, hashed, is small."""
        if not self.sampled:
            return ()
        hashed = mixed(places.astype(np.uint64) + np.uint64(1)) >> np.uint64(32)
        chosen = (hashed < np.uint64(int(self.rate * 2**32))) & (labels != NO_LABEL)
        rows = np.flatnonzero(chosen if good is None else chosen & good)
        bound = {name: binding.cast for binding in self.sampled for name in binding.columns}
        few = table.select(list(bound)).take(pa.array(rows))
        return ((labels[rows], {name: take_scalars(few.column(name), cast).values for name, cast in bound.items()}),)


@dataclass(frozen=True)
class Search:
    """A task: training rows whose fingerprints are known.

    Args:
        key: see `Task`.
        prints: how fingerprints are made.
        labels: how labels are read; None if they cannot be.
        places: where rows are.
        known: the fingerprints of evaluation rows.
    """

    key: str
    prints: Fingerprinter
    labels: Labels | None
    places: Places
    known: Known

    def pool(self, model: Predictor, streams: int) -> LookingPool:
        """See `Task`."""
        del model
        label = [] if self.labels is None else [self.labels.column]
        return LookingPool(list(dict.fromkeys([*self.prints.columns, *label])), self.look, streams)

    def look(self, shard: Shard, blocks: Iterator[Block]) -> Matches:
        """What is learnt of a shard."""
        del shard
        return Matches.merged([Matches.empty(), *map(self._of_block, blocks)])

    def _of_block(self, block: Block) -> Matches:
        prints = self.prints(block.table)
        rows, inputs = self.known.find(prints.values)
        unusable = 0
        if prints.good is not None:
            unusable = int(np.count_nonzero(~prints.good))
            rows, inputs = rows[prints.good[rows]], inputs[prints.good[rows]]
        labels = np.full(rows.size, NO_LABEL, np.int32)
        if self.labels is not None and rows.size:
            labels = _classes_of(self.labels, block.table.select([self.labels.column]).take(pa.array(rows)))
        places = block.numbers[rows] + self.places.starts[block.file]
        return Matches.of(block.table.num_rows, unusable, inputs, labels.astype(np.int64), places)


def _classes_of(labels: Labels, table: pa.Table) -> NDArray[np.int32]:
    """Class index of each row, NO_LABEL where there is none; int32[N]."""
    classes, bad = labels.take(table.column(labels.column))
    for mask in bad.values():
        classes = np.where(mask, NO_LABEL, classes)
    return classes.astype(np.int32)


@dataclass(frozen=True)
class Found:
    """What came of a search.

    Args:
        leakage: counts and examples.
        training: the training data as they were looked at.
        leaked: int64[L], places of the leaked rows, rising.
    """

    leakage: Leakage
    training: TrainingRows
    leaked: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True)
class Searcher:
    """Searches the training data of a job.

    Args:
        prepared: the job.
        training: its training data.
        passes: makes passes over shards.
        rules: what the schedule may do with shards that fail.
        rows_at_once: about so many evaluation rows are held at a time.
    """

    prepared: Prepared
    training: Training
    passes: Passes
    rules: Rules
    rows_at_once: int = ROWS_AT_ONCE

    def search(self, skipped: NDArray[np.bool_] | None = None) -> Found:
        """Look for all evaluation rows but those of the shards `skipped`, bool[S]."""
        plan, files = self.prepared.plan, self.training.plan.files
        known = {(file.size, file.footer_sha256) for file in plan.files}
        rows = TrainingRows(
            [redact(file.uri) for file in files], self.training.digest, self.training.plan.rows,
            same_files=sum((file.size, file.footer_sha256) in known for file in files),
            no_labels=self.training.no_labels,
        )  # fmt: skip
        parts = parts_of(plan.rows, self.rows_at_once)
        found = [self._of_part(part, skipped) for part in parts]
        leakage = found[0].leakage
        for each in found[1:]:
            leakage = leakage.merge(each.leakage)
        # Every part sees all training rows.
        seen = found[0].training
        rows = replace(rows, looked_at=seen.looked_at, unusable=seen.unusable, left_out=seen.left_out)
        rows = replace(rows, matching=sum(each.training.matching for each in found))
        return Found(leakage, rows, np.sort(np.concatenate([each.leaked for each in found])))

    def _of_part(self, part: Part, skipped: NDArray[np.bool_] | None) -> Found:
        own, there = Places.of(self.prepared.plan.files), Places.of(self.training.plan.files)
        rows, giveaways = self._collected(own, part, skipped)
        matches, left_out = self._matches(rows, there, part)
        leakage = leakage_of(rows, matches, own, there, labelled=self.training.no_labels is None)
        seen = TrainingRows((), "", 0, matches.looked_at, matches.unusable, matches.matching, left_out)
        return Found(replace(leakage, giveaways=giveaways), seen, rows.places[leaked_rows(rows, matches)])

    def _collected(
        self, places: Places, part: Part, skipped: NDArray[np.bool_] | None
    ) -> tuple[SortedRows, tuple[Giveaway, ...]]:
        """Evaluation rows of a part, and with the first of them what single columns tell."""
        evaluation, plan = self.prepared.evaluation, self.prepared.plan
        sampled = _scalars(evaluation.inputs.bound) if not part.index else ()
        width = max(1, sum(len(binding.columns) for binding in sampled))
        rate = min(1.0, min(_SAMPLE_ROWS, _SAMPLE_VALUES // width) / plan.rows)
        task = Collect(
            f"leakage, evaluation rows {part.index}", self._prints, evaluation.labels, evaluation.terms, places, part,
            sampled, rate,
        )  # fmt: skip
        seen: dict[int, SeenRows] = {}
        self._pass(task, plan.shards, seen.update, done=skipped)
        together = SeenRows.joined([seen[shard] for shard in sorted(seen)])
        rows = SortedRows.of(together.prints, together.places, together.labels)
        return rows, _giveaways(sampled, together.sample, len(evaluation.decision.classes))

    def _matches(self, rows: SortedRows, places: Places, part: Part) -> tuple[Matches, int]:
        """Training rows of the inputs of evaluation rows; and how many were not looked at, of shards left out."""
        labels = self.prepared.evaluation.labels if self.training.no_labels is None else None
        known = Known.of(rows.prints, part)
        task = Search(f"leakage, training rows {part.index}", self._prints, labels, places, known)
        total, waiting = [Matches.empty()], list[Matches]()

        def take(found: dict[int, Matches]) -> None:
            waiting.extend(found.values())
            # Merged seldom: each time costs all that there is.
            if sum(each.inputs.size for each in waiting) > max(_WAITING, total[0].inputs.size):
                total[:] = [Matches.merged([*total, *waiting])]
                waiting.clear()

        left_out = self._pass(task, self.training.plan.shards, take)
        return Matches.merged([*total, *waiting]), left_out

    def _pass(
        self, task: Collect | Search, shards: Shards, take: Callable[[Any], None], done: NDArray[np.bool_] | None = None
    ) -> int:
        """Do a task with all shards; rows of those that could not be done."""
        plan = self.prepared.plan if isinstance(task, Collect) else self.training.plan

        def heard(message: Message) -> None:
            take(message.found)

        left_out = self.passes.make(Pass(task, shards, plan.files, self.rules, done), heard)
        return sum(shards[each.shard].rows for each in left_out)

    @property
    def _prints(self) -> Fingerprinter:
        inputs = self.prepared.evaluation.inputs
        return fingerprinter_of(inputs.bound, inputs.transform.columns if inputs.transform is not None else ())


def _scalars(bound: Iterable[InputBinding]) -> tuple[InputBinding, ...]:
    """Inputs whose columns hold one value a row."""
    return tuple(b for b in bound if b.columns and not b.is_list and b.padding is None)


def _giveaways(
    sampled: Sequence[InputBinding],
    samples: Sequence[tuple[NDArray[np.int32], dict[str, NDArray[Any]]]],
    classes: int,
) -> tuple[Giveaway, ...]:
    """Columns that tell the label by themselves, the surest first."""
    labels = np.concatenate([np.empty(0, np.int64), *(labels for labels, _ in samples)])
    if not labels.size:
        return ()
    majority = float(np.bincount(labels).max() / labels.size)
    found = []
    for binding in sampled:
        for name in binding.columns:
            values = np.concatenate([values[name] for _, values in samples])
            if (rule := best_rule(values, labels, classes)) is not None:
                found.append(Giveaway(name, binding.name, rule.measure, rule.value, majority, labels.size))
    return tuple(sorted(found, key=lambda one: (-one.value, one.column)))
