"""Each finding is there where its numbers are, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from ortbatch.metrics.cells import Cells
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.tally import ANY_CLASS
from ortbatch.report.findings import all_findings
from ortbatch.report.schema import problems_of
from tests.unit.report.made import MILLISECOND, label_tally, report, score_tally, timed

LEGIT_FRAUD = ("legit", "fraud")


def codes(made: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in made["findings"]]


def text(made: dict[str, Any], code: str) -> str:
    return next(finding["text"] for finding in made["findings"] if finding["code"] == code)


def labels(counts: list[list[int]], classes: tuple[str, ...] | None = None, **options: Any) -> dict[str, Any]:
    return report(timed(label_tally(counts, classes)), **options)


def scores(steep: float, share: float = 0.5, rows: int = 20_000, threshold: float = 0.5) -> dict[str, Any]:
    """Of a binary model: truths are as likely as expit(steep · log-odds) says."""
    rng = np.random.default_rng(1)
    odds = rng.normal(np.log(share / (1 - share)), 2.0, rows)
    true = (rng.random(rows) < expit(steep * odds)).astype(np.int64)
    return report(timed(score_tally(true, odds, LEGIT_FRAUD, 1)), positive=1, keys={"threshold": threshold})


def test_a_good_model_leaves_nothing_to_say() -> None:
    assert codes(labels([[4_800, 200], [250, 4_750]])) == []
    assert codes(scores(1.0)) == []


def test_misses_most_of_a_rare_class_though_accuracy_is_high() -> None:
    made = labels([[9_780, 20], [176, 24]], LEGIT_FRAUD, positive=1)
    assert made["findings"][0]["severity"] == "error"
    assert text(made, "class_missed").startswith(
        "the model misses 88% of `fraud`: its recall is 0.1200 (0.0820–0.1723) on 200 rows, though accuracy is 0.9804"
    )


def test_a_recall_that_may_be_a_half_is_not_called_missed() -> None:
    assert "class_missed" not in codes(labels([[980, 0], [12, 8]], LEGIT_FRAUD, positive=1))


def test_of_many_missed_classes_three_are_named() -> None:
    counts = np.diag([10_000, *[0] * 6])
    counts[1:, 0] = 200
    found = [f for f in labels(counts.tolist())["findings"] if f["code"] == "class_missed"]
    assert len(found) == 3
    assert ["more are like it" in finding["text"] for finding in found] == [False, False, True]
    assert "3 more are like it." in found[2]["text"]


@pytest.mark.parametrize(
    ("counts", "said", "severity"),
    [
        ([[9_700, 100], [180, 20]], "is no better than always answering `class_0`", "error"),
        ([[985, 0], [14, 1]], "is not shown to be better than", "warning"),
        ([[97_990, 10], [1_900, 100]], "is hardly better than", "warning"),
    ],
)
def test_accuracy_is_held_against_always_answering_one_class(counts: list[list[int]], said: str, severity: str) -> None:
    finding = next(f for f in labels(counts)["findings"] if f["code"] == "no_better_than_majority")
    assert said in finding["text"]
    assert finding["severity"] == severity


def test_one_class_only_is_no_majority_to_beat() -> None:
    assert "no_better_than_majority" not in codes(labels([[100, 0], [0, 0]]))


@pytest.mark.parametrize(("steep", "code"), [(0.4, "overconfident"), (2.5, "badly_calibrated")])
def test_scores_that_are_no_probabilities_are_told(steep: float, code: str) -> None:
    made = scores(steep)
    assert code in codes(made)
    assert ("overconfident" in text(made, code)) == (steep < 1)


def test_few_rows_are_not_blamed_for_what_chance_shows() -> None:
    made = scores(1.0, rows=150)
    assert made["calibration"]["ece"]["value"] > 0.02
    assert not {"overconfident", "badly_calibrated"} & set(codes(made))


def test_a_threshold_far_from_the_best_is_told_with_the_better_one() -> None:
    rng = np.random.default_rng(1)
    true = (rng.random(20_000) < 0.05).astype(np.int64)
    odds = rng.normal(np.where(true == 1, -1.0, -4.0), 1.0)
    made = report(timed(score_tally(true, odds, LEGIT_FRAUD, 1)), positive=1)
    best = made["thresholds"]["curves"][0]["recommended"]["best_f1"]
    assert text(made, "better_threshold").startswith("the threshold 0.5 is far from the best F1")
    assert f"at {best['threshold']:.4g} (recall" in text(made, "better_threshold")


def test_classes_that_do_not_occur_or_are_never_predicted_are_named() -> None:
    made = labels([[50, 10, 0, 0], [5, 60, 0, 0], [7, 0, 0, 0], [0, 0, 0, 0]])
    assert text(made, "class_absent").startswith("`class_3` does not occur in the data")
    assert text(made, "class_never_predicted") == "`class_2` is never predicted: all 7 rows of it are wrong."


def test_many_absent_classes_make_one_sentence() -> None:
    counts = np.diag([50, 50, *[0] * 10]).tolist()
    made = labels(counts)
    assert codes(made).count("class_absent") == 1
    assert "and 7 other classes do not occur" in text(made, "class_absent")


def rejected(by_class: dict[int, int]) -> dict[str, Any]:
    tally = timed(label_tally([[9_000, 0], [0, 1_000]], LEGIT_FRAUD))
    lost = np.repeat(list(by_class), list(by_class.values())).astype(np.int64)
    coverage = Coverage(10_000 + lost.size, 10_000, rejected_rows={(0, "nan_score"): lost.size})
    return report(replace(tally, coverage=coverage, rejected_labels=Cells.of((ANY_CLASS,), lost)))


def test_rejected_rows_of_mostly_one_class_are_told() -> None:
    made = rejected({0: 20, 1: 80})
    assert text(made, "rejected_rows_not_random").startswith("rejected rows are not like the others: 7% of `fraud`")
    assert made["coverage"]["bad_rows"]["by_class"] == [
        {"class": "fraud", "rejected": 80, "evaluated": 1_000},
        {"class": "legit", "rejected": 20, "evaluated": 9_000},
    ]


def test_rejected_rows_of_all_classes_alike_are_not() -> None:
    assert "rejected_rows_not_random" not in codes(rejected({0: 92, 1: 8}))


def single(values_ms: list[float]) -> LatencyHistogram:
    return LatencyHistogram.of((np.array(values_ms) * MILLISECOND).astype(np.int64))


def test_a_long_tail_of_latency_is_told_and_volatile() -> None:
    made = report(timed(label_tally([[50, 1], [1, 50]])), single=single([1.0] * 950 + [40.0] * 50))
    finding = next(f for f in made["findings"] if f["code"] == "latency_tail")
    assert "40 times the median" in finding["text"]
    assert finding["volatile"] is True


def test_an_even_latency_has_no_tail() -> None:
    made = report(timed(label_tally([[50, 1], [1, 50]])), single=single([1.0] * 900 + [4.0] * 100))
    assert "latency_tail" not in codes(made)


def test_too_few_predictions_for_a_percentile_are_told_with_the_number_needed() -> None:
    made = report(timed(label_tally([[50, 1], [1, 50]])), single=single([1.0] * 50))
    assert text(made, "too_few_timed") == (
        "too few predictions were timed for p95, p99 of single latency: 368 values bound this percentile, got 50."
    )


def test_findings_of_the_run_stand_among_the_others_by_severity() -> None:
    known = [{"severity": "info", "code": "a", "text": "a"}, {"severity": "warning", "code": "b", "text": "b"}]
    made = labels([[9_780, 20], [176, 24]], LEGIT_FRAUD, positive=1, findings=known)
    assert [f["severity"] for f in made["findings"]] == sorted(
        (f["severity"] for f in made["findings"]), key=("error", "warning", "info").index
    )
    assert codes(made)[-1] == "a"
    assert problems_of(made) == []


def test_findings_are_a_function_of_the_report() -> None:
    made = labels([[9_780, 20], [176, 24]], LEGIT_FRAUD, positive=1)
    assert all_findings(made, []) == made["findings"]
    assert all_findings({**made, "gates": []}, []) == made["findings"]


@pytest.mark.parametrize("counts", [[[0, 0], [0, 0]], [[1, 0], [0, 0]], [[0, 0], [0, 1]], [[0, 1], [1, 0]]])
def test_the_smallest_reports_have_findings_too(counts: list[list[int]]) -> None:
    assert problems_of(labels(counts, LEGIT_FRAUD, positive=1)) == []
