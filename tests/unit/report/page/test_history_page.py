"""The page of runs by time: pictures of what there is, every number in a table, and nothing that breaks it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ortbatch.report.page.history_page import history_page
from ortbatch.report.page.history_picture import points
from tests.unit.report.page.markup import parsed

ODD = "</td><script>alert(1)</script>\u202e"


def run(day: int, **changes: Any) -> dict[str, Any]:
    drift = {"class_balance": {"psi": 0.01, "js": 0.05}, "scores": {"psi": 0.02, "js": 0.06, "class": "dog"}}
    made = {
        "run": f"run-{day:03}",
        "name": "nightly",
        "started_at": f"2026-{1 + day // 28:02}-{1 + day % 28:02}T01:00:00Z",
        "status": "passed",
        "path": f"/secret/runs/{day}",
        "rows": 1_000,
        "model_sha256": "a" * 64,
        "data_digest": "d" * 64,
        "metrics": {"accuracy": {"value": 0.9 + day / 10_000, "ci": [0.85, 0.99]}},
        "drift": None if day == 0 else {"from": f"run-{day - 1:03}", **drift},
    }
    return made | changes


def history(*runs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    metrics = list(runs[0]["metrics"]) if runs else ["accuracy"]
    return {"folder": "runs", "metrics": metrics, "runs": list(runs), "left_out": 0, "unreadable": [], **changes}


def text_of(html: str) -> str:
    return " ".join(" ".join(parsed(html).texts).split())


def pictures(html: str) -> int:
    return html.count('<svg xmlns="http://www.w3.org/2000/svg" role="img"')


def test_every_run_stands_in_the_table_with_its_values_newest_first() -> None:
    runs = [run(day) for day in range(5)]
    part = history_page(history(*runs)).partition('id="runs"')[2].partition("</section>")[0]
    values = [float(value) for value in re.findall(r'<data value="(0\.9\d*)"', part)]
    assert values == [entry["metrics"]["accuracy"]["value"] for entry in reversed(runs)]


def test_a_picture_a_metric_and_no_more_than_eight() -> None:
    many = {f"recall[{place}]": {"value": 0.5, "ci": None} for place in range(10)}
    assert pictures(history_page(history(run(0), run(1)))) == 1
    html = history_page(history(run(0, metrics=many), run(1, metrics=many)))
    assert pictures(html) == 8
    assert "2 more metrics stand in the table of runs only" in text_of(html)


def test_points_lie_where_time_and_value_say() -> None:
    found = list(points("accuracy", [run(0), run(1), run(3)]))
    days = [(point["when"] - found[0]["when"]) / 86_400_000 for point in found]
    assert days == [0, 1, 3]
    assert [point["value"] for point in found] == [0.9, 0.9001, 0.9003]
    assert {(point["low"], point["high"]) for point in found} == {(0.85, 0.99)}


def test_a_value_without_interval_has_none_drawn() -> None:
    (found,) = points("a", [run(0, metrics={"a": {"value": 0.5, "ci": None}})])
    assert (found["low"], found["high"]) == (0.5, 0.5)


@pytest.mark.parametrize("which", ["class_balance", "scores"])
@pytest.mark.parametrize(("psi", "drifted"), [(0.099, False), (0.1, True), (None, False)])
def test_drift_is_marked_from_a_tenth_on(which: str, psi: float | None, drifted: bool) -> None:
    drift = {**run(1)["drift"], which: {"psi": psi, "js": 0.5}}
    html = history_page(history(run(0), run(1, drift=drift)))
    assert ("run that drifted" in html) is drifted
    assert (">drifted" in html) is drifted


def test_another_model_is_marked_once() -> None:
    runs = [run(0), run(1, model_sha256="b" * 64), run(2, model_sha256="b" * 64)]
    assert [point["fresh"] for point in points("accuracy", runs)] == [False, True, False]


def test_a_run_without_the_metric_is_a_dash_with_the_reason_and_no_point() -> None:
    lacking = run(1, metrics={"accuracy": {"value": None, "ci": None, "reason": "no rows"}})
    assert len(list(points("accuracy", [run(0), lacking]))) == 1
    assert 'title="no rows"' in history_page(history(run(0), lacking))


def test_a_metric_that_no_run_has_is_no_picture() -> None:
    lacking = run(0, metrics={"accuracy": {"value": None, "ci": None, "reason": "no rows"}})
    assert pictures(history_page(history(lacking))) == 0


def test_no_run_at_all_is_said() -> None:
    text = text_of(history_page(history()))
    assert "0 runs, no finished run" in text


def test_runs_that_are_left_out_and_reports_that_cannot_be_read_are_told() -> None:
    unreadable = [{"path": "runs/x", "why": "not JSON"}]
    text = text_of(history_page(history(run(0), left_out=7, unreadable=unreadable)))
    assert "7 older ones are left out" in text
    assert "runs/x not JSON" in text


def test_no_path_of_a_run_is_in_the_page() -> None:
    assert "/secret" not in history_page(history(run(0), run(1)))


@pytest.mark.parametrize("when", ["yesterday", "2026-11-23", "x" * 10_000, ODD])
def test_a_time_that_is_none_costs_its_run_the_point_only(when: str) -> None:
    html = history_page(history(run(0), run(1, started_at=when)))
    assert "run-001" in html
    assert len(list(points("accuracy", [run(0), run(1, started_at=when)]))) == 1


@pytest.mark.parametrize("value", ["0.9", ODD, [1], True])
def test_a_value_that_is_no_number_is_shown_as_text(value: object) -> None:
    html = history_page(history(run(0), run(1, metrics={"accuracy": {"value": value, "ci": None}})))
    assert sum(tag == "script" for tag, _ in parsed(html).elements) == 1


def test_names_are_text_and_markup_is_well_formed() -> None:
    odd = run(
        0, run=ODD, name=ODD, status=ODD, model_sha256=ODD, metrics={f'recall["{ODD}"]': {"value": 0.5, "ci": [0, 1]}}
    )
    html = history_page(history(odd, folder=ODD, unreadable=[{"path": ODD, "why": ODD}]))
    assert sum(tag == "script" for tag, _ in parsed(html).elements) == 1
    assert "\u202e" not in html


@pytest.mark.parametrize("number", [1, 300])
def test_the_page_is_small_whatever_the_number_of_runs(number: int) -> None:
    metrics = {f"recall[{place}]": {"value": 0.5, "ci": [0.25, 0.75]} for place in range(8)}
    html = history_page(history(*(run(day, metrics=metrics) for day in range(number))))
    assert len(html.encode()) < 1_600_000
