"""Differences of probabilities: percentiles, mean and largest, against sorted arrays and exact sums."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from ortbatch.metrics.gaps import GAP_CELLS, Gaps, bands_of
from ortbatch.metrics.intervals import quantile_ranks
from ortbatch.metrics.latency import cell_of

Floats = np.ndarray


def of(gap: Floats) -> Gaps:
    return Gaps.of(3, gap, np.zeros(gap.size, np.int64), bands_of(gap))


def spread(rows: int, scale: float, seed: int = 0) -> Floats:
    """Differences over several orders of magnitude, none above 1."""
    return np.minimum(1.0, scale * np.exp(np.random.default_rng(seed).normal(0, 2, rows)))


@pytest.mark.parametrize("scale", [1e-7, 1e-4, 0.05])
@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99, 0.999])
def test_percentiles_are_those_of_the_sorted_differences(scale: float, quantile: float) -> None:
    gap = spread(5_000, scale)
    ordered = np.sort(gap)
    found = of(gap).percentile(quantile)
    low, high = quantile_ranks(gap.size, quantile)
    assert found.value == pytest.approx(ordered[math.ceil(quantile * gap.size) - 1], rel=1e-3, abs=2.0**-40)
    assert found.ci == pytest.approx((ordered[low - 1], ordered[high - 1]), rel=1e-3, abs=2.0**-40)


def test_a_percentile_that_too_few_rows_bound_says_how_many_would() -> None:
    found = of(spread(100, 1e-3)).percentile(0.99)
    assert (found.ci, found.reason) == (None, "insufficient: 368 rows bound this percentile, got 100")


def test_no_percentile_is_above_the_largest_difference() -> None:
    gap = np.array([0.1, 0.2, 0.30000000001])
    assert of(gap).percentile(0.999).value == of(gap).largest_gap().value == 0.30000000001


@pytest.mark.parametrize("scale", [1e-7, 1e-4, 0.05])
def test_mean_and_root_mean_square_are_those_of_exact_sums(scale: float) -> None:
    gap = spread(3_000, scale)
    exact = [Fraction(value) for value in gap.tolist()]
    mean = sum(exact) / len(exact)
    square = sum(value * value for value in exact) / len(exact)
    assert of(gap).mean().value == pytest.approx(float(mean), rel=1e-5)
    assert of(gap).rms().value == pytest.approx(math.sqrt(square), rel=1e-5)


def test_the_interval_of_the_mean_is_that_of_the_central_limit_theorem() -> None:
    gap = spread(2_000, 1e-3)
    half = stats.norm.ppf(0.975) * gap.std(ddof=1) / math.sqrt(gap.size)
    assert of(gap).mean().ci == pytest.approx((gap.mean() - half, gap.mean() + half), rel=1e-6)


@pytest.mark.parametrize("largest", [2.0**-1074, 1e-17, 2.0**-41, 0.3, 1.0, 1.0 + 2.0**-52])
def test_the_largest_difference_is_exact(largest: float) -> None:
    gap = np.array([0.0, largest, largest / 4])
    assert of(gap).largest_gap().value == largest
    assert of(gap).merge(of(np.zeros(5))).largest_gap().value == largest
    assert of(np.zeros(5)).merge(of(gap)).largest_gap().value == largest


def test_the_largest_difference_there_can_be_has_the_last_cell() -> None:
    assert of(np.array([1.0])).histogram.nonzero()[0].tolist() == [GAP_CELLS - 1]
    assert int(cell_of(np.array([1 << 40]))[0]) == GAP_CELLS - 1


def test_nothing_is_known_of_no_rows() -> None:
    empty = of(np.empty(0))
    for estimate in (empty.mean(), empty.rms(), empty.largest_gap(), empty.percentile(0.5)):
        assert (estimate.value, estimate.reason) == (None, "the model or the baseline puts out labels only")


def test_one_row_has_a_mean_and_no_interval() -> None:
    found = of(np.array([0.5])).mean()
    assert (found.value, found.ci) == (0.5, None)
