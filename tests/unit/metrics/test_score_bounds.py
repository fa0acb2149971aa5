"""The bounds of ROC AUC and average precision hold for raw scores, are attained, and survive very large counts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate, chain, product
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from ortbatch.metrics.cells import Cells
from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.scores import ScoreHistogram

ROUNDING = 1e-12
Groups = tuple[tuple[int, int], ...]  # (positives, negatives) of each tied group

edges = st.integers(-33, 33).map(lambda k: k * 0.75)
scores = st.one_of(
    edges,
    edges.map(lambda z: float(np.nextafter(z, -np.inf))),
    st.sampled_from([-math.inf, math.inf, -700.0, 700.0, -24.5, -24.25, 24.25, 24.5, 0.1, 0.2]),
    st.floats(-30, 30),
)
labelled = st.lists(st.tuples(scores, st.booleans()), min_size=2, max_size=30)


def histogram_of(z: np.ndarray, truth: np.ndarray, bins: int) -> ScoreHistogram:
    half = (np.arange(z.size) % 2).astype(np.uint8)
    return ScoreHistogram.of(["yes"], bins, z[:, None], truth[:, None], half)


def cells(negative: list[int], positive: list[int]) -> ScoreHistogram:
    """A histogram from its counts by rising cell, all in the first half."""
    counts = np.zeros((1, 2, 2, len(negative)), np.int64)
    counts[0, 0] = negative, positive
    return ScoreHistogram(("yes",), Cells.of_dense(counts))


class Bounded(NamedTuple):
    value: float
    low: float
    high: float


def bounded(estimate: Estimate) -> Bounded:
    assert estimate.value is not None
    assert estimate.bound is not None
    return Bounded(estimate.value, *estimate.bound)


def draw_normal(share: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    truth = rng.random(100_000) < share
    return rng.normal(0, 1.5, truth.size) + np.where(truth, 1.5, -1.5), truth


@settings(max_examples=200)
@given(labelled, st.sampled_from([2, 4, 64]))
def test_the_value_of_raw_scores_lies_within_the_bound(rows: list[tuple[float, bool]], bins: int) -> None:
    z, truth = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    assume(truth.any() and not truth.all())
    rank = np.unique(z, return_inverse=True)[1]  # the same order and ties, without infinities
    histogram = histogram_of(z, truth, bins)
    for score, got in (
        (roc_auc_score, histogram.curve(0).roc_auc()),
        (average_precision_score, histogram.curve(0).average_precision()),
    ):
        bound = bounded(got)
        assert bound.low - ROUNDING <= score(truth, rank) <= bound.high + ROUNDING, score.__name__
        assert bound.low <= bound.value <= bound.high


@given(st.lists(st.tuples(st.sampled_from([-math.inf, math.inf]), st.booleans()), min_size=2, max_size=30))
def test_certain_scores_are_true_ties_and_leave_no_doubt(rows: list[tuple[float, bool]]) -> None:
    z, truth = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    assume(truth.any() and not truth.all())
    histogram = histogram_of(z, truth, 64)
    for score, got in (
        (roc_auc_score, histogram.curve(0).roc_auc()),
        (average_precision_score, histogram.curve(0).average_precision()),
    ):
        bound, exact = bounded(got), score(truth, z > 0)
        assert (bound.low, bound.value, bound.high) == pytest.approx((exact, exact, exact), abs=ROUNDING)


def orders(positives: int, negatives: int) -> Iterator[Groups]:
    """Every order, with every pattern of ties, that the rows of one cell can have."""
    if not positives and not negatives:
        yield ()
    for group in product(range(positives + 1), range(negatives + 1)):
        if any(group):
            for rest in orders(positives - group[0], negatives - group[1]):
                yield (group, *rest)


def raw_orders(histogram: ScoreHistogram) -> Iterator[Groups]:
    """Every order of raw scores, best first, that these counts can come from; the outermost cells are true ties."""
    negative, positive = histogram.counts[0].sum(axis=0).tolist()
    by_cell = [list(orders(p, n)) for p, n in zip(positive, negative, strict=True)]
    for outermost in (0, -1):
        by_cell[outermost] = [((positive[outermost], negative[outermost]),)]
    return (tuple(chain.from_iterable(order)) for order in product(*reversed(by_cell)))


def average_precision_of(groups: Groups) -> Fraction:
    hits, misses = accumulate(p for p, _ in groups), accumulate(n for _, n in groups)
    steps = zip(groups, hits, misses, strict=True)
    return sum((Fraction(p * h, h + m) for (p, _), h, m in steps if p), Fraction()) / sum(p for p, _ in groups)


def roc_auc_of(groups: Groups) -> Fraction:
    hits = [0, *accumulate(p for p, _ in groups)]
    won = sum((n * (before + Fraction(p, 2)) for (p, n), before in zip(groups, hits, strict=False)), Fraction())
    return won / (hits[-1] * sum(n for _, n in groups))


def small_tables() -> list[ScoreHistogram]:
    rng = np.random.default_rng(2)
    tables = []
    while len(tables) < 40:
        counts = np.zeros((2, 6), np.int64)
        np.add.at(counts, (rng.integers(0, 2, 7), rng.choice(6, 7, p=[0.05, 0.15, 0.3, 0.3, 0.15, 0.05])), 1)
        if counts.sum(axis=1).all():
            tables.append(cells(*counts.tolist()))
    return tables


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_the_bound_is_what_the_worst_and_the_best_of_all_orders_attain(name: str) -> None:
    score = {"roc_auc": roc_auc_of, "average_precision": average_precision_of}[name]
    for histogram in small_tables():
        attained = [score(groups) for groups in raw_orders(histogram)]
        bound = bounded(getattr(histogram.curve(0), name)())
        expected = float(min(attained)), float(max(attained))
        assert (bound.low, bound.high) == pytest.approx(expected, abs=ROUNDING), histogram.counts


def test_the_enumerated_values_are_those_of_scikit_learn() -> None:
    groups: Groups = ((1, 0), (2, 1), (0, 2), (1, 1))
    truth = np.concatenate([[1] * p + [0] * n for p, n in groups])
    score = np.concatenate([[-place] * (p + n) for place, (p, n) in enumerate(groups)])
    assert float(average_precision_of(groups)) == pytest.approx(average_precision_score(truth, score))
    assert float(roc_auc_of(groups)) == pytest.approx(roc_auc_score(truth, score))


@pytest.mark.parametrize(
    ("bins", "share", "auc_error", "auc_width", "ap_error", "ap_width"),
    [
        (65_536, 0.5, 2e-6, 8e-5, 4e-5, 1e-4),
        (65_536, 0.05, 2e-6, 8e-5, 2e-4, 5e-4),
        (4_096, 0.5, 2e-5, 1.5e-3, 7e-4, 2e-3),
        (1_024, 0.5, 1e-4, 5e-3, 3e-3, 7e-3),
    ],
)
def test_bins_cost_little_on_normal_scores(
    bins: int, share: float, auc_error: float, auc_width: float, ap_error: float, ap_width: float
) -> None:
    z, truth = draw_normal(share)
    histogram = histogram_of(z, truth, bins)
    auc, precision = bounded(histogram.curve(0).roc_auc()), bounded(histogram.curve(0).average_precision())
    assert auc.value == pytest.approx(roc_auc_score(truth, z), abs=auc_error)
    assert precision.value == pytest.approx(average_precision_score(truth, z), abs=ap_error)
    assert (auc.high - auc.low < auc_width, precision.high - precision.low < ap_width) == (True, True)


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
@pytest.mark.parametrize(
    ("negative", "positive", "reason"),
    [(0, 0, "no row of this class"), (5, 0, "no row of this class"), (0, 5, "no row of another class")],
    ids=["no rows", "only the rest", "only the class"],
)
def test_one_kind_of_rows_leaves_the_curve_undefined(metric: str, negative: int, positive: int, reason: str) -> None:
    histogram = cells([0, 0, negative, 0, 0, 0], [0, 0, 0, positive, 0, 0])
    assert getattr(histogram.curve(0), metric)() == Estimate.undefined(reason)


def test_both_halves_count_towards_a_curve() -> None:
    z, truth = draw_normal(0.5)
    histogram = histogram_of(z, truth, 64)
    both = histogram.counts.sum(axis=1)
    assert cells(*both[0].tolist()).curve(0).roc_auc() == histogram.curve(0).roc_auc()


@pytest.mark.parametrize("rows", [10**10, 2**53 - 1, 2**56])
def test_values_of_very_large_cells_keep_nine_digits(rows: int) -> None:
    rng = np.random.default_rng(3)
    share = rng.uniform(0.1, 1, (2, 36))
    negative, positive = ([int(rows * part) for part in side] for side in share)
    groups = tuple(zip(positive, negative, strict=True))[::-1]
    histogram = cells(negative, positive)
    assert bounded(histogram.curve(0).roc_auc()).value == pytest.approx(float(roc_auc_of(groups)), abs=1e-12)
    assert bounded(histogram.curve(0).average_precision()).value == pytest.approx(
        float(average_precision_of(groups)), abs=1e-12
    )


@pytest.mark.parametrize("rows", [10**10, 2**53 - 1, 2**56])
def test_the_auc_bound_of_very_large_cells_is_exact(rows: int) -> None:
    tied = cells([0, 0, rows, 7, 0, 0], [0, 0, rows - 1, rows, 0, 0])
    bound = bounded(tied.curve(0).roc_auc())
    pairs = (rows + 7) * (2 * rows - 1)
    high = Fraction(rows * (2 * rows - 1) + 7 * rows, pairs)
    low = Fraction(rows * rows, pairs)
    assert (bound.low, bound.high) == pytest.approx((float(low), float(high)), abs=1e-12)


@pytest.mark.parametrize("hits_before", [0, 3, 1_000, 10**9, 10**13])
@pytest.mark.parametrize("misses", [0, 1, 5, 990, 1_010, 10**6, 10**9, 10**10, 10**15])
@pytest.mark.parametrize("own", [1, 2, 10, 1_000])
def test_the_worst_order_of_a_cell_is_summed_without_cancellation(own: int, misses: int, hits_before: int) -> None:
    """Two digammas of a billion differ by too few digits: their difference once put `low` above the truth."""
    histogram = cells([1, 0, 0, misses, 0, 0], [0, 0, 0, own, hits_before, 0])
    best_first = math.fsum((hits_before + hit) / (hits_before + hit + misses) for hit in range(1, own + 1))
    expected = (hits_before + best_first) / (hits_before + own)
    assert bounded(histogram.curve(0).average_precision()).low == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("vast", [2**53, 2**54, 2**60])
def test_few_rows_above_a_vast_cell_are_not_lost(vast: int) -> None:
    histogram = cells([0, 0, vast, 5, 0, 0], [0, 0, 1, 0, 0, 0])
    assert bounded(histogram.curve(0).average_precision()).high == pytest.approx(1 / 6)


@pytest.mark.parametrize("own", [10**10, 2**53, 2**58])
@pytest.mark.parametrize("misses", [1, 10**10, 2**58])
def test_the_worst_order_of_a_vast_cell_lies_between_its_integrals(own: int, misses: int) -> None:
    histogram = cells([1, 0, 0, misses, 0, 0], [0, 0, 0, own, 0, 0])
    low = bounded(histogram.curve(0).average_precision()).low
    integral = 1 - misses / own * math.log1p(own / misses)  # of x / (x + misses) over [0, own], divided by own
    assert integral - 1e-12 <= low <= integral + 1 / own + 1e-12
