"""The section on thresholds: what the script is given, and what stands without it."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from ortbatch.metrics.scores import ScoreHistogram
from ortbatch.report.page.blocks import Fragment, Section
from ortbatch.report.page.explorer import own_outcomes, thresholds
from tests.unit.report import made
from tests.unit.report.page.cells import cell, keyed, tables, texts


@cache
def _section(text: str) -> Section:
    """Drawn once for each report: pictures take a while."""
    found = thresholds(json.loads(text))
    assert found is not None
    return found


def section(report: dict[str, Any]) -> Section:
    return _section(json.dumps(report))


def given(report: dict[str, Any]) -> dict[str, Any]:
    """What the script gets."""
    fragment = next(block for block in section(report).blocks if isinstance(block, Fragment))
    return json.loads(json.dumps(fragment.values["data"]))  # type: ignore[no-any-return]


def many(*classes: str) -> dict[str, Any]:
    """Three classes with one curve each."""
    rng = np.random.default_rng(0)
    true = np.arange(90) % 3
    curves = ScoreHistogram.of(
        classes, 64, rng.normal(size=(90, 3)), true[:, None] == np.arange(3), np.zeros(90, np.uint8)
    )
    tally = made.label_tally(np.diag([30, 30, 30]), classes)
    return made.report(replace(made.timed(tally), scores=curves))


def test_a_model_that_puts_out_labels_has_no_section() -> None:
    assert thresholds(made.multiclass()) is None


def test_the_script_gets_all_stored_points_as_they_are() -> None:
    report = made.binary()
    points = report["thresholds"]["curves"][0]["points"]
    assert given(report)["curves"][0]["points"] == {
        key: points[key] for key in ("threshold", "tp", "fp", "fn", "tn")
    }  # 0.5 is the edge of a bin


@pytest.mark.parametrize("threshold", [0.37, 0.001, 0.999])
def test_the_jobs_threshold_is_put_among_the_points_as_the_run_counted_it(threshold: float) -> None:
    report = made.binary(keys={"threshold": threshold})
    curve = given(report)["curves"][0]
    place = curve["points"]["threshold"].index(threshold)
    assert curve["points"]["threshold"] == sorted(set(curve["points"]["threshold"]))
    assert {key: curve["points"][key][place] for key in ("tp", "fp", "fn", "tn")} == own_outcomes(report)
    assert len({len(column) for column in curve["points"].values()}) == 1


def test_outcomes_are_those_of_the_confusion_matrix() -> None:
    report = made.report(made.label_tally([[50, 7], [3, 40]], made.CATS), positive=1)
    assert own_outcomes(report) == {"tp": 40, "fp": 7, "fn": 3, "tn": 50}
    swapped = made.report(made.label_tally([[50, 7], [3, 40]], made.CATS), positive=0)
    assert own_outcomes(swapped) == {"tp": 50, "fp": 3, "fn": 7, "tn": 40}


def test_it_starts_at_the_jobs_threshold_or_at_the_best_f1() -> None:
    assert given(made.binary())["curves"][0]["start"] == 0.5
    report = many("a", "b", "c")
    starts = [curve["start"] for curve in given(report)["curves"]]
    assert starts == [curve["recommended"]["best_f1"]["threshold"] for curve in report["thresholds"]["curves"]]


def test_a_class_is_quoted_for_a_shell_and_one_that_cannot_be_shown_is_left_to_the_reader() -> None:
    commands = [curve["command"] for curve in given(many("it's", "a\nb", "c"))["curves"]]
    assert shlex.split(commands[0]) == ["ortbatch", "thresholds", "RUN", "--class", "it's"]
    assert commands[1:] == ["ortbatch thresholds RUN --class CLASS", "ortbatch thresholds RUN --class c"]


def test_options_are_those_that_choose_the_same() -> None:
    assert given(made.binary())["curves"][0]["options"] == {
        "best_f1": "",
        **{f"recall_at_precision({floor})": f" --min-precision {floor}" for floor in (0.8, 0.9, 0.95)},
        **{f"precision_at_recall({floor})": f" --min-recall {floor}" for floor in (0.8, 0.9, 0.95)},
    }


def test_operating_points_have_the_names_of_gates() -> None:
    report = made.binary()
    wanted = {
        point["metric"]: point["estimate"]["value"] for point in report["thresholds"]["curves"][0]["operating_points"]
    }
    assert keyed(section(report)) == wanted
    assert "recall_at_fpr(0.01)[a b]" in keyed(section(many("a b", "b", "c")))


def test_recommended_thresholds_are_those_of_the_report() -> None:
    report = made.binary()
    best = report["thresholds"]["curves"][0]["recommended"]["best_f1"]
    table = tables(section(report))["Recommended thresholds"]
    assert cell(table, "best F1", 1).value == best["threshold"]
    assert [cell(table, "best F1", at).value for at in (2, 4, 6)] == [
        best[m]["value"] for m in ("precision", "recall", "f1")
    ]


def test_a_threshold_that_there_is_not_says_why() -> None:
    true = np.arange(40) % 2
    report = made.report(made.timed(made.score_tally(true, np.where(true, -1.0, 1.0), made.CATS, 1)), positive=1)
    rows = texts(tables(section(report))["Recommended thresholds"])
    assert [row for row in rows if "precision ≥ 0.95: no threshold has a precision of at least 0.95" in row[0]]


def test_twenty_points_stand_without_a_script_with_the_ends_and_the_jobs_own() -> None:
    report = made.binary()
    points = report["thresholds"]["curves"][0]["points"]["threshold"]
    shown = [row[0].value for row in tables(section(report))["Some of the thresholds"].rows]
    assert {points[0], points[-1], 0.5} <= set(shown) <= set(points)
    assert 20 <= len(shown) <= 21


def test_few_points_are_all_shown_once() -> None:
    true = np.array([0, 1, 1])
    report = made.report(made.timed(made.score_tally(true, np.array([-1.0, 2.0, 2.0]), made.CATS, 1)), positive=1)
    shown = [row[0].value for row in tables(section(report))["Some of the thresholds"].rows]
    assert shown == report["thresholds"]["curves"][0]["points"]["threshold"]
