"""The section about models on the same rows, its gates, and how it is shown; oracles are loops and scikit-learn."""

from __future__ import annotations

import math
from dataclasses import replace
from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from sklearn import metrics
from statsmodels.stats.contingency_tables import mcnemar

from ortbatch.job import Gate, MetricRef
from ortbatch.metrics.intervals import wilson
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.reference import FIDELITY
from ortbatch.metrics.slices import Cut
from ortbatch.report.encode import encode
from ortbatch.report.gates import Found, judge, look_up
from ortbatch.report.markdown import markdown_summary
from ortbatch.report.ratios import ratio
from ortbatch.report.schema import problems_of
from ortbatch.report.summary import print_summary
from ortbatch.report.table import metrics_table
from tests.unit.report.made import milliseconds, multiclass
from tests.unit.report.made_fidelity import Pair, many, two

CUTS = (Cut(("country",), (("DE",), ("FR",))), Cut(("country", "vip"), (("DE", "true"),)))


def sliced(rows: int = 600) -> Pair:
    rng = np.random.default_rng(1)
    places = np.column_stack([rng.integers(0, 3, rows), 3 + rng.integers(0, 2, rows)])
    return replace(many(rows), cuts=CUTS, places=places)


@pytest.mark.parametrize("pair", [many(), two(), sliced(), replace(many(), labels_only=True), two(noise=0)])
def test_a_report_with_a_model_beside_keeps_the_schema(pair: Pair) -> None:
    assert problems_of(pair.report("accuracy >= 0")) == []


def test_a_report_whose_baseline_could_do_no_row_keeps_the_schema_and_says_why() -> None:
    pair = replace(many(0), unusable={"timeout": 60})
    whole = pair.report()
    entry = whole["fidelity"]["torch"]
    assert problems_of(whole) == []
    assert entry["agreement"]["reason"] == "there is no row that both models could do"
    assert entry["metrics"]["accuracy"]["difference"]["value"] is None
    assert [finding["code"] for finding in whole["findings"] if finding["code"].startswith("fidelity")] == [
        "fidelity_unusable_rows"
    ]


def test_reports_without_baselines_have_no_such_section() -> None:
    assert "fidelity" not in multiclass()
    assert "baselines" not in multiclass()["latency"]


@pytest.mark.parametrize("change", [
    lambda entry: entry.pop("flips"),
    lambda entry: entry.update(more=1),
    lambda entry: entry["per_class"].pop(),
    lambda entry: entry["per_class"][0].update(support=-1),
    lambda entry: entry["per_class"][0]["recall"].pop("model"),
    lambda entry: entry["per_class"][0]["f1"]["difference"].pop("ci"),
    lambda entry: entry["scores"]["above"][0].update(tolerance=0.5),
    lambda entry: entry["worst"][0].update(row="3"),
])  # fmt: skip
def test_a_broken_section_is_refused(change: Any) -> None:
    whole = many().report()
    change(whole["fidelity"]["torch"])
    assert problems_of(whole)


def test_agreement_is_the_share_of_rows_with_equal_labels() -> None:
    pair = many()
    same = int((pair.predicted(pair.model) == pair.predicted(pair.baseline)).sum())
    entry = pair.entry()
    assert entry["flips"] == 600 - same
    assert entry["agreement"]["value"] == same / 600
    assert entry["agreement"]["ci"] == pytest.approx(wilson(same, 600))


def test_right_and_wrong_rows_are_counted_together_and_tested_by_mcnemar() -> None:
    pair = many()
    right, other = (pair.predicted(side) == pair.labels for side in (pair.model, pair.baseline))
    table = [[int((a & b).sum()) for b in (other, ~other)] for a in (right, ~right)]
    joint = pair.entry()["joint"]
    order = ("both_right", "only_model_right", "only_baseline_right", "both_wrong")
    assert [joint[key] for key in order] == [*table[0], *table[1]]
    # The mid-p lies between the exact p-value and the next smaller one.
    assert joint["mcnemar_p"] <= mcnemar(table, exact=True).pvalue


ASKED = {
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "f1_macro": lambda true, predicted: metrics.f1_score(true, predicted, average="macro"),
}


@pytest.mark.parametrize("pair", [many(), two()], ids=["many", "two"])
def test_metrics_of_both_and_their_difference_are_scikit_learns(pair: Pair) -> None:
    asked = ASKED | ({"f1": metrics.f1_score} if pair.classes == 2 else {})
    found = pair.entry()["metrics"]
    assert found.keys() == asked.keys()
    for name, ask in asked.items():
        model, baseline = (ask(pair.labels, pair.predicted(side)) for side in (pair.model, pair.baseline))
        told = found[name]["model"], found[name]["baseline"], found[name]["difference"]["value"]
        assert told == pytest.approx((model, baseline, model - baseline), abs=1e-11)


def test_recall_and_f1_of_each_class_are_scikit_learns() -> None:
    pair = many()
    for name, ask in (("recall", metrics.recall_score), ("f1", metrics.f1_score)):
        model, baseline = (ask(pair.labels, pair.predicted(s), average=None) for s in (pair.model, pair.baseline))
        rows = [row[name] for row in pair.entry()["per_class"]]
        assert [row["model"] for row in rows] == pytest.approx(model)
        assert [row["difference"]["value"] for row in rows] == pytest.approx(model - baseline, abs=1e-11)


def test_differences_of_scores_are_those_of_the_raw_probabilities() -> None:
    pair = many()
    gap = np.abs(pair.model - pair.baseline).max(axis=1)
    scores = pair.entry()["scores"]
    told = [scores[name]["value"] for name in ("mean", "rms", "max")]
    assert told == pytest.approx([gap.mean(), math.sqrt((gap**2).mean()), gap.max()], rel=1e-6)
    assert scores["max"]["value"] == gap.max()
    assert [above["rows"] for above in scores["above"]] == [int((gap > 10.0**-p).sum()) for p in range(7, 0, -1)]


def test_rows_by_the_class_that_differs_most_add_up() -> None:
    scores = many().entry()["scores"]
    total = np.sum([row["above"] for row in scores["by_class"]], axis=0)
    assert total.tolist() == [above["rows"] for above in scores["above"]]


def test_the_worst_row_can_be_found_again_in_the_data() -> None:
    pair = many()
    gap = np.abs(pair.model - pair.baseline)
    at = int(gap.max(axis=1).argmax())
    place = int(gap[at].argmax())
    assert pair.entry()["worst"][0] == {
        "file": ["data/a.parquet", "data/b.parquet"][at % 2],
        "row": at // 2,
        "label": f"class_{pair.labels[at]}",
        "predicted": f"class_{pair.model[at].argmax()}",
        "baseline": f"class_{pair.baseline[at].argmax()}",
        "difference": gap.max(),
        "class": f"class_{place}",
        "score": pair.model[at, place],
        "baseline_score": pair.baseline[at, place],
    }


def test_scores_of_a_row_of_two_classes_are_those_of_the_positive_one() -> None:
    pair = two()
    worst = pair.entry()["worst"][0]
    at = int(np.abs(pair.model - pair.baseline).argmax())
    assert (worst["class"], worst["score"], worst["baseline_score"]) == ("class_1", pair.model[at], pair.baseline[at])


def test_slices_stand_by_agreement_and_hold_their_own_rows() -> None:
    pair = sliced()
    parts = pair.entry()["slices"]
    assert pair.places is not None
    own = pair.places[:, 0] == 1
    part = next(part for part in parts if part["name"] == "country=FR")
    flips = pair.predicted(pair.model)[own] != pair.predicted(pair.baseline)[own]
    gap = np.abs(pair.model - pair.baseline).max(axis=1)[own]
    assert (part["rows"], part["agreement"]["value"]) == (own.sum(), 1 - flips.mean())
    assert part["above"] == [int((gap > 10.0**-p).sum()) for p in range(7, 0, -1)]
    right, other = ((pair.predicted(side) == pair.labels)[own] for side in (pair.model, pair.baseline))
    assert part["joint"] == {
        "both_right": (right & other).sum(),
        "only_model_right": (right & ~other).sum(),
        "only_baseline_right": (~right & other).sum(),
        "both_wrong": (~right & ~other).sum(),
    }
    assert part["accuracy"]["difference"]["value"] == pytest.approx(right.mean() - other.mean())
    agreements = [part["agreement"]["value"] for part in parts]
    assert agreements == sorted(agreements)
    assert len(parts) == 5


def test_classes_that_differ_most_are_those_of_the_flips() -> None:
    pair = many()
    one, other = pair.predicted(pair.model), pair.predicted(pair.baseline)
    flips = [int(((one == c) ^ (other == c)).sum()) for c in range(3)]
    told = {row["class"]: row["flips"] for row in pair.entry()["differ_most"]}
    assert told == {f"class_{c}": count for c, count in enumerate(flips)}
    assert list(told.values()) == sorted(flips, reverse=True)


def test_renamed_classes_are_named_with_their_rows() -> None:
    pair = many(noise=0)
    swap = replace(pair, baseline=pair.model[:, [1, 0, 2]]).entry()["permutation"]
    predicted = pair.model.argmax(axis=1)
    assert swap["explains"] == 1
    assert sorted((p["baseline"], p["model"], p["rows"], p["of_baseline"], p["of_model"]) for p in swap["moved"]) == [
        ("class_0", "class_1", *[int((predicted == 1).sum())] * 3),
        ("class_1", "class_0", *[int((predicted == 0).sum())] * 3),
    ]


def test_a_swap_that_does_not_explain_everything_says_of_how_many_rows_each_pair_is() -> None:
    pair = many(noise=0.4)
    swapped = replace(pair, baseline=pair.baseline[:, [1, 0, 2]])
    one, other = swapped.predicted(swapped.model), swapped.predicted(swapped.baseline)
    swap = swapped.entry()["permutation"]
    flips, left = int((one != other).sum()), int((one != np.array([1, 0, 2])[other]).sum())
    assert swap["explains"] == pytest.approx(1 - left / flips)
    assert {(p["baseline"], p["model"]): (p["rows"], p["of_baseline"], p["of_model"]) for p in swap["moved"]} == {
        (f"class_{b}", f"class_{m}"): (
            ((one == m) & (other == b)).sum(), (other == b).sum(), (one == m).sum(),
        ) for b, m in ((0, 1), (1, 0))
    }  # fmt: skip


def test_the_section_is_the_same_whatever_order_rows_came_in() -> None:
    pair = sliced()
    half = [replace(
        pair, labels=pair.labels[rows], model=pair.model[rows], baseline=pair.baseline[rows], places=pair.places[rows]
    ).fidelity() for rows in (slice(0, 200), slice(200, 600)) if pair.places is not None]  # fmt: skip
    # Numbers of rows begin anew in the second part, so only what does not name them is compared.
    both, whole = half[1].merge(half[0]), pair.fidelity()
    assert (both.joint, both.gaps, both.slices, both.slice_bands) == (
        whole.joint, whole.gaps, whole.slices, whole.slice_bands,
    )  # fmt: skip


def verdict(pair: Pair, gate: object) -> dict[str, Any]:
    whole = pair.report(gate)
    assert problems_of(whole) == []
    found: dict[str, Any] = whole["gates"][0]
    return found


@pytest.mark.parametrize(
    ("gate", "outcome"),
    [
        ("fidelity[torch].agreement >= 0.5", "passed"),
        ("fidelity[torch].agreement >= 0.999", "failed"),
        ("fidelity[torch].flips <= 600", "passed"),
        ("fidelity[torch].flips <= 3", "failed"),
        ("fidelity[torch].unusable == 0", "passed"),
        ("fidelity[torch].max_difference <= 1", "passed"),
        ("fidelity[torch].max_difference <= 0.0001", "failed"),
        ("fidelity[torch].accuracy_difference >= -0.5", "passed"),
        ("fidelity[torch].latency_ratio >= 1.5", "passed"),
        ("fidelity[torch].latency_ratio >= 3", "failed"),
        ("fidelity[torch].agreement@country=DE >= 0.5", "passed"),
        ("fidelity[torch].agreement@country=DE >= 1", "failed"),
        ("fidelity[torch].accuracy_difference@country=FR <= 0.5", "passed"),
    ],
)
def test_gates_are_judged_by_the_numbers_of_the_section(gate: str, outcome: str) -> None:
    assert verdict(sliced(), gate)["outcome"] == outcome


def test_only_ratios_of_times_are_volatile() -> None:
    volatile = {
        name for name in FIDELITY if verdict(two(), f"{MetricRef(name, class_name='torch')!s} >= 0")["volatile"]
    }
    assert volatile == {"fidelity.latency_ratio", "fidelity.single_latency_ratio"}


@pytest.mark.parametrize("name", sorted(FIDELITY))
def test_every_metric_of_a_baseline_has_a_value_in_a_binary_report(name: str) -> None:
    found = look_up(MetricRef(name, class_name="torch"), two().report())
    assert isinstance(found, Found)
    assert found.estimate["value"] is not None


def test_a_gate_with_a_confidence_is_decided_by_the_interval() -> None:
    pair = many()
    value = pair.entry()["agreement"]["value"]
    sure = {"metric": "fidelity[torch].agreement", "min": value - 0.001, "confidence": 0.95}
    assert verdict(pair, sure)["outcome"] == "inconclusive"
    assert verdict(pair, sure | {"min": value - 0.2})["outcome"] == "passed"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("fidelity[int8].agreement >= 0", "beside the model ran `torch`"),
        ("fidelity[torch].f1_difference >= 0", "is kept for binary models"),
        ("fidelity[torch].agreement@country=DE >= 0", "there is no such slice"),
    ],
)
def test_a_number_that_there_is_not_fails_its_gate(text: str, why: str) -> None:
    judged = judge([Gate.parse(text)], many().report())[0]
    assert (judged["outcome"], judged["value"]) == ("failed", None)
    assert why in judged["why"]


def test_differences_of_scores_fail_their_gates_where_there_are_only_labels() -> None:
    judged = verdict(replace(many(), labels_only=True), "fidelity[torch].max_difference <= 1")
    assert (judged["outcome"], judged["why"].partition(": ")[2]) == (
        "failed", "the model or the baseline puts out labels only",
    )  # fmt: skip


def test_a_gate_on_a_baseline_in_a_report_without_any_fails() -> None:
    judged = judge([Gate.parse("fidelity[torch].agreement >= 0")], multiclass())[0]
    assert "beside the model ran none" in judged["why"]


def versus(metric: str, max_drop: float, confidence: float | None = None, **more: object) -> dict[str, object]:
    gate = {"metric": metric, "versus": "torch", "max_drop": max_drop, **more}
    return gate if confidence is None else gate | {"confidence": confidence}


@pytest.mark.parametrize(
    "metric", ["accuracy", "recall", "recall[class_0]", "f1", "f1[class_0]", "f1_macro", "balanced_accuracy"]
)
def test_a_gate_against_a_model_on_the_same_rows_is_about_the_paired_difference(metric: str) -> None:
    pair = two()
    entry = pair.entry()
    name, of_class = metric.partition("[")[0], 0 if "[" in metric else 1
    both = entry["metrics"].get(name) if "[" not in metric and name != "recall" else None
    both = both or entry["per_class"][of_class][name]
    judged = verdict(pair, versus(metric, 0.5))
    assert (judged["value"], judged["ci"]) == (both["difference"]["value"], both["difference"]["ci"])
    assert judged["versus"] == {"baseline": "torch", "old": both["baseline"], "new": both["model"]}
    assert (judged["outcome"], judged["volatile"]) == ("passed", False)


@pytest.mark.parametrize(("slack", "outcome"), [(0.001, "passed"), (-0.001, "failed")])
def test_the_largest_drop_allowed_decides(slack: float, outcome: str) -> None:
    pair = many()
    # The better of the two stands as the baseline, so that there is a drop.
    if (drop := -pair.entry()["metrics"]["accuracy"]["difference"]["value"]) < 0:
        pair, drop = replace(pair, model=pair.baseline, baseline=pair.model), -drop
    assert drop > 0.002
    assert verdict(pair, versus("accuracy", drop + slack))["outcome"] == outcome


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_a_confidence_is_that_of_newcombes_paired_interval(level: float) -> None:
    judged = verdict(many(), versus("accuracy", 0.5, level))
    wanted = judged["ci"] if level == 0.95 else None
    width = judged["limits"][1] - judged["limits"][0]
    assert (width < judged["ci"][1] - judged["ci"][0]) == (level < 0.95)
    assert wanted is None or judged["limits"] == pytest.approx(wanted)
    assert judged["outcome"] == "passed"


def test_a_drop_that_the_rows_cannot_decide_is_inconclusive() -> None:
    assert verdict(many(), versus("f1_macro", 0.0, 0.999))["outcome"] == "inconclusive"


def test_accuracy_of_a_slice_is_paired_too() -> None:
    judged = verdict(sliced(), versus("accuracy", 0.5, slice={"country": "DE"}))
    assert (judged["outcome"], judged["metric"]) == ("passed", "accuracy@country=DE")


def test_a_ratio_is_that_of_the_medians_with_an_interval_around_it() -> None:
    found = ratio(milliseconds(800), milliseconds(400))
    assert found.value == pytest.approx(2, rel=0.01)
    assert found.ci is not None
    assert found.ci[0] < found.value < found.ci[1]


def test_the_interval_of_a_ratio_holds_the_truth_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(300):
        times = [LatencyHistogram.of((1e6 * scale * rng.lognormal(0, 0.5, 200)).astype(np.int64)) for scale in (3, 1)]
        low, high = ratio(*times).ci or (0.0, 0.0)
        held += low <= 3 <= high
    assert 0.92 <= held / 300 <= 1


def test_a_ratio_of_nothing_is_undefined_and_one_of_few_insufficient() -> None:
    nothing = ratio(LatencyHistogram.empty(), milliseconds(10))
    assert (nothing.value, nothing.reason) == (None, "the baseline has no times: no values")
    few = ratio(milliseconds(3), milliseconds(400))
    assert few.value is not None
    assert str(few.reason).startswith("insufficient: ")


def test_times_of_a_baseline_stand_beside_those_of_the_model() -> None:
    beside = many().report()["latency"]["baselines"]["torch"]
    assert (beside["batch"]["count"], beside["single"]["count"]) == (800, 2_000)
    assert beside["single_ratio"]["value"] == pytest.approx(2, rel=0.01)


def test_stored_scores_have_no_single_times() -> None:
    facts = {"torch": {"kind": "scores", "model": {}, "batch_dependent": False, "single": None}}
    whole = many().report(baseline_facts=facts)
    assert problems_of(whole) == []
    assert whole["latency"]["baselines"]["torch"]["single_ratio"]["reason"] == "the baseline has no times: no values"


def test_the_table_has_a_line_for_each_number_that_a_gate_may_ask() -> None:
    whole = sliced().report()
    lines = [line.split(",") for line in metrics_table(whole).splitlines() if "fidelity[torch]" in line]
    asked = {str(MetricRef(name, class_name="torch")) for name in FIDELITY - {"fidelity.f1_difference"}}
    assert {line[2] for line in lines if not line[4]} == asked
    assert {line[4] for line in lines} >= {"", "country=DE"}
    value = next(line[5] for line in lines if line[2] == "fidelity[torch].agreement" and not line[4])
    assert float(value) == whole["fidelity"]["torch"]["agreement"]["value"]


def shown(whole: dict[str, Any]) -> str:
    text = StringIO()
    print_summary(whole, Console(file=text, width=120, color_system=None))
    return text.getvalue()


@pytest.mark.parametrize("pair", [many(), two(), sliced(), replace(many(), labels_only=True), many(0)])
def test_a_terminal_and_a_page_show_each_baseline(pair: Pair) -> None:
    whole = pair.report()
    entry = whole["fidelity"]["torch"]
    assert f"torch: of {entry['rows']:,} rows both have {entry['joint']['both_right']:,} right" in shown(whole)
    line = next(line for line in markdown_summary(whole).splitlines() if line.startswith("| torch |"))
    assert line.split(" | ")[2] == f"{entry['flips']:,}"


def test_a_row_that_flips_is_shown_with_its_file() -> None:
    first = many().entry()["flipped"][0]
    assert f"{first['file']} row {first['row']:,}" in shown(many().report())


def test_a_name_that_is_no_plain_text_is_shown_as_it_is() -> None:
    pair, name = many(), "[red]\x1b|*x*"
    whole = pair.report()
    for section in (whole["fidelity"], whole["latency"]["baselines"]):
        section[name] = section.pop("torch")
    assert "\x1b" not in shown(whole)
    assert "|*x*" not in markdown_summary(whole)


def test_a_report_is_written_and_read_the_same_twice() -> None:
    assert encode(sliced().report()["fidelity"]) == encode(sliced().report()["fidelity"])


@pytest.mark.parametrize("classes", [300, 1_200])
def test_many_classes_are_reported_class_by_class(classes: int) -> None:
    pair = many(2_000, classes=classes)
    whole = pair.report()
    assert problems_of(whole) == []
    assert len(whole["fidelity"]["torch"]["per_class"]) == classes
