"""Score counts: the cell of a score is exact, the halves are fair, and nothing is lost on the way."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from ortbatch.metrics.curves import mean_of
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.scores import BINARY_BINS, ScoreHistogram, cells_of, halves, joint_cells

BINS = [64, 1_024, 4_096, BINARY_BINS]
odds = st.floats(allow_nan=False) | st.floats(-25, 25) | st.integers(-33_000, 33_000).map(lambda k: k * 3 / 4_096)


def cell_by_fractions(z: float, bins: int) -> int:
    if math.isinf(z):
        return 0 if z < 0 else bins + 3
    if not -24 <= z < 24:
        return 1 if z < 0 else bins + 2
    return math.floor(Fraction(z) * bins / 48) + bins // 2 + 2


@settings(max_examples=200)
@given(odds, st.sampled_from(BINS))
@example(-5e-324, 64)
@example(24.0, 64)
@example(-24.0, 64)
def test_a_score_lies_in_the_cell_of_exact_arithmetic(z: float, bins: int) -> None:
    assert cells_of(np.array([z]), bins).tolist() == [cell_by_fractions(z, bins)]


@pytest.mark.parametrize("bins", BINS)
def test_every_bin_is_closed_below_to_the_last_bit(bins: int) -> None:
    edges = np.arange(-bins // 2, bins // 2 + 1) * 48 / bins
    expected = np.arange(2, bins + 3)
    assert np.array_equal(cells_of(edges, bins), expected)
    assert np.array_equal(cells_of(np.nextafter(edges, -np.inf), bins), expected - 1)


@pytest.mark.parametrize("bins", BINS)
def test_even_odds_lie_on_an_edge(bins: int) -> None:
    middle = bins // 2 + 2
    assert cells_of(np.array([-1e-300, -0.0, 0.0, 1e-300]), bins).tolist() == [middle - 1, middle, middle, middle]


def test_certain_and_extreme_scores_have_cells_of_their_own() -> None:
    z = np.array([-np.inf, -1e308, np.nextafter(-24, -25), -24.0, np.nextafter(24, 0), 24.0, 1e308, np.inf])
    assert cells_of(z, 64).tolist() == [0, 1, 1, 2, 65, 66, 66, 67]


@given(st.lists(odds), st.sampled_from(BINS))
def test_cells_rise_with_the_score(z: list[float], bins: int) -> None:
    assert (np.diff(cells_of(np.sort(np.array(z, np.float64)), bins)) >= 0).all()


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="a score is NaN; reject the row"):
        cells_of(np.array([0.0, np.nan]), 64)


@given(st.lists(st.tuples(odds, odds, st.booleans(), st.booleans(), st.integers(0, 1)), max_size=20))
def test_counts_equal_a_loop(rows: list[tuple[float, float, bool, bool, int]]) -> None:
    expected = np.zeros((2, 2, 2, 68), np.int64)
    for first, second, is_first, is_second, half in rows:
        expected[0, half, int(is_first), cell_by_fractions(first, 64)] += 1
        expected[1, half, int(is_second), cell_by_fractions(second, 64)] += 1
    z = np.array([row[:2] for row in rows], np.float64).reshape(-1, 2)
    truth = np.array([row[2:4] for row in rows], np.bool_).reshape(-1, 2)
    histogram = ScoreHistogram.of(["a", "b"], 64, z, truth, np.array([row[4] for row in rows], np.uint8))
    assert np.array_equal(histogram.counts, expected)


rows_of_a_curve = st.lists(st.tuples(odds, st.booleans(), st.integers(0, 1)), max_size=20)


def columns_of(rows: list[tuple[float, bool, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z, truth, half = (np.array([row[place] for row in rows]) for place in range(3))
    return z.astype(np.float64), truth.astype(np.bool_), half.astype(np.uint8)


@given(rows_of_a_curve, st.sampled_from(BINS))
def test_a_joint_cell_is_the_place_in_the_block_of_its_curve(rows: list[tuple[float, bool, int]], bins: int) -> None:
    shape = (2, 2, bins + 4)
    places = [(half, int(truth), cell_by_fractions(z, bins)) for z, truth, half in rows]
    cells = joint_cells(*columns_of(rows), bins)
    assert cells.dtype == np.int64
    assert cells.tolist() == [int(np.ravel_multi_index(place, shape)) for place in places]


@given(rows_of_a_curve, st.integers(0, 20))
def test_cells_of_chunks_count_as_their_rows(rows: list[tuple[float, bool, int]], cut: int) -> None:
    z, truth, half = columns_of(rows)
    chunks = [joint_cells(z[part], truth[part], half[part], 64) for part in (slice(cut), slice(cut, None))]
    expected = ScoreHistogram.of(["a"], 64, z[:, None], truth[:, None], half)
    assert ScoreHistogram.of_cells(["a"], 64, [np.concatenate(chunks)]) == expected


def test_cells_of_several_curves_count_each_in_its_own() -> None:
    cells = [np.array([0, 271]), np.array([5, 5]), np.array([3, 68])]
    counts = ScoreHistogram.of_cells(["a", "b", "c"], 64, cells).counts
    assert np.argwhere(counts).tolist() == [[0, 0, 0, 0], [0, 1, 1, 67], [1, 0, 0, 5], [2, 0, 0, 3], [2, 0, 1, 0]]
    assert counts[1, 0, 0, 5] == 2


@pytest.mark.parametrize("cell", [-1, 272])
@pytest.mark.parametrize("curve", [0, 1])
def test_a_cell_of_another_curve_is_refused(curve: int, cell: int) -> None:
    cells = [np.array([1, 2]), np.array([1, 2])]
    cells[curve][1] = cell
    with pytest.raises(ValueError, match=r"cell index outside \[0, 272\)"):
        ScoreHistogram.of_cells(["a", "b"], 64, cells)


@pytest.mark.parametrize("lengths", [[2], [2, 3], [2, 2, 2], []])
def test_cells_that_are_not_one_a_row_and_curve_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="expected cells of 2 curves, as many of each, got"):
        ScoreHistogram.of_cells(["a", "b"], 64, [np.zeros(length, np.int64) for length in lengths])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_row_that_is_no_number_is_refused_beside_any_other(place: int) -> None:
    z = np.array([np.inf, -np.inf, 0.0])
    z[place] = np.nan
    with pytest.raises(ValueError, match="a score is NaN"):
        joint_cells(z, np.zeros(3, np.bool_), np.zeros(3, np.uint8), 64)


def test_scores_are_not_changed_by_counting() -> None:
    z = np.array([-np.inf, -30.0, -1e-300, 3.0, 30.0, np.inf])
    before = z.copy()
    cells_of(z, 64)
    assert np.array_equal(z, before)


def test_a_histogram_without_curves_counts_nothing() -> None:
    histogram = ScoreHistogram.of([], 64, np.zeros((3, 0)), np.zeros((3, 0), np.bool_), np.zeros(3, np.uint8))
    assert histogram == ScoreHistogram.empty([], 64)


def test_bins_leave_the_outer_cells_out() -> None:
    assert ScoreHistogram.empty(["a"], 128).bins == 128


@pytest.mark.parametrize(
    ("scores", "truth", "half"), [((5, 2), (5, 1), 5), ((5, 1), (4, 1), 5), ((5, 1), (5, 1), 1), ((5, 2), (5, 2), 5)]
)
def test_shapes_that_do_not_agree_are_refused(scores: tuple[int, int], truth: tuple[int, int], half: int) -> None:
    with pytest.raises(ValueError, match=r"expected scores and truths of shape \(\d, 1\), got"):
        ScoreHistogram.of(["a"], 64, np.zeros(scores), np.zeros(truth, np.bool_), np.zeros(half, np.uint8))


def half_by_integers(file_key: int, row: int) -> int:
    x = (row * 0x9E3779B97F4A7C15 + file_key) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return (x ^ (x >> 31)) >> 63


@given(st.integers(-(2**63), 2**64 - 1), st.lists(st.integers(0, 2**63 - 1), max_size=10))
def test_a_half_is_the_top_bit_of_split_mix(file_key: int, rows: list[int]) -> None:
    assert halves(file_key, np.array(rows, np.int64)).tolist() == [half_by_integers(file_key, row) for row in rows]


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 1_000), max_size=4))
def test_a_half_does_not_depend_on_how_a_file_is_cut(file_key: int, cuts: list[int]) -> None:
    shards = np.split(np.arange(1_000), sorted(cuts))
    assert np.array_equal(
        np.concatenate([halves(file_key, shard) for shard in shards]), halves(file_key, np.arange(1_000))
    )


@pytest.mark.parametrize("file_key", [0, 1, 2**63, 0x9E3779B97F4A7C15, 2**64 - 1])
def test_halves_are_balanced(file_key: int) -> None:
    counts = np.bincount(halves(file_key, np.arange(200_000)), minlength=2)
    assert chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("distance", [1, 2, 7, 64, 1_000])
def test_halves_of_neighbouring_rows_are_independent(distance: int) -> None:
    half = halves(12_345, np.arange(200_000))
    table = np.bincount(half[:-distance] * 2 + half[distance:], minlength=4).reshape(2, 2)
    assert chi2_contingency(table).pvalue > 1e-4


@pytest.mark.parametrize("other", [12_346, 12_345 ^ 2**63, 0])
def test_halves_of_two_files_are_independent(other: int) -> None:
    rows = np.arange(200_000)
    table = np.bincount(halves(12_345, rows) * 2 + halves(other, rows), minlength=4).reshape(2, 2)
    assert chi2_contingency(table).pvalue > 1e-4


AREAS = (
    Estimate(0.5, (0.25, 0.75), method="delong_logit", caution="few rows", bound=(0.4, 0.6)),
    Estimate(1.0, (0.75, 1.0), method="wilson_perfect", bound=(1.0, 1.0)),
)


def test_a_macro_average_is_the_mean_of_its_curves_their_limits_and_their_bounds() -> None:
    expected = Estimate(0.75, (0.5, 0.875), method="mean_of_limits", caution="few rows", bound=(0.7, 0.8))
    assert mean_of(AREAS) == expected


def test_a_macro_average_has_no_interval_where_one_of_its_curves_has_none() -> None:
    lacking = Estimate(0.5, reason="no interval: too few rows", bound=(0.4, 0.6))
    assert mean_of([*AREAS, lacking]).reason == "no interval: too few rows"


def test_a_macro_average_with_an_undefined_curve_is_undefined() -> None:
    assert mean_of([*AREAS, Estimate.undefined("no row of this class")]) == Estimate.undefined("no row of this class")


def test_a_macro_average_of_no_curves_is_undefined() -> None:
    assert mean_of([]) == Estimate.undefined("no scores")
