"""Calibration from score bins agrees with raw scores: scikit-learn's curve, and sums over rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from ortbatch.metrics.cells import Cells
from ortbatch.metrics.scores import ONE_VS_REST_BINS, ScoreHistogram
from ortbatch.metrics.tally import CONFIDENCE, Tally
from ortbatch.report.calibration import BINS, calibration_section
from ortbatch.report.encode import plain
from ortbatch.report.quality import quality_section
from tests.unit.report.made import label_tally, multiclass, names, score_tally

EDGES = np.arange(BINS + 1) / BINS


def drawn(rows: int = 40_000, steep: float = 1.0, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds, and truths that are as likely as expit(steep · log-odds) says."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-0.5, 2.0, rows)
    return odds, rng.random(rows) < expit(steep * odds)


def section_of(odds: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    made = calibration_section(score_tally(truth.astype(np.int64), odds, ("no", "yes"), 1), 1)
    return dict(plain(made))


def ece_of(p: np.ndarray, truth: np.ndarray) -> float:
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    return float(np.abs(np.bincount(place, p, BINS) - np.bincount(place, truth, BINS)).sum() / p.size)


@pytest.mark.parametrize("steep", [1.0, 0.5, 2.0])
def test_the_error_is_that_of_raw_scores(steep: float) -> None:
    odds, truth = drawn(steep=steep)
    section = section_of(odds, truth)
    assert section["ece"]["value"] == pytest.approx(ece_of(expit(odds), truth), abs=3e-4)
    assert section["mean_score"] == pytest.approx(expit(odds).mean(), abs=1e-6)
    assert section["share"]["value"] == truth.mean()


def test_bins_are_those_of_scikit_learn() -> None:
    odds, truth = drawn()
    shares, means = calibration_curve(truth, expit(odds), n_bins=BINS)
    bins = section_of(odds, truth)["bins"]
    assert [b["share"]["value"] for b in bins] == pytest.approx(shares.tolist(), abs=2e-3)
    assert [b["mean_score"] for b in bins] == pytest.approx(means.tolist(), abs=2e-4)


def test_ends_of_bins_lie_next_to_fifteenths_and_no_row_is_on_the_wrong_side() -> None:
    odds, truth = drawn()
    bins = section_of(odds, truth)["bins"]
    assert [b["low"] for b in bins] == pytest.approx(EDGES[:-1].tolist(), abs=1e-4)
    inside = [((expit(odds) >= b["low"]) & (expit(odds) < b["high"])).sum() for b in bins]
    assert [b["rows"] for b in bins] == inside
    assert sum(inside) == odds.size


def test_the_bound_holds_the_error_in_the_same_bins_of_raw_scores() -> None:
    odds, truth = drawn(2_000)
    section = section_of(odds, truth)
    p, ends = expit(odds), [b["low"] for b in section["bins"]]
    place = np.searchsorted(ends, p, side="right") - 1
    exact = np.abs(np.bincount(place, p) - np.bincount(place, truth)).sum() / p.size
    low, high = section["ece"]["bound"]
    assert low <= exact <= high
    assert high - low < 5e-4


def test_what_chance_shows_is_what_calibrated_scores_show() -> None:
    shown, expected = [], []
    for seed in range(200):
        odds, truth = drawn(1_500, seed=seed)
        section = section_of(odds, truth)
        shown.append(section["ece"]["value"])
        expected.append(section["ece_if_calibrated"])
    assert np.mean(shown) == pytest.approx(np.mean(expected), rel=0.05)


@pytest.mark.parametrize(("steep", "sign"), [(0.5, 1), (2.0, -1)])
def test_scores_too_far_out_are_told_from_scores_too_timid(steep: float, sign: int) -> None:
    section = section_of(*drawn(steep=steep))
    assert section["overconfidence"] * sign > 0.03
    assert abs(section["overconfidence"]) == pytest.approx(section["ece"]["value"], rel=0.05)


def test_the_brier_score_is_the_sum_of_its_parts() -> None:
    odds, truth = drawn(steep=0.5)
    parts = section_of(odds, truth)["brier"]
    whole = parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within_bins"]
    assert whole == pytest.approx(brier_score_loss(truth, expit(odds)), abs=1e-9)
    assert parts["uncertainty"] == pytest.approx(truth.mean() * (1 - truth.mean()), abs=1e-12)
    place = np.minimum((expit(odds) * BINS).astype(int), BINS - 1)
    rows = np.bincount(place, minlength=BINS)
    share = np.bincount(place, truth, BINS) / rows
    assert parts["resolution"] == pytest.approx(rows @ (share - truth.mean()) ** 2 / odds.size, abs=1e-5)
    assert abs(parts["within_bins"]) < 1e-3


def test_certain_scores_are_in_the_outer_bins() -> None:
    odds = np.array([-np.inf, -np.inf, np.inf, np.inf, 0.0])
    truth = np.array([False, True, True, True, False])
    histogram = ScoreHistogram.of(["yes"], 65_536, odds[:, None], truth[:, None], np.zeros(5, np.uint8))
    tally = score_tally(truth.astype(np.int64), np.where(np.isinf(odds), np.sign(odds), odds), ("no", "yes"), 1)
    made = plain(calibration_section(type(tally)(**{**vars(tally), "scores": histogram}), 1))
    assert [(b["rows"], b["mean_score"]) for b in made["bins"]] == [
        (2, 0.0),
        (1, pytest.approx(0.5, abs=1e-3)),
        (2, 1.0),
    ]
    assert made["ece"]["value"] == pytest.approx((1 + 0.5) / 5, abs=1e-3)


def confident(rows: int = 20_000) -> tuple[Tally, np.ndarray, np.ndarray]:
    """A tally of three classes with the confidence of each prediction, and whether it is right."""
    rng = np.random.default_rng(4)
    sure = rng.uniform(0.34, 0.999, rows)
    right = rng.random(rows) < sure**1.5
    half = np.zeros(rows, np.uint8)
    histogram = ScoreHistogram.of(CONFIDENCE, ONE_VS_REST_BINS, logit(sure)[:, None], right[:, None], half)
    hits = int(right.sum())
    tally = label_tally([[hits, rows - hits, 0], [0, 0, 0], [0, 0, 0]])
    ranks = Cells.of((11,), np.where(right, 0, 1).astype(np.int64))
    return type(tally)(**{**vars(tally), "confidence": histogram, "ranks": ranks}), sure, right


def test_a_model_of_many_classes_is_asked_of_its_predictions() -> None:
    tally, sure, right = confident()
    made = plain(calibration_section(tally, None))
    assert made["of"] == "predicted class"
    assert "brier" not in made
    assert made["ece"]["value"] == pytest.approx(ece_of(sure, right), abs=2e-3)
    assert made["share"]["value"] == right.mean()


def test_the_surest_rows_are_right_as_often_as_they_are() -> None:
    tally, sure, right = confident()
    points = plain(calibration_section(tally, None))["risk_coverage"]
    assert points[-1]["coverage"] == 1.0
    assert points[-1]["accuracy"]["value"] == right.mean()
    for point in points:
        kept = sure >= point["confidence"]
        assert point["coverage"] == pytest.approx(kept.mean(), abs=1e-9)
        assert point["accuracy"]["value"] == pytest.approx(right[kept].mean(), abs=1e-9)
    assert len(points) <= 100
    assert [p["coverage"] for p in points] == sorted({p["coverage"] for p in points})


def test_top_k_accuracy_is_there_for_each_k_below_the_number_of_classes() -> None:
    tally, _, right = confident()
    quality = plain(quality_section(tally, None))
    assert [name for name in quality if name.startswith("top_")] == ["top_2_accuracy"]
    assert quality["top_2_accuracy"]["value"] == 1.0
    assert quality["ece"] == plain(calibration_section(tally, None))["ece"]
    assert right.mean() == quality["accuracy"]["value"]


def test_a_model_of_labels_has_no_calibration() -> None:
    made = multiclass()
    assert "calibration" not in made
    assert made["quality"]["ece"]["reason"] == "the model puts out labels only"


def test_without_rows_there_is_none() -> None:
    assert calibration_section(Tally.empty(names(2), names(2)[1:]), 1) is None
    assert calibration_section(Tally.empty(names(5), names(5)), None) is None
