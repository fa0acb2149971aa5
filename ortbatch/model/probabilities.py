"""Probabilities of the classes, as far as they are needed: a binary model's follow from its log-odds alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp] | slice

_NEAR = 1e-9
_FAR_THRESHOLD = 1e-6


class Probabilities(Protocol):
    """Probabilities of N rows and C classes."""

    def select(self, rows: Index) -> Probabilities:
        """Some of the rows."""

    def all(self) -> NDArray[np.float64]:
        """float64[N, C]."""

    def own(self, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of each row's class: float64[N]; labels int64[N] in [0, C)."""

    def rank(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many classes stand before each row's own, equal ones with the higher index first: int64[N].

        That is the order of scikit-learn's `top_k_accuracy_score`.
        """

    def squared_error(self, labels: NDArray[np.int64], own: NDArray[np.float64]) -> NDArray[np.float64]:
        """The row's part of the Brier score, as scikit-learn's `brier_score_loss` scales it: float64[N].

        Args:
            labels: int64[N].
            own: what `own` says of them.
        """


@dataclass(frozen=True)
class Table:
    """float64[N, C] as they are; `positive` is the class that a binary model's Brier score is about."""

    values: NDArray[np.float64]
    positive: int | None

    def select(self, rows: Index) -> Table:
        """Some of the rows."""
        return Table(self.values[rows], self.positive)

    def all(self) -> NDArray[np.float64]:
        """float64[N, C]."""
        return self.values

    def own(self, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of each row's class."""
        return self.values[np.arange(labels.size), labels]

    def rank(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many classes stand before each row's own."""
        return _rank(self.values, labels, self.values.max(axis=1, keepdims=True))

    def squared_error(self, labels: NDArray[np.int64], own: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of the positive class if there is one, else summed over all classes."""
        if self.positive is not None:
            error: NDArray[np.float64] = self.values[:, self.positive] - (labels == self.positive)
            return error * error
        squares: NDArray[np.float64] = np.vecdot(self.values, self.values)
        return squares - own**2 + (1 - own) ** 2


@dataclass(frozen=True)
class Softmax:
    """Many classes by their weights float64[N, C] and the sum of each row's float64[N]; the quotients are not all made.

    The largest weight of each row is 1.
    """

    weights: NDArray[np.float64]
    total: NDArray[np.float64]

    def select(self, rows: Index) -> Softmax:
        """Some of the rows."""
        return Softmax(self.weights[rows], self.total[rows])

    def all(self) -> NDArray[np.float64]:
        """float64[N, C]."""
        return self.weights / self.total[:, None]

    def own(self, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of each row's class."""
        return self.weights[np.arange(labels.size), labels] / self.total

    def rank(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many classes stand before each row's own."""
        # A number is compared with all at once; comparing with a column takes four times as long.
        return _rank(self.weights, labels, 1.0)

    def squared_error(self, labels: NDArray[np.int64], own: NDArray[np.float64]) -> NDArray[np.float64]:
        """Summed over all classes."""
        del labels
        squares: NDArray[np.float64] = np.vecdot(self.weights, self.weights) / self.total**2
        return squares - own**2 + (1 - own) ** 2


@dataclass(frozen=True)
class LogOdds:
    """Two classes by the log-odds float64[N] of the positive one: p = expit(x), 1 - p = expit(-x), both to the end."""

    values: NDArray[np.float64]
    positive: int

    def select(self, rows: Index) -> LogOdds:
        """Some of the rows."""
        return LogOdds(self.values[rows], self.positive)

    def all(self) -> NDArray[np.float64]:
        """float64[N, 2]."""
        from scipy.special import expit

        pair = np.empty((self.values.size, 2))
        pair[:, self.positive], pair[:, 1 - self.positive] = expit(self.values), expit(-self.values)
        return pair

    def own(self, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of each row's class: one exponential a row."""
        # A product, as choosing by labels without order costs a mispredicted branch a row.
        odds_against: NDArray[np.float64] = self.values * (1.0 - 2.0 * (labels == self.positive))
        with np.errstate(over="ignore"):
            np.exp(odds_against, out=odds_against)
        odds_against += 1
        np.reciprocal(odds_against, out=odds_against)
        return odds_against

    def rank(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """0 where the row's class is the likelier one."""
        pair = self.all()
        return _rank(pair, labels, pair.max(axis=1, keepdims=True))

    def squared_error(self, labels: NDArray[np.int64], own: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same for both classes, as the two probabilities add up to 1."""
        del labels
        error: NDArray[np.float64] = 1 - own
        return error * error


def _rank(
    values: NDArray[np.float64], labels: NDArray[np.int64], top: NDArray[np.float64] | float
) -> NDArray[np.int64]:
    """Columns of float64[N, C] that stand before each row's own; `top` is the largest of each row [N, 1], or of all."""
    own = values[np.arange(labels.size), labels][:, None]
    rank = np.zeros(labels.size, np.int64)
    # Most rows are right: where no row has two largest, nothing stands before a largest, and the others are few.
    tied_on_top = np.count_nonzero(values == top) > labels.size
    others = np.arange(labels.size) if tied_on_top else np.flatnonzero(own < top)
    if not others.size:
        return rank
    values, own, place = values[others], own[others], labels[others, None]
    before = np.count_nonzero(values >= own, axis=1) - 1
    tied = (values == own) & (np.arange(values.shape[1]) < place)
    rank[others] = before - np.count_nonzero(tied, axis=1)
    return rank


def at_least(log_odds: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Where expit(log_odds) >= threshold, decided by the probabilities themselves: bool[N].

    Most rows lie so far from the threshold's own log-odds that no rounding reaches it; only the others are computed.
    """
    from scipy.special import expit, logit

    if not _FAR_THRESHOLD <= threshold <= 1 - _FAR_THRESHOLD:
        return np.asarray(expit(log_odds) >= threshold)
    distance = log_odds - logit(threshold)
    above: NDArray[np.bool_] = distance >= 0
    near = np.flatnonzero(np.abs(distance, out=distance) < _NEAR)
    if near.size:
        above[near] = expit(log_odds[near]) >= threshold
    return above
