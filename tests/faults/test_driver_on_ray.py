"""A driver with a Ray of its own is ended; what it started goes with it, and the run goes on where it was."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from ortbatch.api import Options, run_job
from ortbatch.job import load_job
from ortbatch.report.report import Report
from tests.faults.fault_job import end, lasting, make_fault_job, report_in, start, wait_for_segments

TWO = {"workers": 2, "cpus_per_worker": 1}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fault_job(tmp_path_factory.mktemp("on_ray") / "job", pace=0.3, **TWO)


@pytest.fixture(scope="module")
def undisturbed(job: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    quick = make_fault_job(tmp_path_factory.mktemp("quick") / "job")
    return run_job(load_job(quick), Options(run_dir=str(tmp_path_factory.mktemp("run")), engine="inline")).report


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_it_takes_its_ray_with_it_and_the_run_goes_on(
    job: Path, tmp_path: Path, undisturbed: Report, number: signal.Signals, code: int
) -> None:
    run = tmp_path / "run"
    running = start("run", job, "--run-dir", run, "--engine", "ray")
    wait_for_segments(run, 2, running)
    mine = psutil.Process(running.pid).children(recursive=True)
    agents = [process for process in mine if process.name().endswith("Agent")]
    others = [process for process in mine if process not in agents]
    assert any(process.name().startswith("ray::Worker") for process in others)
    running.send_signal(number)
    assert end(running)[0] == code
    _, alive = psutil.wait_procs(others, timeout=30)
    assert alive == []
    # Ray's agents outlive a driver that is killed by a minute or more.
    for process in agents:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert end(start("run", job, "--run-dir", run, "--engine", "ray"), timeout=120)[0] == 0
    report = report_in(run)
    assert lasting(report) == lasting(undisturbed.data)
    assert report["provenance"]["restored_shards"] > 0
