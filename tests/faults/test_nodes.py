"""Nodes that come, and go with and without notice and with results; memory that runs out: on a real Ray cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def came_of_it(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Scenario → what came of it; all on one cluster, in a process of its own."""
    folder = tmp_path_factory.mktemp("nodes")
    command = [sys.executable, "-m", "tests.faults.node_scenarios", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=480)
    assert (folder / "results.json").exists(), done.stderr[-4_000:]
    return dict(json.loads((folder / "results.json").read_text()))


@pytest.mark.parametrize(
    ("scenario", "like", "fault"),
    [
        ("node_killed", "undisturbed", "node"),
        ("preempted", "undisturbed", "preempted"),
        ("out_of_memory", "undisturbed", "memory"),
        ("result_lost", "result_lost_undisturbed", "node"),
    ],
)
def test_the_report_is_that_of_an_undisturbed_run(
    came_of_it: dict[str, Any], scenario: str, like: str, fault: str
) -> None:
    came = came_of_it[scenario]
    assert "error" not in came, came["error"]
    assert came["lasting"] == came_of_it[like]["lasting"]
    assert came["exit_code"] == 0
    assert came["provenance"]["retries"] > 0
    assert all(f"lost ({fault})" in line for line in came["provenance"]["faults"])
    assert came["provenance"]["faults"]


@pytest.mark.parametrize("scenario", ["drained", "joined"])
def test_nodes_that_come_or_go_in_order_are_no_fault(came_of_it: dict[str, Any], scenario: str) -> None:
    came = came_of_it[scenario]
    assert "error" not in came, came["error"]
    assert came["lasting"] == came_of_it["undisturbed"]["lasting"]
    assert (came["exit_code"], came["provenance"]["retries"], came["provenance"]["faults"]) == (0, 0, [])


def test_a_worker_of_a_node_that_drains_gets_no_new_lease_and_is_let_go(came_of_it: dict[str, Any]) -> None:
    drained = came_of_it["drained"]
    # The fleet looks once a second.
    assert drained["last_given_after_s"] < 3.0
    assert drained["dismissed"]
    assert 0 < drained["shards"][drained["node"]] < sum(drained["shards"].values())


def test_a_node_that_joins_does_shards(came_of_it: dict[str, Any]) -> None:
    joined = came_of_it["joined"]
    assert joined["shards"][joined["node"]] > 0
    assert len(joined["shards"]) == 3
    assert joined["provenance"]["engine"]["workers"] == 3


def test_where_no_autoscaler_is_nothing_is_asked_for(came_of_it: dict[str, Any]) -> None:
    assert (came_of_it["joined"]["scales"], came_of_it["joined"]["asked"]) == (False, [])


def test_the_result_had_been_returned_when_it_was_lost(came_of_it: dict[str, Any]) -> None:
    assert came_of_it["result_lost"]["lost"]
