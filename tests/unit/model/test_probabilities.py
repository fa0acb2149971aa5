"""Probabilities by need, against whole tables of exponentials in long arithmetic."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import expit, logit

from ortbatch.model.probabilities import LogOdds, Probabilities, Softmax, Table, at_least

odds = arrays.arrays(np.float64, st.integers(1, 8), elements=st.floats(-700, 700) | st.sampled_from([0.0, -1e-17, 30]))


@given(values=odds, positive=st.sampled_from([0, 1]), seed=st.integers(0, 99))
def test_a_rows_own_probability_keeps_its_digits(values: np.ndarray, positive: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 2, values.size)
    own = LogOdds(values, positive).own(labels)
    with mpmath.workdps(400):
        exact = [
            float(1 / (1 + mpmath.exp(-value if label == positive else value)))
            for value, label in zip(values.tolist(), labels.tolist(), strict=True)
        ]
    assert own.tolist() == pytest.approx(exact, rel=1e-14)


@given(values=odds, positive=st.sampled_from([0, 1]), seed=st.integers(0, 99))
def test_log_odds_say_what_the_table_of_both_probabilities_says(values: np.ndarray, positive: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 2, values.size)
    by_odds: Probabilities = LogOdds(values, positive)
    table: Probabilities = Table(by_odds.all(), positive)
    assert by_odds.own(labels) == pytest.approx(table.own(labels), rel=1e-14)
    errors = [kind.squared_error(labels, kind.own(labels)) for kind in (by_odds, table)]
    assert errors[0] == pytest.approx(errors[1], abs=1e-15)
    rows = np.flatnonzero(labels)
    assert by_odds.select(rows).all().tolist() == table.select(rows).all().tolist()


def test_infinite_odds_are_certain() -> None:
    certain = LogOdds(np.array([np.inf, -np.inf]), 1)
    assert certain.own(np.array([1, 1])).tolist() == [1.0, 0.0]
    assert certain.all().tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_the_error_of_many_classes_is_that_of_all_their_columns() -> None:
    rng = np.random.default_rng(0)
    values = rng.dirichlet(np.ones(5), 50)
    labels = rng.integers(0, 5, 50)
    table = Table(values, None)
    plain = [sum((p - (c == label)) ** 2 for c, p in enumerate(row)) for row, label in zip(values, labels, strict=True)]
    assert table.squared_error(labels, table.own(labels)) == pytest.approx(plain, rel=1e-12)


def test_weights_say_what_the_table_of_their_quotients_says() -> None:
    rng = np.random.default_rng(1)
    weights = rng.random((40, 6))
    weights /= weights.max(axis=1, keepdims=True)
    by_weights, labels = Softmax(weights, weights.sum(axis=1)), rng.integers(0, 6, 40)
    table = Table(by_weights.all(), None)
    assert by_weights.all().sum(axis=1) == pytest.approx(np.ones(40), rel=1e-15)
    assert by_weights.own(labels).tolist() == table.own(labels).tolist()
    errors = [kind.squared_error(labels, kind.own(labels)) for kind in (by_weights, table)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-14)
    rows = np.array([3, 1, 39])
    assert by_weights.select(rows).all().tolist() == table.select(rows).all().tolist()


@given(values=odds, threshold=st.floats(0, 1) | st.sampled_from([0.5, 0.1, 1e-7, 1 - 1e-7, 1 - 1e-16]))
@example(values=np.array([-1e-17, 0.0, 1e-17, -1e-16, -3e-16]), threshold=0.5)
def test_a_threshold_is_held_against_the_probability_itself(values: np.ndarray, threshold: float) -> None:
    assert at_least(values, threshold).tolist() == (expit(values) >= threshold).tolist()


@pytest.mark.parametrize("threshold", [1e-5, 0.1, 0.3, 0.5, 0.9, 1 - 1e-5])
def test_every_float_beside_the_threshold_is_decided_as_its_probability_says(threshold: float) -> None:
    below = above = float(logit(threshold))
    around = [below]
    for _ in range(2_000):
        below, above = np.nextafter(below, -np.inf), np.nextafter(above, np.inf)
        around += [below, above]
    values = np.array(around)
    assert at_least(values, threshold).tolist() == (expit(values) >= threshold).tolist()
