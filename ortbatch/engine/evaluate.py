"""The inner loop: one shard in, one tally out. Pure but for its clock; knows nothing of Ray.

    read → decode labels and features → drop bad rows, counted → batches → session → scores → tally

The result is a function of (shard, evaluation): which worker, stream or attempt computes it cannot be seen in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.data.features import new_buffers
from ortbatch.data.plan import Shard
from ortbatch.data.reader import Block, read_shard
from ortbatch.data.transform import TRANSFORM_ERROR
from ortbatch.engine.clock import Clock
from ortbatch.engine.evaluation import UNLABELLED, Evaluation, decode, without
from ortbatch.engine.feeder import Feeder
from ortbatch.errors import DataError, ModelError
from ortbatch.metrics.agreement import Agreement
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.scores import ScoreHistogram, halves
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.sums import FixedSum
from ortbatch.metrics.tally import Tally
from ortbatch.model.outputs import Decision, Scored, score
from ortbatch.model.session import OnnxModel

_WINDOW_VALUES = 1 << 22
_LOG_LOSS_CLIP = 2.0**-52


class Stream:
    """Evaluates shards one after another with a session that it may share with other streams."""

    def __init__(self, evaluation: Evaluation, model: OnnxModel) -> None:
        self._evaluation = evaluation
        self._model = model
        self._buffers = new_buffers(evaluation.inputs.bound, evaluation.batch_size)
        self._empty = evaluation.empty()

    def evaluate(self, shard: Shard) -> Tally:
        """The tally of a shard.

        Raises:
            DataError: if a file changed or is corrupt.
            StorageError: if storage failed.
            ModelError: if the model refuses a batch.
        """
        clock = Clock()
        blocks = read_shard(self._evaluation.files, shard, self._evaluation.columns)
        pending: list[_Outcome] = []
        tally, values = self._empty, 0
        for block in clock.timed_iteration("read", blocks):
            for outcome in self._outcomes(block, clock):
                pending.append(outcome)
                values += outcome.answers.raw.size
                if values >= _WINDOW_VALUES:
                    tally, pending, values = tally.merge(self._tally(pending, clock)), [], 0
        tally = tally.merge(self._tally(pending, clock))
        if tally.coverage.planned != shard.rows:
            raise DataError(f"shard {shard.id}: {shard.rows:,} rows planned, {tally.coverage.planned:,} read")
        return replace(tally, stages=clock.stages())

    def _outcomes(self, block: Block, clock: Clock) -> Iterator[_Outcome]:
        """Outcomes of a block, each of a run of whole batches whose outputs stay within a bound of memory."""
        with clock.stage("prepare"):
            rows = decode(self._evaluation, block.table)
            key = int(self._evaluation.files[block.file].footer_sha256[:16], 16)
            half = halves(key, block.numbers[rows.kept])
        rejected, filtered, step = rows.rejected, rows.filtered, self._rows_of_window()
        for start in range(0, max(rows.feeder.rows, 1), step):
            stop = min(start + step, rows.feeder.rows)
            answers = self._infer(rows.feeder, start, stop, clock)
            if len(answers.rows) < stop - start:
                rejected = {**rejected, TRANSFORM_ERROR: stop - start - len(answers.rows)}
            yield _Outcome(block.file, rows.labels[answers.rows], half[answers.rows], answers, rejected, filtered)
            rejected, filtered = {}, 0

    def _rows_of_window(self) -> int:
        batch = self._evaluation.batch_size
        rows = max(1, _WINDOW_VALUES // len(self._evaluation.decision.classes))
        return max(1, rows // batch) * batch

    def _infer(self, feeder: Feeder, start: int, stop: int, clock: Clock) -> _Answers:
        """What the model says of rows [start, stop), without those that the transform could not do."""
        batch, output = self._evaluation.batch_size, self._evaluation.decision.output
        outputs: list[list[NDArray[Any]]] = []
        latencies, rows = [], []
        for first in range(start, stop, batch):
            last = min(first + batch, stop)
            with clock.stage("prepare"):
                feed, good = feeder.batch(first, last, self._buffers)
            rows.append(np.arange(first, last) if good is None else first + good)
            if not rows[-1].size:
                continue
            with clock.stage("infer") as span:
                outputs.append(self._model.run(output.reads, feed))
            latencies.append(span.elapsed)
            if len(outputs[-1][0]) != rows[-1].size:
                raise ModelError(
                    f"the model put out {len(outputs[-1][0])} rows of `{output.name}` for {rows[-1].size} rows of input"
                )
        raw = np.concatenate([batch[0] for batch in outputs]) if outputs else np.empty((0, 1), np.float32)
        own = np.concatenate([batch[1] for batch in outputs]) if outputs and output.own_label else None
        return _Answers(_joined(rows), raw, own, np.array(latencies, np.int64))

    def _tally(self, outcomes: Sequence[_Outcome], clock: Clock) -> Tally:
        """Count outcomes."""
        with clock.stage("tally"):
            coverage = _coverage(outcomes)
            latency = LatencyHistogram.of(_joined([o.answers.latencies for o in outcomes]))
            full = [outcome for outcome in outcomes if len(outcome.labels)]
            if not full:
                return replace(self._empty, coverage=coverage, latency=latency)
            labels, half = _joined([o.labels for o in full]), _joined([o.half for o in full])
            scored = score(self._evaluation.decision, _joined([o.answers.raw for o in full]))
            good, rejected = without(scored.bad, len(labels))
            if rejected:
                files = np.repeat([o.file for o in full], [len(o.labels) for o in full])
                coverage = _reject(coverage, scored.bad, files)
                scored, labels, half = _select(scored, good), labels[good], half[good]
            if (labels == UNLABELLED).any():
                labelled = np.flatnonzero(labels != UNLABELLED)
                coverage = _unlabelled(coverage, len(labels) - len(labelled))
                good, scored, labels, half = good[labelled], _select(scored, labelled), labels[labelled], half[labelled]
            log_loss, brier = _losses(self._evaluation.decision, scored.probabilities, labels)
            confusion = ConfusionMatrix.of(self._evaluation.decision.classes, labels, scored.predicted)
            scores, own = self._scores(scored, labels, half), self._own_label(full, good, scored.predicted)
            return Tally(coverage, confusion, scores, log_loss, brier, latency, StageTimes.empty(), own)

    def _own_label(
        self, outcomes: Sequence[_Outcome], good: NDArray[np.intp], predicted: NDArray[np.int64]
    ) -> Agreement:
        """The model's own labels of the good rows against the predictions."""
        own = [outcome.answers.own for outcome in outcomes if outcome.answers.own is not None]
        if not own:
            return Agreement.empty()
        places = self._evaluation.decision.places(_joined(own).reshape(-1)[good])
        return Agreement(len(places), int((places == predicted).sum()))

    def _scores(self, scored: Scored, labels: NDArray[np.int64], half: NDArray[np.uint8]) -> ScoreHistogram:
        decision = self._evaluation.decision
        index = [decision.classes.index(name) for name in decision.curves]
        truth = labels[:, None] == np.array(index, np.int64)
        return ScoreHistogram.of(decision.curves, self._empty.scores.bins, scored.log_odds, truth, half)


@dataclass(frozen=True)
class _Answers:
    """What the model said of some rows of a block.

    Args:
        rows: int64[N], their places in the block.
        raw: the output that is evaluated, first dimension N.
        own: the model's own label output, N values; None if it has none.
        latencies: int64[batches], nanoseconds.
    """

    rows: NDArray[np.int64]
    raw: NDArray[Any]
    own: NDArray[Any] | None
    latencies: NDArray[np.int64]


@dataclass(frozen=True)
class _Outcome:
    """Some rows of one file, with the model's answers.

    Args:
        file: its index in the plan.
        labels: int64[N].
        half: uint8[N].
        answers: for the N rows.
        rejected: reason → rows that the model never saw.
        filtered: rows that the filter left out.
    """

    file: int
    labels: NDArray[np.int64]
    half: NDArray[np.uint8]
    answers: _Answers
    rejected: dict[str, int]
    filtered: int


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)


def _coverage(outcomes: Sequence[_Outcome]) -> Coverage:
    rejected: Counter[tuple[int, str]] = Counter()
    for outcome in outcomes:
        rejected.update({(outcome.file, reason): rows for reason, rows in outcome.rejected.items()})
    evaluated = sum(len(outcome.labels) for outcome in outcomes)
    filtered = sum(outcome.filtered for outcome in outcomes)
    planned = evaluated + filtered + sum(rejected.values())
    return Coverage(planned, evaluated, filtered=filtered, rejected_rows=dict(rejected))


def _unlabelled(coverage: Coverage, rows: int) -> Coverage:
    """Rows that were scored without a label are none that were evaluated."""
    return replace(coverage, evaluated=coverage.evaluated - rows, unlabelled=rows)


def _reject(coverage: Coverage, bad: Mapping[str, NDArray[np.bool_]], files: NDArray[np.int64]) -> Coverage:
    """Take rows without a usable score out of the evaluated ones; files int64[N] says whose they are."""
    rejected = Counter(coverage.rejected_rows)
    left = np.ones(len(files), np.bool_)
    for reason, mask in bad.items():
        for file, rows in zip(*np.unique(files[mask & left], return_counts=True), strict=True):
            rejected[int(file), reason] += int(rows)
        left &= ~mask
    return replace(coverage, evaluated=int(left.sum()), rejected_rows=dict(rejected))


def _select(scored: Scored, rows: NDArray[np.intp]) -> Scored:
    probabilities = None if scored.probabilities is None else scored.probabilities[rows]
    return Scored(scored.predicted[rows], probabilities, scored.log_odds[rows], {})


def _losses(
    decision: Decision, probabilities: NDArray[np.float64] | None, labels: NDArray[np.int64]
) -> tuple[FixedSum, FixedSum]:
    """Sums of log loss and of the Brier score, as scikit-learn defines both for float64 probabilities."""
    if probabilities is None or not labels.size:
        return FixedSum.empty(), FixedSum.empty()
    own = probabilities[np.arange(labels.size), labels]
    log_loss = -np.log(np.clip(own, _LOG_LOSS_CLIP, 1 - _LOG_LOSS_CLIP))
    if decision.positive is not None:
        brier = (probabilities[:, decision.positive] - (labels == decision.positive)) ** 2
    else:
        brier = (probabilities**2).sum(axis=1) - own**2 + (1 - own) ** 2
    return FixedSum.of(log_loss), FixedSum.of(brier)
