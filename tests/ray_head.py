"""A Ray head in a process of its own, with its metrics agent: python -m tests.ray_head [token|disabled]

Of the environment of servers, which has what the agent needs. A word asks for the Jobs API too, and says whether it
wants a token, which is in RAY_AUTH_TOKEN_PATH. Prints one line of JSON and ends with its standard input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.mlflow_server import python_of_servers

ROOT = Path(__file__).resolve().parents[1]
# What head and driver read when they import ray. The last keeps Ray to 127.0.0.1, as on desktops.
LOCAL = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


@contextmanager
def running_head(*words: str, environment: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
    """A head that is ready: address, port of its metrics, folder of its session, url of its dashboard if any."""
    head = subprocess.Popen(
        [python_of_servers(), "-m", "tests.ray_head", *words], cwd=ROOT, text=True, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert head.stdout is not None
    try:
        line = head.stdout.readline()
        assert line, head.communicate()[1][-3_000:]
        yield json.loads(line)
    finally:
        head.communicate(timeout=60)


def main() -> None:
    """Start, say where, and wait."""
    auth = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="ob-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        os.environ |= LOCAL | {
            "RAY_TMPDIR": folder,
            "RAY_metrics_report_interval_ms": "1000",
            "RAY_raylet_start_wait_time_s": "120",
            # `python` of a submitted command is the one that runs this.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **({"RAY_AUTH_MODE": auth[0]} if auth else {}),
        }
        import ray

        dashboard = {"include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": 0}
        context = ray.init(
            address="local", num_cpus=2, log_to_driver=False, logging_level="ERROR", object_store_memory=128 << 20,
            **(dashboard if auth else {"include_dashboard": False}),
        )  # fmt: skip
        address = ray.get_runtime_context().gcs_address
        # As `ray start` does: a submitted driver goes to the cluster that is written here, not to any on this machine.
        ray._private.utils.write_ray_address(address, f"{folder}/ray")
        found = {
            "address": address,
            "port": ray.nodes()[0]["MetricsExportPort"],
            "session": ray._private.worker._global_node.get_session_dir_path(),
            "url": f"http://{context.dashboard_url}" if auth else None,
        }
        print(json.dumps(found), flush=True)
        sys.stdin.read()
        ray.shutdown()


if __name__ == "__main__":
    main()
