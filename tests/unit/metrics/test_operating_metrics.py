"""Metrics of operating points against scikit-learn's curves of raw scores, and against plain sorting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import precision_recall_curve, roc_curve

from ortbatch.metrics.operating import Floats, Steps
from ortbatch.metrics.operating_metrics import Point, point
from ortbatch.metrics.reference import MetricRef
from ortbatch.metrics.resample import Resample
from tests.unit.metrics.test_operating import SCORES, made, steps_of

SETTINGS = settings(max_examples=120, deadline=None, derandomize=True, database=None)
Bools = NDArray[np.bool_]
REFS = [
    MetricRef("recall_at_precision", 0.8), MetricRef("recall_at_precision", 0.3), MetricRef("precision_at_recall", 0.8),
    MetricRef("precision_at_recall", 1.0), MetricRef("recall_at_fpr", 0.01), MetricRef("recall_at_fpr", 0.0),
    MetricRef("recall_at_fpr", 0.3), MetricRef("precision_at_top", 0.005), MetricRef("precision_at_top", 0.3),
    MetricRef("precision_at_top", 1.0),
]  # fmt: skip


def of(ref: MetricRef, steps: Steps) -> Point:
    return point(ref, steps, Resample.of(steps))


def exact(ref: MetricRef, log_odds: Floats, truth: Bools) -> float:
    """On raw scores: by scikit-learn's curves, or by sorting."""
    scores, limit = expit(log_odds), ref.argument or 0.0
    if ref.name == "precision_at_top":
        wanted = math.ceil(round(limit * truth.size, 6))
        return float(truth[np.argsort(-log_odds, kind="stable")][:wanted].mean())
    if ref.name == "recall_at_fpr":
        fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
        return float(tpr[fpr <= limit].max())
    precision, recall, _ = precision_recall_curve(truth, scores)
    if ref.name == "recall_at_precision":
        return float(recall[:-1][precision[:-1] >= limit].max())
    return float(precision[:-1][recall[:-1] >= limit].max())


@pytest.mark.parametrize("ref", REFS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_the_value_on_raw_scores_lies_in_the_bound_which_is_narrow(ref: MetricRef, seed: int) -> None:
    log_odds, truth = made(4_000, seed=seed)
    estimate = of(ref, steps_of(log_odds, truth)).estimate
    low, high = estimate.bound or (math.nan, math.nan)
    assert low - 1e-12 <= exact(ref, log_odds, truth) <= high + 1e-12
    assert high - low < 0.02
    assert low <= (estimate.value or 0) <= high


@pytest.mark.parametrize("ref", REFS, ids=str)
def test_coarse_bins_still_prove_their_bound(ref: MetricRef) -> None:
    for seed in range(10):
        log_odds, truth = made(300, seed=seed)
        estimate = of(ref, steps_of(log_odds, truth, 64)).estimate
        low, high = estimate.bound or (math.nan, math.nan)
        assert low - 1e-12 <= exact(ref, log_odds, truth) <= high + 1e-12


@SETTINGS
@given(
    st.lists(st.tuples(st.integers(-6_000, 6_000).map(lambda n: n / 1_000), st.booleans()), min_size=1, max_size=30),
    st.sampled_from(REFS),
)
def test_any_raw_scores_lie_in_the_bound(rows: list[tuple[float, bool]], ref: MetricRef) -> None:
    log_odds, truth = np.array([score for score, _ in rows]), np.array([own for _, own in rows])
    estimate = of(ref, steps_of(log_odds, truth, 16)).estimate
    if estimate.value is None or not truth.any() or truth.all():
        return
    low, high = estimate.bound or (math.nan, math.nan)
    assert low - 1e-12 <= exact(ref, log_odds, truth) <= high + 1e-12


@SETTINGS
@given(st.lists(st.tuples(SCORES, st.booleans()), max_size=30), st.sampled_from(REFS))
def test_whatever_the_rows_the_metric_is_a_share_with_an_interval_or_null_with_a_reason(
    rows: list[tuple[float, bool]], ref: MetricRef
) -> None:
    truth = np.array([own for _, own in rows], np.bool_)
    found = of(ref, steps_of(np.array([score for score, _ in rows], np.float64), truth, 64))
    estimate = found.estimate
    if estimate.value is None:
        assert estimate.reason
        return
    assert estimate.ci is not None
    assert estimate.bound is not None
    assert 0 <= estimate.ci[0] <= estimate.value <= estimate.ci[1] <= 1
    assert estimate.bound[0] <= estimate.value <= estimate.bound[1]
    assert 0 < found.rows <= len(rows)


@pytest.mark.parametrize(
    ("ref", "truth", "said"),
    [
        (MetricRef("recall_at_precision", 0.9), [False, False], "no row of this class"),
        (MetricRef("precision_at_recall", 0.9), [False], "no row of this class"),
        (MetricRef("recall_at_fpr", 0.1), [False], "no row of this class"),
        (MetricRef("recall_at_fpr", 0.1), [True], "no row of another class"),
        (MetricRef("precision_at_top", 0.1), [], "no row was evaluated"),
        (MetricRef("recall_at_precision", 0.9), [True, False], "the best is 0.5, with a recall of 1"),
    ],
)
def test_what_the_rows_do_not_define_is_null_with_the_reason(ref: MetricRef, truth: list[bool], said: str) -> None:
    found = of(ref, steps_of(np.arange(len(truth), dtype=np.float64), np.array(truth, np.bool_)))
    assert found.estimate.value is None
    assert said in (found.estimate.reason or "")
    assert found.rows == 0


def test_a_false_positive_rate_that_no_threshold_keeps_is_a_recall_of_0() -> None:
    # The point (0, 0) belongs to the ROC curve.
    steps = steps_of(np.array([1.0, 0.0]), np.array([False, True]))
    found = of(MetricRef("recall_at_fpr", 0.0), steps)
    assert (found.estimate.value, found.rows) == (0.0, 1)
    assert found.estimate.ci is not None
    assert found.estimate.ci[1] > 0.5


def test_rows_of_the_cell_in_which_the_top_ends_count_in_proportion() -> None:
    # 3 rows on top, then 10 of one cell, 4 of them of the class; the top 8 of 16 ends amid them.
    log_odds = np.array([3.0] * 3 + [1.0] * 10 + [-1.0] * 3)
    truth = np.array([True, True, False] + [True] * 4 + [False] * 6 + [True] * 3)
    found = of(MetricRef("precision_at_top", 0.5), steps_of(log_odds, truth))
    assert found.rows == 8
    assert found.estimate.value == pytest.approx((2 + 4 * 5 / 10) / 8)
    assert found.estimate.bound == (2 / 8, 6 / 8)


@pytest.mark.parametrize(("share", "rows", "wanted"), [(0.07, 100, 7), (0.1, 31, 4), (0.005, 100, 1), (1.0, 7, 7)])
def test_the_top_is_rounded_up_to_whole_rows(share: float, rows: int, wanted: int) -> None:
    steps = steps_of(np.linspace(-3, 3, rows), np.arange(rows) % 2 == 0)
    assert of(MetricRef("precision_at_top", share), steps).rows == wanted


@pytest.mark.parametrize(
    "ref", [REFS[0], REFS[2], MetricRef("recall_at_fpr", 0.01), MetricRef("precision_at_top", 0.25)]
)
def test_a_perfect_order_is_1_but_not_for_sure(ref: MetricRef) -> None:
    truth = np.arange(60) >= 30
    estimate = of(ref, steps_of(np.where(truth, 2.0, -2.0) + np.linspace(0, 1, 60), truth)).estimate
    assert estimate.value == 1.0
    assert estimate.ci is not None
    assert 0.75 < estimate.ci[0] < 0.95


@pytest.mark.parametrize(("rows", "warned"), [(200, True), (999, True), (5_000, False)])
def test_few_rows_are_cautioned(rows: int, warned: bool) -> None:
    estimate = of(REFS[0], steps_of(*made(rows))).estimate
    assert (estimate.caution is not None) == warned
    assert estimate.method == "bootstrap_wilson"


@pytest.mark.parametrize(("rate", "warned"), [(0.0, True), (0.001, True), (0.01, False)])
def test_a_rate_that_allows_hardly_any_rows_is_cautioned(rate: float, warned: bool) -> None:
    # Measured on 1,500 rows: with one row allowed, the interval held the truth in 31 of 40 draws, with twelve in all.
    estimate = of(MetricRef("recall_at_fpr", rate), steps_of(*made(4_000))).estimate
    assert ("the rate allows" in (estimate.caution or "")) == warned


@pytest.mark.parametrize("ref", [REFS[0], REFS[2], REFS[6], REFS[8]], ids=str)
def test_more_rows_make_the_interval_narrower_inside_what_few_rows_said(ref: MetricRef) -> None:
    small, large = (of(ref, steps_of(*made(rows, seed=8))).estimate for rows in (2_000, 128_000))
    assert small.ci is not None
    assert large.ci is not None
    # 64 times the rows: about an eighth of the width.
    assert 4 < (small.ci[1] - small.ci[0]) / (large.ci[1] - large.ci[0]) < 16
    assert small.ci[0] < large.ci[1]
    assert large.ci[0] < small.ci[1]
