"""A Ray head with its metrics agent, in a process of its own: python -m tests.ray_head

Of the environment of servers, which has what the agent needs. Prints one line of JSON, its address and the port of its
metrics, and ends with its standard input.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile

# What head and driver read when they import ray. The last keeps Ray to 127.0.0.1, as on desktops.
LOCAL = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


def main() -> None:
    """Start, say where, and wait."""
    with tempfile.TemporaryDirectory(prefix="ob-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        os.environ |= LOCAL | {
            "RAY_TMPDIR": folder,
            "RAY_metrics_report_interval_ms": "1000",
            "RAY_raylet_start_wait_time_s": "120",
        }
        import ray

        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
            object_store_memory=128 << 20,
        )  # fmt: skip
        address, port = ray.get_runtime_context().gcs_address, ray.nodes()[0]["MetricsExportPort"]
        print(json.dumps({"address": address, "port": port}), flush=True)
        sys.stdin.read()
        ray.shutdown()


if __name__ == "__main__":
    main()
