"""What is learnt of a baseline: its answers beside the model's, for rows that are counted of the model anyway.

Answers are gathered and counted at once, as what they are counted into is large.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.engine.baselines import Baseline, Beheld
from ortbatch.metrics.fidelity import BaselineCounts, Fidelity, SeenTwice
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.model.outputs import UNKNOWN_PREDICTION, Scored, score

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Places:
    """Where N rows are, and what they are.

    Args:
        labels: int64[N], class indices.
        file: int64[N], index of the file in the plan.
        number: int64[N], of the row in its file.
        slices: int64[N, K]; None where rows are not cut.
    """

    labels: Ints
    file: Ints
    number: Ints
    slices: Ints | None

    def select(self, rows: NDArray[np.intp]) -> Places:
        """Some of them."""
        slices = None if self.slices is None else self.slices[rows]
        return Places(self.labels[rows], self.file[rows], self.number[rows], slices)


@dataclass(frozen=True)
class Others:
    """What a baseline said of N rows; as `Beheld`, of several blocks."""

    raw: NDArray[Any]
    why: NDArray[np.uint8]
    reasons: Sequence[str]

    @classmethod
    def joined(cls, parts: Sequence[Beheld]) -> Others:
        """Of blocks after one another, of one stream."""
        raw = np.concatenate([part.raw for part in parts]) if len(parts) > 1 else parts[0].raw
        why = [np.zeros(len(part.raw), np.uint8) if part.why is None else part.why for part in parts]
        return cls(raw, np.concatenate(why), parts[0].reasons)

    def select(self, rows: slice | NDArray[np.intp]) -> Others:
        """Some of the rows."""
        return Others(self.raw[rows], self.why[rows], self.reasons)


class Twice:
    """Counts one baseline until it is asked."""

    def __init__(self, baseline: Baseline, slices: int) -> None:
        self._decision, self._slices = baseline.decision, slices
        self._begin()

    def _begin(self) -> None:
        self._seen: list[SeenTwice] = []
        self._unusable: Counter[str] = Counter()
        self._latencies: list[int] = []

    def ran(self, latencies: Sequence[int]) -> None:
        """Note how long it took, in nanoseconds a run."""
        self._latencies += latencies

    def add(self, scored: Scored, others: Others, places: Places) -> None:
        """Take up N rows that were counted of the model: `scored` is what it said of them."""
        found = self._scored(others)
        usable = np.flatnonzero(self._usable(others, found))
        if usable.size < len(others.why):
            scored, found, places = scored.select(usable), found.select(usable), places.select(usable)
        scores = None
        if scored.probabilities is not None and found.probabilities is not None:
            scores = self._of_classes(scored), self._of_classes(found)
        self._seen.append(
            SeenTwice(
                places.labels, scored.predicted, found.predicted, places.file, places.number, scores, places.slices
            )
        )

    def counts(self) -> BaselineCounts:
        """All since the last time."""
        classes = len(self._decision.classes)
        fidelity = Fidelity.empty(classes, self._slices)
        if self._seen:
            fidelity = Fidelity.of(classes, self._slices, _joined(self._seen), self._unusable)
        elif self._unusable:
            fidelity = fidelity.merge(Fidelity.of(classes, self._slices, _no_rows(self._slices), self._unusable))
        counts = BaselineCounts(fidelity, LatencyHistogram.of(np.array(self._latencies, np.int64)))
        self._begin()
        return counts

    def _scored(self, others: Others) -> Scored:
        if self._decision.output.kind != "label":
            return score(self._decision, others.raw)
        unknown = np.asarray(others.raw < 0)
        bad = {UNKNOWN_PREDICTION: unknown} if unknown.any() else {}
        return Scored(np.where(unknown, 0, others.raw), None, np.empty((len(unknown), 0)), bad)

    def _usable(self, others: Others, found: Scored) -> NDArray[np.bool_]:
        """Which rows it could do; the first reason against each of the others is counted."""
        left: NDArray[np.bool_] = others.why == 0
        for place, rows in enumerate(np.bincount(others.why, minlength=1).tolist()):
            if place and rows:
                self._unusable[others.reasons[place - 1]] += rows
        for reason, mask in found.bad.items():
            if rows := int(np.count_nonzero(mask & left)):
                self._unusable[reason] += rows
            left &= ~mask
        return left

    def _of_classes(self, scored: Scored) -> NDArray[np.float64]:
        """Probabilities float64[N, C], or [N, 1] of the positive class of a binary task."""
        assert scored.probabilities is not None
        if self._decision.positive is None:
            return scored.probabilities.all()
        return scored.probabilities.own(np.full(len(scored.predicted), self._decision.positive))[:, None]


def _no_rows(slices: int) -> SeenTwice:
    none = np.empty(0, np.int64)
    return SeenTwice(none, none, none, none, none, None, np.empty((0, 1), np.int64) if slices else None)


def _joined(parts: Sequence[SeenTwice]) -> SeenTwice:
    """Rows of all, in order."""
    if len(parts) == 1:
        return parts[0]

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    first, scores = parts[0], None
    if first.scores is not None:
        pairs = [part.scores for part in parts if part.scores is not None]
        scores = np.concatenate([own for own, _ in pairs]), np.concatenate([other for _, other in pairs])
    slices = None if first.slices is None else column("slices")
    labels, predicted, baseline = column("labels"), column("predicted"), column("baseline")
    return SeenTwice(labels, predicted, baseline, column("file"), column("row"), scores, slices)
