"""Exact confusion counts: the sufficient statistic of every metric that compares labels with predictions.

Rows are true classes, columns predicted classes, everywhere in ortbatch. What accuracy or F1 *mean* is not known here:
the report asks scikit-learn, with these cells as weights. Memory and time follow the cells that are not empty: ten
thousand classes have a hundred million cells, and few rows in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.cells import Cells
from ortbatch.metrics.value import Counts, Value, require_inside, require_same


@dataclass(frozen=True, eq=False)
class ConfusionMatrix(Value):
    """Confusion counts that merge.

    Args:
        classes: names of the classes, in the order of the model's output.
        table: counts of shape [C, C], rows = true class, columns = predicted class.

    References:
        Sokolova & Lapalme (2009), Information Processing & Management 45(4), table 3.

    >>> ConfusionMatrix.of(("a", "b"), np.array([0, 1, 1]), np.array([0, 1, 0])).counts.tolist()
    [[1, 0], [1, 1]]
    """

    classes: tuple[str, ...]
    table: Cells

    @classmethod
    def empty(cls, classes: Sequence[str]) -> ConfusionMatrix:
        """No rows yet."""
        return cls(tuple(classes), Cells.empty((len(classes), len(classes))))

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
        require_inside("label", true, size)
        require_inside("prediction", predicted, size)
        # In int64 whatever the dtype of the indices: uint8 would wrap at 256 cells.
        cell = np.multiply(true, size, dtype=np.int64)
        np.add(cell, predicted, out=cell, dtype=np.int64)
        return cls(tuple(classes), Cells.of((size, size), cell, inside=True))

    def merge(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """Counts of both; raises MergeError if the classes differ."""
        require_same("classes of confusion matrices", self.classes, other.classes)
        return ConfusionMatrix(self.classes, self.table.merge(other.table))

    def without(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """Counts of these rows less those of some of them; raises MergeError, and ValueError if they are not there."""
        require_same("classes of confusion matrices", self.classes, other.classes)
        return ConfusionMatrix(self.classes, self.table.without(other.table))

    @classmethod
    def merged(cls, values: Sequence[ConfusionMatrix]) -> ConfusionMatrix:
        """Counts of one or more matrices; raises MergeError if the classes differ."""
        for value in values:
            require_same("classes of confusion matrices", values[0].classes, value.classes)
        return cls(values[0].classes, Cells.merged([value.table for value in values]))

    @property
    def rows(self) -> int:
        """Rows counted."""
        return self.table.sum()

    @property
    def counts(self) -> Counts:
        """All cells, int64[C, C], read-only; made anew where few are filled, so not for many classes."""
        return self.table.dense()

    def cells(self) -> tuple[Counts, Counts, Counts]:
        """Non-empty cells as three int64[K] columns, by rising class: true class, predicted class, count."""
        flat, counts = self.table.nonzero()
        true, predicted = np.divmod(flat, len(self.classes))
        return true, predicted, counts
