"""The inner loop: shards in, one tally out. Pure but for its clock; knows nothing of Ray.

    read → decode labels and features → drop bad rows, counted → batches → session → scores → tally

The result is a function of (shards, evaluation): which worker, stream or attempt computes it cannot be seen in it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ortbatch.data.features import new_buffers
from ortbatch.data.fetches import Fetches
from ortbatch.data.plan import PlannedFile, Shard
from ortbatch.data.reader import Block, Reader
from ortbatch.data.transform import TRANSFORM_ERROR
from ortbatch.engine.beside import Beside
from ortbatch.engine.clock import Clock
from ortbatch.engine.count import Answers, Count, Outcome
from ortbatch.engine.evaluation import DecodedRows, Evaluation, decode, known_labels
from ortbatch.engine.feeder import Feeder
from ortbatch.engine.predictions import ShardPredictions
from ortbatch.engine.state import Part
from ortbatch.errors import DataError, ModelError
from ortbatch.metrics.scores import halves
from ortbatch.metrics.tally import Tally
from ortbatch.model.probabilities import Index
from ortbatch.model.session import Predictor

_WINDOW_VALUES = 1 << 17
_SMALL_ROWS = 4_096


class Stopped(Exception):  # noqa: N818  (nothing went wrong)
    """A stream was told to stop."""


class Stream:
    """Evaluates shards one after another with a session that it may share with other streams.

    Once another thread sets `stopped`, it raises Stopped before its next batch.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        model: Predictor,
        baselines: Sequence[Predictor | None] = (),
        fetches: Fetches | None = None,
    ) -> None:
        """Make one.

        Args:
            evaluation: what to compute.
            model: the session.
            baselines: session of each baseline; None of one that needs none.
            fetches: told by others which shards are read, if there are other streams.
        """
        self._evaluation = evaluation.reading(model)
        self._model = model
        self._is_timed = evaluation.inputs.join is None  # nothing runs where scores are stored
        self._fetches = fetches
        self.stopped = False
        self.parts: list[Part] = []
        self._writer: ShardPredictions | None = None
        self._buffers = new_buffers(evaluation.inputs.bound, evaluation.batch_size)
        turned = evaluation.inputs.by_columns
        self._beside = [
            Beside(baseline, session, evaluation.batch_size, turned)
            for baseline, session in zip(evaluation.baselines, baselines, strict=True)
        ]

    def evaluate(self, shards: Iterable[Shard]) -> Tally:
        """The tally of all rows of some shards; their files of predictions, if they are written, are then in `parts`.

        Raises:
            DataError: if a file changed or is corrupt.
            StorageError: if storage failed.
            ModelError: if the model refuses a batch.
            MemoryError: if there is too little.
            Stopped: if it was told to stop.
        """
        clock, count = Clock(), Count(self._evaluation)
        kept, sink = self._evaluation.kept, self._evaluation.sink
        self.parts = []
        self._writer = None if kept is None or sink is None else ShardPredictions(kept, sink, self._evaluation.decision)
        # Outcomes of small files are counted together.
        pending: list[Outcome] = []
        values = 0
        with closing(self._blocks(shards)) as blocks:
            for outcome in self._outcomes(clock.timed_iteration("read", blocks), clock):
                pending.append(outcome)
                values += outcome.answers.raw.size
                del outcome
                if values >= _WINDOW_VALUES:
                    with clock.stage("tally"):
                        count.add(pending)
                    pending, values = [], 0
        with clock.stage("tally"):
            count.add(pending)
            tally = count.tally()
        return replace(tally, stages=clock.stages())

    def _blocks(self, shards: Iterable[Shard]) -> Generator[tuple[Shard, Block | Exception | None]]:
        """Decoded blocks of shards in turn; None behind the last of a shard, an error in place of the rest."""
        with Reader(self._evaluation.columns, self._fetches) as reader:
            for shard in shards:
                try:
                    for block in reader.read(shard):
                        yield shard, block
                        del block
                except Exception as error:
                    yield shard, error
                    return
                yield shard, None

    def _outcomes(self, blocks: Iterator[tuple[Shard, Block | Exception | None]], clock: Clock) -> Iterator[Outcome]:
        """Outcomes of shards: of all rows that were planned, or an error."""
        rows, small = 0, _SMALL_ROWS if self._evaluation.inputs.transform is None else 0
        for shard, together in _together(blocks, small):
            if isinstance(together, Exception):
                raise together
            if together is None:
                if rows != shard.rows:
                    raise DataError(f"shard {shard.id}: {shard.rows:,} rows planned, {rows:,} read; run again")
                rows = 0
                if self._writer is not None:
                    if self.stopped:
                        # Somebody else does it by now, or nobody is to.
                        raise Stopped
                    # Before the shard is counted: what is counted has its predictions.
                    with clock.stage("tally"):
                        self.parts.append(self._writer.write(shard))
                continue
            for outcome in self._outcomes_of_blocks(together, shard.files, clock):
                rows += outcome.rows
                yield outcome
            del together

    def _outcomes_of_blocks(
        self, blocks: Sequence[Block], files: Mapping[int, PlannedFile], clock: Clock
    ) -> Iterator[Outcome]:
        """Outcomes of blocks, each of a run of whole batches whose outputs are few enough to be counted at once."""
        with clock.stage("prepare"):
            table = blocks[0].table if len(blocks) == 1 else pa.concat_tables([block.table for block in blocks])
            rows = decode(self._evaluation, table)
            owner, half = _owner(blocks), _halves(blocks, files)
            slices = self._evaluation.slices(table)
        if len(blocks) > 1 and rows.rejected:
            # Each rejected row is counted for its file.
            for block in blocks:
                yield from self._outcomes_of_blocks([block], files, clock)
            return
        if self._writer is not None:
            self._begin_block(self._writer, table, rows)
        for beside in self._beside:
            with clock.stage("prepare"):
                beside.block(table, rows.kept)
        numbers = _numbers(blocks)[rows.kept] if self._beside else None
        half, owner = half[rows.kept], owner if isinstance(owner, int) else owner[rows.kept]
        slices = None if slices is None else slices[rows.kept]
        rejected = {reason: places.size for reason, places in rows.rejected.items()}
        lost = rows.rejected_labels
        filtered, step = rows.filtered, self._rows_of_window()
        for start in range(0, max(rows.feeder.rows, 1), step):
            stop = min(start + step, rows.feeder.rows)
            answers = self._infer(rows.feeder, start, stop, clock)
            labels = rows.labels[answers.rows]
            if not isinstance(answers.rows, slice) and len(labels) < stop - start:
                rejected = {**rejected, TRANSFORM_ERROR: stop - start - len(labels)}
                undone = np.setdiff1d(np.arange(start, stop), answers.rows)
                lost = np.concatenate([lost, known_labels(rows.labels[undone])])
            if self._writer is not None:
                self._note_answers(self._writer, rows, answers, start, stop, clock)
            file = owner if isinstance(owner, int) else owner[answers.rows]
            cut = None if slices is None else slices[answers.rows]
            beheld = [beside.seen() for beside in self._beside]
            places = None if numbers is None else numbers[answers.rows]
            yield Outcome(file, labels, half[answers.rows], answers, rejected, filtered, lost, cut, beheld, places)
            rejected, filtered, lost = {}, 0, lost[:0]

    @staticmethod
    def _begin_block(writer: ShardPredictions, table: pa.Table, rows: DecodedRows) -> None:
        writer.block(table)
        writer.labelled(*rows.chosen)
        for reason, places in rows.rejected.items():
            writer.rejected(reason, places)

    @staticmethod
    def _note_answers(
        writer: ShardPredictions, rows: DecodedRows, answers: Answers, start: int, stop: int, clock: Clock
    ) -> None:
        with clock.stage("tally"):
            asked = np.arange(start, stop) if isinstance(rows.kept, slice) else rows.kept[start:stop]
            if isinstance(answers.rows, slice):
                writer.answered(asked, answers.raw, answers.own)
                return
            writer.rejected(TRANSFORM_ERROR, np.delete(asked, answers.rows - start))
            writer.answered(asked[answers.rows - start], answers.raw, answers.own)

    def _rows_of_window(self) -> int:
        batch = self._evaluation.batch_size
        rows = max(1, _WINDOW_VALUES // len(self._evaluation.decision.classes))
        return max(1, rows // batch) * batch

    def _infer(self, feeder: Feeder, start: int, stop: int, clock: Clock) -> Answers:
        """What the model says of rows [start, stop), without those that the transform could not do."""
        batch, output = self._evaluation.batch_size, self._evaluation.decision.output
        outputs: list[list[NDArray[Any]]] = []
        latencies: list[int] = []
        places: list[Index] = []
        for first in range(start, stop, batch):
            if self.stopped:
                raise Stopped
            last = min(first + batch, stop)
            with clock.stage("prepare"):
                feed, good = feeder.batch(first, last, self._buffers)
            places.append(slice(first, last) if good is None else first + good)
            rows = last - first if good is None else good.size
            if not rows:
                continue
            with clock.stage("infer") as span:
                outputs.append(self._model.run(output.reads, feed))
            latencies += [span.elapsed] if self._is_timed else []
            for beside in self._beside:
                beside.run(first, last, feed, good)
            if len(outputs[-1][0]) != rows:
                raise ModelError(
                    f"the model put out {len(outputs[-1][0])} rows of `{output.name}` for {rows} rows; expected as many"
                )
        raw = _joined([batch[0] for batch in outputs]) if outputs else np.empty((0, 1), np.float32)
        own = _joined([batch[1] for batch in outputs]) if outputs and output.own_label else None
        return Answers(_places(places, start, stop), raw, own, latencies)


def _together(
    blocks: Iterator[tuple[Shard, Block | Exception | None]], rows: int
) -> Iterator[tuple[Shard, list[Block] | Exception | None]]:
    """Blocks of fewer rows that follow each other in a shard and are alike, put together; others as they come."""
    small: list[Block] = []
    for shard, block in blocks:
        if isinstance(block, Block) and block.table.num_rows < rows:
            alike = not small or small[0].kind is block.kind
            if not alike or sum(other.table.num_rows for other in small) >= rows:
                yield shard, small
                small = []
            small.append(block)
            continue
        if small:
            yield shard, small
            small = []
        yield shard, [block] if isinstance(block, Block) else block
        del block


def _owner(blocks: Sequence[Block]) -> int | NDArray[np.int64]:
    """Index of the file of all rows, or of each."""
    if len(blocks) == 1:
        return blocks[0].file
    return np.repeat([block.file for block in blocks], [len(block.numbers) for block in blocks])


def _halves(blocks: Sequence[Block], files: Mapping[int, PlannedFile]) -> NDArray[np.uint8]:
    """Which half each row belongs to."""
    keys = [int(files[block.file].footer_sha256[:16], 16) for block in blocks]
    if len(blocks) == 1:
        return halves(keys[0], blocks[0].numbers)
    lengths = [len(block.numbers) for block in blocks]
    return halves(np.repeat(np.array(keys, np.uint64), lengths), _numbers(blocks))


def _numbers(blocks: Sequence[Block]) -> NDArray[np.int64]:
    """Number of each row in its file."""
    return _joined([block.numbers for block in blocks])


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _places(parts: Sequence[Index], start: int, stop: int) -> Index:
    """Rows of [start, stop) that are left, from those of its batches."""
    if all(isinstance(part, slice) for part in parts):
        return slice(start, stop)
    return np.concatenate([np.arange(p.start, p.stop) if isinstance(p, slice) else p for p in parts])
