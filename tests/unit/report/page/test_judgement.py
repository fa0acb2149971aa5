"""The verdict: what decided stands first, in sentences that hold value, interval, limit and rows."""

from __future__ import annotations

from typing import Any

import pytest

from ortbatch.report.page.judgement import findings, gates, headline, judged
from ortbatch.report.page.strip import WIDTH, strip
from ortbatch.report.page.tiles import tiles
from tests.unit.report.made import binary, multiclass

GATE: dict[str, Any] = {
    "gate": "recall[a] >= 0.8", "metric": "recall[a]", "op": ">=", "limit": 0.8, "value": 0.75, "ci": [0.7, 0.79],
    "rows": 1234, "outcome": "failed", "why": "0.75 is not >= 0.8", "volatile": False,
}  # fmt: skip
VERSUS = {"versus": {"baseline": "old", "old": 0.9, "new": 0.89}, "metric": "accuracy", "value": -0.01}


def test_a_gate_is_read_with_value_interval_limit_and_rows() -> None:
    read = judged(GATE)
    assert (read.subject.text, read.asked, read.rows) == ("recall[a]", "at least 0.8", "1,234 rows")
    assert read.value is not None
    assert (read.value.text, read.value.value, read.value.key) == ("0.7500", 0.75, "recall[a]")
    assert read.between == "0.7000–0.7900"


def test_a_value_is_not_rounded_onto_its_limit() -> None:
    read = judged(GATE | {"value": 0.7999999})
    assert read.value is not None
    assert read.value.text == "0.7999999"


def test_a_gate_on_a_difference_does_not_give_it_out_for_the_metric() -> None:
    read = judged(GATE | VERSUS | {"gate": "accuracy versus old >= -0.01"})
    assert read.subject.text == "accuracy minus that of old"
    assert read.value is not None
    assert read.value.key == "gates[accuracy versus old >= -0.01]"


@pytest.mark.parametrize(
    ("op", "said"), [(">=", "at least"), (">", "more than"), ("<=", "at most"), ("<", "less than"), ("==", "exactly")]
)
def test_every_operator_has_its_words(op: str, said: str) -> None:
    assert judged(GATE | {"op": op}).asked == f"{said} 0.8"


def test_what_is_timed_is_no_row() -> None:
    assert judged(GATE | {"metric": "latency.single.p99_ms", "rows": 1}).rows == "1 timing"


@pytest.mark.parametrize("changes", [{"value": None, "ci": None}, {"outcome": "inconclusive"}])
def test_a_gate_without_a_clear_outcome_says_why(changes: dict[str, Any]) -> None:
    read = judged(GATE | changes | {"why": "no metric `x`"})
    assert read.why is not None
    assert read.why.text == "no metric `x`"


def test_a_gate_that_is_decided_needs_no_reason_in_the_verdict() -> None:
    assert judged(GATE).why is None


def test_the_gates_that_decided_stand_first() -> None:
    report = binary("accuracy >= 0.1", "recall >= 0.999", "latency.single.p99_9_ms <= 10")
    assert [gate.outcome for gate in headline(report)["gates"]] == ["failed", "inconclusive", "passed"]
    assert headline(report)["words"] == "It does not pass: 1 failed, 1 inconclusive, 1 passed of 3 gates."


def test_of_many_gates_the_verdict_holds_six_and_the_table_all() -> None:
    report = binary(*(f"accuracy >= 0.{digit}" for digit in range(1, 10)))
    assert (len(headline(report)["gates"]), headline(report)["more"]) == (6, 3)
    section = gates(report)
    assert section is not None
    assert len(section.blocks[1].rows) == 9  # type: ignore[union-attr]


def test_a_report_without_gates_says_so_and_has_no_table() -> None:
    report = multiclass()
    assert headline(report)["words"] == "Nothing was asked of it: the job has no gates."
    assert gates(report) is None


def test_an_incomplete_run_says_what_is_missing() -> None:
    report = binary() | {"status": "incomplete"}
    report["coverage"]["bad_rows"] |= {"count": 7, "allowed": 2}
    assert headline(report)["words"] == "The run is incomplete: 7 bad rows where 2 are allowed; the job has no gates."


def test_the_badge_of_gates_counts_those_that_did_not_pass() -> None:
    section = gates(binary("accuracy >= 0.1", "recall >= 0.999"))
    assert section is not None
    assert (section.badge, section.tone) == ("1 of 2", "bad")


def found(*severities: str) -> dict[str, Any]:
    return {"findings": [{"severity": one, "code": "c", "text": f"text of {one}"} for one in severities]}


def test_no_finding_is_no_section() -> None:
    assert findings(found()) is None


def test_the_same_finding_is_said_once() -> None:
    section = findings(found("warning", "warning", "info"))
    assert section is not None
    assert (section.badge, section.tone) == ("2", "doubt")


@pytest.mark.parametrize(("op", "good"), [(">=", 1), ("<=", 0)])
def test_the_strip_is_good_on_the_side_that_passes(op: str, good: int) -> None:
    drawn = strip(GATE | {"op": op})
    assert drawn is not None
    assert drawn.good[good] == (WIDTH if op == ">=" else 0)
    assert drawn.good[1 - good] == drawn.limit


@pytest.mark.parametrize("ci", [None, [0.7, 0.79], [0.7, 0.9]])
def test_the_strip_keeps_the_order_of_its_numbers_and_stays_inside(ci: list[float] | None) -> None:
    drawn = strip(GATE | {"ci": ci})
    assert drawn is not None
    assert 0 < min(drawn.low, drawn.limit) <= drawn.low <= drawn.value <= drawn.high < WIDTH
    assert drawn.value < drawn.limit


def test_a_value_on_its_limit_lies_in_the_middle() -> None:
    drawn = strip(GATE | {"value": 0.8, "ci": None})
    assert drawn is not None
    assert drawn.value == drawn.limit == WIDTH / 2


def test_no_value_is_no_strip() -> None:
    assert strip(GATE | {"value": None}) is None


def test_the_tiles_are_numbers_of_the_report_by_name() -> None:
    report = binary()
    shown = {tile.value.key: tile.value.value for tile in tiles(report)}
    assert shown["accuracy"] == report["quality"]["accuracy"]["value"]
    assert shown["latency.single.p99_ms"] == report["latency"]["single"]["p99_ms"]["value"]
    assert shown["coverage"] == 1.0
    assert len(shown) == 8


def test_the_tiles_of_many_classes_are_about_all_of_them() -> None:
    keys = [tile.value.key for tile in tiles(multiclass())]
    assert keys[:3] == ["accuracy", "balanced_accuracy", "f1_macro"]
    assert "log_loss" not in keys  # labels only
