"""Standard errors of metrics of a whole confusion matrix: the delta method on its cells.

Rows are a multinomial sample of the cells, so a smooth function g of the shares p has the variance (Σ p g'² - (Σ p
g')²) / n. The derivative of every metric here in cell (i, j) is `on_diagonal[i]` if i = j, plus `of_true[i]`, plus
`of_predicted[j]`: one pass over the filled cells, and nothing is as large as the matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ortbatch.metrics.confusion import ConfusionMatrix

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Margins:
    """Shares of all rows: right ones by class, of true classes, of predicted classes; each float64[C]."""

    right: Floats
    true: Floats
    predicted: Floats


Slopes = tuple[Floats, Floats, Floats]
"""Of a metric in a cell, each float64[C]: on the diagonal, of its true class, of its predicted class."""


def standard_errors(confusion: ConfusionMatrix) -> dict[str, float]:
    """Standard error of averaged metrics and coefficients, by name; of at least one row. NaN where undefined.

    References:
        Agresti (2013), Categorical Data Analysis, section 16.1 (delta method for multinomial counts); Fleiss, Cohen &
        Everitt (1969), Psychological Bulletin 72(5) (kappa); Gorodkin (2004) (Matthews for many classes); Takahashi et
        al. (2022), Applied Intelligence 52 (averaged F1).
    """
    rows = confusion.rows
    table = confusion.table
    sums = (table.diagonal(), table.row_sums(), table.column_sums())
    margins = Margins(*(np.asarray(counts, np.float64) / rows for counts in sums))
    true, predicted, counts = confusion.cells()
    share = counts / rows
    errors = {}
    for name, slopes in _SLOPES.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            on_diagonal, of_true, of_predicted = slopes(margins)
        slope = of_true[true] + of_predicted[predicted] + np.where(true == predicted, on_diagonal[true], 0.0)
        mean = float(share @ slope)
        errors[name] = math.sqrt(float(share @ (slope - mean) ** 2) / rows)
    return errors


def f1_macro_slopes(m: Margins) -> Slopes:
    """Derivatives of F1 averaged over the classes that occur."""
    total = m.true + m.predicted
    classes = np.count_nonzero(total)
    of_class = over(-2 * m.right, total**2) / classes
    return over(2.0, total) / classes, of_class, of_class


def _f1_weighted(m: Margins) -> Slopes:
    total = m.true + m.predicted
    of_class = over(-2 * m.true * m.right, total**2)
    return over(2 * m.true, total), over(2 * m.right, total) + of_class, of_class


def _precision_weighted(m: Margins) -> Slopes:
    return over(m.true, m.predicted), over(m.right, m.predicted), over(-m.true * m.right, m.predicted**2)


def _kappa(m: Margins) -> Slopes:
    by_chance = float(m.true @ m.predicted)
    beyond = 1 - by_chance
    of_chance = (float(m.right.sum()) - 1) / beyond**2 if beyond else math.nan
    return np.full_like(m.right, 1 / beyond if beyond else math.nan), of_chance * m.predicted, of_chance * m.true


def _matthews(m: Margins) -> Slopes:
    spread_true, spread_predicted = 1 - float(m.true @ m.true), 1 - float(m.predicted @ m.predicted)
    if spread_true <= 0 or spread_predicted <= 0:
        undefined = np.full_like(m.right, math.nan)
        return undefined, undefined, undefined
    scale = math.sqrt(spread_true * spread_predicted)
    value = (float(m.right.sum()) - float(m.true @ m.predicted)) / scale
    of_true = -m.predicted / scale + value * m.true / spread_true
    of_predicted = -m.true / scale + value * m.predicted / spread_predicted
    return np.full_like(m.right, 1 / scale), of_true, of_predicted


_SLOPES = {
    "f1_macro": f1_macro_slopes,
    "f1_weighted": _f1_weighted,
    "precision_weighted": _precision_weighted,
    "cohen_kappa": _kappa,
    "matthews_corrcoef": _matthews,
}


def over(part: Floats | float, whole: Floats) -> Floats:
    """The quotient, 0 where `whole` is: scikit-learn counts what is undefined as 0."""
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
