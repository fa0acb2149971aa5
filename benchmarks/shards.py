"""What a shard costs beside its rows: python -m benchmarks.shards [--out FILE]

    no-op      5,000 shards of 200 rows through an embedded Ray, their leases, schedule and reducer; workers count real
               outcomes but read no file and run no model
    tiny       5,000 files of 200 rows, planned, read and evaluated in this process

Exits with 1 if the no-op shards come at fewer than 1,000 a second or the files at fewer than 1,500, planning included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.contenders.ortbatch_inline import job_of
from benchmarks.contract import Settings, Task
from benchmarks.data import make
from benchmarks.machine import cores, machine
from benchmarks.workloads import WORKLOADS
from ortbatch.data.plan import Shard
from ortbatch.engine.cluster import RayFleet, Worker
from ortbatch.engine.count import Answers, Count, Outcome
from ortbatch.engine.driver import Completed, drive
from ortbatch.engine.fleet import Fleet
from ortbatch.engine.inline import InlineFleet
from ortbatch.engine.pool import LeaseDone
from ortbatch.engine.prepare import prepare
from ortbatch.engine.prepared import Prepared
from ortbatch.engine.state import RunState, ShardSet

NOOP_SHARDS_PER_S, TINY_FILES_PER_S = 1_000, 1_500
_REPEATS = 3


class NoopWorker(Worker):
    """Counts made-up outcomes of every shard."""

    def evaluate(self, shards: Sequence[Shard], alone: bool) -> LeaseDone:  # noqa: ARG002
        """One lease, without files and model."""
        started = time.perf_counter()
        count = Count(self._setup.evaluation)
        for shard in shards:
            count.add([_outcome(shard)])
        state = RunState(ShardSet.of(shard.id for shard in shards), count.tally())
        return LeaseDone(state, time.perf_counter() - started)


class NoopFleet(RayFleet):
    """A fleet of them."""

    worker_class = NoopWorker


def _outcome(shard: Shard) -> Outcome:
    rng = np.random.default_rng(shard.id)
    scores = rng.standard_normal((shard.rows, 2), dtype=np.float32)
    labels = rng.integers(0, 2, shard.rows)
    answers = Answers(slice(0, shard.rows), scores, None, [1_000])
    return Outcome(shard.pieces[0].file, labels, (labels > 0).astype(np.uint8), answers, {}, 0, labels[:0])


def main() -> int:
    """Print and save the figures; 1 if one is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).with_name("data"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    workload = WORKLOADS["tiny"]
    made = make(workload, options.data.absolute())
    task = Task(
        workload.name, tuple(map(str, made.files)), workload.columns, str(made.model), workload.row_shape,
        workload.dtype, workload.classes, workload.rows, cores(), "", Settings(1, 1, 1),
    )  # fmt: skip
    noop = [_noop(task) for _ in range(_REPEATS)]
    tiny = [_tiny(task) for _ in range(_REPEATS)]
    figures = {"noop_shards_per_s": noop, "tiny_files_per_s": tiny, "machine": machine()}
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    return int(
        _missed("no-op shards/s through Ray", noop, NOOP_SHARDS_PER_S)
        + _missed("files/s of 200 rows, planning included", tiny, TINY_FILES_PER_S)
        > 0
    )


def _noop(task: Task) -> float:
    one_file_each = {"execution": {"shard_rows": task.rows // len(task.files)}}
    prepared = prepare(job_of(task, **one_file_each))
    return len(prepared.plan.shards) / _evaluated(prepared, NoopFleet(prepared, None, "noop")).seconds


def _tiny(task: Task) -> float:
    started = time.perf_counter()
    prepared = prepare(job_of(task))
    planned = time.perf_counter() - started
    return len(task.files) / (planned + _evaluated(prepared, InlineFleet(prepared)).seconds)


def _evaluated(prepared: Prepared, fleet: Fleet) -> Completed:
    try:
        completed = drive(prepared, fleet)
    finally:
        fleet.close()
    assert completed.state.tally.coverage.planned == prepared.plan.rows
    return completed


def _missed(what: str, rates: Sequence[float], least: float) -> int:
    median = statistics.median(rates)
    print(f"{what}: {median:,.0f} (at least {least:,}); {', '.join(f'{rate:,.0f}' for rate in rates)}")
    return int(median < least)


if __name__ == "__main__":
    sys.exit(main())
