"""Faults of whole nodes on a real Ray cluster, in a process of its own: python -m tests.faults.node_scenarios FOLDER

With names behind FOLDER only these scenarios.
Ray's test cluster: a head without CPUs, and nodes of two. Writes FOLDER/results.json: scenario → what came of it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

ROOM_BYTES = 2_500 << 20
_MEMORY = psutil.virtual_memory()
_FOLDER = tempfile.TemporaryDirectory(prefix="ob-", dir="/tmp", ignore_cleanup_errors=True)
# Before ray is imported: it reads them once. Nodes start with what this process has.
os.environ |= {
    "RAY_TMPDIR": _FOLDER.name,
    "RAY_AUTH_MODE": "disabled",
    "RAY_memory_usage_threshold": str((_MEMORY.total - _MEMORY.available + ROOM_BYTES) / _MEMORY.total),
    "RAY_memory_monitor_refresh_ms": "100",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "4",
}

import ray  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from ortbatch.api import Options, run_job  # noqa: E402
from ortbatch.engine import machines, rules  # noqa: E402
from ortbatch.engine.cluster import RayFleet  # noqa: E402
from ortbatch.engine.driver import Progress  # noqa: E402
from ortbatch.job import load_job  # noqa: E402
from tests.faults.fault_job import lasting, make_fault_job  # noqa: E402
from tests.faults.leases import seeing_leases  # noqa: E402

# A second worker that is faster would hide what becomes of the first.
rules._TWIN_SECONDS = 600.0
TWO = {"workers": 2, "cpus_per_worker": 2}


class Scenarios:
    """One cluster, one scenario after another, each with two nodes that are whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self._nodes: list[Any] = []
        self._seen: dict[str, Any] = {}
        ray.init(address=self._cluster.address, log_to_driver=False, logging_level="ERROR")

    def close(self) -> None:
        ray.shutdown()
        self._cluster.shutdown()

    def two_nodes(self) -> None:
        while len(self._nodes) < 2:
            self._add_node()
        self._cluster.wait_for_nodes()

    def kill_node(self, node_id: str | None = None) -> None:
        """Without notice; without an id the one that was added last."""
        node = next((node for node in self._nodes if node.node_id == node_id), self._nodes[-1])
        self._nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def run(self, name: str, show: Callable[[Progress], None] = lambda _: None, **job: Any) -> dict[str, Any]:
        file = make_fault_job(self._folder / name / "job", **{**TWO, **job})
        options = Options(run_dir=str(self._folder / name / "run"), engine="ray", show=show)
        self._seen = {}
        with seeing_leases() as seen:
            report = run_job(load_job(file), options).report.data
        self._seen |= seen
        return {"lasting": lasting(report), "provenance": report["provenance"], "exit_code": report["exit_code"]}

    def undisturbed(self) -> dict[str, Any]:
        return self.run("undisturbed")

    def node_killed(self) -> dict[str, Any]:
        return self.run("node_killed", self.once(0.2, self.kill_node), pace=0.5)

    def preempted(self) -> dict[str, Any]:
        """The node is told that it will go, and goes before its worker can end what it holds."""

        def preempt() -> None:
            drain_node(self._nodes[-1].node_id, time.time() + 0.3)
            threading.Timer(0.5, self.kill_node).start()

        return self.run("preempted", self.once(0.2, preempt), pace=1.0)

    def drained(self) -> dict[str, Any]:
        """The node is told that it will go, and has time: its worker ends what it holds, and goes first."""
        went: dict[str, Any] = {}

        def drain() -> None:
            went.update(node=self._nodes[-1].node_id, at=time.monotonic())
            drain_node(went["node"])

        came = self.run("drained", self.once(0.2, drain), pace=1.0, workers="auto")
        node = went["node"]
        self.kill_node(node)
        after = [when - went["at"] for when, lease, at in self._seen["given"] if at == node]
        return came | {
            "last_given_after_s": max(after), "dismissed": node in self._seen["dismissed"],
            "shards": self._seen["shards"], "node": node,
        }  # fmt: skip

    def joined(self) -> dict[str, Any]:
        """A third node comes while two are at work."""
        came = self.run("joined", self.once(0.1, self._add_node), pace=1.5, workers="auto")
        node = self._nodes[-1].node_id
        self.kill_node(node)
        return came | {
            "shards": self._seen["shards"], "node": node, "scales": machines.scales(), "asked": machines.requested(),
        }  # fmt: skip

    def _add_node(self) -> None:
        self._nodes.append(self._cluster.add_node(num_cpus=2, object_store_memory=128 << 20))

    def result_lost(self) -> dict[str, Any]:
        """A result too large to travel with its answer is lost with its node, after the answer came.

        It is the node of whichever worker gets the fifth lease: a second worker that starts late may get none.
        """
        give, lost = RayFleet.give, []

        def give_and_lose(fleet: RayFleet, worker: int, lease: int, shards: Any, *, alone: bool) -> None:
            give(fleet, worker, lease, shards, alone=alone)
            facts = fleet._members[worker].facts
            if not lost and lease >= 4 and facts is not None:
                call = next(ref for ref, owner in fleet._pending.items() if owner == (worker, lease))
                ray.wait([call], fetch_local=False)
                lost.append(lease)
                self.kill_node(facts.node)

        RayFleet.give = give_and_lose  # type: ignore[method-assign]
        try:
            return self.run("result_lost", rows=6_000) | {"lost": lost}
        finally:
            RayFleet.give = give  # type: ignore[method-assign]

    def result_lost_undisturbed(self) -> dict[str, Any]:
        return self.run("result_lost_undisturbed", rows=6_000)

    def out_of_memory(self) -> dict[str, Any]:
        """The system ends a worker for its memory, once."""
        marker = self._folder / "tried"
        return self.run("out_of_memory", faults={23: f"once:{marker}:oom"})

    @staticmethod
    def once(share: float, do: Callable[[], None]) -> Callable[[Progress], None]:
        done: list[bool] = []

        def show(progress: Progress) -> None:
            if not done and progress.workers == 2 and progress.rows >= share * progress.total_rows:
                done.append(True)
                do()

        return show


def drain_node(node_id: str, deadline: float = 0) -> None:
    """Tell a node that it will be taken back; 0: some time."""
    from ray._private.worker import global_worker
    from ray.core.generated.autoscaler_pb2 import DRAIN_NODE_REASON_PREEMPTION

    accepted = global_worker.gcs_client.drain_node(  # type: ignore[attr-defined]
        node_id, DRAIN_NODE_REASON_PREEMPTION, "taken back", int(deadline * 1_000)
    )
    assert accepted[0], accepted


def main() -> None:
    """Run all."""
    folder = Path(sys.argv[1])
    results: dict[str, Any] = {}
    scenarios = Scenarios(folder)
    names = ("undisturbed", "node_killed", "preempted", "drained", "joined", "out_of_memory",
             "result_lost_undisturbed", "result_lost")  # fmt: skip
    names = tuple(sys.argv[2:]) or names
    try:
        for name in names:
            scenarios.two_nodes()
            began = time.monotonic()
            try:
                results[name] = getattr(scenarios, name)()
            except Exception:
                results[name] = {"error": traceback.format_exc()}
            results[name]["seconds"] = time.monotonic() - began
            said = results[name].get("error", "")
            print(name, round(time.monotonic() - began, 1), said, file=sys.stderr, flush=True)
    finally:
        scenarios.close()
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
