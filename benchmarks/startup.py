"""How long a small job takes from nothing: imports, help, and the digits job in one process and on an embedded Ray.

    python benchmarks/startup.py [--runs 5] [--save FILE]

Whole processes, wall time, run in turn so that a slow spell of the machine hits all of them; medians. Exits with 1 if a
median is over its limit.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
JOB = "jobs/digits/job.yaml"


@dataclass(frozen=True)
class Case:
    """A command and the seconds that its median may take; None: told, not judged."""

    name: str
    command: tuple[str, ...]
    limit_s: float | None


CASES = (
    Case("python -c pass", ("-c", "pass"), None),
    Case("import ortbatch", ("-c", "import ortbatch"), 0.5),
    Case("ortbatch --help", ("-m", "ortbatch", "--help"), 0.5),
    Case("digits, inline", ("-m", "ortbatch", "run", JOB, "--engine", "inline", "--force"), 3.0),
    Case("digits, embedded Ray", ("-m", "ortbatch", "run", JOB, "--engine", "ray", "--force"), 12.0),
)


def seconds(case: Case, folder: str) -> float:
    """Wall time of one process."""
    command = [sys.executable, *case.command, *(("--run-dir", folder) if "run" in case.command else ())]
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - started


def measure(runs: int) -> dict[str, list[float]]:
    """Case → seconds of each run; one run of each comes first and is not counted."""
    times: dict[str, list[float]] = {case.name: [] for case in CASES}
    for number in range(runs + 1):
        for case in CASES:
            with tempfile.TemporaryDirectory() as folder:
                spent = seconds(case, folder)
            if number:
                times[case.name].append(spent)
    return times


def main() -> int:
    """Print a table; 1 if a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    times = measure(options.runs)
    slow = 0
    print(f"{'case':24}{'median s':>10}{'min':>8}{'max':>8}{'limit':>8}")
    for case in CASES:
        spent = times[case.name]
        median = statistics.median(spent)
        slow += case.limit_s is not None and median > case.limit_s
        limit = "" if case.limit_s is None else f"{case.limit_s:g}"
        print(f"{case.name:24}{median:10.2f}{min(spent):8.2f}{max(spent):8.2f}{limit:>8}")
    if options.save:
        versions = {name: metadata.version(name) for name in ("ray", "onnxruntime", "pyarrow", "scikit-learn")}
        facts = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "python": platform.python_version(), "versions": versions}
        options.save.write_text(json.dumps({**facts, "seconds": times}, indent=2))
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
