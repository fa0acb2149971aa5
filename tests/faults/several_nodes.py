"""A run on a head and three nodes, all of it on a real S3, one node killed and one added meanwhile.

python -m tests.faults.several_nodes FOLDER writes FOLDER/results.json. What lies in FOLDER itself is never shown to a
node: job, model, data, run and predictions are on the store, whose key is in the environment only.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.s3 import BUCKET, KEY, S3, SECRET, running_s3

_FOLDER = tempfile.TemporaryDirectory(prefix="ob-", dir="/tmp", ignore_cleanup_errors=True)
# Before ray is imported: it reads them once. Nodes start with what this process has.
os.environ |= {
    "RAY_TMPDIR": _FOLDER.name,
    "RAY_AUTH_MODE": "disabled",
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "4",
}

import ray  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from ortbatch.api import Options, run_job  # noqa: E402
from ortbatch.engine.driver import Progress  # noqa: E402
from ortbatch.job import load_job  # noqa: E402
from tests.faults.fault_job import lasting, make_fault_job  # noqa: E402
from tests.faults.leases import seeing_leases  # noqa: E402

NODES = 3


class Nodes:
    """A head without CPUs, and nodes of one."""

    def __init__(self) -> None:
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        ray.init(address=self._cluster.address, log_to_driver=False, logging_level="ERROR")
        self.nodes = [self.add() for _ in range(NODES)]
        self._cluster.wait_for_nodes()

    def add(self) -> Any:
        return self._cluster.add_node(num_cpus=1, object_store_memory=128 << 20)

    def kill(self, node_id: str) -> None:
        node = next(node for node in self.nodes if node.node_id == node_id)
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        ray.shutdown()
        self._cluster.shutdown()


def on_store(s3: S3, path: str) -> str:
    """A URI without a key."""
    return f"s3://{BUCKET}/{path}?endpoint_override=127.0.0.1:{s3.port}&scheme=http&region=us-east-1"


def move_to_store(file: Path, s3: S3) -> Path:
    """The same job with model, data and predictions on the store; the files themselves are not here any more."""
    (file.parent / "upload").mkdir()
    for name in ("data", "model.onnx"):
        shutil.move(file.parent / name, file.parent / "upload")
    s3.upload(file.parent / "upload", "several")
    shutil.rmtree(file.parent / "upload")
    text = file.read_text().replace("path: model.onnx", f"path: {on_store(s3, 'several/model.onnx')}")
    file.write_text(text.replace("{path: data,", f"{{path: '{on_store(s3, 'several/data/')}',"))
    return file


def disturbed(file: Path, s3: S3, nodes: Nodes) -> dict[str, Any]:
    """The run on all nodes; one goes when a fifth is done, one comes."""
    with seeing_leases() as seen:

        def disturb() -> None:
            seen["killed"] = seen["given"][-1][2]
            nodes.kill(seen["killed"])
            seen["added"] = nodes.add().node_id

        options = Options(run_dir=on_store(s3, "run"), engine="ray", show=once(0.2, disturb))
        report = run_job(load_job(file), options).report.data
    return {
        "lasting": lasting(report), "exit_code": report["exit_code"], "provenance": report["provenance"],
        "shards": seen["shards"], "killed": seen["killed"], "added": seen["added"],
    }  # fmt: skip


def once(share: float, do: Callable[[], None]) -> Callable[[Progress], None]:
    """Do something when all nodes are at work and a share of the rows is done."""
    done: list[bool] = []

    def show(progress: Progress) -> None:
        if not done and progress.workers == NODES and progress.rows >= share * progress.total_rows:
            done.append(True)
            do()

    return show


def predictions(parts: dict[str, bytes]) -> dict[int, list[dict[str, Any]]]:
    """Rows of each part, by the shard's number; where they came from is told by the file's name."""
    found = {}
    for path, content in parts.items():
        rows = pq.read_table(pa.BufferReader(content)).to_pylist()
        for row in rows:
            row.update({key: value.rsplit("/", 1)[-1] for key, value in row.items() if isinstance(value, str)})
        found[int(path.rsplit("part-", 1)[1][:6])] = rows
    return found


def main() -> None:
    """Run both."""
    folder = Path(sys.argv[1])
    keep = {"pace": 0.7, "cpus_per_worker": 1}
    local = make_fault_job(folder / "local", **keep)
    away = make_fault_job(folder / "away", **keep)
    for file in (local, away):
        file.write_text(file.read_text() + "predictions: {columns: [f0]}\n")
    with running_s3() as s3:
        nodes = Nodes()
        try:
            came = disturbed(move_to_store(away, s3), s3, nodes)
        finally:
            nodes.close()
        stored = {name: content for name, content in s3.objects("run").items() if name.endswith(".parquet")}
    run_job(load_job(local), Options(run_dir=str(folder / "run"), engine="inline"))
    report = json.loads((folder / "run" / "report.json").read_text())
    kept = {path.name: path.read_bytes() for path in (folder / "run").rglob("part-*.parquet")}
    here, there = predictions(kept), predictions(stored)
    came |= {"alone": lasting(report), "rows": sum(map(len, there.values())), "same_predictions": here == there}
    (folder / "results.json").write_text(json.dumps(came))


if __name__ == "__main__":
    main()
