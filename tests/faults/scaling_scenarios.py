"""Runs on a cluster that begins with no machine but its head: python -m tests.faults.scaling_scenarios FOLDER

Ray's own autoscaler decides, machines are nodes on this one. Writes FOLDER/results.json: scenario → what came of it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

_FOLDER = tempfile.TemporaryDirectory(prefix="ob-", dir="/tmp", ignore_cleanup_errors=True)
ROOT = Path(__file__).resolve().parents[2]
# Before ray is imported: it reads them once, and its autoscaler imports the machines' module.
os.environ |= {
    "RAY_TMPDIR": _FOLDER.name,
    "RAY_AUTH_MODE": "disabled",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "PYTHONPATH": str(ROOT),
}

import ray  # noqa: E402
from ray.autoscaler.sdk import request_resources  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from ortbatch.api import Options, run_job  # noqa: E402
from ortbatch.engine import machines  # noqa: E402
from ortbatch.job import load_job  # noqa: E402
from tests.faults import on_demand  # noqa: E402
from tests.faults.fault_job import end, lasting, make_fault_job, report_in, start  # noqa: E402

MOST = 2
# Machines of this cluster are there within seconds.
QUICK = "import ortbatch.engine.size as size\nsize.MACHINE_SECONDS = 4.0"
FOUR = {"workers": 4, "cpus_per_worker": 2}


class Machines:
    """A head without CPUs, and nodes of two that the autoscaler asks for."""

    def __init__(self) -> None:
        self.wanted = Path(_FOLDER.name, "wanted")
        self.wanted.mkdir()
        config = Path(_FOLDER.name, "autoscaler.yaml")
        config.write_text(json.dumps(on_demand.config(self.wanted, MOST)))
        head = {
            "num_cpus": 0, "include_dashboard": False, "autoscaling_config": str(config),
            "resources": {"NODE_ID_AS_RESOURCE": on_demand.HEAD},
        }  # fmt: skip
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address = str(self._cluster.address)
        self._started: set[str] = set()
        ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")

    def start_what_is_wanted(self) -> None:
        """Nodes that the autoscaler asked for and that are not there yet."""
        for name in {path.name for path in self.wanted.iterdir()} - self._started:
            self._started.add(name)
            self._cluster.add_node(num_cpus=2, resources={"NODE_ID_AS_RESOURCE": int(name)})

    def close(self) -> None:
        ray.shutdown()
        self._cluster.shutdown()


class Scenarios:
    """One after another: the first one finds no machine, the others those that it got. Drivers are other processes."""

    def __init__(self, folder: Path, cluster: Machines) -> None:
        self._folder, self._cluster = folder, cluster

    def _run(
        self, name: str, do: Callable[[Popen[str]], None] = lambda _: None, *, machines_come: bool = True, **job: Any
    ) -> dict[str, Any]:  # fmt: skip
        """A driver to its end; `do` is called when the most was asked for that ever is.

        Args:
            machines_come: once it is said that they are waited for; later runs find them.
        """
        file, run = make_fault_job(self._folder / name, **job), self._folder / f"run-{name}"
        heard = self._folder / f"{name}.err"
        with heard.open("w") as stderr:
            more = ("--run-dir", run, "--address", self._cluster.address)
            running = start("run", file, *more, more=QUICK, stderr=stderr)
        asked, did, until = 0, False, time.monotonic() + 150
        while running.poll() is None:
            assert time.monotonic() < until, f"it has no end; it said:\n{heard.read_text()}"
            if machines_come and "waiting for a worker" in heard.read_text():
                self._cluster.start_what_is_wanted()
            asked = max(asked, len(machines.requested()))
            if asked >= job.get("workers", 2) and not did:
                did = True
                do(running)
            time.sleep(0.1)
        code, _ = end(running)
        return {
            "code": code, "said": heard.read_text(), "asked": asked, "left": machines.requested(), "run": str(run),
        }  # fmt: skip

    def stopped_before_a_machine_came(self) -> dict[str, Any]:
        def stop(running: Popen[str]) -> None:
            running.send_signal(signal.SIGTERM)

        return self._run("early", stop, machines_come=False, workers=1, cpus_per_worker=2)

    def finished(self) -> dict[str, Any]:
        came = self._run("finished", pace=0.7, cpus_per_worker=2)
        job = self._folder / "finished" / "job.yaml"
        inline = run_job(load_job(job), Options(run_dir=str(self._folder / "inline"), engine="inline")).report.data
        report = report_in(Path(came["run"]))
        return came | {
            "machines": len(list(self._cluster.wanted.iterdir())), "lasting": lasting(report),
            "inline": lasting(inline), "engine": report["provenance"]["engine"],
        }  # fmt: skip

    def failed(self) -> dict[str, Any]:
        return self._run("failed", faults={30: "memory"}, pace=0.3, **FOUR)

    def interrupted(self) -> dict[str, Any]:
        return self._run("interrupted", lambda running: running.send_signal(signal.SIGINT), pace=0.5, **FOUR)

    def terminated(self) -> dict[str, Any]:
        return self._run("terminated", lambda running: running.send_signal(signal.SIGTERM), pace=0.5, **FOUR)

    def somebody_else_asked(self) -> dict[str, Any]:
        """What is asked for by others meanwhile stays."""
        came = self._run("other", lambda _: request_resources(bundles=[{"CPU": 1}]), pace=0.3, **FOUR)
        request_resources(bundles=[])
        return came


def main() -> None:
    """Run all."""
    folder = Path(sys.argv[1])
    results: dict[str, Any] = {}
    cluster = Machines()
    scenarios = Scenarios(folder, cluster)
    names = ("stopped_before_a_machine_came", "finished", "failed", "interrupted", "terminated", "somebody_else_asked")
    try:
        for name in sys.argv[2:] or names:
            began = time.monotonic()
            try:
                results[name] = getattr(scenarios, name)()
            except Exception:
                results[name] = {"error": traceback.format_exc()}
            said = results[name].get("error", "")
            print(name, round(time.monotonic() - began, 1), said, file=sys.stderr, flush=True)
    finally:
        cluster.close()
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
