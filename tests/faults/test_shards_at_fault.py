"""Shards that kill, hang or starve their workers, on a real Ray and in one process: left out, nobody else blamed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from ortbatch.api import Options, run_job
from ortbatch.engine import cluster
from ortbatch.errors import ClusterError, ShardError
from ortbatch.job import load_job
from ortbatch.report.report import Report
from tests.faults.fault_job import FILES, ROWS, lasting, make_fault_job

BAD = 23
TWO = {"workers": 2, "cpus_per_worker": 2}


@pytest.fixture(autouse=True)
def _quick_to_replace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ortbatch.engine.rules.LONGEST_DELAY", 0.1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Report:
    job = make_fault_job(tmp_path_factory.mktemp("well") / "job")
    return run(job, tmp_path_factory.mktemp("run"), "inline")


@pytest.fixture(scope="module")
def without_bad(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of the same rows but for those of the bad shard."""
    job = make_fault_job(tmp_path_factory.mktemp("without") / "job")
    (job.parent / "data" / f"{BAD:03}.parquet").unlink()
    return run(job, tmp_path_factory.mktemp("run"), "inline")


def run(job: Path, folder: Path, engine: str) -> Report:
    overrides = ["execution.workers=auto"] if engine == "inline" else []
    return run_job(load_job(job, overrides=overrides), Options(run_dir=str(folder / "run"), engine=engine)).report


def only_the_bad_one_is_left_out(report: Report, without_bad: Report, fault: str) -> None:
    (left_out,) = report.data["coverage"]["shards"]["quarantined"]
    assert (left_out["shard"], left_out["rows"], left_out["fault"]) == (BAD, ROWS, fault)
    assert [Path(file).name for file in left_out["files"]] == [f"{BAD:03}.parquet"]
    assert report.data["coverage"]["rows"]["rejected"] == {"quarantined_shard": ROWS}
    assert (report.status, report.exit_code) == ("incomplete", 3)
    for name in ("quality", "confusion_matrix"):
        assert report.data[name] == without_bad.data[name]


def test_a_shard_that_kills_its_worker_is_left_out(tmp_path: Path, without_bad: Report, ray_cluster: Any) -> None:
    job = make_fault_job(tmp_path / "job", {BAD: "die"}, on_bad_shard="quarantine", **TWO)
    report = run(job, tmp_path, "ray")
    only_the_bad_one_is_left_out(report, without_bad, "worker")
    assert sum("lost (worker)" in line for line in report.data["provenance"]["faults"]) == 4


def test_a_shard_that_kills_its_worker_ends_the_run_with_its_name(tmp_path: Path, ray_cluster: Any) -> None:
    job = make_fault_job(tmp_path / "job", {BAD: "die"}, **TWO)
    with pytest.raises(ShardError, match=rf"shard {BAD} \(.*{BAD:03}\.parquet .*its worker died 3 times with it alone"):
        run(job, tmp_path, "ray")
    assert not (tmp_path / "run" / "report.json").exists()


def test_a_worker_that_died_once_costs_nothing(tmp_path: Path, undisturbed: Report, ray_cluster: Any) -> None:
    job = make_fault_job(tmp_path / "job", {BAD: f"once:{tmp_path / 'died'}:die"}, **TWO)
    report = run(job, tmp_path, "ray")
    assert (tmp_path / "died").exists()
    assert lasting(report.data) == lasting(undisturbed.data)
    assert report.data["provenance"]["retries"] > 0


@pytest.mark.parametrize("engine", ["inline", "ray"])
def test_a_shard_that_hangs_is_left_out(tmp_path: Path, without_bad: Report, ray_cluster: Any, engine: str) -> None:
    job = make_fault_job(tmp_path / "job", {BAD: "hang"}, on_bad_shard="quarantine", shard_seconds=0.7, **TWO)
    report = run(job, tmp_path, engine)
    only_the_bad_one_is_left_out(report, without_bad, "deadline")
    assert "`execution.shard_seconds`" in report.data["coverage"]["shards"]["quarantined"][0]["reason"]


@pytest.mark.parametrize("engine", ["inline", "ray"])
def test_a_shard_without_memory_is_left_out(tmp_path: Path, without_bad: Report, ray_cluster: Any, engine: str) -> None:
    job = make_fault_job(tmp_path / "job", {BAD: "memory"}, on_bad_shard="quarantine", **TWO)
    only_the_bad_one_is_left_out(run(job, tmp_path, engine), without_bad, "memory")


@pytest.mark.parametrize("engine", ["inline", "ray"])
def test_a_shard_with_too_little_memory_beside_others_is_done_alone(
    tmp_path: Path, undisturbed: Report, ray_cluster: Any, engine: str
) -> None:
    job = make_fault_job(tmp_path / "job", {BAD: f"once:{tmp_path / 'tried'}:memory"}, **TWO)
    assert lasting(run(job, tmp_path, engine).data) == lasting(undisturbed.data)


@pytest.mark.parametrize("engine", ["inline", "ray"])
def test_a_file_that_is_gone_is_left_out(tmp_path: Path, without_bad: Report, ray_cluster: Any, engine: str) -> None:
    job = make_fault_job(tmp_path / "job", on_bad_shard="quarantine", **TWO)
    loaded = load_job(job, overrides=["execution.workers=auto"] if engine == "inline" else [])

    def gone(*_: object) -> None:
        (job.parent / "data" / f"{BAD:03}.parquet").unlink(missing_ok=True)

    report = run_job(loaded, Options(run_dir=str(tmp_path / "run"), engine=engine, show=gone)).report
    only_the_bad_one_is_left_out(report, without_bad, "shard")


def test_within_the_budget_of_bad_rows_the_run_passes(tmp_path: Path) -> None:
    job = make_fault_job(tmp_path / "job", {BAD: "memory"}, on_bad_shard="quarantine")
    loaded = load_job(job, overrides=[f"data.max_bad_rows={ROWS}"])
    report = run_job(loaded, Options(run_dir=str(tmp_path / "run"), engine="inline")).report
    assert (report.status, report.exit_code) == ("ungated", 0)
    assert report.data["coverage"]["shards"]["done"] == FILES - 1


def workers() -> list[psutil.Process]:
    """Processes of this test's own Ray that hold a worker, ready or not."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if child.is_running() and child.name().startswith("ray::Worker")]


def test_a_worker_killed_while_it_loads_is_replaced(
    tmp_path: Path, undisturbed: Report, ray_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    wait = cluster.RayFleet.wait

    def kill_first(fleet: cluster.RayFleet) -> Any:
        if not killed and (loading := workers()):
            killed.append(loading[0].pid)
            loading[0].kill()
        return wait(fleet)

    monkeypatch.setattr(cluster.RayFleet, "wait", kill_first)
    report = run(make_fault_job(tmp_path / "job", pace=0.05, **TWO), tmp_path, "ray")
    assert killed
    assert lasting(report.data) == lasting(undisturbed.data)
    assert "lost (worker)" in report.data["provenance"]["faults"][0]


def test_a_worker_killed_after_its_result_was_sent_is_counted_once(
    tmp_path: Path, undisturbed: Report, ray_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    give = cluster.RayFleet.give

    def kill_when_done(fleet: cluster.RayFleet, worker: int, lease: int, shards: Any, *, alone: bool) -> None:
        give(fleet, worker, lease, shards, alone=alone)
        if lease == 6:
            call = next(ref for ref, owner in fleet._pending.items() if owner == (worker, lease))
            ray_cluster.wait([call])
            facts = fleet._members[worker].facts
            assert facts is not None
            killed.append(facts.pid)
            psutil.Process(facts.pid).kill()

    monkeypatch.setattr(cluster.RayFleet, "give", kill_when_done)
    report = run(make_fault_job(tmp_path / "job", **TWO), tmp_path, "ray")
    assert killed
    assert lasting(report.data) == lasting(undisturbed.data)


def test_a_cluster_without_room_says_what_was_asked_and_what_there_is(tmp_path: Path, ray_cluster: Any) -> None:
    job = make_fault_job(tmp_path / "job", workers=1, cpus_per_worker=64, wait_for_workers_s=1)
    with pytest.raises(ClusterError, match=r"no worker could start in 1 s: each asks for 64 CPUs; the cluster has 4"):
        run(job, tmp_path, "ray")


def test_workers_that_start_slowly_are_waited_for_where_there_is_room(
    tmp_path: Path, ray_cluster: Any, monkeypatch: pytest.MonkeyPatch, undisturbed: Report
) -> None:
    class SlowWorker(cluster.Worker):
        def __init__(self, *arguments: Any) -> None:
            time.sleep(3)
            super().__init__(*arguments)

    monkeypatch.setattr(cluster.RayFleet, "worker_class", SlowWorker)
    report = run(make_fault_job(tmp_path / "job", **TWO, wait_for_workers_s=0.5), tmp_path, "ray")
    assert lasting(report.data) == lasting(undisturbed.data)
