"""What a baseline of equal cost takes: python -m benchmarks.baselines [--workloads tabular image] [--out FILE]

The same job in this process without a baseline and with a copy of its model beside it, in turn; medians of the rate of
the pass. Exits with 1 if a baseline leaves less than 0.45 of it: a half would be what the second model costs alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.contenders.ortbatch_inline import job_of
from benchmarks.contract import Settings, Task
from benchmarks.machine import machine
from benchmarks.run import task_of
from benchmarks.workloads import WORKLOADS
from ortbatch.engine.driver import drive
from ortbatch.engine.inline import InlineFleet
from ortbatch.engine.prepare import prepare

LEAST = 0.45


def main() -> int:
    """Print and save the figures; 1 if one is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=["tabular", "image"], metavar="NAME")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path(__file__).with_name("data"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found, missed = {}, 0
    for name in options.workloads:
        task = task_of(WORKLOADS[name], options.data, Settings(1, 1, 1))
        with tempfile.TemporaryDirectory() as folder:
            copy = shutil.copy(task.model, Path(folder) / "copy.onnx")
            pairs = [(_rate(task, {}), _rate(task, {"copy": str(copy)})) for _ in range(options.repeats)]
        alone, beside = (statistics.median(rates) for rates in zip(*pairs, strict=True))
        found[name] = {"alone": [rate for rate, _ in pairs], "beside": [rate for _, rate in pairs]}
        print(f"{name}: {alone:,.0f} rows/s alone, {beside:,.0f} with a baseline: {beside / alone:.2f} (least {LEAST})")
        missed += beside < LEAST * alone
    if options.out:
        options.out.write_text(json.dumps({**found, "machine": machine()}, indent=1) + "\n")
    return int(missed > 0)


def _rate(task: Task, baselines: dict[str, str]) -> float:
    prepared = prepare(job_of(task, baselines=baselines))
    fleet = InlineFleet(prepared)
    try:
        completed = drive(prepared, fleet)
    finally:
        fleet.close()
    for beside in completed.state.tally.baselines.values:
        assert beside.fidelity.rows == prepared.plan.rows
    return completed.rows / completed.seconds


if __name__ == "__main__":
    sys.exit(main())
