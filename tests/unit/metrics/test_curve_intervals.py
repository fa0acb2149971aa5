"""Intervals of areas under curves agree with resampling the rows; degenerate curves are defined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from ortbatch.metrics.curves import Curve, caution
from ortbatch.metrics.scores import ScoreHistogram

BINS = 65_536


def curve_of(odds: np.ndarray, truth: np.ndarray) -> Curve:
    half = np.zeros(odds.size, np.uint8)
    return ScoreHistogram.of(["yes"], BINS, odds[:, None], truth[:, None], half).curve(0)


def drawn(rows: int, share: float, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(rows) < share
    return rng.normal(np.where(truth, 1.0, -1.0), 1.5), truth


@pytest.mark.parametrize(
    ("name", "score"), [("roc_auc", roc_auc_score), ("average_precision", average_precision_score)]
)
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_an_interval_is_that_of_resampled_rows(name: str, score: object, share: float) -> None:
    odds, truth = drawn(2_000, share)
    rng = np.random.default_rng(1)
    values = []
    for _ in range(200):
        rows = rng.integers(0, odds.size, odds.size)
        values.append(score(truth[rows], odds[rows]))  # type: ignore[operator]
    estimate = getattr(curve_of(odds, truth), name)()
    width = estimate.ci[1] - estimate.ci[0]
    assert width == pytest.approx(2 * 1.96 * np.std(values), rel=0.17)
    # Of 200 resamples an end is good to about a seventh of the width.
    assert estimate.ci == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), abs=width / 5)


def test_the_variance_of_the_area_is_that_of_delong() -> None:
    """By the definition: the mean placements of each kind of rows, over all pairs."""
    odds, truth = drawn(600, 0.3)
    positive, negative = odds[truth], odds[~truth]
    above = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    parts = above.mean(axis=1).var(ddof=1) / positive.size, above.mean(axis=0).var(ddof=1) / negative.size
    variance, area = sum(parts), above.mean()
    freedom = variance**2 / (parts[0] ** 2 / (positive.size - 1) + parts[1] ** 2 / (negative.size - 1))
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance) / (area * (1 - area))
    expected = 1 / (1 + np.exp(-(np.log(area / (1 - area)) + np.array([-half, half]))))
    assert curve_of(odds, truth).roc_auc().ci == pytest.approx(tuple(expected), abs=2e-5)


@given(st.lists(st.tuples(st.floats(-30, 30), st.booleans()), min_size=1, max_size=40))
def test_an_interval_holds_its_value_and_lies_between_0_and_1(rows: list[tuple[float, bool]]) -> None:
    odds, truth = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    curve = curve_of(odds, truth)
    for estimate in (curve.roc_auc(), curve.average_precision()):
        assert (estimate.value is None) == (truth.all() or not truth.any())
        if estimate.ci is not None:
            assert 0 <= estimate.ci[0] <= estimate.value <= estimate.ci[1] <= 1


@pytest.mark.parametrize(("positives", "negatives", "lowest"), [(100, 900, 100), (900, 100, 100)])
def test_a_perfect_order_is_as_sure_as_its_smaller_class(positives: int, negatives: int, lowest: int) -> None:
    odds = np.concatenate([np.full(positives, 2.0), np.full(negatives, -2.0)])
    area = curve_of(odds, odds > 0).roc_auc()
    assert (area.value, area.method) == (1.0, "wilson_perfect")
    assert area.ci == pytest.approx((1 - 1.96**2 / (lowest + 1.96**2), 1.0), abs=1e-4)


def test_a_reversed_order_has_its_interval_at_the_other_end() -> None:
    odds = np.concatenate([np.full(60, 2.0), np.full(50, -2.0)])
    area = curve_of(odds, odds < 0).roc_auc()
    assert (area.value, area.ci[0]) == (0.0, 0.0)  # type: ignore[index]


def test_equal_scores_have_an_area_and_no_interval() -> None:
    area = curve_of(np.zeros(10), np.arange(10) < 4).roc_auc()
    assert (area.value, area.ci, area.reason) == (0.5, None, "no interval: too few rows differ in score")


def test_one_row_of_a_class_bounds_no_area() -> None:
    area = curve_of(np.array([0.0, 1.0, 2.0]), np.array([False, True, False])).roc_auc()
    assert (area.value, area.ci) == (0.5, None)


@pytest.mark.parametrize(("rows", "smallest", "warned"), [(1_000, 50, False), (999, 50, True), (1_000, 49, True)])
def test_few_rows_are_warned_of(rows: int, smallest: int, warned: bool) -> None:
    assert (caution(rows, smallest) is not None) == warned


@pytest.mark.parametrize(("wrong", "warned"), [(0, True), (4, True), (5, False)])
def test_an_order_that_hangs_on_few_rows_is_warned_of(wrong: int, warned: bool) -> None:
    """So many rows of the rest stand above half of the class."""
    odds = np.concatenate([np.full(500, -2.0), np.full(250, 2.0), np.full(250, 4.0)])
    truth = odds > 0
    odds[:wrong] = 3.0
    area = curve_of(odds, truth).roc_auc()
    assert (area.caution is not None) == warned
    assert area.caution is None or area.caution.startswith(f"it hangs on {wrong} rows")
