"""Small networks and ensembles of trees in plain NumPy, trained by scikit-learn, and what conversions do to them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from tests.unit.report.made_fidelity import Pair, softmax

Array = NDArray[Any]


@dataclass(frozen=True)
class Network:
    """Layers with ReLU between them; softmax of several outputs, logistic of one."""

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    def __call__(self, x: Array) -> Any:
        """Probabilities [N, C], or [N] of the second of two classes, as float64."""
        hidden = x
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = hidden @ weight + bias
            if place < len(self.weights) - 1:
                hidden = np.maximum(hidden, 0)
        logits = hidden.astype(np.float64)
        return expit(logits[:, 0]) if logits.shape[1] == 1 else softmax(logits)

    def of(self, change: Callable[[Array], Array]) -> Network:
        """Every weight and bias changed."""
        return Network(tuple(map(change, self.weights)), tuple(map(change, self.biases)))

    def with_weight(self, layer: int, change: Callable[[Array], None]) -> Network:
        """One layer's weights changed in place."""
        copy = self.weights[layer].copy()
        change(copy)
        return replace(self, weights=(*self.weights[:layer], copy, *self.weights[layer + 1 :]))


@dataclass(frozen=True)
class Trained:
    """A network with rows that it has not seen."""

    network: Network
    rows: Array
    labels: NDArray[np.int64]

    def pair(self, model: Network, baseline: Network, *, rows: Array | None = None, **options: Any) -> Pair:
        """Two networks on the rows; the model on others, if they are given."""
        return Pair(self.labels, model(self.rows if rows is None else rows), baseline(self.rows), **options)


@functools.cache
def digits(seed: int) -> Trained:
    """Ten classes of handwritten digits, normalised."""
    raw, labels = load_digits(return_X_y=True)
    return _trained((raw - 4.9) / 6.0, labels, 800, seed)


@functools.cache
def binary(seed: int) -> Trained:
    """Two classes of which a tenth is drawn at random, twelve columns."""
    x, y = make_classification(4_000, 12, n_informative=8, flip_y=0.1, random_state=seed)
    return _trained((x - x.mean(axis=0)) / x.std(axis=0), y, 1_000, seed)


def _trained(x: Array, y: Array, rows: int, seed: int) -> Trained:
    order = np.random.default_rng(seed).permutation(len(y))
    x, y = x[order].astype(np.float32), y[order].astype(np.int64)
    model = MLPClassifier((32, 16), max_iter=40, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x[:rows], y[:rows])
    network = Network(tuple(model.coefs_), tuple(model.intercepts_)).of(lambda a: a.astype(np.float32))
    return Trained(network, x[rows:], y[rows:])


def int8(a: Array) -> Array:
    """Rounded to 255 steps of one size."""
    step = np.abs(a).max() / 127 or 1.0
    return (np.rint(a / step) * step).astype(np.float32)


def float16(a: Array) -> Array:
    """Rounded to half precision."""
    return a.astype(np.float16).astype(np.float32)


@dataclass(frozen=True)
class Trees:
    """Trees of depth two that add to a logit: rows go left where a column is at most a threshold."""

    columns: NDArray[np.int64]  # [T, 3]
    thresholds: Array  # [T, 3]
    leaves: Array  # [T, 4]

    def __call__(self, x: Array) -> Any:
        """Probabilities [N] of the second of two classes."""
        logit = np.zeros(len(x))
        for columns, thresholds, leaves in zip(self.columns, self.thresholds, self.leaves, strict=True):
            right = x[:, columns[0]] > thresholds[0]
            below = np.where(right, x[:, columns[2]] > thresholds[2], x[:, columns[1]] > thresholds[1])
            logit += leaves[2 * right + below]
        return expit(logit)


def trees(x: Array, seed: int, count: int = 20) -> Trees:
    """Whose thresholds are values of the rows, as those of histogram-based learners are."""
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, x.shape[1], (count, 3))
    thresholds = x[rng.integers(0, len(x), (count, 3)), columns]
    return Trees(columns, thresholds, rng.normal(0, 0.5, (count, 4)))
