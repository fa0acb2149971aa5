"""How many workers share a GPU is Ray's arithmetic and ours: a Ray that only claims a GPU shows it too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fault_job import make_fault_job

_RUN = """
import json, sys, tempfile
import ray
from ortbatch.api import Options, run_job
from ortbatch.engine.cluster import RayFleet, Worker
from ortbatch.job import load_job

seen = {}

def look(progress):
    if progress.workers and progress.rows:
        seen["free"] = min(seen.get("free", 9.0), ray.available_resources().get("GPU", 0.0))

with tempfile.TemporaryDirectory(prefix="ob-", dir="/tmp", ignore_cleanup_errors=True) as folder:
    ray.init(address="local", num_cpus=8, num_gpus=1, include_dashboard=False, log_to_driver=False,
             logging_level="ERROR", object_store_memory=128 << 20, _node_ip_address="127.0.0.1", _temp_dir=folder)
    try:
        report = run_job(load_job(sys.argv[1]), Options(run_dir=sys.argv[2], engine="ray", show=look)).report.data
        print(json.dumps({"engine": report["provenance"]["engine"], "free": seen["free"]}))
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
    finally:
        ray.shutdown()
"""


def run(folder: Path, **execution: Any) -> dict[str, Any]:
    """Of a job on a Ray of eight CPUs that says it has one GPU."""
    job = make_fault_job(folder / "job", **execution)
    command = [sys.executable, "-c", _RUN, str(job), str(folder / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr[-2_000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_four_workers_of_a_quarter_share_a_gpu_and_take_all_of_it(tmp_path: Path) -> None:
    found = run(tmp_path, gpus_per_worker=0.25, cpus_per_worker=1, pace=0.5)
    assert "error" not in found, found
    assert (found["engine"]["workers"], found["engine"]["workers_joined"]) == (4, 4)
    assert found["free"] == pytest.approx(0.0)


def test_more_gpus_than_there_are_is_told_with_what_was_asked(tmp_path: Path) -> None:
    found = run(tmp_path, gpus_per_worker=2, cpus_per_worker=1, wait_for_workers_s=1)
    said = (
        "ClusterError: no worker could start in 1 s: each asks for 1 CPU and 2 GPUs; the cluster has 8, 8 of them free"
    )
    assert found["error"].startswith(said), found
    assert ", and 1 GPU." in found["error"]
