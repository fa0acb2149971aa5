"""Checks against the training data on a real Ray: as in one process, also if a worker is killed in mid-pass."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ortbatch.api import Options, run_job
from ortbatch.data.plan import Shard
from ortbatch.engine.cluster import RayFleet
from ortbatch.engine.leakage import Collect, Search
from ortbatch.engine.tasks import Evaluate, Task
from ortbatch.job import Job
from ortbatch.report.report import Report
from tests.leaky import Leaky, make, mapping

SECTIONS = ("quality", "leakage", "overfitting")
EXECUTION = {"workers": 2, "cpus_per_worker": 1, "shard_rows": 100}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Leaky:
    return make(tmp_path_factory.mktemp("leaky"), files=6, rows=400, leaked=0.05)


def sections(report: Report) -> dict[str, Any]:
    return {name: report.data[name] for name in SECTIONS}


@pytest.fixture(scope="module")
def inline(data: Leaky, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    options = Options(run_dir=str(tmp_path_factory.mktemp("inline") / "run"), engine="inline")
    job = Job.from_mapping(mapping({}, execution={"shard_rows": 100}), data.folder)
    return sections(run_job(job, options).report)


def on_ray(data: Leaky, folder: Path) -> Report:
    job = Job.from_mapping(mapping({}, execution=EXECUTION), data.folder)
    return run_job(job, Options(run_dir=str(folder / "run"), engine="ray")).report


@pytest.mark.usefixtures("ray_cluster")
def test_the_sections_on_ray_are_those_of_one_process(data: Leaky, inline: dict[str, Any], tmp_path: Path) -> None:
    report = on_ray(data, tmp_path)
    assert sections(report) == inline
    assert report.data["leakage"]["rows"] == len(data.leaked()) == 120
    assert report.data["provenance"]["engine"]["engine"] == "ray"


class KillOnce:
    """Kills the process of the worker that is given the first lease of a kind of task."""

    def __init__(self, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
        self.killed = 0
        give = RayFleet.give_other

        def give_and_kill(
            fleet: RayFleet, worker: int, lease: int, shards: Sequence[Shard], task: Task, *, alone: bool
        ) -> None:
            give(fleet, worker, lease, shards, task, alone=alone)
            if isinstance(task, kind) and not self.killed:
                facts = fleet._members[worker].facts
                assert facts is not None
                os.kill(facts.pid, signal.SIGKILL)
                self.killed += 1

        monkeypatch.setattr(RayFleet, "give_other", give_and_kill)


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("kind", [Collect, Search, Evaluate])
def test_a_worker_that_is_killed_in_mid_pass_loses_no_match_and_counts_none_twice(
    data: Leaky, inline: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    killing = KillOnce(kind, monkeypatch)
    assert sections(on_ray(data, tmp_path)) == inline
    assert killing.killed == 1
