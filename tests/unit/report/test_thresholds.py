"""The section `thresholds` against the raw scores that it was made from."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit

from ortbatch.job import Gate
from ortbatch.metrics.operating import Aim
from ortbatch.metrics.scores import LIMIT, ScoreHistogram, edges
from ortbatch.metrics.tally import Tally
from ortbatch.report.gates import judge
from ortbatch.report.report import Report
from ortbatch.report.schema import problems_of
from ortbatch.report.stored_scores import StoredScores, stored_scores
from ortbatch.report.thresholds import ALWAYS, POINTS, POINTS_OF_MANY, RECOMMENDED
from tests.unit.report.made import CATS, binary, label_tally, names, report, score_tally, timed

SETTINGS = settings(max_examples=20, deadline=None, derandomize=True, database=None)
BINS = 65_536
Bools, Floats = NDArray[np.bool_], NDArray[np.float64]


def scored(rows: int = 4_000, share: float = 0.2, seed: int = 0) -> tuple[Floats, Bools, NDArray[np.uint8]]:
    """Log-odds, truth and half."""
    rng = np.random.default_rng(seed)
    truth = rng.random(rows) < share
    return rng.normal(np.where(truth, 1.0, -2.0), 1.5), truth, rng.integers(0, 2, rows).astype(np.uint8)


def binary_of(
    log_odds: Floats, truth: Bools, half: NDArray[np.uint8] | None = None, *gates: object, **keys: object
) -> dict[str, Any]:
    """A report of these rows, positive class `dog`."""
    finite = np.clip(log_odds, -30, 30)
    tally = score_tally(truth.astype(np.int64), finite, CATS, 1)
    halves = np.zeros(truth.size, np.uint8) if half is None else half
    scores = ScoreHistogram.of(("dog",), BINS, log_odds[:, None], truth[:, None], halves)
    return report(timed(replace(tally, scores=scores)), *gates, positive=1, keys=dict(keys))


def many_of(classes: int, rows: int = 600, seed: int = 0) -> tuple[dict[str, Any], Floats, NDArray[np.int64]]:
    """A report of a multiclass model, with its scores and labels."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, rows)
    log_odds = rng.normal(np.where(true[:, None] == np.arange(classes), 1.0, -2.0), 1.5)
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (true, log_odds.argmax(axis=1)), 1)
    hit = true[:, None] == np.arange(classes)
    scores = ScoreHistogram.of(names(classes), 4_096, log_odds, hit, rng.integers(0, 2, rows).astype(np.uint8))
    tally: Tally = replace(label_tally(counts), scores=scores)
    return report(timed(tally)), log_odds, true


def curve_of(made: dict[str, Any]) -> dict[str, Any]:
    curve: dict[str, Any] = made["thresholds"]["curves"][0]
    return curve


def brute(log_odds: Floats, truth: Bools, threshold: float) -> dict[str, int]:
    called = expit(log_odds) >= threshold
    return {
        "tp": int((called & truth).sum()),
        "fp": int((called & ~truth).sum()),
        "fn": int((~called & truth).sum()),
        "tn": int((~called & ~truth).sum()),
    }


def points_of(curve: dict[str, Any]) -> list[dict[str, Any]]:
    columns = curve["points"]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def assert_points_are_exact(curve: dict[str, Any], log_odds: Floats, truth: Bools) -> None:
    for point in points_of(curve):
        counts = brute(log_odds, truth, point["threshold"])
        assert {key: point[key] for key in counts} == counts
        tp, fp, fn, tn = counts.values()
        assert point["precision"] == (tp / (tp + fp) if tp + fp else None)
        assert point["recall"] == (tp / (tp + fn) if tp + fn else None)
        assert point["fpr"] == (fp / (fp + tn) if fp + tn else None)
        assert point["f1"] == (2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None)


@pytest.mark.parametrize("seed", range(3))
def test_every_point_counts_what_a_run_with_that_threshold_would(seed: int) -> None:
    log_odds, truth, half = scored(seed=seed)
    curve = curve_of(binary_of(log_odds, truth, half))
    assert 400 < len(points_of(curve)) <= POINTS
    assert_points_are_exact(curve, log_odds, truth)


def test_points_of_every_class_count_what_its_scores_say() -> None:
    made, log_odds, true = many_of(5)
    assert made["thresholds"]["threshold"] is None
    for place, curve in enumerate(made["thresholds"]["curves"]):
        assert curve["class"] == f"class_{place}"
        assert len(points_of(curve)) <= POINTS_OF_MANY
        assert_points_are_exact(curve, log_odds[:, place], true == place)


@pytest.mark.parametrize("threshold", [0.0, 1e-30, 0.1, 0.3, 0.5, 0.987, 0.99999999999999, 1.0])
def test_edges_around_the_threshold_of_the_job_are_among_the_points(threshold: float) -> None:
    log_odds, truth, half = scored()
    made = binary_of(log_odds, truth, half, threshold=threshold)
    at = np.array(curve_of(made)["points"]["threshold"])
    assert made["thresholds"]["threshold"] == threshold
    below, above = at[at <= threshold].max(), at[at > threshold].min(initial=1.0)
    width = 2 * LIMIT / BINS
    if 1e-9 < threshold < 1 - 1e-9:
        assert logit(above) - logit(below) == pytest.approx(width)
    assert_points_are_exact(curve_of(made), log_odds, truth)


def test_rare_positives_get_half_of_the_points() -> None:
    log_odds, truth, half = scored(200_000, share=0.005)
    curve = curve_of(binary_of(log_odds, truth, half))
    recall = np.array(curve["points"]["recall"])
    assert len(recall) <= POINTS
    # The curve is drawn to 1 part in 200 of the class, and to 1 in 200 of the rest.
    assert np.abs(np.diff(recall)).max() < 1 / 150
    assert np.abs(np.diff(curve["points"]["fpr"])).max() < 1 / 150


def test_points_hold_the_whole_curve_from_all_rows_to_the_highest_score() -> None:
    log_odds, truth, half = scored()
    curve = points_of(curve_of(binary_of(log_odds, truth, half)))
    assert (curve[0]["recall"], curve[0]["fpr"]) == (1.0, 1.0)
    assert curve[-1]["tp"] + curve[-1]["fp"] == 1


def test_every_recommended_threshold_is_one_of_the_points_and_counts_exactly() -> None:
    log_odds, truth, half = scored()
    curve = curve_of(binary_of(log_odds, truth, half))
    assert list(curve["recommended"]) == list(RECOMMENDED)
    for pick in curve["recommended"].values():
        assert pick["threshold"] in curve["points"]["threshold"]
        assert pick["confusion"] == brute(log_odds, truth, pick["threshold"])


@pytest.mark.parametrize(
    ("rule", "metric"),
    [("recall_at_precision(0.9)", "recall"), ("precision_at_recall(0.9)", "precision")],
)
def test_a_recommended_threshold_has_what_the_metric_of_its_name_says(rule: str, metric: str) -> None:
    curve = curve_of(binary_of(*scored()))
    point = next(point for point in curve["operating_points"] if point["metric"] == rule)
    assert curve["recommended"][rule][metric]["value"] == point["estimate"]["value"]


def test_a_recommended_threshold_has_estimates_whose_method_takes_the_choosing_into_account() -> None:
    best = curve_of(binary_of(*scored()))["recommended"]["best_f1"]
    for name in ("precision", "recall", "f1"):
        low, high = best[name]["ci"]
        assert best[name]["method"] == "bootstrap_optimism_wilson"
        assert low < best[name]["value"] < high
        assert "caution" not in best[name]


def test_a_floor_that_no_threshold_keeps_is_null_with_the_best_there_is() -> None:
    log_odds, truth, _ = scored()
    pick = curve_of(binary_of(log_odds, ~truth))["recommended"]["recall_at_precision(0.95)"]
    assert pick["threshold"] is None
    assert pick["reason"].startswith("no threshold has a precision of at least 0.95; the best is 0.79")


def test_the_histogram_holds_every_row_in_its_cell_and_half() -> None:
    log_odds, truth, half = scored(500)
    histogram = curve_of(binary_of(log_odds, truth, half))["histogram"]
    cells = np.searchsorted(edges(BINS)[2:-1], log_odds, side="right") + 1
    for name, own, which in (
        ("negative_0", False, 0), ("positive_0", True, 0), ("negative_1", False, 1), ("positive_1", True, 1),
    ):  # fmt: skip
        expected = np.bincount(cells[(truth == own) & (half == which)], minlength=BINS + 4)
        kept = dict(zip(histogram["cell"], histogram[name], strict=True))
        assert {cell: count for cell, count in kept.items() if count} == {
            int(cell): int(expected[cell]) for cell in np.flatnonzero(expected)
        }


def test_a_stored_histogram_is_the_curve_again() -> None:
    log_odds, truth, half = scored(500)
    stored = stored_scores(binary_of(log_odds, truth, half), None)
    assert isinstance(stored, StoredScores)
    one, two = stored.steps(0), stored.steps(1)
    assert (one.own + two.own, one.rest + two.rest) == (truth.sum(), (~truth).sum())
    assert (one.own, one.rest) == ((truth & (half == 0)).sum(), (~truth & (half == 0)).sum())
    assert stored.steps().cells.size >= max(one.cells.size, two.cells.size)


def test_operating_points_are_the_usual_ones_and_those_of_the_gates() -> None:
    made = binary("recall_at_fpr(0.05) >= 0.1", "precision_at_top(0.01)[dog] >= 0", "accuracy >= 0")
    listed = [point["metric"] for point in curve_of(made)["operating_points"]]
    assert listed == [*map(str, ALWAYS), "recall_at_fpr(0.05)"]


def gate_on(made: dict[str, Any], text: str) -> dict[str, Any]:
    return judge([Gate.parse(text)], made)[0]


@pytest.mark.parametrize("name", ["recall_at_precision(0.7)", "precision_at_recall(0.33)", "recall_at_fpr(0.2)"])
def test_a_gate_that_the_run_did_not_have_is_judged_as_it_would_have_been(name: str) -> None:
    rows = scored(6_000)
    asked, other = binary_of(*rows, f"{name} >= 0.5"), binary_of(*rows)
    verdict = asked["gates"][0]
    shown = next(point for point in curve_of(asked)["operating_points"] if point["metric"] == name)
    assert (verdict["value"], verdict["ci"]) == (shown["estimate"]["value"], shown["estimate"]["ci"])
    assert gate_on(other, f"{name} >= 0.5") == verdict
    assert verdict["value"] is not None
    assert verdict["rows"] > 0


def test_a_gate_on_a_class_of_many_is_about_its_curve() -> None:
    made, log_odds, true = many_of(4)
    verdict = gate_on(made, "recall_at_fpr(0.1)[class_2] >= 0.5")
    own = true == 2
    limit = np.sort(log_odds[~own, 2])[::-1][int(0.1 * (~own).sum())]
    assert verdict["value"] == pytest.approx((log_odds[own, 2] > limit).mean(), abs=0.02)
    assert verdict["rows"] == own.sum()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("recall_at_fpr(0.1) >= 0", "say of which class; its classes are class_0, class_1, class_2"),
        ("recall_at_fpr(0.1)[cow] >= 0", "no score curve of class `cow`; it has those of class_0, class_1, class_2"),
    ],
)
def test_a_gate_without_its_class_fails_and_says_which_there_are(text: str, why: str) -> None:
    verdict = gate_on(many_of(3)[0], text)
    assert (verdict["outcome"], verdict["value"]) == ("failed", None)
    assert why in verdict["why"]


def test_a_gate_on_the_other_class_of_a_binary_model_fails_and_says_why() -> None:
    verdict = gate_on(binary(), "recall_at_fpr(0.1)[cat] >= 0")
    assert "curves are kept for the positive class, `dog`" in verdict["why"]


def test_a_gate_on_a_report_without_scores_fails_and_says_why() -> None:
    verdict = gate_on(report(label_tally([[5, 1], [1, 5]]), positive=1), "recall_at_fpr(0.1) >= 0")
    assert verdict["outcome"] == "failed"
    assert "the report has no score curves: the model puts out labels only" in verdict["why"]


def test_labels_only_leave_the_section_out() -> None:
    assert "thresholds" not in report(label_tally([[5, 1], [1, 5]]), positive=1)


DEGENERATE = {
    "one class only": ([0.5, 1.0, -2.0], [True, True, True]),
    "no positives": ([0.5, 1.0, -2.0], [False, False, False]),
    "all scores equal": ([0.25, 0.25, 0.25], [True, False, True]),
    "all 0": ([-math.inf] * 3, [True, False, True]),
    "all 1": ([math.inf] * 3, [True, False, True]),
    "0 and 1": ([-math.inf, math.inf, math.inf], [True, False, True]),
    "one row": ([0.1], [True]),
    "one other row": ([0.1], [False]),
    "beyond the bins": ([-30.0, 30.0, math.inf], [False, True, True]),
}


@pytest.mark.parametrize("what", DEGENERATE)
def test_rows_that_are_hardly_any_still_make_a_valid_section(what: str) -> None:
    scores, own = DEGENERATE[what]
    log_odds, truth = np.array(scores), np.array(own)
    made = binary_of(log_odds, truth)
    assert problems_of(made) == []
    assert_points_are_exact(curve_of(made), log_odds, truth)
    for pick in curve_of(made)["recommended"].values():
        if pick["threshold"] is None:
            assert pick["reason"]
        else:
            assert pick["confusion"] == brute(log_odds, truth, pick["threshold"])
    assert Report.decode(Report(made).encode(), "x").data == made


def test_twenty_classes_have_twenty_curves_and_a_report_of_no_great_size() -> None:
    made = many_of(20, 3_000)[0]
    assert problems_of(made) == []
    assert len(made["thresholds"]["curves"]) == 20
    assert len(Report(made).encode()) < 1_500_000


@SETTINGS
@given(
    st.lists(st.tuples(st.sampled_from([-math.inf, -30.0, -1.0, 0.0, 0.7, 30.0, math.inf]), st.booleans()), min_size=1),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_any_rows_make_a_valid_section_whose_counts_add_up(rows: list[tuple[float, bool]], threshold: float) -> None:
    log_odds, truth = np.array([score for score, _ in rows]), np.array([own for _, own in rows])
    made = binary_of(log_odds, truth, threshold=threshold)
    assert problems_of(made) == []
    for point in points_of(curve_of(made)):
        assert point["tp"] + point["fn"] == truth.sum()
        assert point["fp"] + point["tn"] == (~truth).sum()
    assert_points_are_exact(curve_of(made), log_odds, truth)


def test_recommended_aims_are_those_of_their_names() -> None:
    assert RECOMMENDED["recall_at_precision(0.95)"] == Aim(min_precision=0.95)
    assert RECOMMENDED["precision_at_recall(0.8)"] == Aim(min_recall=0.8)
