"""Choosing from a stored report: the same as from the rows, with the job's own threshold beside it."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

import ortbatch
from ortbatch.errors import ReportError
from ortbatch.metrics.intervals import wilson
from ortbatch.metrics.operating import Aim
from ortbatch.report.choose import ThresholdChoice
from ortbatch.report.encode import encode, plain
from ortbatch.report.report import Report
from ortbatch.report.summary import print_summary
from ortbatch.report.threshold_text import print_choice
from tests.unit.report.made import label_tally, report
from tests.unit.report.test_thresholds import binary_of, brute, many_of, scored

ROWS = scored(4_000)
LOG_ODDS, TRUTH, HALF = ROWS


@pytest.fixture(scope="module")
def stored() -> Report:
    return Report(binary_of(*ROWS), "runs/one/report.json")


def pick(stored: Report, aim: Aim | None = None, **options: Any) -> ThresholdChoice:
    return ortbatch.pick_threshold(stored, aim, **options)


AIMS = [Aim(), Aim(min_recall=0.9), Aim(min_precision=0.8), Aim(cost=(10, 1)), Aim(best="youden"), Aim(max_fpr=0.1)]


@pytest.mark.parametrize("aim", AIMS, ids=str)
def test_counts_are_those_of_a_run_with_the_threshold_chosen(stored: Report, aim: Aim) -> None:
    picked = pick(stored, aim).picked
    assert picked.confusion._asdict() == brute(LOG_ODDS, TRUTH, picked.threshold)
    tp, fp, fn, _ = picked.confusion
    assert picked.precision.value == tp / (tp + fp)
    assert picked.recall.value == tp / (tp + fn)
    assert picked.f1.value == 2 * tp / (2 * tp + fp + fn)


@pytest.mark.parametrize(("aim", "rule"), [(None, "best_f1"), (Aim(min_recall=0.8), "precision_at_recall(0.8)")])
def test_what_the_report_recommends_is_what_is_chosen(stored: Report, aim: Aim | None, rule: str) -> None:
    shown = stored.data["thresholds"]["curves"][0]["recommended"][rule]
    asked = plain(pick(stored, aim).as_json())["picked"]
    assert asked == shown


def test_floors_are_kept_on_the_rows_that_chose(stored: Report) -> None:
    assert (pick(stored, Aim(min_recall=0.93)).picked.recall.value or 0) >= 0.93
    assert (pick(stored, Aim(min_precision=0.87)).picked.precision.value or 0) >= 0.87


def test_the_least_cost_is_that_of_every_raw_score_tried(stored: Report) -> None:
    picked = pick(stored, Aim(cost=(7, 2))).picked
    order = np.argsort(-LOG_ODDS, kind="stable")
    costs = 7 * (TRUTH.sum() - np.cumsum(TRUTH[order])) + 2 * np.cumsum(~TRUTH[order])
    assert 7 * picked.confusion.fn + 2 * picked.confusion.fp == pytest.approx(costs.min(), rel=0.01)


def test_the_current_threshold_stands_beside_it_as_the_run_counted_it(stored: Report) -> None:
    current = pick(stored).current
    assert current is not None
    assert current.threshold == 0.5
    assert current.confusion._asdict() == brute(LOG_ODDS, TRUTH, 0.5)
    assert current.recall.ci == wilson(current.confusion.tp, int(TRUTH.sum()))
    assert current.recall.method == "wilson"


def test_intervals_of_a_choice_are_at_least_as_wide_as_those_of_a_threshold_given_beforehand(stored: Report) -> None:
    picked = pick(stored).picked
    low, high = wilson(picked.confusion.tp, picked.confusion.tp + picked.confusion.fp)
    assert picked.precision.ci is not None
    assert picked.precision.ci[0] <= low < high <= picked.precision.ci[1]
    assert picked.precision.method == "bootstrap_optimism_wilson"


def test_confirming_chooses_on_one_half_and_judges_on_the_other(stored: Report) -> None:
    choice = pick(stored, Aim(min_precision=0.8), confirm=True)
    first, second = HALF == 0, HALF == 1
    assert choice.confirmed is not None
    threshold = choice.picked.threshold
    assert choice.confirmed.threshold == threshold
    assert choice.picked.confusion._asdict() == brute(LOG_ODDS[first], TRUTH[first], threshold)
    assert choice.confirmed.confusion._asdict() == brute(LOG_ODDS[second], TRUTH[second], threshold)
    assert (choice.picked.precision.value or 0) >= 0.8
    assert choice.confirmed.precision.method == "wilson"


def test_choosing_and_judging_on_the_same_rows_is_optimistic_and_confirming_is_not() -> None:
    looked, confirmed = [], []
    for seed in range(30):
        choice = pick(Report(binary_of(*scored(300, seed=seed))), confirm=True)
        assert choice.confirmed is not None
        looked.append(choice.picked.f1.value)
        confirmed.append(choice.confirmed.f1.value)
    assert np.mean(looked) > np.mean(confirmed) + 0.01  # type: ignore[arg-type]


def test_a_class_of_many_is_chosen_for_by_name() -> None:
    made, log_odds, true = many_of(4)
    choice = pick(Report(made), class_name="class_3")
    assert choice.current is None
    assert choice.picked.confusion._asdict() == brute(log_odds[:, 3], true == 3, choice.picked.threshold)


def test_where_calling_nothing_positive_costs_less_it_is_said() -> None:
    log_odds, truth, half = scored()
    note = pick(Report(binary_of(-log_odds, truth, half)), Aim(cost=(1, 50))).note
    assert note is not None
    assert re.fullmatch(rf"calling nothing positive would cost less: {truth.sum()} instead of [\d,]+", note)
    assert pick(Report(binary_of(log_odds, truth, half)), Aim(cost=(10, 1))).note is None


LABELS_ONLY = report(label_tally([[5, 1], [1, 5]]), positive=1)
NO_POSITIVES = binary_of(np.array([0.5, 1.0]), np.array([False, False]))


@pytest.mark.parametrize(
    ("made", "options", "said"),
    [
        (LABELS_ONLY, {}, "the report has no score curves: the model puts out labels only"),
        (binary_of(*scored(50)), {"class_name": "cow"}, "no score curve of class `cow`; it has those of dog"),
        (binary_of(*scored(50)), {"class_name": "cat"}, "curves are kept for the positive class, `dog`"),
        (many_of(3)[0], {}, "say of which class; its classes are class_0, class_1, class_2"),
        (NO_POSITIVES, {}, "class `dog`: no row of this class"),
        (NO_POSITIVES, {"confirm": True}, "class `dog`, on one half of the rows: no row of this class"),
        (binary_of(-LOG_ODDS, TRUTH), {"aim": Aim(min_precision=0.99)}, "of at least 0.99; the best is 0."),
    ],
)  # fmt: skip
def test_what_cannot_be_chosen_is_one_clear_error(made: dict[str, Any], options: dict[str, Any], said: str) -> None:
    with pytest.raises(ReportError) as caught:
        ortbatch.pick_threshold(Report(made, "here/report.json"), options.pop("aim", None), **options)
    assert said in str(caught.value)
    assert str(caught.value).startswith("here/report.json: ")
    assert caught.value.exit_code == 2


def shown(choice: ThresholdChoice, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_choice(choice, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_text_says_what_was_asked_what_was_found_and_how_to_use_it(stored: Report) -> None:
    choice = pick(stored, Aim(min_recall=0.9))
    text = words(shown(choice))
    assert text.startswith("class dog: best precision at a recall of at least 0.9 picked 95% interval current")
    assert f"tp {choice.picked.confusion.tp:,} " in text
    assert f"use it: --set threshold={choice.picked.threshold!r}" in text
    assert "Chosen and judged on the same rows, it looks better than it is" in text


def test_the_text_of_a_confirmed_choice_shows_both_halves(stored: Report) -> None:
    text = words(shown(pick(stored, confirm=True)))
    assert "chosen on a half judged on the rest 95% interval current, all" in text
    assert "looks better than it is" not in text


def test_the_text_of_a_class_of_many_tells_that_the_run_takes_the_largest_score() -> None:
    text = words(shown(pick(Report(many_of(3)[0]), class_name="class_1")))
    assert "predicts the class of largest score" in text
    assert "--set" not in text


def test_the_text_warns_of_few_rows() -> None:
    assert "below 1,000 and 50" in words(shown(pick(Report(binary_of(*scored(100))))))


@pytest.mark.parametrize("confirm", [False, True])
def test_no_line_is_wider_than_80_columns(stored: Report, confirm: bool) -> None:
    assert max(map(cell_len, shown(pick(stored, confirm=confirm)).splitlines())) <= 80


def test_a_choice_is_strict_json(stored: Report) -> None:
    text = encode(plain(pick(stored, confirm=True).as_json()))
    assert '"aim": "best F1"' in text
    assert "NaN" not in text


def summary(made: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    print_summary(made, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_summary_holds_the_threshold_of_the_job_against_the_best_f1(stored: Report) -> None:
    best = stored.data["thresholds"]["curves"][0]["recommended"]["best_f1"]
    lines = [words(line) for line in summary(dict(stored.data)).splitlines()]
    own = stored.quality
    numbers = ", ".join(f"{name} {own[name].value:.4f}" for name in ("precision", "recall", "f1"))
    assert f"threshold 0.5 {numbers}" in lines
    at = next(line for line in lines if line.startswith("best F1 at"))
    assert at.startswith(f"best F1 at {best['threshold']:.6g} precision {best['precision']['value']:.4f}, ")


@pytest.mark.parametrize("made", [LABELS_ONLY, many_of(3)[0]], ids=["labels only", "multiclass"])
def test_the_summary_of_other_reports_says_nothing_of_thresholds(made: dict[str, Any]) -> None:
    assert "best F1" not in summary(made)


def test_a_report_without_a_best_threshold_is_summed_up_too() -> None:
    assert "threshold 0.5" in words(summary(NO_POSITIVES))


def test_thresholds_at_the_ends_are_shown_and_used_as_they_are() -> None:
    made = binary_of(np.array([math.inf, -math.inf, -math.inf]), np.array([True, False, True]))
    assert "--set threshold=1.0" in shown(pick(Report(made), Aim(min_precision=0.9)))
    assert "--set threshold=0.0" in shown(pick(Report(made), Aim(min_recall=1.0)))
