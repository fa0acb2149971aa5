"""A head and three nodes, everything on a real S3, a node killed, one added: they find what one process finds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fault_job import FILES, ROWS
from tests.s3 import SECRET

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def came_of_it(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of the run on the nodes, and of one in a single process over local files."""
    folder = tmp_path_factory.mktemp("several")
    command = [sys.executable, "-m", "tests.faults.several_nodes", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert (folder / "results.json").exists(), done.stderr[-4_000:]
    return dict(json.loads((folder / "results.json").read_text()))


@pytest.mark.parametrize("section", ["quality", "confusion_matrix", "findings"])
def test_the_report_is_that_of_one_process(came_of_it: dict[str, Any], section: str) -> None:
    assert came_of_it["lasting"][section] == came_of_it["alone"][section]


def test_coverage_is_that_of_one_process(came_of_it: dict[str, Any]) -> None:
    assert came_of_it["lasting"]["coverage"] == came_of_it["alone"]["coverage"]
    assert came_of_it["lasting"]["coverage"]["rows"]["evaluated"] == FILES * ROWS


def test_predictions_are_those_of_one_process_each_row_once(came_of_it: dict[str, Any]) -> None:
    assert came_of_it["same_predictions"]
    assert came_of_it["rows"] == FILES * ROWS


def test_the_node_that_was_added_did_shards(came_of_it: dict[str, Any]) -> None:
    assert came_of_it["shards"][came_of_it["added"]] > 0
    assert came_of_it["provenance"]["engine"]["nodes"] == 4


def test_what_the_killed_node_held_was_done_again(came_of_it: dict[str, Any]) -> None:
    provenance = came_of_it["provenance"]
    assert provenance["retries"] > 0
    assert all("lost (node)" in fault for fault in provenance["faults"])
    assert sum(came_of_it["shards"].values()) >= FILES


def test_the_key_of_the_store_is_not_in_the_report(came_of_it: dict[str, Any]) -> None:
    assert came_of_it["provenance"]["model"]["path"].startswith("s3://bucket/")
    assert SECRET not in json.dumps(came_of_it)
