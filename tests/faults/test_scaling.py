"""A cluster that begins without machines, under Ray's own autoscaler: a run asks for some, and takes that back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAYS = {
    "stopped_before_a_machine_came": 130, "finished": 0, "failed": 3, "interrupted": 130, "terminated": 130,
    "somebody_else_asked": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def came_of_it(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Scenario → what came of it; all on one cluster, in a process of its own."""
    folder = tmp_path_factory.mktemp("scaling")
    command = [sys.executable, "-m", "tests.faults.scaling_scenarios", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=480)
    assert (folder / "results.json").exists(), done.stderr[-4_000:]
    return dict(json.loads((folder / "results.json").read_text()))


@pytest.mark.parametrize(("way", "code"), WAYS.items())
def test_each_way_out_is_the_one_that_was_meant(came_of_it: dict[str, Any], way: str, code: int) -> None:
    assert "error" not in came_of_it[way], came_of_it[way]["error"]
    assert came_of_it[way]["code"] == code, came_of_it[way]["said"]


@pytest.mark.parametrize("way", [way for way in WAYS if way != "somebody_else_asked"])
def test_nothing_is_asked_for_any_more_however_a_run_ends(came_of_it: dict[str, Any], way: str) -> None:
    assert came_of_it[way]["asked"] >= 1
    assert came_of_it[way]["left"] == []


def test_what_somebody_else_asked_for_meanwhile_stays(came_of_it: dict[str, Any]) -> None:
    assert came_of_it["somebody_else_asked"]["left"] == [{"CPU": 1}]


def test_a_fixed_number_of_workers_is_what_is_asked_for(came_of_it: dict[str, Any]) -> None:
    assert [came_of_it[way]["asked"] for way in ("failed", "interrupted", "terminated")] == [4, 4, 4]


def test_a_run_without_any_machine_waits_and_says_for_what(came_of_it: dict[str, Any]) -> None:
    said = came_of_it["finished"]["said"]
    assert "waiting for a worker, up to 600 s (`execution.wait_for_workers_s`): each asks for 2 CPUs; " in said
    assert "the cluster has 0, 0 of them free" in said


def test_machines_come_because_the_run_asks_for_them_and_are_used(came_of_it: dict[str, Any]) -> None:
    finished = came_of_it["finished"]
    assert finished["machines"] == 2
    assert (finished["engine"]["nodes"], finished["engine"]["workers"]) == (2, 2)


def test_the_report_is_that_of_one_process(came_of_it: dict[str, Any]) -> None:
    assert came_of_it["finished"]["lasting"] == came_of_it["finished"]["inline"]
