"""Thresholds against brute force: every pick is the best one on raw scores, to the width of a bin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.metrics import precision_recall_curve, roc_curve

from ortbatch.metrics.operating import NONE, Aim, Steps, Table, chosen, costs, thresholds, unusable, why_none
from ortbatch.metrics.scores import LIMIT, ScoreHistogram

BINS = 65_536
WIDTH = 2 * LIMIT / BINS
SETTINGS = settings(max_examples=150, deadline=None, derandomize=True, database=None)
Bools, Floats = NDArray[np.bool_], NDArray[np.float64]


def steps_of(log_odds: Floats, truth: Bools, bins: int = BINS) -> Steps:
    half = np.zeros(truth.size, np.uint8)
    return Steps.of(ScoreHistogram.of(("a",), bins, log_odds[:, None], truth[:, None], half).curve(0))


def made(rows: int = 3_000, share: float = 0.2, seed: int = 0) -> tuple[Floats, Bools]:
    """Log-odds and truth of an average model."""
    rng = np.random.default_rng(seed)
    truth = rng.random(rows) < share
    return rng.normal(np.where(truth, 1.0, -2.0), 1.5), truth


def brute(log_odds: Floats, truth: Bools, threshold: float) -> tuple[int, int]:
    """tp and fp of a run with this threshold, row by row."""
    called = expit(log_odds) >= threshold
    return int((called & truth).sum()), int((called & ~truth).sum())


def best_by_brute_force(aim: Aim, log_odds: Floats, truth: Bools) -> tuple[float, Floats]:
    """The best value over all raw scores, and the log-odds of every threshold with it: scikit-learn's curves."""
    scores = expit(log_odds)
    precision, recall, at = precision_recall_curve(truth, scores)
    fpr, tpr, roc_at = roc_curve(truth, scores, drop_intermediate=False)
    precision, recall = precision[:-1], recall[:-1]
    if aim.min_precision is not None:
        goal = np.where(precision >= aim.min_precision, recall, -1)
    elif aim.min_recall is not None:
        goal = np.where(recall >= aim.min_recall, precision, -1)
    elif aim.max_fpr is not None:
        goal, at = np.where(fpr <= aim.max_fpr, tpr, -1), roc_at
    elif aim.best == "youden":
        goal, at = tpr - fpr, roc_at
    elif aim.cost is not None:
        goal, at = -(aim.cost[0] * (1 - tpr) * truth.sum() + aim.cost[1] * fpr * (~truth).sum()), roc_at
    else:
        goal = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(goal.max()), logit(at[np.isclose(goal, goal.max(), rtol=0, atol=1e-12)])


def value_of(aim: Aim, tp: int, fp: int, truth: Bools) -> float:
    own, rest = int(truth.sum()), int((~truth).sum())
    if aim.min_recall is not None:
        return tp / (tp + fp)
    if aim.min_precision is not None or aim.max_fpr is not None:
        return tp / own
    if aim.best == "youden":
        return tp / own - fp / rest
    if aim.cost is not None:
        return -(aim.cost[0] * (own - tp) + aim.cost[1] * fp)
    return 2 * tp / (2 * tp + fp + own - tp)


AIMS = [
    Aim(), Aim(best="youden"), Aim(cost=(10, 1)), Aim(cost=(1, 3)), Aim(max_fpr=0.05), Aim(max_fpr=0.3),
    *(Aim(min_recall=floor) for floor in (0.5, 0.8, 0.95, 1.0)),
    *(Aim(min_precision=floor) for floor in (0.3, 0.8, 0.9)),
]  # fmt: skip


@pytest.mark.parametrize("aim", AIMS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_a_pick_is_as_good_as_the_best_raw_score_and_within_one_bin_of_it(aim: Aim, seed: int) -> None:
    log_odds, truth = made(seed=seed)
    steps = steps_of(log_odds, truth)
    threshold = thresholds(BINS)[steps.cells[chosen(aim, Table.of(steps))]]
    best, at = best_by_brute_force(aim, log_odds, truth)
    value = value_of(aim, *brute(log_odds, truth, threshold), truth)
    # Two scores that share a cell of 65,536 may not be told apart: that is worth a few rows of 3,000.
    assert best - 5e-3 * max(1.0, abs(best)) <= value <= best + 1e-12
    if value == pytest.approx(best, abs=1e-12):
        assert np.nanmin(np.abs(logit(threshold) - at)) <= WIDTH


@pytest.mark.parametrize("aim", AIMS, ids=str)
def test_where_no_two_scores_share_a_cell_the_pick_is_the_optimum_itself(aim: Aim) -> None:
    rng = np.random.default_rng(3)
    log_odds = (rng.choice(8_000, 600, replace=False) - 4_000 + 0.5) * WIDTH
    truth = rng.random(600) < expit(log_odds)
    steps = steps_of(log_odds, truth)
    threshold = thresholds(BINS)[steps.cells[chosen(aim, Table.of(steps))]]
    best, at = best_by_brute_force(aim, log_odds, truth)
    assert value_of(aim, *brute(log_odds, truth, threshold), truth) == pytest.approx(best, abs=1e-12)
    assert np.nanmin(np.abs(at - logit(threshold))) <= WIDTH


def test_counts_at_every_threshold_are_those_of_the_raw_scores() -> None:
    log_odds, truth = made(500)
    steps = steps_of(log_odds, truth)
    for place, threshold in enumerate(thresholds(BINS)[steps.cells]):
        assert (steps.tp[place], steps.fp[place]) == brute(log_odds, truth, threshold)


@pytest.mark.parametrize("cell", [0, 1, 2, 32_770, 33_000, BINS + 2, BINS + 3])
def test_counts_at_any_cell_are_those_of_the_raw_scores(cell: int) -> None:
    log_odds, truth = made(500)
    outcomes = steps_of(log_odds, truth).at(cell)
    tp, fp = brute(log_odds, truth, thresholds(BINS)[cell])
    assert outcomes == (tp, fp, truth.sum() - tp, (~truth).sum() - fp)


def test_one_half_is_a_threshold_itself_and_thresholds_rise() -> None:
    lowest = thresholds(BINS)
    assert lowest[BINS // 2 + 2] == 0.5
    assert (np.diff(lowest) > 0).all()
    assert (lowest[0], lowest[-1]) == (0.0, 1.0)


def test_the_second_threshold_is_any_probability_above_0() -> None:
    log_odds, truth = np.array([-math.inf, -700.0, -30.0, 1.0]), np.array([False, True, False, True])
    steps = steps_of(log_odds, truth)
    assert brute(log_odds, truth, thresholds(BINS)[1]) == steps.at(1)[:2] == (2, 1)


def test_a_threshold_of_1_is_no_choice_if_rows_lie_just_below_it() -> None:
    # A run with threshold 1 takes log-odds of 40 with it: their probability is 1 in float64.
    log_odds, truth = np.array([math.inf, 40.0, 0.0]), np.array([True, False, False])
    steps = steps_of(log_odds, truth)
    assert unusable(steps) == [BINS + 3]
    assert brute(log_odds, truth, 1.0) == (1, 1)
    assert steps.cells[chosen(Aim(), Table.of(steps))] == BINS + 2


def test_a_threshold_of_1_is_a_choice_if_none_do() -> None:
    steps = steps_of(np.array([math.inf, 0.0]), np.array([True, False]))
    assert thresholds(BINS)[steps.cells[chosen(Aim(), Table.of(steps))]] == 1.0


@pytest.mark.parametrize("aim", AIMS, ids=str)
def test_nothing_is_chosen_where_no_row_is_of_the_class(aim: Aim) -> None:
    log_odds, _ = made(50)
    steps = steps_of(log_odds, np.zeros(50, np.bool_))
    assert chosen(aim, Table.of(steps)) == NONE
    assert why_none(aim, steps) == "no row of this class"


@pytest.mark.parametrize("aim", [Aim(best="youden"), Aim(max_fpr=0.1)], ids=str)
def test_what_is_about_the_rest_needs_rows_of_it(aim: Aim) -> None:
    log_odds, _ = made(50)
    steps = steps_of(log_odds, np.ones(50, np.bool_))
    assert chosen(aim, Table.of(steps)) == NONE
    assert why_none(aim, steps) == "no row of another class"


@pytest.mark.parametrize("aim", [Aim(), Aim(min_recall=0.5), Aim(min_precision=0.5), Aim(cost=(1, 1))], ids=str)
def test_of_no_rows_at_all_nothing_is_chosen(aim: Aim) -> None:
    steps = steps_of(np.empty(0), np.empty(0, np.bool_))
    assert chosen(aim, Table.of(steps)) == NONE


@pytest.mark.parametrize(("score", "threshold"), [(-math.inf, 0.0), (math.inf, 1.0), (0.0, 0.5)])
def test_of_rows_of_one_score_all_are_positive(score: float, threshold: float) -> None:
    truth = np.array([True, False, True])
    steps = steps_of(np.full(3, score), truth)
    assert steps.cells.size == 1
    assert thresholds(BINS)[steps.cells[chosen(Aim(), Table.of(steps))]] == threshold


def test_an_impossible_floor_of_precision_is_told_with_the_best_there_is() -> None:
    steps = steps_of(np.array([2.0, 1.0, 0.0, 1.0]), np.array([False, True, True, True]))
    assert chosen(Aim(min_precision=0.9), Table.of(steps)) == NONE
    said = "no threshold has a precision of at least 0.9; the best is 0.75, with a recall of 1"
    assert why_none(Aim(min_precision=0.9), steps) == said


def test_an_impossible_false_positive_rate_is_told_with_the_least_there_is() -> None:
    steps = steps_of(np.array([2.0, 1.0]), np.array([False, True]))
    said = "no threshold has a false positive rate of at most 0.5; the least is 1"
    assert why_none(Aim(max_fpr=0.5), steps) == said


def test_a_share_that_equals_its_floor_keeps_it() -> None:
    # 9 of 10 as floating point is the 0.9 that people write; 10 of 16 are below it.
    log_odds, truth = np.repeat([1.0, -1.0], [10, 6]), np.array([True] * 9 + [False] * 6 + [True])
    steps = steps_of(log_odds, truth)
    assert steps.at(int(steps.cells[chosen(Aim(min_precision=0.9), Table.of(steps))])) == (9, 1, 1, 5)


def test_equally_good_thresholds_the_highest_is_taken() -> None:
    log_odds, truth = np.array([2.0, 1.0]), np.array([True, False])
    steps = steps_of(log_odds, truth)
    assert steps.cells[chosen(Aim(cost=(1, 0)), Table.of(steps))] == steps.cells[-1]


SCORES = st.sampled_from([-math.inf, -30.0, -1.0, 0.0, 0.5, 3.0, 25.0, math.inf])


@SETTINGS
@given(st.lists(st.tuples(SCORES, st.booleans()), max_size=40), st.sampled_from(AIMS))
def test_counts_keep_their_laws_and_a_pick_keeps_what_was_asked(rows: list[tuple[float, bool]], aim: Aim) -> None:
    log_odds = np.array([score for score, _ in rows], np.float64)
    truth = np.array([own for _, own in rows], np.bool_)
    steps = steps_of(log_odds, truth, 64)
    assert steps.own + steps.rest == len(rows)
    for cell in steps.cells.tolist():
        outcomes = steps.at(cell)
        assert sum(outcomes) == len(rows)
        assert min(outcomes) >= 0
        assert outcomes.tp + outcomes.fn == truth.sum()
    assert (np.diff(steps.tp) <= 0).all()
    assert (np.diff(steps.fp) <= 0).all()
    place = int(chosen(aim, Table.of(steps)))
    if place != NONE:
        tp, fp, fn, tn = steps.at(int(steps.cells[place]))
        assert tp + fp > 0
        assert aim.min_recall is None or tp / (tp + fn) >= aim.min_recall
        assert aim.min_precision is None or tp / (tp + fp) >= aim.min_precision
        assert aim.max_fpr is None or fp / (fp + tn) <= aim.max_fpr


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"min_recall": 0.0}, "above 0 and at most 1, got 0"),
        ({"min_recall": math.nan}, "above 0 and at most 1, got nan"),
        ({"min_precision": 1.01}, "above 0 and at most 1, got 1.01"),
        ({"max_fpr": 1.0}, "from 0 to below 1, got 1"),
        ({"cost": (0, 0)}, "not both 0"),
        ({"cost": (-1, 1)}, "none below 0"),
        ({"cost": (math.inf, 1)}, "expected two costs"),
        ({"best": "g"}, "expected f1 or youden"),
        ({"min_recall": 0.5, "min_precision": 0.5}, "one thing, got min_recall and min_precision"),
        ({"cost": (1, 1), "best": "youden"}, "one thing, got cost and best"),
    ],
)
def test_an_aim_that_makes_no_sense_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Aim(**wrong)


@pytest.mark.parametrize("text", ["", "fn=1", "fn=1,fp", "fn=1,fp=1,tn=1", "fn=1,fn=2", "fn=x,fp=1", "fn=nan,fp=1"])
def test_costs_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        costs(text)
