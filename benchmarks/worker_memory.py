"""Does a worker's memory grow with its shards? python -m benchmarks.worker_memory [--out FILE]

A process loads the tabular model as a worker does and evaluates 1, 8 and 64 shards of one row group (65,536 rows of 32
floats) each on one stream: its peak (VmHWM) and what it held before the first shard. Exits with 1 if a peak is more
than 10% off their mean, or more than 300 MB above the loaded session.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.contenders.ortbatch_inline import job_of
from benchmarks.contract import Settings
from benchmarks.machine import machine
from benchmarks.run import task_of
from benchmarks.workloads import TABULAR
from ortbatch.engine.pool import LeaseDone, StreamPool
from ortbatch.engine.prepare import prepare
from ortbatch.engine.prepared import THREADS
from ortbatch.engine.warm import warm_up
from ortbatch.model.source import load

SHARDS = (1, 8, 64)
MOST_ABOVE_SESSION = 300e6
FLAT = 0.10


def main() -> int:
    """Print and save the figures; 1 if one is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).with_name("data"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--shards", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.shards:
        print(json.dumps(_evaluate(options.data, options.shards)))
        return 0
    found = {}
    for shards in SHARDS:
        command = [sys.executable, "-m", "benchmarks.worker_memory", "--data", str(options.data)]
        output = subprocess.run([*command, "--shards", str(shards)], check=True, capture_output=True, text=True).stdout
        found[shards] = json.loads(output)
        session, peak = found[shards]["session"], found[shards]["peak"]
        print(f"{shards:3} shards: peak {peak / 1e6:,.0f} MB, {(peak - session) / 1e6:,.0f} MB above the session")
    if options.out:
        options.out.write_text(json.dumps({"bytes": found, "machine": machine()}, indent=1) + "\n")
    peaks = [one["peak"] for one in found.values()]
    above = max(one["peak"] - one["session"] for one in found.values())
    mean = statistics.mean(peaks)
    return int(max(abs(peak - mean) for peak in peaks) > FLAT * mean or above > MOST_ABOVE_SESSION)


def _evaluate(data: Path, shards: int) -> dict[str, int]:
    task = task_of(TABULAR, data, Settings(1, 1, 1))
    prepared = prepare(job_of(task, execution={"shard_rows": TABULAR.group_rows}))
    model = load(prepared.model.source, prepared.model.providers, THREADS, prepared.evaluation.inputs.by_columns)
    warm_up(model, prepared.evaluation)
    pool = StreamPool(prepared.evaluation, model, 1)
    session = _status("VmRSS")
    done = pool.evaluate(list(prepared.plan.shards[:shards]))
    pool.close()
    assert isinstance(done, LeaseDone), done
    return {"session": session, "peak": _status("VmHWM"), "rows": done.state.tally.coverage.planned}


def _status(key: str) -> int:
    """Bytes of this process by the kernel."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
