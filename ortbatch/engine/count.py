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

from ortbatch.engine.baselines import Beheld
from ortbatch.engine.evaluation import UNLABELLED, Evaluation, known_labels, without
from ortbatch.engine.twice import Others, Places, Twice
from ortbatch.metrics.agreement import Agreement
from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.fidelity import Baselines
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.scores import ScoreHistogram, joint_cells
from ortbatch.metrics.slices import confusion_cells, score_cells
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.sums import FixedSum
from ortbatch.metrics.tally import CONFIDENCE, RANKS, Tally
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
        rejected_labels: int64[M], class indices of the rejected rows that have one.
        slices: int64[N, K], the slice of each row for each way to cut; None if there is none.
        beheld: what each baseline said of the N rows.
        numbers: int64[N], of the rows in their files; None where there is no baseline.
    """

    file: int | NDArray[np.int64]
    labels: NDArray[np.int64]
    half: NDArray[np.uint8]
    answers: Answers
    rejected: Mapping[str, int]
    filtered: int
    rejected_labels: NDArray[np.int64]
    slices: NDArray[np.int64] | None = None
    beheld: Sequence[Beheld] = ()
    numbers: NDArray[np.int64] | None = None

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
        self._twice = [Twice(baseline, self._empty.slices.confusion.shape[0]) for baseline in evaluation.baselines]
        self._done: list[Tally] = []
        self._begin()

    def _begin(self) -> None:
        self._evaluated = self._unlabelled = self._filtered = 0
        self._rejected: Counter[tuple[int, str]] = Counter()
        self._latencies: list[int] = []
        self._log_loss = self._brier = self._log_loss_squares = self._brier_squares = FixedSum.empty()
        self._confidence: list[NDArray[np.int64]] = []
        self._ranks: list[NDArray[np.int64]] = []
        self._own = Agreement.empty()
        self._labels: list[NDArray[np.int64]] = []
        self._predicted: list[NDArray[np.int64]] = []
        self._cells: list[list[NDArray[np.int64]]] = [[] for _ in self._curves]
        self._rejected_labels: list[NDArray[np.int64]] = []
        self._slice_cells: list[NDArray[np.int64]] = []
        self._slice_scores: list[NDArray[np.int64]] = []
        self._gathered = 0

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count some outcomes."""
        for outcome in outcomes:
            self._filtered += outcome.filtered
            self._latencies += outcome.answers.latencies
            for twice, beheld in zip(self._twice, outcome.beheld, strict=False):
                twice.ran(beheld.latencies)
            self._rejected_labels.append(outcome.rejected_labels)
            if outcome.rejected:
                assert isinstance(outcome.file, int)
                self._rejected.update({(outcome.file, reason): rows for reason, rows in outcome.rejected.items()})
        full = [outcome for outcome in outcomes if len(outcome.labels)]
        if not full:
            return
        labels, half = _joined([o.labels for o in full]), _joined([o.half for o in full])
        raw = _joined([o.answers.raw for o in full])
        own = None if full[0].answers.own is None else _joined([o.answers.own for o in full]).reshape(-1)
        slices = None if full[0].slices is None else _joined([o.slices for o in full])
        rows = _Rows(labels, half, own, slices, *self._beside(full))
        for run in _runs(raw):
            self._add(raw[run], rows.select(run), full, run.start)

    def tally(self) -> Tally:
        """All that was counted since the last time, without the times of stages."""
        self._fold()
        done, self._done = self._done, []
        return done[0] if len(done) == 1 else Tally.merged(done)

    def _beside(self, outcomes: Sequence[Outcome]) -> tuple[tuple[Others, ...], NDArray[np.int64] | None]:
        """What baselines said of the rows of outcomes, and file and number of each row; nothing for a warm-up."""
        if not self._twice or not outcomes[0].beheld:
            return (), None
        others = tuple(Others.joined([o.beheld[place] for o in outcomes]) for place in range(len(self._twice)))
        files = [np.broadcast_to(o.file, len(o.labels)) for o in outcomes]
        numbers = [o.numbers for o in outcomes if o.numbers is not None]
        return others, np.column_stack([np.concatenate(files), np.concatenate(numbers)]).astype(np.int64)

    def _add(self, raw: NDArray[Any], rows: _Rows, outcomes: Sequence[Outcome], start: int) -> None:
        """Count a run of rows: those of some outcomes from row `start` of them on."""
        scored = score(self._decision, raw)
        if scored.bad:
            good, _ = without(scored.bad, len(raw))
            self._rejected_labels.append(known_labels(np.delete(rows.labels, good)))
            files = [np.broadcast_to(outcome.file, len(outcome.labels)) for outcome in outcomes]
            self._reject(scored.bad, np.concatenate(files)[start : start + len(raw)])
            scored, rows = scored.select(good), rows.select(good)
        if rows.labels.size and rows.labels.min() == UNLABELLED:
            labelled = np.flatnonzero(rows.labels != UNLABELLED)
            self._unlabelled += len(rows.labels) - len(labelled)
            scored, rows = scored.select(labelled), rows.select(labelled)
        labels, half, own = rows.labels, rows.half, rows.own
        self._evaluated += len(labels)
        self._sum_losses(scored, labels)
        self._note_confidence(scored, labels, half)
        if own is not None:
            agreeing = int((self._decision.places(own) == scored.predicted).sum())
            self._own = self._own.merge(Agreement(len(labels), agreeing))
        self._labels.append(labels)
        self._predicted.append(scored.predicted)
        if rows.slices is not None:
            self._note_slices(scored, labels, rows.slices)
        if rows.places is not None:
            places = Places(labels, rows.places[:, 0], rows.places[:, 1], rows.slices)
            for twice, others in zip(self._twice, rows.others, strict=True):
                twice.add(scored, others, places)
                self._gathered += len(labels) * (5 + 2 * scored.log_odds.shape[1])
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
        error = scored.probabilities.squared_error(labels, own)
        self._brier = self._brier.merge(FixedSum.of(error))
        loss = np.clip(own, _LOG_LOSS_CLIP, 1 - _LOG_LOSS_CLIP, out=own)
        np.log(loss, out=loss)
        self._log_loss = self._log_loss.merge(FixedSum.of(np.negative(loss, out=loss)))
        if self._decision.positive is None:
            # A binary model's follow from its score histogram.
            self._log_loss_squares = self._log_loss_squares.merge(FixedSum.of(np.square(loss, out=loss)))
            self._brier_squares = self._brier_squares.merge(FixedSum.of(np.square(error, out=error)))

    def _note_confidence(self, scored: Scored, labels: NDArray[np.int64], half: NDArray[np.uint8]) -> None:
        """How sure a multiclass model is of its prediction, and how far down its list the label stands."""
        if scored.probabilities is None or self._decision.positive is not None or not labels.size:
            return
        if self._curves:
            sure = scored.log_odds[np.arange(labels.size), scored.predicted]
        else:
            likely = scored.probabilities.own(scored.predicted)
            with np.errstate(divide="ignore"):
                sure = np.log(likely) - np.log1p(-likely)
        self._confidence.append(joint_cells(sure, scored.predicted == labels, half, self._empty.confidence.bins))
        self._ranks.append(np.minimum(scored.probabilities.rank(labels), RANKS))
        self._gathered += 2 * labels.size

    def _note_slices(self, scored: Scored, labels: NDArray[np.int64], slices: NDArray[np.int64]) -> None:
        """The same rows once more for each way to cut."""
        classes = len(self._decision.classes)
        self._slice_cells.append(confusion_cells(slices, labels * classes + scored.predicted, classes))
        if self._empty.slices.scores.shape[0]:
            truth = labels == self._curves[0]
            self._slice_scores.append(score_cells(slices, scored.log_odds[:, 0], truth))
        self._gathered += 2 * slices.size

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
        confidence = ScoreHistogram.of_cells(CONFIDENCE, self._empty.confidence.bins, [_joined(self._confidence)])
        tally = Tally(
            coverage,
            confusion,
            scores,
            self._log_loss,
            self._brier,
            latency,
            StageTimes.empty(),
            self._own,
            confidence,
            Cells.of(self._empty.ranks.shape, _joined(self._ranks)),
            self._log_loss_squares,
            self._brier_squares,
            Cells.of(self._empty.rejected_labels.shape, _joined(self._rejected_labels)),
            slices=self._empty.slices.of_cells(_joined(self._slice_cells), _joined(self._slice_scores)),
            baselines=Baselines(self._empty.baselines.names, tuple(twice.counts() for twice in self._twice)),
        )
        self._done.append(tally)
        if len(self._done) >= _TALLIES_KEPT:
            self._done = [Tally.merged(self._done)]
        self._begin()


@dataclass(frozen=True)
class _Rows:
    """N rows: labels int64[N], half uint8[N]; the model's own labels [N] and slices int64[N, K] if there are some.

    `others` is what baselines said of them; then `places` int64[N, 2] are their files and their numbers in these.
    """

    labels: NDArray[np.int64]
    half: NDArray[np.uint8]
    own: NDArray[Any] | None
    slices: NDArray[np.int64] | None
    others: tuple[Others, ...] = ()
    places: NDArray[np.int64] | None = None

    def select(self, rows: slice | NDArray[np.intp]) -> _Rows:
        """Some of them, in this order."""
        own, slices, places = (None if part is None else part[rows] for part in (self.own, self.slices, self.places))
        others = tuple(other.select(rows) for other in self.others)
        return _Rows(self.labels[rows], self.half[rows], own, slices, others, places)


def _runs(raw: NDArray[Any]) -> Iterator[slice]:
    """Places of rows whose scores stay in a core's cache."""
    step = max(_RUN_ROWS_AT_LEAST, _RUN_VALUES // max(1, raw.size // len(raw)))
    return (slice(start, start + step) for start in range(0, len(raw), step))


def _joined(arrays: Sequence[Any]) -> NDArray[Any]:
    if len(arrays) == 1:
        return arrays[0]  # type: ignore[no-any-return]
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)
