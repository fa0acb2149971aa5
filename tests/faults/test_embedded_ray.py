"""A Ray that ortbatch starts is nobody else's: it hears this machine only, asks for a token, and leaves nothing."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from ortbatch.api import Options, run_job
from ortbatch.errors import JobError
from ortbatch.job import load_job
from tests.faults.fault_job import make_fault_job

_LOOK = """
import json, os, sys
from pathlib import Path
import psutil, ray
from ortbatch.engine import ray_session
from ortbatch.api import Options, run_job
from ortbatch.job import load_job

found = {}

def look(progress):
    if progress.rows and not found:
        me = psutil.Process()
        mine = [me, *me.children(recursive=True)]
        found["pids"] = [p.pid for p in mine[1:]]
        found["heard"] = [c.laddr.ip for p in mine for c in p.net_connections("inet") if c.status == "LISTEN"]
        found["auth"] = os.environ.get("RAY_AUTH_MODE")
        token = Path.home() / ".ray" / "auth_token"
        found["token_mode"] = oct(token.stat().st_mode & 0o777)

before = dict(os.environ)
run_job(load_job(sys.argv[1]), Options(run_dir=sys.argv[2], engine="ray", show=look))
found["left"] = ray_session._CLUSTERS in os.environ
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run on an embedded Ray listens to, seen from inside."""
    folder = tmp_path_factory.mktemp("embedded")
    job = make_fault_job(folder / "job", workers=2, cpus_per_worker=1)
    command = [sys.executable, "-c", _LOOK, str(job), str(folder / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_its_servers_hear_the_loopback_only(found: dict[str, Any]) -> None:
    addresses = [ipaddress.ip_address(ip.removeprefix("::ffff:")) for ip in found["heard"]]
    assert len(addresses) > 5
    assert [str(ip) for ip in addresses if not ip.is_loopback] == []


def test_it_asks_for_a_token_that_only_its_user_reads(found: dict[str, Any]) -> None:
    assert (found["auth"], found["token_mode"]) == ("token", "0o600")


def test_what_it_set_for_itself_does_not_stay(found: dict[str, Any]) -> None:
    assert found["left"] is False


def test_its_processes_end_with_it(found: dict[str, Any]) -> None:
    assert len(found["pids"]) > 3
    left = [psutil.Process(pid) for pid in found["pids"] if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(left, timeout=10)
    assert alive == []


def test_what_lets_ray_unpickle_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_DATA_AUTOLOAD_CLOUDPICKLE_TENSOR_METADATA", "1")
    job = make_fault_job(tmp_path / "job", workers=2, cpus_per_worker=1)
    with pytest.raises(JobError, match="lets Ray Data unpickle what a Parquet file holds; unset it"):
        run_job(load_job(job), Options(run_dir=str(tmp_path / "run"), engine="ray"))


_TOLD_WHILE_IT_STARTS = """
import os, signal, sys, time
import ray
from ortbatch.engine.signals import starting_ray, stop_on_signals

with stop_on_signals():
    try:
        with starting_ray():
            ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
    except KeyboardInterrupt:
        taken = signal.getsignal(signal.SIGTERM).__qualname__
        # Whoever takes longer than 3 s to stop was aborted by Ray's own handler.
        time.sleep(4)
        ray.shutdown()
        print(taken)
"""


def test_a_driver_that_is_told_to_stop_while_ray_starts_is_not_aborted_and_hears_signals_again() -> None:
    command = [sys.executable, "-c", _TOLD_WHILE_IT_STARTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "StopRequest._note\n"), done.stderr[-2_000:]
