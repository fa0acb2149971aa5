"""What two models made of the same rows, counted by the true class of the row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.differences import JointCounts
from ortbatch.metrics.value import Counts, Value, add, frozen, require_same, zeros

NOWHERE = -1
"""In place of a class: no label, or no prediction."""

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PairedRows(Value):
    """Counts over rows that two runs looked at.

    Args:
        classes: names.
        counts: int64[C, 4] by true class: rows that both have right, that only the old run has right, only the new one,
            neither.
        predicted: rows that both gave a prediction, labelled or not. flipped: of these, where it is another one.
        only_old: rows that only the old run evaluated. only_new: that only the new run did.
    """

    classes: tuple[str, ...]
    counts: Counts
    predicted: int = 0
    flipped: int = 0
    only_old: int = 0
    only_new: int = 0

    @classmethod
    def empty(cls, classes: Sequence[str]) -> PairedRows:
        """Of no rows."""
        return cls(tuple(classes), zeros(len(classes), 4))

    @classmethod
    def of(cls, classes: Sequence[str], labels: tuple[Codes, Codes], predicted: tuple[Codes, Codes]) -> PairedRows:
        """Count rows, given by index of class or `NOWHERE`.

        Args:
            classes: names, C of them.
            labels: int64[N] of the old and of the new run; `NOWHERE` where it did not evaluate the row.
            predicted: int64[N] of the old and of the new run; `NOWHERE` without prediction.
        """
        in_old, in_new = (label != NOWHERE for label in labels)
        together = in_old & in_new
        label, old, new = labels[0][together], predicted[0][together], predicted[1][together]
        outcome = 2 * (old != label) + (new != label)
        counts = np.bincount(4 * label + outcome, minlength=4 * len(classes)).reshape(-1, 4)
        both = (predicted[0] != NOWHERE) & (predicted[1] != NOWHERE)
        return cls(
            tuple(classes),
            frozen(counts.astype(np.int64)),
            int(both.sum()),
            int((both & (predicted[0] != predicted[1])).sum()),
            int((in_old & ~in_new).sum()),
            int((in_new & ~in_old).sum()),
        )

    def merge(self, other: PairedRows) -> PairedRows:
        """Of the rows of both; raises MergeError for other classes."""
        require_same("classes", self.classes, other.classes)
        return PairedRows(
            self.classes,
            add(self.counts, other.counts),
            self.predicted + other.predicted,
            self.flipped + other.flipped,
            self.only_old + other.only_old,
            self.only_new + other.only_new,
        )

    @property
    def joint(self) -> JointCounts:
        """Of all rows that both evaluated."""
        return JointCounts(*self.counts.sum(axis=0).tolist())

    @cached_property
    def places(self) -> dict[str, int]:
        """Class → its row of `counts`."""
        return {name: place for place, name in enumerate(self.classes)}

    def of_class(self, name: str) -> JointCounts:
        """Of the rows of one class; raises KeyError if there is no such class."""
        return JointCounts(*self.counts[self.places[name]].tolist())
