"""Reports on a model and others on the same rows, made by hand: probabilities in, a whole report out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.fidelity import BaselineCounts, Baselines, Fidelity, SeenTwice
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.slices import Cut, SliceCounts, confusion_cells, slices_of
from ortbatch.metrics.tally import Tally
from tests.unit.report.made import label_tally, milliseconds, names, report, timed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SINGLE = {"threads": 1, "rows": 500, "warm_up": 50}


@dataclass(frozen=True)
class Pair:
    """N rows with probabilities of a model and of a baseline, [N, C], or [N] of the positive class 1.

    `labels_only`: neither says more than its label. `places`: the slice of each row for each cut.
    """

    labels: Ints
    model: Floats
    baseline: Floats
    labels_only: bool = False
    cuts: Sequence[Cut] = ()
    places: Ints | None = None
    unusable: dict[str, int] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        return 2 if self.model.ndim == 1 else self.model.shape[1]

    def predicted(self, scores: Floats) -> Ints:
        return (scores >= 0.5).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)

    def fidelity(self) -> Fidelity:
        rows = np.arange(len(self.labels))
        columns = [scores[:, None] if scores.ndim == 1 else scores for scores in (self.model, self.baseline)]
        seen = SeenTwice(
            self.labels,
            self.predicted(self.model),
            self.predicted(self.baseline),
            rows % 2,
            rows // 2,
            None if self.labels_only else (columns[0], columns[1]),
            self.places,
        )
        return Fidelity.of(self.classes, slices_of(self.cuts), seen, self.unusable)

    def tally(self, name: str = "torch", batch: LatencyHistogram | None = None) -> Tally:
        """What a pass of both would have counted."""
        chosen, predicted = names(self.classes), self.predicted(self.model)
        confusion = ConfusionMatrix.of(chosen, self.labels, predicted)
        slices = SliceCounts.empty(self.cuts, self.classes, 0)
        if self.places is not None:
            flat = confusion_cells(self.places, self.labels * self.classes + predicted, self.classes)
            slices = slices.of_cells(flat, np.empty(0, np.int64))
        counts = BaselineCounts(self.fidelity(), milliseconds(800) if batch is None else batch)
        beside = Baselines((name,), (counts,))
        return timed(replace(label_tally(confusion.counts, chosen), slices=slices, baselines=beside))

    def report(self, *gates: object, dependent: bool = False, **changes: Any) -> dict[str, Any]:
        """A whole report, with the gates of a job that has the baseline `torch`."""
        facts = {"kind": "torch", "model": {"path": "model.pt2"}, "batch_dependent": dependent}
        facts |= {"single": milliseconds(2_000), "single_facts": SINGLE}
        given = {"positive": 1 if self.model.ndim == 1 else None, "baseline_facts": {"torch": facts}, **changes}
        keys: dict[str, object] = {"baselines": {"torch": {"torch": "model.pt2"}}}
        keys |= {"slices": [list(cut.by) for cut in self.cuts]} if self.cuts else {}
        return report(self.tally(), *gates, keys=keys, **given)

    def entry(self, **changes: Any) -> dict[str, Any]:
        """The entry of the baseline in that report."""
        found: dict[str, Any] = self.report(**changes)["fidelity"]["torch"]
        return found


def softmax(logits: Floats) -> Floats:
    """Probabilities of logits [N, C]."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def many(rows: int = 600, seed: int = 0, noise: float = 0.3, classes: int = 3) -> Pair:
    """Of three classes; the baseline's logits are the model's and some noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    logits = rng.normal(0, 1, (rows, classes)) + 2 * np.eye(classes)[labels]
    return Pair(labels, softmax(logits), softmax(logits + rng.normal(0, noise, logits.shape)))


def two(rows: int = 600, seed: int = 0, noise: float = 0.3) -> Pair:
    """Of two classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows)
    logits = rng.normal(3 * labels - 1.5, 1.5)
    return Pair(labels, 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(-logits - rng.normal(0, noise, rows))))
