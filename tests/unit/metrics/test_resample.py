"""Resampled cells against resampled rows, which is the bootstrap as its books describe it."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logit
from scipy.stats import norm

from ortbatch.metrics import resample
from ortbatch.metrics.intervals import Interval, wilson
from ortbatch.metrics.operating import NONE, Aim, Floats, Steps, Table, chosen, thresholds
from ortbatch.metrics.operating_metrics import _values
from ortbatch.metrics.resample import REPLICATES, Resample, run_starts
from tests.unit.metrics.test_operating import BINS, made, steps_of

TAILS = (0.025, 0.975)
CURVE = tuple[Floats, Floats, Floats]


def sorted_counts(log_odds: Floats, truth: NDArray[np.bool_]) -> CURVE:
    """Scores, falling, and tp and fp at each, of rows without ties."""
    order = np.argsort(-log_odds, kind="stable")
    return log_odds[order], np.cumsum(truth[order]), np.cumsum(~truth[order])


def choose_rows(aim: Aim, curve: CURVE) -> float:
    """Score of the best threshold on raw rows, by another way than the code has it."""
    scores, tp, fp = curve
    # Rows that were drawn twice stand beside each other: only the last of equal scores is a threshold.
    last = np.append(scores[1:] != scores[:-1], True)
    precision, recall = tp / (tp + fp), tp / tp[-1]
    if aim.min_precision is not None:
        goal = np.where(last & (precision >= aim.min_precision), recall, -1)
    elif aim.min_recall is not None:
        goal = np.where(last & (recall >= aim.min_recall), precision, -1)
    elif aim.max_fpr is not None:
        goal = np.where(last & (fp / fp[-1] <= aim.max_fpr), recall, -1)
    else:
        goal = np.where(last, 2 * tp / (tp + fp + tp[-1]), -1)
    return float(scores[np.argmax(goal)]) if goal.max() >= 0 else np.inf


def rates(log_odds: Floats, truth: NDArray[np.bool_], score: float) -> tuple[float, float, float]:
    """Precision, recall, F1 at a threshold."""
    called = log_odds >= score
    hits = int((called & truth).sum())
    return hits / max(1, called.sum()), hits / truth.sum(), 2 * hits / (called.sum() + truth.sum())


def rows_bootstrap(aim: Aim, log_odds: Floats, truth: NDArray[np.bool_], replicates: int) -> NDArray[np.float64]:
    """[replicates, 2, 3]: precision, recall, F1 of what each replicate chose, on itself and on the rows."""
    rng = np.random.default_rng(99)
    found = []
    for _ in range(replicates):
        drawn = rng.integers(0, truth.size, truth.size)
        score = choose_rows(aim, sorted_counts(log_odds[drawn], truth[drawn]))
        found.append([rates(log_odds[drawn], truth[drawn], score), rates(log_odds, truth, score)])
    return np.array(found)


AIMS = [Aim(min_precision=0.6), Aim(min_recall=0.7), Aim(max_fpr=0.05)]


@pytest.mark.parametrize("rows", [1_500, 30_000])
@pytest.mark.parametrize("aim", AIMS, ids=str)
def test_the_interval_of_a_metric_is_that_of_resampled_rows(aim: Aim, rows: int) -> None:
    log_odds, truth = made(rows, seed=5)
    steps = steps_of(log_odds, truth)
    value = float(_values(aim, Table.of(steps)))
    ours = Resample.of(steps).of_functional(value, lambda table: _values(aim, table))
    theirs = rows_bootstrap(aim, log_odds, truth, 400)[:, 0, 0 if aim.min_recall is not None else 1]
    assert ours is not None
    # The 2.5% quantile of 400 draws is itself uncertain by 0.13 standard deviations.
    assert np.abs(np.array(ours) - np.quantile(theirs, TAILS)).max() < 0.5 * theirs.std() + 2 / rows
    assert (steps.cells.size > 1_024) == (run_starts(steps).size < steps.cells.size)


@pytest.mark.parametrize("rows", [1_500, 30_000])
@pytest.mark.parametrize("aim", [Aim(), *AIMS[:2]], ids=str)
def test_the_interval_of_a_choice_is_that_of_resampled_rows(aim: Aim, rows: int) -> None:
    log_odds, truth = made(rows, seed=6)
    steps = steps_of(log_odds, truth)
    outcomes = steps.at(int(steps.cells[chosen(aim, Table.of(steps))]))
    ours = Resample.of(steps).of_choice(aim, outcomes)
    drawn = rows_bootstrap(aim, log_odds, truth, 400)
    better = drawn[:, 0] - drawn[:, 1]
    now = np.array([outcomes.tp / (outcomes.tp + outcomes.fp), outcomes.tp / (outcomes.tp + outcomes.fn), 0.0])
    now[2] = 2 * now[0] * now[1] / (now[0] + now[1])
    theirs = now - np.quantile(better, TAILS[::-1], axis=0)
    for place, name in enumerate(("precision", "recall", "f1")):
        assert np.abs(np.array(ours[name]) - theirs[:, place]).max() < 0.5 * better[:, place].std() + 2 / rows


@pytest.mark.parametrize("aim", [Aim(), Aim(min_recall=0.8), Aim(min_precision=0.8)], ids=str)
def test_the_interval_of_a_choice_holds_what_the_threshold_does_on_other_rows(aim: Aim) -> None:
    inside, width = [], []
    for seed in range(150):
        steps = steps_of(*made(1_000, seed=1_000 + seed), 4_096)
        place = int(chosen(aim, Table.of(steps)))
        outcomes = steps.at(int(steps.cells[place]))
        # Of the normal scores that `made` draws, the class's share of which is 0.2.
        score = float(logit(thresholds(4_096)[steps.cells[place]]))
        hits, alarms = 0.2 * norm.sf(score, 1.0, 1.5), 0.8 * norm.sf(score, -2.0, 1.5)
        real = (hits / (hits + alarms), hits / 0.2, 2 * hits / (hits + alarms + 0.2))
        limits = Resample.of(steps).of_choice(aim, outcomes)
        pairs = zip(("precision", "recall", "f1"), real, strict=True)
        inside.append([limits[name][0] <= value <= limits[name][1] for name, value in pairs])
        low, high = wilson(outcomes.tp, outcomes.tp + outcomes.fp)
        width.append((limits["precision"][1] - limits["precision"][0]) / (high - low))
    # 95% of 150, less three standard errors.
    assert np.mean(inside, axis=0).min() > 0.89
    assert 0.8 < np.mean(width) < 1.5


@pytest.mark.parametrize("aim", [Aim(min_recall=0.7), Aim(min_precision=0.7)], ids=str)
def test_what_putting_cells_together_loses_is_added_to_the_limits(aim: Aim, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = steps_of(*made(5_000, seed=4), 4_096)
    value = float(_values(aim, Table.of(steps)))

    def limits(runs: int) -> tuple[float, Interval]:
        monkeypatch.setattr(resample, "_RUNS_AT_LEAST", runs)
        drawn = Resample.of(steps)
        found = drawn.of_functional(value, lambda table: _values(aim, table))
        assert found is not None
        return float(_values(aim, drawn.once)), found

    _, fine = limits(5_000)
    coarse_value, coarse = limits(64)
    width = fine[1] - fine[0]
    assert value - coarse_value > 0.1 * width
    assert np.abs(np.array(fine) - np.array(coarse)).max() < 0.2 * width


def test_the_same_curve_gives_the_same_interval() -> None:
    steps = steps_of(*made(5_000))
    one, two = (Resample.of(steps).often for _ in range(2))
    assert np.array_equal(one.tp, two.tp)
    assert np.array_equal(one.fp, two.fp)


def test_every_replicate_has_the_rows_of_the_curve() -> None:
    often = Resample.of(steps_of(*made(5_000))).often
    assert often.tp.shape[0] == REPLICATES
    assert (often.own + often.rest == 5_000).all()
    assert often.own.std() == pytest.approx(np.sqrt(5_000 * 0.2 * 0.8), rel=0.15)
    assert (np.diff(often.tp, axis=1) <= 0).all()


def test_runs_are_few_and_the_class_has_half_of_them_however_rare_it_is() -> None:
    log_odds, truth = made(200_000, share=0.005)
    steps = steps_of(log_odds, truth)
    starts = run_starts(steps)
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()
    assert 600 < starts.size <= 1_024 < steps.cells.size
    # No run holds more than a few of the 512 parts of the class: recall is resolved to that.
    assert np.add.reduceat(steps.positive, starts).max() / steps.own < 4 / 512


def test_runs_resolve_a_false_positive_rate_of_one_in_ten_thousand() -> None:
    log_odds, truth = made(500_000, share=0.001)
    # Upside down, so that no row of the class helps to resolve the highest scores.
    steps = steps_of(-log_odds, truth)
    at = steps.fp[run_starts(steps)] / steps.rest
    assert np.abs(at - 1e-4).min() < 2e-5


@pytest.mark.parametrize("truth", [[], [True], [False], [True, True], [False, False, False]])
def test_curves_of_one_kind_of_row_are_resampled_without_harm(truth: list[bool]) -> None:
    steps = steps_of(np.arange(len(truth), dtype=np.float64), np.array(truth, np.bool_))
    drawn = Resample.of(steps)
    for aim in (Aim(), Aim(best="youden"), *AIMS):
        assert drawn.often.tp.shape[-1] == len(truth)
        place = int(chosen(aim, Table.of(steps)))
        if place != NONE:
            assert drawn.of_choice(aim, steps.at(int(steps.cells[place])))


def test_counts_beyond_four_billion_are_resampled() -> None:
    steps = Steps(
        BINS, np.array([100, 40_000]), np.array([9_000_000_000, 10_000_000]), np.array([3_000_000, 3_000_000_000])
    )  # fmt: skip
    low, high = Resample.of(steps).of_choice(Aim(), steps.at(40_000))["precision"]
    assert low < 300 / 301 < high
    assert high - low < 1e-5


def test_a_full_histogram_is_resampled_in_well_under_a_second() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 300, (2, BINS))
    steps = Steps(BINS, np.arange(2, BINS + 2), counts[0], counts[1])
    start = time.process_time()
    Resample.of(steps).of_choice(Aim(), steps.at(30_000))
    assert time.process_time() - start < 1
