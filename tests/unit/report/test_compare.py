"""Two reports compared: what changed, which word each metric gets, and what limits make of it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from statsmodels.stats.contingency_tables import mcnemar

from ortbatch.earlier import limits_of
from ortbatch.job import MetricRef
from ortbatch.metrics.differences import JointCounts, paired_difference
from ortbatch.metrics.pairs import PairedRows
from ortbatch.report.compare import changed, compare_reports, other_rows, word
from ortbatch.report.compare_text import print_comparison
from ortbatch.report.versus import Difference
from tests.unit.report.made import binary, facts, label_tally, multiclass, report

APART = "not the same rows: the data are others"
CLASSES = ("class_0", "class_1")


def told(old: dict[str, Any], new: dict[str, Any], pairs: Any = APART, **options: Any) -> dict[str, Any]:
    """Metric → what is told of it."""
    return dict(compare_reports(old, new, pairs, **options).metrics)


def of(counts: list[list[int]], **options: Any) -> dict[str, Any]:
    return report(label_tally(counts), **options)


def provenance(**changes: Any) -> dict[str, Any]:
    return {**facts(label_tally([[1, 0], [0, 1]])).provenance, **changes}


@pytest.mark.parametrize(
    ("metric", "ci", "said"),
    [
        ("recall", (0.01, 0.2), "better"),
        ("recall", (-0.2, -0.01), "worse"),
        ("recall", (-0.2, 0.01), "not significant"),
        ("recall", (0.0, 0.01), "not significant"),
        ("recall", None, "cannot be told"),
        ("log_loss", (0.01, 0.2), "worse"),
        ("brier", (-0.2, -0.01), "better"),
        ("latency.single.p99_ms", (0.5, 2.0), "worse"),
        ("latency.batch.p50_ms", (-2.0, -0.5), "better"),
        ("throughput.rows_per_s", (1.0, 2.0), "better"),
        ("majority_class_accuracy", (0.1, 0.2), "cannot be told"),
    ],
)
def test_the_word_of_a_metric_follows_its_interval_and_its_direction(metric: str, ci: Any, said: str) -> None:
    assert word(MetricRef(metric), Difference(0.5, 0.5, 0.0, ci)) == said


def test_a_model_that_is_clearly_better_is_called_so() -> None:
    found = told(of([[700, 300], [300, 700]]), of([[900, 100], [100, 900]]))
    for metric in ("accuracy", "f1_macro", "recall[class_0]", "precision[class_1]", "matthews_corrcoef"):
        assert found[metric]["verdict"] == "better", metric
    back = told(of([[900, 100], [100, 900]]), of([[700, 300], [300, 700]]))
    assert back["recall[class_0]"]["verdict"] == "worse"
    assert back["accuracy"]["difference"] == -0.2


def test_the_same_report_against_itself_differs_in_nothing() -> None:
    one = binary()
    comparison = compare_reports(one, one, APART, limits_of({"recall": 0, "latency.single.p99_ms": 0}, None))
    assert comparison.data["changed"] == []
    assert {entry["verdict"] for entry in comparison.metrics.values()} == {"not significant", "cannot be told"}
    assert all(entry["difference"] in (0, None) for entry in comparison.metrics.values())
    assert comparison.exit_code == 0


def test_every_estimate_of_the_report_is_compared() -> None:
    one = multiclass()
    quality = {name for name, item in one["quality"].items() if isinstance(item, dict) and "ci" in item}
    of_class = {
        f"{metric}[{row['class']}]" for row in one["quality"]["per_class"] for metric in row if "ci" in str(row[metric])
    }
    latency = {f"latency.{kind}.p99_9_ms" for kind in ("batch", "single")} | {"latency.single.mean_ms"}
    assert quality | of_class | latency | {"coverage", "throughput.rows_per_s"} <= set(told(one, one))


def test_a_metric_that_one_side_does_not_define_cannot_be_told() -> None:
    found = told(of([[0, 0], [1, 9]]), of([[5, 5], [1, 9]]))["recall[class_0]"]
    assert (found["old"], found["new"], found["difference"], found["verdict"]) == (None, 0.5, None, "cannot be told")
    assert found["why"] == "the old run has no value: no row of class `class_0`"


def test_classes_of_one_side_only_are_told() -> None:
    found = told(
        report(label_tally([[9, 1], [1, 9]], ("cat", "dog"))), report(label_tally([[9, 1], [1, 9]], ("cat", "cow")))
    )
    assert found["recall[dog]"]["why"].startswith("the new run has no value: the report has no metric `recall[dog]`")
    assert found["recall[cow]"]["verdict"] == "cannot be told"
    assert found["recall[cat]"]["verdict"] == "not significant"


def test_what_changed_is_named() -> None:
    old = of([[9, 1], [1, 9]], batch_size=64)
    other = provenance(
        model={"sha256": "c" * 64}, host={"cpus": ["another"]}, versions={"ortbatch": "0.1.0", "onnxruntime": "2"}
    )
    new = of(
        [[9, 1], [1, 9]], keys={"threshold": 0.25, "data": {"filter": [["split", "==", "test"]]}}, provenance=other
    )
    found = {entry["what"]: (entry["old"], entry["new"]) for entry in changed(old, new)}
    assert found == {
        "model sha256": ("a" * 64, "c" * 64),
        "host CPU": (["a cpu"], ["another"]),
        "version of onnxruntime": (None, "2"),
        "job.threshold": (0.5, 0.25),
        "job.data.filter": (None, [["split", "==", "test"]]),
    }


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"provenance": provenance(data={"plan_digest": "c" * 64})}, "the data are others"),
        (
            {"provenance": provenance(binding={"label": {"column": "y", "by": "index"}})},
            "the label is read in another way",
        ),
        ({"keys": {"data": {"filter": [["split", "==", "test"]]}}}, "the filter is another"),
    ],
)
def test_other_rows_are_known_by(change: dict[str, Any], why: str) -> None:
    assert other_rows(of([[9, 1], [1, 9]]), of([[9, 1], [1, 9]], **change)) == why


def test_other_classes_are_other_rows_and_another_order_is_not() -> None:
    one = report(label_tally([[9, 1], [1, 9]], ("cat", "dog")))
    assert other_rows(one, report(label_tally([[9, 1], [1, 9]], ("cat", "cow")))) == "the classes are others"
    assert other_rows(one, report(label_tally([[9, 1], [1, 9]], ("dog", "cat")))) is None


PAIRS = PairedRows(CLASSES, np.array([[60, 10, 20, 10], [70, 5, 15, 10]]), predicted=200, flipped=50)


def test_pairs_replace_the_interval_of_accuracy_and_of_recall_only() -> None:
    old, new = of([[70, 30], [25, 75]]), of([[80, 20], [15, 85]])
    found, apart = told(old, new, PAIRS), told(old, new)
    for metric, joint in (("accuracy", (130, 15, 35, 20)), ("recall[class_0]", (60, 10, 20, 10))):
        assert found[metric]["method"] == "newcombe_paired"
        assert found[metric]["ci"] == pytest.approx(paired_difference(JointCounts(*joint)))
        assert found[metric]["difference"] == apart[metric]["difference"]
    assert found["precision[class_0]"] == apart["precision[class_0]"]


def test_recall_and_specificity_of_a_binary_model_are_those_of_its_classes() -> None:
    old, new = (of(counts, positive=1) for counts in ([[70, 30], [25, 75]], [[80, 20], [15, 85]]))
    found = told(old, new, PAIRS)
    for metric, of_class in (("recall", "recall[class_1]"), ("specificity", "recall[class_0]")):
        assert {**found[metric], "metric": ""} == {**found[of_class], "metric": ""}


def test_the_joint_table_stands_with_its_exact_test() -> None:
    pairs = compare_reports(of([[70, 30], [25, 75]]), of([[80, 20], [15, 85]]), PAIRS).data["pairs"]
    assert [pairs[key] for key in ("rows", "both_right", "only_old_right", "only_new_right", "both_wrong")] == [
        200, 130, 15, 35, 20,
    ]  # fmt: skip
    exact = mcnemar([[130, 15], [35, 20]], exact=True).pvalue
    assert 0 < pairs["mcnemar_mid_p"] < exact
    assert (pairs["flipped"], pairs["predicted_by_both"]) == (50, 200)
    assert [row["rows"] for row in pairs["per_class"]] == [100, 100]


def test_a_class_without_a_common_row_cannot_be_told() -> None:
    pairs = replace(PAIRS, counts=np.array([[0, 0, 0, 0], [70, 5, 15, 10]]))
    found = told(of([[70, 30], [25, 75]]), of([[80, 20], [15, 85]]), pairs)["recall[class_0]"]
    assert (found["verdict"], found["why"]) == ("cannot be told", "no row of it was evaluated by both runs")


@pytest.mark.parametrize(
    ("drop", "confidence", "code"),
    [
        (0.2, None, 0), (0.1, None, 0), (0.09, None, 1),
        (0.3, 0.95, 0), (0.01, 0.95, 1), (0.1, 0.95, 4),
    ],
)  # fmt: skip
def test_limits_decide_the_exit_code(drop: float, confidence: float | None, code: int) -> None:
    old, new = of([[800, 200], [200, 800]]), of([[700, 300], [200, 800]])
    comparison = compare_reports(old, new, APART, limits_of({"recall[class_0]": drop}, confidence), confidence)
    assert comparison.exit_code == code


def test_a_failed_limit_goes_before_one_that_is_inconclusive() -> None:
    old, new = of([[800, 200], [200, 800]]), of([[700, 300], [200, 800]])
    limits = limits_of({"recall[class_0]": 0.1, "accuracy": 0.001}, 0.95)
    comparison = compare_reports(old, new, APART, limits, 0.95)
    assert [limit["outcome"] for limit in comparison.data["limits"]] == ["inconclusive", "failed"]
    assert comparison.exit_code == 1


def test_a_limit_on_a_paired_metric_is_decided_by_the_pairs() -> None:
    """As independent samples 152 and 158 right ones of 200 could be anything; as the same rows they cannot."""
    counts = np.array([[75, 2, 8, 15], [75, 0, 0, 25]])
    old, new = of([[77, 23], [25, 75]]), of([[83, 17], [25, 75]])
    limits = limits_of({"accuracy": 0.01}, 0.9)
    pairs = PairedRows(CLASSES, counts)
    assert compare_reports(old, new, pairs, limits, 0.9).exit_code == 0
    assert compare_reports(old, new, APART, limits, 0.9).exit_code == 4


@pytest.mark.parametrize(
    ("losses", "confidence", "said"),
    [
        ({"recal": 0.1}, None, "unknown metric `recal`; did you mean `recall`"),
        ({"accuracy": -0.1}, None, "a number of at least 0, got -0.1"),
        ({"accuracy": float("nan")}, None, "a number of at least 0, got nan"),
        ({"accuracy": 0.1}, 95, "confidence lies between 0.5 and 1, got 95"),
    ],
)
def test_limits_that_mean_nothing_are_refused(losses: dict[str, float], confidence: float | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        limits_of(losses, confidence)


def test_a_wider_level_has_wider_intervals() -> None:
    old, new = of([[800, 200], [200, 800]]), of([[700, 300], [200, 800]])
    narrow, wide = (told(old, new, PAIRS, confidence=level) for level in (0.8, 0.99))
    for metric, entry in wide.items():
        if entry["ci"] is not None:
            assert entry["ci"][0] < narrow[metric]["ci"][0], metric
            assert entry["ci"][1] > narrow[metric]["ci"][1], metric


def test_the_text_fits_80_columns_and_holds_no_markup() -> None:
    nasty = report(label_tally([[9, 1], [1, 9]], ("[red]cat[/]", "d\x1b[2Jog")))
    comparison = compare_reports(
        nasty, nasty, PairedRows.empty(("[red]cat[/]", "d\x1b[2Jog")), limits_of({"accuracy": 0}, None)
    )
    page = io.StringIO()
    print_comparison(comparison.data, Console(file=page, width=80, highlight=False))
    text = page.getvalue()
    assert "\x1b" not in text
    assert "[red]cat[/]" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_comparison_is_strict_json() -> None:
    comparison = compare_reports(binary(), multiclass(), APART)
    assert json.loads(comparison.encode(), parse_constant=lambda name: pytest.fail(name)) == comparison.data
