"""A list of runs is what whole reports say, in order of time, and no broken report costs another its place."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from ortbatch.errors import ReportError
from ortbatch.job import MetricRef
from ortbatch.report.encode import encode
from ortbatch.report.glance import glance
from ortbatch.report.history import Glanced, History, history_of
from ortbatch.report.history_text import print_history
from ortbatch.report.schema import problems_of
from tests.unit.report.made import binary, label_tally, multiclass, report

NIGHTS = ("2026-11-21T01:00:00Z", "2026-11-22T01:00:00Z", "2026-11-23T01:00:00Z")


def night(started_at: str, made: Any = multiclass, **options: Any) -> dict[str, Any]:
    return dict(made(id=started_at, started_at=started_at, **options))


def read(*reports: dict[str, Any]) -> list[Glanced]:
    return [Glanced(f"runs/{n}/report.json", glance(text(each), "")) for n, each in enumerate(reports)]


def text(data: Any) -> bytes:
    return f"{encode(data)}\n".encode()


def listed(*reports: dict[str, Any], metrics: tuple[str, ...] = (), limit: int | None = None) -> History:
    return history_of("runs", read(*reports), [MetricRef.parse(name) for name in metrics], limit)


@pytest.mark.parametrize("made", [binary, multiclass])
def test_a_glance_sees_what_a_whole_report_holds(made: Any) -> None:
    whole = made("accuracy >= 0.5")
    assert problems_of(whole) == []
    seen = glance(text(whole), "")
    for section in ("status", "run", "coverage", "quality", "latency", "throughput", "provenance"):
        assert seen[section] == whole[section]
    curves = whole.get("thresholds", {"curves": []})["curves"]
    kept = [{key: curve[key] for key in ("class", "bins", "histogram")} for curve in curves]
    found = seen.get("thresholds", {"curves": []})["curves"]
    for curve in found:
        curve["histogram"] = {name: column.tolist() for name, column in curve["histogram"].items()}
    assert found == kept


def test_a_glance_can_see_more() -> None:
    whole = binary()
    assert glance(text(whole), "", ("thresholds",))["thresholds"] == whole["thresholds"]


@pytest.mark.parametrize("name", ['a\n  "status": "passed"', '"status": ', 'x\\"', "  "])
def test_a_glance_is_not_taken_in_by_names(name: str) -> None:
    whole = report(label_tally([[9, 1], [1, 9]], (name, "dog")))
    seen = glance(text(whole), "")
    assert (seen["status"], seen["quality"]) == ("ungated", whole["quality"])


def test_a_report_in_another_layout_is_read_all_the_same() -> None:
    whole = binary()
    assert glance(json.dumps(whole).encode(), "")["quality"] == whole["quality"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not a report"),
        (b"\xff", "not a report"),
        (b"[1]", "schema_version None"),
        (b'{\n  "schema_version": 2,\n  "status": "passed"\n}\n', "schema_version 2; this ortbatch reads version 1"),
        (b'{\n  "schema_version": 1,\n  "run": {"id\n}\n', "not a report"),
    ],
)
def test_what_is_no_report_of_this_version_is_told(content: bytes, said: str) -> None:
    with pytest.raises(ReportError, match=said):
        glance(content, "here")


def test_runs_stand_in_order_of_time_whatever_order_they_were_found_in() -> None:
    found = listed(*(night(when) for when in (NIGHTS[2], NIGHTS[0], NIGHTS[1])))
    assert [run["run"] for run in found.runs] == list(NIGHTS)


def test_a_run_has_its_metrics_with_intervals() -> None:
    whole = night(NIGHTS[0])
    (run,) = listed(whole, metrics=("accuracy", "recall[class_0]", "latency.single.p99_ms", "roc_auc")).runs
    assert run["metrics"]["accuracy"] == {key: whole["quality"]["accuracy"][key] for key in ("value", "ci")}
    assert run["metrics"]["recall[class_0]"]["value"] == 0.9
    assert run["metrics"]["roc_auc"]["value"] is None
    assert "one-vs-rest" in run["metrics"]["roc_auc"]["reason"]
    assert (run["rows"], run["status"], run["model_sha256"]) == (60, "ungated", "a" * 64)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (binary, ["accuracy", "precision", "recall", "f1", "roc_auc", "latency.single.p99_ms"]),
        (multiclass, ["accuracy", "f1_macro", "latency.single.p99_ms"]),
    ],
)
def test_the_usual_metrics_are_those_of_the_task(made: Any, wanted: list[str]) -> None:
    assert listed(night(NIGHTS[0], made)).data["metrics"] == wanted


def test_a_limit_keeps_the_newest_and_the_drift_from_the_one_before() -> None:
    found = listed(*(night(when) for when in NIGHTS), limit=1)
    (run,) = found.runs
    assert (run["run"], run["drift"]["from"], found.data["left_out"]) == (NIGHTS[2], NIGHTS[1], 2)
    assert listed(*(night(when) for when in NIGHTS), limit=9).data["left_out"] == 0


def test_drift_is_told_from_one_run_to_the_next() -> None:
    first, second = night(NIGHTS[0], binary), night(NIGHTS[1], binary)
    found = listed(first, second).runs
    assert found[0]["drift"] is None
    assert found[1]["drift"]["scores"] == {"psi": 0.0, "js": 0.0, "class": "dog"}
    assert found[1]["drift"]["class_balance"] == {"psi": 0.0, "js": 0.0}


BROKEN = {
    "run": [], "status": 3, "coverage": {}, "quality": {"rows": 3}, "latency": None, "throughput": None,
    "provenance": {},
}  # fmt: skip


@pytest.mark.parametrize("section", BROKEN)
def test_a_report_without_a_section_is_told_and_costs_no_other_its_place(section: str) -> None:
    broken = {**night(NIGHTS[1]), section: BROKEN[section]}
    found = listed(night(NIGHTS[0]), broken, night(NIGHTS[2]))
    assert [run["run"] for run in found.runs] == [NIGHTS[0], NIGHTS[2]]
    (one,) = found.data["unreadable"]
    assert one["path"] == "runs/1/report.json"
    assert one["why"].startswith("not a valid report: ")


@pytest.mark.parametrize("histogram", [{}, {"cell": [1], "negative_0": ["x"]}, {"cell": [1, 2]}])
def test_a_damaged_histogram_costs_its_drift_only(histogram: Any) -> None:
    broken = night(NIGHTS[1], binary)
    broken["thresholds"] = {"threshold": 0.5, "curves": [{"class": "dog", "bins": 65_536, "histogram": histogram}]}
    found = listed(night(NIGHTS[0], binary), broken)
    assert found.runs[1]["drift"]["scores"]["reason"].startswith("not a valid report: ")


def test_no_run_is_an_empty_list() -> None:
    assert listed().data == {
        "folder": "runs", "metrics": ["accuracy", "f1_macro", "latency.single.p99_ms"], "runs": [], "left_out": 0,
        "unreadable": [],
    }  # fmt: skip


def test_the_text_fits_80_columns_and_holds_no_markup() -> None:
    named = {**night(NIGHTS[0], binary)}
    named["run"] = {**named["run"], "id": "[red]x[/]\x1b[2J"}
    unreadable = Glanced("runs/x", None, "\x1b[31mwhy")
    found = history_of("runs", [*read(named, night(NIGHTS[1], binary)), unreadable], [], None)
    page = io.StringIO()
    print_history(found.data, Console(file=page, width=80, highlight=False))
    shown = page.getvalue()
    assert "\x1b" not in shown
    assert "[red]x[/]" in shown
    assert "unreadable: runs/x: " in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_drift_is_told_of_the_newest_unless_a_limit_asks_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ortbatch.report.history.DRIFTING", 1)
    nights = [night(when) for when in NIGHTS]
    assert [run["drift"] is None for run in listed(*nights).runs] == [True, True, False]
    assert [run["drift"] is None for run in listed(*nights, limit=3).runs] == [True, False, False]


def test_scores_that_were_left_out_are_read_again_where_drift_needs_them() -> None:
    wholes = [night(when, binary) for when in NIGHTS[:2]]
    reports = [Glanced("", glance(text(each), "", scores=False), again=lambda e=each: read(e)[0]) for each in wholes]
    assert "thresholds" not in (reports[0].report or {})
    assert history_of("runs", reports, [], None).runs[1]["drift"] == listed(*wholes).runs[1]["drift"]
