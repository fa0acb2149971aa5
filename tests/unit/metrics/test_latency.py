"""The latency histogram against HdrHistogram's own layout and against sorted arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import example, given
from hypothesis import strategies as st

from ortbatch.metrics.latency import CELLS, DIGITS, HIGHEST_NS, LOWEST_NS, LatencyHistogram, cell_of, highest_of
from ortbatch.metrics.value import frozen

QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999)
powers = st.integers(0, 41).flatmap(lambda bit: st.integers(-2, 2).map(lambda off: max(0, 2**bit + off)))
latencies = powers | st.integers(0, 10_000) | st.integers(0, HIGHEST_NS)


def oracle(values: np.ndarray | None = None) -> HdrHistogram:
    histogram = HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)
    for value in [] if values is None else values.tolist():
        assert histogram.record_value(value)
    return histogram


def of(*values: int) -> LatencyHistogram:
    return LatencyHistogram.of(np.array(values, np.int64))


def lognormal(rows: int, median_ns: float) -> np.ndarray:
    return np.exp(np.random.default_rng(rows).normal(math.log(median_ns), 1.0, rows)).astype(np.int64)


def sparse(cells: dict[int, int], highest: int) -> LatencyHistogram:
    counts = np.zeros(CELLS, np.int64)
    counts[list(cells)] = list(cells.values())
    return LatencyHistogram(frozen(counts), min_ns=0, max_ns=highest)


def test_every_cell_is_a_cell_of_hdr_histogram() -> None:
    histogram = oracle()
    lowest = np.array([histogram.get_value_from_index(cell) for cell in range(CELLS)])
    highest = [histogram.get_highest_equivalent_value(int(value)) for value in lowest]
    assert np.array_equal(cell_of(lowest), np.arange(CELLS))
    assert np.array_equal(cell_of(np.minimum(highest, HIGHEST_NS)), np.arange(CELLS))
    assert [highest_of(cell) for cell in range(CELLS)] == highest


@given(latencies)
def test_a_value_lies_in_the_cell_that_hdr_histogram_gives_it(value: int) -> None:
    histogram = oracle()
    histogram.record_value(value)
    cell = int(cell_of(np.array([value]))[0])
    assert histogram.get_count_at_index(cell) == 1


def test_counts_equal_those_of_hdr_histogram() -> None:
    values = lognormal(5_000, 3e6)
    histogram = oracle(values)
    assert LatencyHistogram.of(values).counts.tolist() == [histogram.get_count_at_index(cell) for cell in range(CELLS)]


@pytest.mark.parametrize("median_ns", [900, 12_000, 3e6, 4e10])
def test_percentiles_equal_those_of_hdr_histogram(median_ns: float) -> None:
    values = lognormal(4_000, median_ns)
    histogram, ours = oracle(values), LatencyHistogram.of(values)
    for rank in range(1, 4_001, 41):
        theirs = histogram.get_value_at_percentile(100 * rank / 4_000)
        expected = min(max(theirs, values.min()), values.max()) / 1e6
        assert ours.percentile_ms(rank / 4_000).value == expected, rank


@given(st.lists(latencies, min_size=1, max_size=50), st.sampled_from(QUANTILES))
def test_a_percentile_is_within_a_thousandth_of_the_sorted_values(values: list[int], quantile: float) -> None:
    exact = sorted(values)[math.ceil(len(values) * round(1_000 * quantile) / 1_000) - 1]
    value = of(*values).percentile_ms(quantile).value
    assert value is not None
    assert exact / 1e6 <= value <= exact * 1.001 / 1e6


def test_a_latency_of_ten_microseconds_keeps_three_digits() -> None:
    values = np.arange(5_000, 20_001)
    assert LatencyHistogram.of(values).percentile_ms(0.5).value == pytest.approx(0.0125, rel=1e-3)


def test_percentiles_below_two_microseconds_are_exact() -> None:
    values = np.random.default_rng(0).permutation(np.repeat(np.arange(2_048), 3))
    histogram, exact = LatencyHistogram.of(values), np.sort(values)
    for rank in range(1, 6_145, 97):
        assert histogram.percentile_ms(rank / 6_144).value == exact[rank - 1] / 1e6


def test_equal_values_have_themselves_as_every_percentile() -> None:
    histogram = of(*[7_654_321] * 400)
    assert {histogram.percentile_ms(quantile).value for quantile in QUANTILES} == {7.654321}


@pytest.mark.parametrize(("quantile", "rank"), [(0.55, 55), (0.07, 7), (0.56, 56), (0.99, 99), (0.5, 50), (0.995, 100)])
def test_a_rank_is_that_of_the_decimal_quantile(quantile: float, rank: int) -> None:
    assert of(*range(1, 101)).percentile_ms(quantile).value == rank / 1e6


def test_a_rank_survives_a_quantile_computed_from_percent() -> None:
    assert of(*range(1, 1_001)).percentile_ms(99.9 / 100).value == 999 / 1e6


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=20))
@example([2**62] * 4)
def test_count_minimum_maximum_and_sum_are_exact(values: list[int]) -> None:
    histogram = of(*values)
    got = histogram.count, histogram.min_ns, histogram.max_ns, histogram.total_ns
    assert got == (len(values), min(values), max(values), sum(values))


def test_the_mean_and_the_worst_are_exact() -> None:
    histogram = of(1, 2, 4_000_000)
    assert histogram.mean_ms().value == pytest.approx(4_000_003 / 3 / 1e6, rel=1e-15)
    assert histogram.worst_ms().value == 4.0


def test_an_hour_is_counted_in_the_last_cell() -> None:
    histogram = of(HIGHEST_NS)
    assert (histogram.overflow, histogram.counts[-1], histogram.counts.sum()) == (0, 1, 1)


def test_beyond_an_hour_is_overflow_and_still_counted() -> None:
    histogram = of(HIGHEST_NS + 1, 5)
    assert (histogram.overflow, histogram.count, histogram.max_ns) == (1, 2, HIGHEST_NS + 1)


def test_a_percentile_in_the_overflow_is_the_maximum() -> None:
    histogram = of(1, HIGHEST_NS + 1, 2 * HIGHEST_NS)
    assert histogram.percentile_ms(0.5).value == 2 * HIGHEST_NS / 1e6


def test_nothing_but_overflow_is_a_histogram_too() -> None:
    histogram = of(3 * HIGHEST_NS)
    assert (histogram.count, histogram.percentile_ms(0.9).value) == (1, 3 * HIGHEST_NS / 1e6)


def test_a_negative_latency_is_refused() -> None:
    with pytest.raises(ValueError, match="a latency is not negative, got -3 ns"):
        of(5, -3)


def test_no_values_leave_every_number_undefined() -> None:
    histogram = LatencyHistogram.empty()
    reasons = {
        estimate.reason for estimate in (histogram.percentile_ms(0.9), histogram.mean_ms(), histogram.worst_ms())
    }
    assert reasons == {"no values"}


@pytest.mark.parametrize(("quantile", "needed"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3_688)])
def test_too_few_values_are_insufficient_and_say_how_many_are_needed(quantile: float, needed: int) -> None:
    estimate = of(*range(1, needed)).percentile_ms(quantile)
    assert estimate.ci is None
    assert estimate.reason == f"insufficient: {needed} values bound this percentile, got {needed - 1}"


@pytest.mark.parametrize(("quantile", "needed"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3_688)])
def test_just_enough_values_give_an_interval_up_to_the_maximum(quantile: float, needed: int) -> None:
    estimate = of(*range(1, needed + 1)).percentile_ms(quantile)
    assert estimate.ci is not None
    assert estimate.ci[1] == pytest.approx(needed / 1e6, rel=1e-3)


@pytest.mark.parametrize("quantile", QUANTILES)
def test_the_interval_is_two_order_statistics_around_the_value(quantile: float) -> None:
    from scipy.stats import binom

    values = np.sort(lognormal(8_000, 5e6))
    lower, upper = (int(rank) for rank in binom.ppf([0.025, 0.975], 8_000, quantile))
    estimate = LatencyHistogram.of(values).percentile_ms(quantile)
    assert estimate.ci == pytest.approx((values[lower - 1] / 1e6, values[upper] / 1e6), rel=1e-3)
    assert estimate.ci[0] <= estimate.value <= estimate.ci[1]


def test_percentiles_of_more_rows_than_a_float_counts_are_at_the_right_rank() -> None:
    tenth = 2**53 + 1
    histogram = sparse({10: 9 * tenth - 1, 20: 1, 30: tenth}, 30)
    assert histogram.percentile_ms(0.9).value == 20 / 1e6


def test_the_interval_of_ten_billion_values_is_narrow() -> None:
    histogram = sparse({10: 4_999_900_000, 20: 200_000, 30: 4_999_900_000}, 30)
    assert histogram.percentile_ms(0.5).ci == pytest.approx((20 / 1e6, 20 / 1e6))
