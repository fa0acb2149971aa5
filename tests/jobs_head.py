"""A Ray head with its Jobs API, in a process of its own: python -m tests.jobs_head AUTH CPUS

Of the environment of servers, which has what the dashboard needs. AUTH is `token` or `disabled`. Prints one line of
JSON, the address of the dashboard, and ends with its standard input. The token is in RAY_AUTH_TOKEN_PATH.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

# Keeps Ray to 127.0.0.1, as on desktops.
LOCAL = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def main() -> None:
    """Start, say where, and wait."""
    auth, cpus = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="ob-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        here = Path(sys.executable).parent
        os.environ |= LOCAL | {
            "RAY_TMPDIR": folder,
            "RAY_AUTH_MODE": auth,
            "RAY_raylet_start_wait_time_s": "120",
            # `python` of a submitted command is the one that runs this.
            "PATH": f"{here}{os.pathsep}{os.environ['PATH']}",
        }
        import ray

        context = ray.init(
            address="local", num_cpus=int(cpus), include_dashboard=True, dashboard_host="127.0.0.1", dashboard_port=0,
            log_to_driver=False, logging_level="ERROR", object_store_memory=128 << 20,
        )  # fmt: skip
        # As `ray start` does: a submitted driver goes to the cluster that is written here, not to any on this machine.
        ray._private.utils.write_ray_address(context.address_info["gcs_address"], f"{folder}/ray")
        session = ray._private.worker._global_node.get_session_dir_path()
        print(json.dumps({"url": f"http://{context.dashboard_url}", "session": session}), flush=True)
        sys.stdin.read()
        ray.shutdown()


if __name__ == "__main__":
    main()
