"""Exact confusion counts: the sufficient statistic of every metric that compares labels with predictions.

Rows are true classes, columns predicted classes, everywhere in ortbatch. What accuracy or F1 *mean* is not known here:
the report asks scikit-learn, with these cells as weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.value import Counts, Value, add, frozen, require_same, zeros


@dataclass(frozen=True, eq=False)
class ConfusionMatrix(Value):
    """Confusion counts that merge.

    Args:
        classes: names of the classes, in the order of the model's output.
        counts: int64[C, C], rows = true class, columns = predicted class.

    References:
        Sokolova & Lapalme (2009), Information Processing & Management 45(4), table 3.

    >>> ConfusionMatrix.of(("a", "b"), np.array([0, 1, 1]), np.array([0, 1, 0])).counts.tolist()
    [[1, 0], [1, 1]]
    """

    classes: tuple[str, ...]
    counts: Counts

    @classmethod
    def empty(cls, classes: Sequence[str]) -> ConfusionMatrix:
        """No rows yet."""
        return cls(tuple(classes), zeros(len(classes), len(classes)))

    @classmethod
    def of(cls, classes: Sequence[str], true: NDArray[np.int64], predicted: NDArray[np.int64]) -> ConfusionMatrix:
        """Count rows.

        Args:
            classes: C names.
            true: int[N], class indices in [0, C).
            predicted: int[N], class indices in [0, C).

        Raises:
            ValueError: if an index lies outside [0, C), or the lengths differ.
        """
        size = len(classes)
        if true.shape != predicted.shape:
            raise ValueError(f"expected as many labels as predictions, got {true.shape} and {predicted.shape}")
        for name, index in (("label", true), ("prediction", predicted)):
            if index.size and (index.min() < 0 or index.max() >= size):
                raise ValueError(f"{name} index outside [0, {size}): {index.min()} to {index.max()}")
        # In int64 whatever the dtype of the indices: uint8 would wrap at 256 cells.
        cell = np.add(np.multiply(true, size, dtype=np.int64), predicted, dtype=np.int64)
        cells = np.bincount(cell, minlength=size * size)
        return cls(tuple(classes), frozen(cells.astype(np.int64, copy=False).reshape(size, size)))

    def merge(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """Counts of both; raises MergeError if the classes differ."""
        require_same("classes of confusion matrices", self.classes, other.classes)
        return ConfusionMatrix(self.classes, add(self.counts, other.counts))

    @property
    def rows(self) -> int:
        """Rows counted."""
        return int(self.counts.sum())

    def cells(self) -> tuple[Counts, Counts, Counts]:
        """Non-empty cells as three int64[K] columns: true class, predicted class, count."""
        true, predicted = np.nonzero(self.counts)
        return true, predicted, self.counts[true, predicted]
