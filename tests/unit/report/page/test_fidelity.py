"""Models beside the model, and earlier runs: every number is the report's; what is not there is not shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ortbatch.report.page.blocks import Fragment, Section, Sentence, Table
from ortbatch.report.page.earlier import earlier
from ortbatch.report.page.fidelity import fidelity
from ortbatch.report.page.page import page
from tests.unit.report import made
from tests.unit.report.made_fidelity import Pair, many, two
from tests.unit.report.made_slices import by
from tests.unit.report.page.cells import keyed, tables, texts
from tests.unit.report.page.markup import parsed

NOISY = many(noise=1.0)


def section(report: dict[str, Any]) -> Section:
    found = fidelity(report)
    assert found is not None
    return found


def said(found: Section) -> str:
    return " ".join(block.text for block in found.blocks if isinstance(block, Sentence))


def sliced() -> Pair:
    places = (np.arange(len(NOISY.labels)) % 2)[:, None]
    return Pair(NOISY.labels, NOISY.model, NOISY.baseline, cuts=[by("shop", "a", "b")], places=places)


def test_without_a_model_beside_there_is_no_section() -> None:
    assert fidelity(made.binary()) is None


def test_agreement_flips_and_differences_are_the_reports() -> None:
    report = NOISY.report()
    entry, found = report["fidelity"]["torch"], keyed(section(report))
    assert found["fidelity[torch].agreement"] == entry["agreement"]["value"]
    assert found["fidelity[torch].flips"] == entry["flips"]
    for metric, both in entry["metrics"].items():
        assert found[f"fidelity[torch].{metric}_difference"] == both["difference"]["value"]
    for which in ("mean", "rms", "p50", "p90", "p99", "p99_9", "max"):
        assert found[f"fidelity[torch].{which}_difference"] == entry["scores"][which]["value"]


def test_time_is_the_reports() -> None:
    report = NOISY.report()
    wanted = report["latency"]["baselines"]["torch"]["batch_ratio"]["value"]
    assert keyed(section(report))["fidelity[torch].latency_ratio"] == wanted


def test_who_is_right_adds_up_to_all_rows() -> None:
    report = NOISY.report()
    table = tables(section(report))["Who is right, in rows"]
    assert sum(cell.value or 0 for row in table.rows for cell in row[1:]) == len(NOISY.labels)
    joint = report["fidelity"]["torch"]["joint"]
    assert [cell.value for cell in table.rows[0][1:]] == [joint["both_right"], joint["only_model_right"]]
    assert [cell.value for cell in table.rows[1][1:]] == [joint["only_baseline_right"], joint["both_wrong"]]


def test_causes_are_the_findings_each_once() -> None:
    report = NOISY.report()
    report["findings"] = [
        {"severity": "warning", "code": code, "text": text}
        for code, text in (
            ("fidelity_weights", "other weights"),
            ("fidelity_weights", "other weights"),
            ("class_absent", "absent"),
        )
    ]
    assert said(section(report)).count("warning: other weights") == 1
    assert "absent" not in said(section(report))


def test_rows_that_differ_can_be_found_again() -> None:
    report = NOISY.report()
    rows = report["fidelity"]["torch"]["flipped"]
    wanted = [[row["file"], row["label"], row["predicted"], row["baseline"], f"{row['row']:,}"] for row in rows]
    assert wanted
    assert [row[:5] for row in texts(tables(section(report))["Rows whose predictions differ"])] == wanted


def test_labels_alone_have_no_scores() -> None:
    report = Pair(NOISY.labels, NOISY.model, NOISY.baseline, labels_only=True).report()
    assert "Differences of the probabilities, the largest of each row" not in tables(section(report))


def test_the_same_model_has_no_rows_that_differ() -> None:
    shown = tables(section(Pair(NOISY.labels, NOISY.model, NOISY.model).report()))
    assert not {"Rows whose predictions differ", "Classes with rows that flip"} & shown.keys()


def test_slices_are_the_reports_those_that_agree_least_first() -> None:
    report = sliced().report()
    parts, found = report["fidelity"]["torch"]["slices"], keyed(section(report))
    assert [row[0] for row in texts(tables(section(report))["Slices, those that agree least first"])] == [
        part["name"] for part in parts
    ]
    assert all(found[f"fidelity[torch].agreement@{part['name']}"] == part["agreement"]["value"] for part in parts)


def test_rows_that_it_could_not_do_are_told_by_reason() -> None:
    report = Pair(NOISY.labels, NOISY.model, NOISY.baseline, unusable={"nan_score": 7}).report()
    assert texts(tables(section(report))["Rows that it could not do"]) == [["nan_score", "7"]]
    assert keyed(section(report))["fidelity[torch].unusable"] == 7


def test_two_classes_show_f1_of_the_positive_one() -> None:
    report = two().report()
    wanted = report["fidelity"]["torch"]["metrics"]["f1"]["difference"]["value"]
    assert keyed(section(report))["fidelity[torch].f1_difference"] == wanted


@pytest.mark.parametrize("baselines", [1, 30])
def test_the_section_is_small_and_well_formed_whatever_the_number_of_baselines(baselines: int) -> None:
    report = many(noise=1.0, classes=20).report()
    entry = report["fidelity"]["torch"]
    report["fidelity"] = {f"</h3><b>{place}": entry for place in range(baselines)}
    found = section(report)
    text = page("page.html", "x", [found], {})
    assert len(text.encode()) < 450_000
    assert not any(tag == "b" for tag, _ in parsed(text).elements)
    assert ("8 of 30 baselines are shown" in said(found)) == (baselines > 8)


PICKED = {
    "previous": {
        "run_id": "run-a", "path": "runs/a", "started_at": "2026-11-22T01:00:00Z", "status": "passed",
        "model_sha256": "c" * 64, "data_digest": "d" * 64, "skipped": ["runs/b: not JSON"],
        "metrics": {"accuracy": {"estimate": {"value": 0.9, "ci": [0.8, 0.95]}, "rows": 100}},
    }
}  # fmt: skip
GATE = {
    "gate": "accuracy versus previous >= -0.01", "metric": "accuracy", "op": ">=", "limit": -0.01, "value": -0.05,
    "ci": [-0.1, 0.02], "rows": 60, "outcome": "failed", "why": "it fell", "volatile": True,
    "versus": {"baseline": "previous", "old": 0.9, "new": 0.85},
}  # fmt: skip


def against(**changes: Any) -> Section:
    found = earlier({**made.multiclass(), "baselines": PICKED, "gates": [GATE], **changes})
    assert found is not None
    return found


def test_without_an_earlier_run_there_is_no_section() -> None:
    assert earlier(made.multiclass()) is None


def test_the_run_that_was_picked_is_named() -> None:
    (row,) = texts(tables(against())["Runs that were picked"])
    assert row == ["previous", "run-a", "2026-11-22T01:00:00Z", "passed", "cccccccccccc", "runs/b: not JSON"]


def test_a_gate_against_it_shows_before_now_difference_and_limit() -> None:
    (row,) = texts(tables(against())["Gates against them"])
    assert row == [
        "failed",
        "accuracy",
        "previous",
        "0.9000",
        "0.8500",
        "-0.0500",
        "-0.1000 to +0.0200",
        ">= -0.01",
        "it fell",
    ]


def test_a_gate_on_a_model_beside_is_not_one_of_them() -> None:
    beside = {**GATE, "versus": {**GATE["versus"], "baseline": "torch"}}
    assert "Gates against them" not in tables(against(gates=[beside]))


def test_no_earlier_run_is_said_with_what_follows() -> None:
    found = against(baselines={"previous": {"missing": "no run that passed", "if_missing": "pass"}}, gates=[])
    assert "previous: no run that passed; gates on it pass for that." in said(found)
    assert not [block for block in found.blocks if isinstance(block, Table | Fragment)]
