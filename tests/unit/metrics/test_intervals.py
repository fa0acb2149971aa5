"""Intervals against SciPy, exact decimals, brute force and simulation."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from ortbatch.metrics.intervals import f1_interval, quantile_ranks, rows_for_quantile, wilson

QUANTILES = (0.1, 0.5, 0.9, 0.95, 0.99, 0.999)
TAIL = Fraction(1, 40)

proportions = st.integers(1, 2**53).flatmap(
    lambda trials: st.tuples(st.integers(0, trials) | st.integers(0, min(3, trials)), st.just(trials))
)


def wilson_in_decimals(successes: int, trials: int) -> tuple[float, float]:
    with localcontext() as context:
        context.prec = 60
        z, n, share = Decimal("1.959963984540054"), Decimal(trials), Decimal(successes) / trials
        centre, half = share + z * z / (2 * n), z * (share * (1 - share) / n + z * z / (4 * n * n)).sqrt()
        scale = 1 + z * z / n
        return float((centre - half) / scale), float((centre + half) / scale)


def coverage_of(count: int, quantile: float) -> float:
    """Probability that the order statistics at these ranks enclose the quantile of a continuous distribution."""
    lower, upper = quantile_ranks(count, quantile)
    return float(binom.cdf(upper - 1, count, quantile) - binom.cdf(lower - 1, count, quantile))


@pytest.mark.parametrize("trials", [1, 2, 3, 10, 97, 1_000, 123_457])
def test_wilson_equals_scipy(trials: int) -> None:
    for successes in {0, 1, trials // 3, trials // 2, trials - 1, trials}:
        expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
        assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-14), successes


@given(proportions)
@example((1, 2**53))
@example((2**53 - 1, 2**53))
@example((10**10 - 1, 10**10))
def test_wilson_keeps_its_digits_at_any_number_of_rows(proportion: tuple[int, int]) -> None:
    low, high = wilson_in_decimals(*proportion)
    assert wilson(*proportion) == pytest.approx((max(low, 0.0), min(high, 1.0)), abs=5e-16, rel=1e-13)


@given(proportions)
def test_wilson_contains_the_share_and_stays_a_proportion(proportion: tuple[int, int]) -> None:
    low, high = wilson(*proportion)
    assert 0 <= low <= proportion[0] / proportion[1] <= high <= 1


@given(st.integers(1, 2**53))
def test_wilson_is_closed_at_the_extremes(trials: int) -> None:
    assert (wilson(0, trials)[0], wilson(trials, trials)[1]) == (0.0, 1.0)


@given(proportions)
def test_wilson_of_failures_is_the_mirror_image(proportion: tuple[int, int]) -> None:
    successes, trials = proportion
    low, high = wilson(trials - successes, trials)
    assert wilson(successes, trials) == pytest.approx((1 - high, 1 - low), abs=5e-16)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 5), (6, 5), (-1, -1)])
def test_wilson_of_impossible_counts_is_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match=f"got {successes} of {trials}"):
        wilson(successes, trials)


@given(st.integers(0, 2**50), st.integers(0, 2**50))
def test_the_interval_of_f1_contains_f1(hits: int, errors: int) -> None:
    assume(hits + errors)
    low, high = f1_interval(hits, errors)
    f1 = float(Fraction(2 * hits, 2 * hits + errors))
    assert 0 <= low <= f1 * (1 + 1e-15)
    assert f1 * (1 - 1e-15) <= high <= 1


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_interval_of_f1_rises_with_hits(hits: int, errors: int) -> None:
    assume(hits + errors)
    (low, high), (better_low, better_high) = f1_interval(hits, errors), f1_interval(hits + 1, errors)
    assert low <= better_low
    assert high <= better_high


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_interval_of_f1_falls_with_errors(hits: int, errors: int) -> None:
    assume(hits + errors)
    (low, high), (worse_low, worse_high) = f1_interval(hits, errors), f1_interval(hits, errors + 1)
    assert low >= worse_low
    assert high >= worse_high


def test_the_interval_of_f1_encloses_the_true_f1_in_95_of_100_data_sets() -> None:
    rng = np.random.default_rng(5)
    hits, misses, alarms, _ = rng.multinomial(400, [0.2, 0.05, 0.1, 0.65], 2_000).T
    inside = [low <= 0.4 / 0.55 <= high for low, high in map(f1_interval, hits.tolist(), (misses + alarms).tolist())]
    assert 0.935 <= np.mean(inside) <= 0.965


@pytest.mark.parametrize("quantile", QUANTILES)
@pytest.mark.parametrize("count", [3_688, 4_001, 50_000, 10**6, 2**31 + 10, 10**10])
def test_ranks_equal_the_binomial_quantiles(count: int, quantile: float) -> None:
    lower, upper = binom.ppf([0.025, 0.975], count, quantile)
    assert quantile_ranks(count, quantile) == (lower, upper + 1)


@pytest.mark.parametrize("quantile", QUANTILES)
def test_ranks_enclose_the_quantile_with_95_percent_from_the_first_count_on(quantile: float) -> None:
    needed = rows_for_quantile(quantile)
    assert min(coverage_of(needed + more, quantile) for more in range(0, 600, 7)) >= 0.95


@pytest.mark.parametrize("quantile", QUANTILES)
def test_ranks_are_not_wider_than_they_must_be(quantile: float) -> None:
    count = 20_000
    lower, upper = quantile_ranks(count, quantile)
    assert binom.cdf(lower, count, quantile) >= 0.025
    assert binom.cdf(upper - 2, count, quantile) < 0.975


def test_ranks_enclose_the_quantile_of_simulated_data() -> None:
    data = np.sort(np.random.default_rng(11).random((4_000, 500)), axis=1)
    lower, upper = quantile_ranks(500, 0.95)
    inside = (data[:, lower - 1] <= 0.95) & (data[:, upper - 1] >= 0.95)
    assert inside.mean() == pytest.approx(coverage_of(500, 0.95), abs=0.012)
    assert coverage_of(500, 0.95) >= 0.95


def test_ranks_beyond_the_integers_of_a_float_follow_the_normal_law() -> None:
    deviation = (2**60 * 0.5 * 0.5) ** 0.5
    lower, upper = quantile_ranks(2**60, 0.5)
    assert (lower - 2**59) / deviation == pytest.approx(-1.96, abs=1e-3)
    assert (upper - 2**59) / deviation == pytest.approx(1.96, abs=1e-3)


def test_ranks_of_too_few_values_are_refused_naming_the_number_needed() -> None:
    with pytest.raises(ValueError, match=r"^367 values do not bound the 0\.99 quantile; 368 do$"):
        quantile_ranks(367, 0.99)


@pytest.mark.parametrize(("quantile", "rows"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3_688)])
def test_rows_for_a_quantile_are(quantile: float, rows: int) -> None:
    assert rows_for_quantile(quantile) == rows


@pytest.mark.parametrize("quantile", [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995])
def test_rows_for_a_quantile_are_the_fewest_by_trial(quantile: float) -> None:
    share = Fraction(str(quantile))
    extreme = max(share, 1 - share)
    fewest = next(rows for rows in range(1, 5_000) if extreme**rows <= TAIL)
    assert rows_for_quantile(quantile) == fewest
