"""Display objects draw scikit-learn's own curves: of raw scores, but for rows that share a bin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import matplotlib.cbook
import matplotlib.text
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from ortbatch.errors import ReportError
from ortbatch.metrics.scores import ScoreHistogram
from ortbatch.report import frames
from ortbatch.report.report import Report
from tests.unit.report.made import label_tally, multiclass, report, score_tally, timed

ROWS = 5_000


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Nothing is drawn on a screen, and no figure stays."""
    matplotlib.use("agg")
    from matplotlib import pyplot

    yield
    pyplot.close("all")


def rows(seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 2, ROWS)
    return true, rng.normal(true * 2.0 - 1.0, 1.5)


def binary(seed: int = 0, classes: tuple[str, str] = ("ham", "spam")) -> Report:
    made = report(timed(score_tally(*rows(seed), classes, 1)), positive=1)
    return Report(json.loads(Report(made).encode()))


def of_three(scores: NDArray[np.float64], true: NDArray[np.int64]) -> Report:
    """Three one-vs-rest curves of log-odds [N, 3]."""
    classes = ("a", "b", "c")
    tally = label_tally(confusion_matrix(true, scores.argmax(axis=1)), classes)
    truth = true[:, None] == np.arange(3)
    kept = ScoreHistogram.of(classes, 4_096, scores, truth, np.zeros(len(true), np.uint8))
    return Report(json.loads(Report(report(replace(tally, scores=kept))).encode()))


@pytest.mark.parametrize("seed", range(3))
def test_every_point_of_a_roc_curve_is_one_of_the_raw_scores(seed: int) -> None:
    true, scores = rows(seed)
    shown = binary(seed).roc_curve_display()
    fpr, tpr, _ = roc_curve(true, scores, drop_intermediate=False)
    raw = set(zip(fpr.round(12), tpr.round(12), strict=True))
    assert set(zip(np.round(shown.fpr, 12), np.round(shown.tpr, 12), strict=True)) <= raw


def test_a_roc_curve_strays_from_that_of_raw_scores_by_no_more_than_a_bin_holds() -> None:
    (true, scores), made = rows(), binary()
    counts = made.data["thresholds"]["curves"][0]["histogram"]
    most = max(np.add(counts["positive_0"], counts["positive_1"])) / true.sum()
    fpr, tpr, _ = roc_curve(true, scores, drop_intermediate=False)
    # On a vertical step any of its points is as near; between the points before and after it nothing is further.
    shown = made.roc_curve_display()
    below = np.interp(fpr - 1e-9, shown.fpr, shown.tpr)
    above = np.interp(fpr + 1e-9, shown.fpr, shown.tpr)
    assert np.all((tpr >= below - most) & (tpr <= above + most))


@pytest.mark.parametrize("seed", range(3))
def test_every_point_of_a_precision_recall_curve_is_one_of_the_raw_scores(seed: int) -> None:
    true, scores = rows(seed)
    shown = binary(seed).precision_recall_display()
    precision, recall, _ = precision_recall_curve(true, scores)
    raw = set(zip(precision.round(12), recall.round(12), strict=True))
    assert set(zip(np.round(shown.precision, 12), np.round(shown.recall, 12), strict=True)) <= raw


def test_areas_are_those_of_the_report_and_within_its_bound_of_the_raw_scores() -> None:
    (true, scores), made = rows(), binary()
    assert made.roc_curve_display().roc_auc == made.quality["roc_auc"].value
    assert made.precision_recall_display().average_precision == made.quality["average_precision"].value
    for metric, raw in (
        ("roc_auc", roc_auc_score(true, scores)),
        ("average_precision", average_precision_score(true, scores)),
    ):
        bound = made.quality[metric].bound
        assert bound is not None
        assert bound[0] - 1e-12 <= raw <= bound[1] + 1e-12


def test_the_chance_level_of_a_precision_recall_curve_is_the_share_of_the_class() -> None:
    assert binary().precision_recall_display().prevalence_pos_label == rows()[0].mean()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_class_of_many_is_shown_against_the_rest(place: int) -> None:
    rng = np.random.default_rng(4)
    true = rng.integers(0, 3, 900)
    scores = rng.normal(size=(900, 3)) + 2 * np.eye(3)[true]
    made = of_three(scores, true)
    fpr, tpr, _ = roc_curve(true == place, scores[:, place], drop_intermediate=False)
    shown = made.roc_curve_display("abc"[place])
    raw = set(zip(fpr.round(12), tpr.round(12), strict=True))
    assert set(zip(np.round(shown.fpr, 12), np.round(shown.tpr, 12), strict=True)) <= raw
    assert shown.roc_auc == made.per_class["abc"[place]]["roc_auc"].value


def test_a_model_of_many_classes_asks_for_one() -> None:
    true = np.array([0, 1, 2] * 10)
    made = of_three(np.random.default_rng(0).normal(size=(30, 3)), true)
    with pytest.raises(ReportError, match="no curve to display: say of which class; its classes are a, b, c"):
        made.roc_curve_display()


def test_the_confusion_matrix_is_shown_with_its_classes() -> None:
    true, scores = rows()
    shown = binary().confusion_matrix_display()
    assert shown.confusion_matrix.tolist() == confusion_matrix(true, scores >= 0).tolist()
    assert list(shown.display_labels) == ["ham", "spam"]


def test_a_model_without_scores_has_no_curve_and_says_why() -> None:
    with pytest.raises(
        ReportError, match="no curve to display: the report has no score curves: one-vs-rest curves are kept"
    ):
        Report(multiclass()).precision_recall_display()


@pytest.mark.parametrize("only", [0, 1])
def test_rows_of_one_side_only_make_no_curve(only: int) -> None:
    made = report(score_tally(np.full(5, only), np.arange(5.0), ("ham", "spam"), 1), positive=1)
    with pytest.raises(ReportError, match=f"of 5 rows {5 * only} are of class `spam`; a curve needs rows of it and of"):
        Report(made).roc_curve_display()


@pytest.mark.parametrize("display", ["confusion_matrix_display", "roc_curve_display", "precision_recall_display"])
def test_without_matplotlib_the_error_says_what_to_install(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = binary()
    monkeypatch.setattr(frames, "find_spec", lambda _: None)
    with pytest.raises(ReportError, match=r"needs matplotlib, .*: pip install 'ortbatch\[notebook\]'"):
        getattr(made, display)()


@pytest.mark.parametrize("odd", ["$x^2$", r"$\frac{", "a\nb", "\x1b[31m", "_^{}%&#", "x" * 10_000])
def test_names_are_drawn_as_they_are_and_never_read_as_mathematics(odd: str) -> None:
    made = binary(classes=("ham", odd))
    for shown in (made.confusion_matrix_display(), made.roc_curve_display(), made.precision_recall_display()):
        shown.plot().figure_.canvas.draw()
        texts = [text.get_text() for text in shown.ax_.findobj(matplotlib.text.Text)]
        assert not any("\n" in text or "\x1b" in text or len(text) > 200 for text in texts)
        assert not any(matplotlib.cbook.is_math_text(text) for text in texts if "x^2" in text)
