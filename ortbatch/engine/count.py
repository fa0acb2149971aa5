"""What is learnt of scored rows: outcomes in, one tally out.

Rows are scored and counted in runs that fit a core's cache, as every step reads what the step before wrote; what is
counted into large arrays is gathered first and counted once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.engine.evaluation import UNLABELLED, Evaluation, without
from ortbatch.metrics.agreement import Agreement
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.scores import ScoreHistogram, joint_cells
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.sums import FixedSum
from ortbatch.metrics.tally import Tally
from ortbatch.model.outputs import Scored, score
from ortbatch.model.probabilities import Index

_RUN_VALUES = 1 << 17
_RUN_ROWS_AT_LEAST = 256
_GATHERED_VALUES = 1 << 20
_TALLIES_KEPT = 4
_LOG_LOSS_CLIP = 2.0**-52


@dataclass(frozen=True)
class Answers:
    """What the model said of some rows of a block.

    Args:
        rows: their N places in the block.
        raw: the output that is evaluated, first dimension N.
        own: the model's own label output, N values; None if it has none.
        latencies: nanoseconds of each batch.
    """

    rows: Index
    raw: NDArray[Any]
    own: NDArray[Any] | None
    latencies: Sequence[int]


@dataclass(frozen=True)
class Outcome:
    """Some rows, with the model's answers.

    Args:
        file: index of their file in the plan, of all or int64[N]; of all where rows were rejected.
        labels: int64[N].
        half: uint8[N].
        answers: for the N rows.
        rejected: reason → rows that the model never saw.
        filtered: rows that the filter left out.
    """

    file: int | NDArray[np.int64]
    labels: NDArray[np.int64]
    half: NDArray[np.uint8]
    answers: Answers
    rejected: Mapping[str, int]
    filtered: int

    @property
    def rows(self) -> int:
        """Rows of the plan that this is about."""
        return len(self.labels) + self.filtered + sum(self.rejected.values())


class Count:
    """Counts outcomes until it is asked for their tally."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._decision = evaluation.decision
        self._empty = evaluation.empty()
        self._curves = [self._decision.classes.index(name) for name in self._decision.curves]
        self._done: list[Tally] = []
        self._begin()

    def _begin(self) -> None:
        self._evaluated = self._unlabelled = self._filtered = 0
        self._rejected: Counter[tuple[int, str]] = Counter()
        self._latencies: list[int] = []
        self._log_loss = self._brier = FixedSum.empty()
        self._own = Agreement.empty()
        self._labels: list[NDArray[np.int64]] = []
        self._predicted: list[NDArray[np.int64]] = []
        self._cells: list[list[NDArray[np.int64]]] = [[] for _ in self._curves]
        self._gathered = 0

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count some outcomes."""
        for outcome in outcomes:
            self._filtered += outcome.filtered
            self._latencies += outcome.answers.latencies
            if outcome.rejected:
                assert isinstance(outcome.file, int)
                self._rejected.update({(outcome.file, reason): rows for reason, rows in outcome.rejected.items()})
        full = [outcome for outcome in outcomes if len(outcome.labels)]
        if not full:
            return
        labels, half = _joined([o.labels for o in full]), _joined([o.half for o in full])
        raw = _joined([o.answers.raw for o in full])
        own = None if full[0].answers.own is None else _joined([o.answers.own for o in full]).reshape(-1)
        for run in _runs(raw):
            self._add(_Rows(labels[run], half[run], raw[run], None if own is None else own[run]), full, run.start)

    def tally(self) -> Tally:
        """All that was counted since the last time, without the times of stages."""
        self._fold()
        done, self._done = self._done, []
        return done[0] if len(done) == 1 else Tally.merged(done)

    def _add(self, rows: _Rows, outcomes: Sequence[Outcome], start: int) -> None:
        """Count a run of rows: those of some outcomes from row `start` of them on."""
        scored = score(self._decision, rows.raw)
        labels, half, own = rows.labels, rows.half, rows.own
        if scored.bad:
            good, _ = without(scored.bad, len(labels))
            files = [np.broadcast_to(outcome.file, len(outcome.labels)) for outcome in outcomes]
            self._reject(scored.bad, np.concatenate(files)[start : start + len(labels)])
            scored, labels, half, own = scored.select(good), labels[good], half[good], _taken(own, good)
        if labels.size and labels.min() == UNLABELLED:
            labelled = np.flatnonzero(labels != UNLABELLED)
            self._unlabelled += len(labels) - len(labelled)
            scored, labels, half, own = scored.select(labelled), labels[labelled], half[labelled], _taken(own, labelled)
        self._evaluated += len(labels)
        self._sum_losses(scored, labels)
        if own is not None:
            agreeing = int((self._decision.places(own) == scored.predicted).sum())
            self._own = self._own.merge(Agreement(len(labels), agreeing))
        self._labels.append(labels)
        self._predicted.append(scored.predicted)
        for curve, (place, cells) in enumerate(zip(self._curves, self._cells, strict=True)):
            cells.append(joint_cells(scored.log_odds[:, curve], labels == place, half, self._empty.scores.bins))
        self._gathered += len(labels) * (2 + len(self._curves))
        if self._gathered >= _GATHERED_VALUES:
            self._fold()

    def _sum_losses(self, scored: Scored, labels: NDArray[np.int64]) -> None:
        """Log loss and Brier score, as scikit-learn defines both for float64 probabilities."""
        if scored.probabilities is None or not labels.size:
            return
        own = scored.probabilities.own(labels)
        self._brier = self._brier.merge(FixedSum.of(scored.probabilities.squared_error(labels, own)))
        loss = np.clip(own, _LOG_LOSS_CLIP, 1 - _LOG_LOSS_CLIP, out=own)
        np.log(loss, out=loss)
        self._log_loss = self._log_loss.merge(FixedSum.of(np.negative(loss, out=loss)))

    def _reject(self, bad: Mapping[str, NDArray[np.bool_]], files: NDArray[np.int64]) -> None:
        """Count rows without a usable score, each under its first reason; files int64[N] says whose they are."""
        left = np.ones(len(files), np.bool_)
        for reason, mask in bad.items():
            for file, rows in zip(*np.unique(files[mask & left], return_counts=True), strict=True):
                self._rejected[int(file), reason] += int(rows)
            left &= ~mask

    def _fold(self) -> None:
        """Count what was gathered."""
        planned = self._evaluated + self._unlabelled + self._filtered + self._rejected.total()
        coverage = Coverage(planned, self._evaluated, self._unlabelled, self._filtered, dict(self._rejected))
        classes, curves = self._decision.classes, self._decision.curves
        confusion = ConfusionMatrix.of(classes, _joined(self._labels), _joined(self._predicted))
        scores = ScoreHistogram.of_cells(curves, self._empty.scores.bins, [_joined(cells) for cells in self._cells])
        latency = LatencyHistogram.of(np.array(self._latencies, np.int64))
        tally = Tally(
            coverage, confusion, scores, self._log_loss, self._brier, latency, StageTimes.empty(), self._own
        )  # fmt: skip
        self._done.append(tally)
        if len(self._done) >= _TALLIES_KEPT:
            self._done = [Tally.merged(self._done)]
        self._begin()


@dataclass(frozen=True)
class _Rows:
    """N rows: labels int64[N], half uint8[N], raw output [N, ...], the model's own labels [N] if it has some."""

    labels: NDArray[np.int64]
    half: NDArray[np.uint8]
    raw: NDArray[Any]
    own: NDArray[Any] | None


def _runs(raw: NDArray[Any]) -> Iterator[slice]:
    """Places of rows whose scores stay in a core's cache."""
    step = max(_RUN_ROWS_AT_LEAST, _RUN_VALUES // max(1, raw.size // len(raw)))
    return (slice(start, start + step) for start in range(0, len(raw), step))


def _taken(own: NDArray[Any] | None, rows: NDArray[np.intp]) -> NDArray[Any] | None:
    return None if own is None else own[rows]


def _joined(arrays: Sequence[Any]) -> NDArray[Any]:
    if len(arrays) == 1:
        return arrays[0]  # type: ignore[no-any-return]
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)
