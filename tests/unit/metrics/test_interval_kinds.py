"""Intervals of means, of shares put together and on other scales, against statsmodels' and scipy's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ortbatch.metrics.intervals import (
    fisher_interval,
    logit_interval,
    mean_interval,
    mean_of_shares,
    normal_quantile,
    wilson,
)

shares = st.integers(1, 500).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
def test_a_level_is_that_of_the_normal_distribution(confidence: float) -> None:
    assert normal_quantile(confidence) == pytest.approx(stats.norm.ppf((1 + confidence) / 2), rel=1e-12)


@given(shares, st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_at_any_level_is_that_of_scipy(share: tuple[int, int], confidence: float) -> None:
    hits, trials = share
    expected = stats.binomtest(hits, trials).proportion_ci(confidence, method="wilson")
    assert wilson(hits, trials, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.lists(shares, min_size=1, max_size=8), st.integers(0, 2))
def test_a_mean_of_shares_has_the_error_of_independent_shares(parts: list[tuple[int, int]], absent: int) -> None:
    mean, error = mean_of_shares(parts, len(parts) + absent)
    assert mean == pytest.approx(sum(hits / trials for hits, trials in parts) / (len(parts) + absent), abs=1e-12)
    variances = [stats.bernoulli((hits + 0.5) / (trials + 1)).var() / trials for hits, trials in parts]
    assert error == pytest.approx(math.sqrt(sum(variances)) / (len(parts) + absent), rel=1e-9)


def test_a_share_without_a_miss_is_not_certain() -> None:
    _, alone = mean_of_shares([(60, 60)], 1)
    assert 0.005 < alone < 0.02


@given(st.floats(0.01, 0.99), st.floats(1e-6, 0.2))
def test_a_logit_interval_stays_between_0_and_1(value: float, error: float) -> None:
    low, high = logit_interval(value, error)
    assert 0 <= low <= value <= high <= 1
    centre, half = math.log(value / (1 - value)), 1.959963984540054 * error / (value * (1 - value))
    assert (low, high) == pytest.approx(tuple(1 / (1 + np.exp(-(centre + np.array([-half, half]))))), rel=1e-9)


@given(st.floats(-0.99, 0.99), st.floats(1e-6, 0.2))
def test_an_interval_of_a_coefficient_stays_between_its_bounds(value: float, error: float) -> None:
    low, high = fisher_interval(value, error)
    assert -1 <= low <= value + 1e-12 and value - 1e-12 <= high <= 1  # noqa: PT018


def test_small_errors_give_the_plain_normal_interval_on_any_scale() -> None:
    plain = (0.6 - 1.959964e-4, 0.6 + 1.959964e-4)
    assert logit_interval(0.6, 1e-4) == pytest.approx(plain, abs=1e-7)
    assert fisher_interval(0.6, 1e-4) == pytest.approx(plain, abs=1e-7)


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    values = np.random.default_rng(3).exponential(1, 5_000)
    expected = stats.norm.interval(0.95, values.mean(), values.std(ddof=1) / math.sqrt(5_000))
    assert mean_interval(values.mean(), (values**2).mean(), 5_000) == pytest.approx(expected, abs=1e-9)


def test_equal_values_have_a_sure_mean_and_no_mean_of_losses_is_below_0() -> None:
    assert mean_interval(0.25, 0.0625, 10) == (0.25, 0.25)
    assert mean_interval(0.1, 1.0, 2)[0] == 0.0
