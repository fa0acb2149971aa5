"""Metrics of two models on the same rows: their difference, and how sure it is, from the joint counts of the rows.

A row adds to the difference of two metrics what it adds to the one less what it adds to the other (delta method). Rows
that both models treat alike add next to nothing, so the difference of two models that agree is known far better than
either metric. Differences are model minus baseline.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.delta import Floats, Margins, Slopes, f1_macro_slopes, over
from ortbatch.metrics.differences import JointCounts
from ortbatch.metrics.intervals import CONFIDENCE, Interval, normal_quantile

Ints = NDArray[np.int64]
_OfMargins = Callable[[Margins], Slopes]
_ValueOf = Callable[[Margins], float]


@dataclass(frozen=True)
class Paired:
    """A metric of both models on the same rows.

    Args:
        model, baseline: its two values.
        error: standard error of the difference.
    """

    model: float
    baseline: float
    error: float

    @property
    def difference(self) -> float:
        """Model minus baseline."""
        return self.model - self.baseline

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Normal interval of the difference, within -1 and 1."""
        half = normal_quantile(confidence) * self.error
        return max(-1.0, self.difference - half), min(1.0, self.difference + half)


@dataclass(frozen=True)
class Twins:
    """The filled cells of true class × predicted class × class that the baseline predicted.

    The standard errors hold half a row more that only the model has right, and half a row that only the baseline has,
    in each class: two models that agree everywhere are not held for equal beyond these rows.

    Args:
        classes: C.
        true, predicted, baseline: int64[K], classes of each cell.
        counts: int64[K], its rows, at least one in all.

    References:
        Agresti (2013), Categorical Data Analysis, section 16.1 (delta method for multinomial counts); Bonett & Price
        (2012), Journal of Educational and Behavioral Statistics 37(4) (rows added to the discordant cells); Brown, Cai
        & DasGupta (2001), Statistical Science 16(2), section 4.1.2 (half a row).
    """

    classes: int
    true: Ints
    predicted: Ints
    baseline: Ints
    counts: Ints

    @cached_property
    def rows(self) -> int:
        """All of them."""
        return int(self.counts.sum())

    def summed(self, places: Ints, counts: Ints) -> Ints:
        """Rows by class, int64[C]."""
        # Not bincount: its weights are float64, which lose single rows beyond 2^53.
        total = np.zeros(self.classes, np.int64)
        np.add.at(total, places, counts)
        return total

    def joint(self) -> JointCounts:
        """Rows by who is right; `old` is the baseline."""
        return JointCounts(*self.joint_by_class().sum(axis=0).tolist())

    def joint_by_class(self) -> Ints:
        """The same by true class, int64[C, 4]: both right, only the baseline, only the model, neither."""
        outcome = 2 * (self.baseline != self.true) + (self.predicted != self.true)
        total = np.zeros((self.classes, 4), np.int64)
        np.add.at(total, (self.true, outcome), self.counts)
        return total

    def balanced_accuracy(self) -> Paired:
        """Mean recall of the classes that have rows."""
        support = self._support
        present = np.count_nonzero(support)
        extra = float((over(1.0, support * present) ** 2).sum())
        return self._of_slopes(_balanced_slopes, _balanced, extra)

    def f1_macro(self) -> Paired:
        """Mean F1 of the classes that occur as label or prediction."""
        return self._of_slopes(f1_macro_slopes, _f1_macro, float(self._added_f1().sum()) / self._present**2)

    def f1_of_classes(self) -> list[Paired | None]:
        """F1 of each class against the rest; None where one of the two has none: it neither occurs nor is predicted."""
        mean, square = np.zeros(self.classes), np.zeros(self.classes)
        share = self.counts / self.rows
        for touched, of_cells in self._touched():
            apart = self._influence(touched, of_cells, self.predicted, self._model)
            apart -= self._influence(touched, of_cells, self.baseline, self._baseline)
            np.add.at(mean, touched, share[of_cells] * apart)
            np.add.at(square, touched, share[of_cells] * apart**2)
        variance = np.maximum(0.0, square - mean**2) / self.rows + self._added_f1()
        model, baseline = (_f1(margins) for margins in (self._model, self._baseline))
        known = [(margins.true + margins.predicted > 0).tolist() for margins in (self._model, self._baseline)]
        return [
            Paired(float(model[c]), float(baseline[c]), math.sqrt(variance[c])) if known[0][c] and known[1][c] else None
            for c in range(self.classes)
        ]

    @cached_property
    def _support(self) -> Floats:
        return self.summed(self.true, self.counts).astype(np.float64)

    @cached_property
    def _model(self) -> Margins:
        return self._margins(self.predicted)

    @cached_property
    def _baseline(self) -> Margins:
        return self._margins(self.baseline)

    @cached_property
    def _present(self) -> int:
        """Classes that occur as label or as prediction of either."""
        total = self._model.true + self._model.predicted + self._baseline.predicted
        return max(1, int(np.count_nonzero(total)))

    def _margins(self, predicted: Ints) -> Margins:
        right = self.true == predicted
        sums = (
            self.summed(self.true[right], self.counts[right]),
            self.summed(self.true, self.counts),
            self.summed(predicted, self.counts),
        )
        return Margins(*(counts / self.rows for counts in sums))

    def _of_slopes(self, slopes: _OfMargins, value: _ValueOf, extra: float) -> Paired:
        """A metric whose derivative in a cell is a sum of slopes, with a variance to add."""
        apart = self._slope(slopes(self._model), self.predicted) - self._slope(slopes(self._baseline), self.baseline)
        share = self.counts / self.rows
        mean = float(share @ apart)
        variance = float(share @ (apart - mean) ** 2) / self.rows + extra
        return Paired(value(self._model), value(self._baseline), math.sqrt(variance))

    def _slope(self, slopes: Slopes, predicted: Ints) -> Floats:
        on_diagonal, of_true, of_predicted = slopes
        return (
            of_true[self.true] + of_predicted[predicted] + np.where(self.true == predicted, on_diagonal[self.true], 0)
        )

    def _touched(self) -> list[tuple[Ints, NDArray[np.intp]]]:
        """Classes whose F1 a cell bears on, each with the places of those cells: its one, two or three classes."""
        second = np.flatnonzero(self.predicted != self.true)
        third = np.flatnonzero((self.baseline != self.true) & (self.baseline != self.predicted))
        every = np.arange(len(self.true))
        return [(self.true, every), (self.predicted[second], second), (self.baseline[third], third)]

    def _influence(self, touched: Ints, cells: NDArray[np.intp], predicted: Ints, margins: Margins) -> Floats:
        """What a row of each cell adds to the F1 of a class."""
        total = (margins.true + margins.predicted)[touched]
        is_true, is_predicted = self.true[cells] == touched, predicted[cells] == touched
        slope: Floats = over(2.0, total) * (is_true & is_predicted)
        slope -= over(2 * margins.right[touched], total**2) * (1.0 * is_true + is_predicted)
        return slope

    def _added_f1(self) -> Floats:
        """Variance of each class's F1 by half a row either way, among its rows and among the others."""
        value = (_f1(self._model) + _f1(self._baseline)) / 2
        total = self._model.true + (self._model.predicted + self._baseline.predicted) / 2
        added: Floats = over((2 - value) ** 2 + value**2, (total * self.rows) ** 2)
        return added


def _f1(margins: Margins) -> Floats:
    return over(2 * margins.right, margins.true + margins.predicted)


def _f1_macro(margins: Margins) -> float:
    return float(_f1(margins).sum() / np.count_nonzero(margins.true + margins.predicted))


def _balanced(margins: Margins) -> float:
    return float(over(margins.right, margins.true).sum() / np.count_nonzero(margins.true))


def _balanced_slopes(margins: Margins) -> Slopes:
    classes = np.count_nonzero(margins.true)
    return (
        over(1.0, margins.true) / classes,
        over(-margins.right, margins.true**2) / classes,
        np.zeros_like(margins.true),
    )
