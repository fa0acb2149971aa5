"""Standard errors of averaged metrics agree with resampling the rows, and with published formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.delta import standard_errors

ASKED = {
    "f1_macro": lambda t, p, w: metrics.f1_score(t, p, sample_weight=w, average="macro"),
    "f1_weighted": lambda t, p, w: metrics.f1_score(t, p, sample_weight=w, average="weighted"),
    "precision_weighted": lambda t, p, w: metrics.precision_score(t, p, sample_weight=w, average="weighted"),
    "cohen_kappa": lambda t, p, w: metrics.cohen_kappa_score(t, p, sample_weight=w),
    "matthews_corrcoef": lambda t, p, w: metrics.matthews_corrcoef(t, p, sample_weight=w),
}


def matrix(counts: NDArray[np.int64]) -> ConfusionMatrix:
    return ConfusionMatrix(tuple(f"class_{index}" for index in range(len(counts))), Cells.of_dense(counts))


def value_of(name: str, shares: NDArray[np.float64]) -> float:
    true, predicted = np.divmod(np.arange(shares.size), len(shares))
    return float(ASKED[name](true, predicted, shares.ravel()))


def drawn(classes: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(classes * classes, 0.5)).reshape(classes, classes) + 0.3 * np.eye(classes)
    counts = rng.multinomial(4_000, (shares / shares.sum()).ravel()).reshape(classes, classes)
    return counts.astype(np.int64)


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (3, 1), (5, 2)])
def test_the_delta_method_follows_numeric_derivatives_of_scikit_learn(name: str, classes: int, seed: int) -> None:
    counts = drawn(classes, seed)
    shares, rows = counts / counts.sum(), int(counts.sum())
    step, slopes = 1e-6, np.zeros_like(shares)
    for place in np.ndindex(shares.shape):
        if shares[place]:
            up, down = shares.copy(), shares.copy()
            up[place] += step
            down[place] -= step
            slopes[place] = (value_of(name, up / up.sum()) - value_of(name, down / down.sum())) / (2 * step)
    variance = float((shares * slopes**2).sum() - (shares * slopes).sum() ** 2) / rows
    assert standard_errors(matrix(counts))[name] == pytest.approx(math.sqrt(variance), rel=1e-4)


def test_the_error_of_kappa_is_that_of_fleiss_cohen_and_everitt() -> None:
    """Their formula 13, on a table of two raters; rel. 0.01 as they leave lower orders out."""
    counts = np.array([[44, 5, 1], [7, 20, 3], [9, 5, 6]], np.int64)
    shares = counts / counts.sum()
    row, column = shares.sum(axis=1), shares.sum(axis=0)
    agree, chance = np.trace(shares), row @ column
    kappa = (agree - chance) / (1 - chance)
    on = sum(shares[i, i] * ((1 - chance) - (column[i] + row[i]) * (1 - agree)) ** 2 for i in range(3))
    off = (1 - agree) ** 2 * sum(shares[i, j] * (column[i] + row[j]) ** 2 for i in range(3) for j in range(3) if i != j)
    variance = (on + off - (agree * chance - 2 * chance + agree) ** 2) / (counts.sum() * (1 - chance) ** 4)
    assert kappa == pytest.approx(
        metrics.cohen_kappa_score(*np.repeat(np.indices((3, 3)).reshape(2, -1), counts.ravel(), axis=1))
    )
    assert standard_errors(matrix(counts))["cohen_kappa"] == pytest.approx(math.sqrt(variance), rel=1e-9)


@pytest.mark.parametrize("counts", [[[5, 0], [0, 0]], [[5, 3], [0, 0]], [[5, 0], [3, 0]]])
def test_a_coefficient_of_one_class_has_no_error(counts: list[list[int]]) -> None:
    assert math.isnan(standard_errors(matrix(np.array(counts, np.int64)))["matthews_corrcoef"])


def test_ten_thousand_classes_take_no_matrix() -> None:
    rng = np.random.default_rng(0)
    names = tuple(map(str, range(10_000)))
    true = rng.integers(0, 10_000, 50_000)
    predicted = np.where(rng.random(50_000) < 0.7, true, rng.integers(0, 10_000, 50_000))
    errors = standard_errors(ConfusionMatrix.of(names, true, predicted))
    assert errors["f1_weighted"] == pytest.approx(math.sqrt(0.7 * 0.3 / 50_000), rel=0.25)
