"""A worker is killed in mid-run, on a real Ray: the run completes and the quality is that of an undisturbed run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch.api import Options, run_job
from ortbatch.engine.driver import Progress
from ortbatch.errors import ShardError
from ortbatch.job import load_job
from ortbatch.report.report import Report

REPEATS = 60


@pytest.fixture(scope="module")
def long_job(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits job on many copies of its rows, one at a time: a few seconds of work in 60 shards."""
    folder = tmp_path_factory.mktemp("long")
    rows = pa.concat_tables(pq.read_table(p) for p in sorted((digits.parent / "data" / "test").glob("*.parquet")))
    (folder / "data").mkdir()
    for copy in range(REPEATS):
        pq.write_table(rows, folder / "data" / f"part-{copy:03}.parquet")
    (folder / "model.onnx").write_bytes((digits.parent / "model.onnx").read_bytes())
    (folder / "job.yaml").write_text(
        "name: long\nmodel: {path: model.onnx, batch_size: 1}\ndata: {path: data, label: label}\n"
        "execution: {workers: 2, cpus_per_worker: 1}\nlatency: {max_seconds: 1}\n"
    )
    return folder / "job.yaml"


@pytest.fixture(scope="module")
def undisturbed(long_job: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    options = Options(run_dir=str(tmp_path_factory.mktemp("undisturbed")), engine="inline")
    return run_job(load_job(long_job, overrides=["execution.workers=auto"]), options).report


def workers() -> list[psutil.Process]:
    """Processes of this test's own Ray that hold a worker of ortbatch."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if child.is_running() and child.name().startswith("ray::Worker")]


class KillOnce:
    """Kills one worker when a share of the rows is done."""

    def __init__(self, share: float) -> None:
        self._share = share
        self.killed = 0

    def __call__(self, progress: Progress) -> None:
        if not self.killed and progress.rows >= self._share * progress.total_rows and progress.workers == 2:
            victim = workers()[0]
            os.kill(victim.pid, signal.SIGKILL)
            self.killed += 1


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_killed_worker_changes_no_count(
    long_job: Path, tmp_path: Path, undisturbed: Report, ray_cluster: Any, share: float
) -> None:
    kill = KillOnce(share)
    report = run_job(load_job(long_job), Options(run_dir=str(tmp_path), engine="ray", show=kill)).report
    assert kill.killed == 1
    assert report.data["provenance"]["retries"] > 0
    assert "lost" in report.data["provenance"]["faults"][0]
    assert report.data["quality"] == undisturbed.data["quality"]
    assert report.data["coverage"] == undisturbed.data["coverage"]


def test_a_corrupt_page_ends_the_run_with_the_file_and_no_report(
    long_job: Path, tmp_path: Path, ray_cluster: Any
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    table = pq.read_table(sorted((long_job.parent / "data").glob("*.parquet"))[0])
    for name in ("a", "b", "c"):
        pq.write_table(table, data / f"{name}.parquet", write_page_checksum=True, compression="none")
    damage(data / "c.parquet")
    job = load_job(long_job, overrides=[f"data.path={data}"])
    with pytest.raises(
        ShardError, match=r"shard \d+ \(.*c\.parquet row groups 0 to 0\): .*cannot be decoded"
    ) as caught:
        run_job(job, Options(run_dir=str(tmp_path / "run"), engine="ray"))
    assert caught.value.exit_code == 3
    assert not (tmp_path / "run" / "report.json").exists()


def damage(path: Path) -> None:
    """Flip one bit in the middle of the first column's page."""
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(bytes(content))


def test_no_worker_of_ours_is_left_behind(long_job: Path, tmp_path: Path, ray_cluster: Any) -> None:
    watch: Callable[[Progress], None] = lambda progress: seen.append(len(workers()))  # noqa: E731  (a fake)
    seen: list[int] = []
    run_job(load_job(long_job), Options(run_dir=str(tmp_path), engine="ray", show=watch))
    assert max(seen) == 2
    _, alive = psutil.wait_procs(workers(), timeout=10)
    assert alive == []
