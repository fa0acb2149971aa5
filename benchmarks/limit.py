"""The limit: what a machine could do if a stage never waited for another and nothing else cost anything.

P processes at once, each doing one thing only: decode row groups into columns; pack decoded columns into the model's
input; run a session of one thread on resident data. With rates of one process

    limit = P / (1 / decode + 1 / pack + 1 / infer)

rows a second, at the batch size that gives most. Files are in the page cache. A limit is about one way to do the
stages, see `benchmarks.stages`; all of `LIMITS` are measured one after another.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.synchronize import Barrier
from queue import Queue
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.contract import Task
from benchmarks.scoring import Array, session
from benchmarks.stages import Naive, Own, Stages
from benchmarks.workloads import Workload

_SECONDS = 0.7
_WARM_UP_SECONDS = 0.2
_LEAST_BYTES, _MOST_BYTES = 1 << 15, 1 << 21
_WAIT_SECONDS = 300


LIMITS: Mapping[str, Callable[[Task, int], Stages]] = {"naive": Naive, "own": Own}


@dataclass(frozen=True)
class Limit:
    """Rows a second of one process for each stage at the best batch size, and of all processes together."""

    batch: int
    decode: float
    pack: float
    infer: float
    rows_per_s: float


def batch_ladder(workload: Workload) -> list[int]:
    """Powers of two whose inputs take 32 KiB to 2 MiB."""
    row_bytes = int(np.prod(workload.row_shape)) * np.dtype(workload.dtype).itemsize
    return [1 << power for power in range(21) if _LEAST_BYTES <= (row_bytes << power) <= _MOST_BYTES]


def measure(name: str, task: Task, workload: Workload) -> Limit:
    """Measure a limit of `LIMITS` now."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(task.cores), context.Queue()
    # No batch reaches over the end of a row group.
    most = min(workload.group_rows, workload.file_rows)
    ladder = sorted({min(rung, most) for rung in batch_ladder(workload)})
    workers = [
        context.Process(target=_work, args=(name, task, ladder, number, barrier, answers))
        for number in range(task.cores)
    ]
    for worker in workers:
        worker.start()
    try:
        rates = [answers.get(timeout=_WAIT_SECONDS) for _ in workers]
    finally:
        for worker in workers:
            worker.join(1)
            worker.terminate()
    keys: set[tuple[str, int]] = set(rates[0])
    mean = {key: float(np.mean([rate[key] for rate in rates])) for key in keys}
    return max(
        (_limit(mean, batch, task.cores, workload.limit) for batch in ladder), key=lambda limit: limit.rows_per_s
    )


def _limit(mean: Mapping[tuple[str, int], float], batch: int, processes: int, stages: Sequence[str]) -> Limit:
    rates = {"decode": mean["decode", 0], "pack": mean["pack", batch], "infer": mean["infer", batch]}
    return Limit(batch, **rates, rows_per_s=processes / sum(1 / rates[stage] for stage in stages))


def _work(
    name: str, task: Task, ladder: Sequence[int], number: int, barrier: Barrier, answers: Queue[Any]
) -> None:  # fmt: skip
    """One process: every stage in turn, at the same time as the others; answers {(stage, batch): rows a second}."""
    stages = LIMITS[name](task, max(ladder))
    groups = cycle(_groups(task.files[number :: task.cores] or task.files))
    path, group = next(groups)
    columns = stages.decode(path, group)
    running = session(stages.model(), 1)
    rates = {("decode", 0): _rate(lambda: _length(stages.decode(*next(groups))), barrier)}
    for batch in ladder:
        starts = cycle(range(0, max(1, _length(columns) - batch + 1), batch))
        resident = stages.feed(columns, 0, batch).copy()

        def pack(batch: int = batch, starts: Iterator[int] = starts) -> int:
            start = next(starts)
            stages.feed(columns, start, start + batch)
            return batch

        def infer(batch: int = batch, resident: Array = resident) -> int:
            running.run(None, {"x": resident})
            return batch

        rates["pack", batch] = _rate(pack, barrier)
        rates["infer", batch] = _rate(infer, barrier)
    answers.put(rates)


def _rate(step: Callable[[], int], barrier: Barrier) -> float:
    """Rows a second of a step that returns its rows, after a moment of warm-up; all processes begin together."""
    barrier.wait(_WAIT_SECONDS)
    _repeat(step, _WARM_UP_SECONDS)
    barrier.wait(_WAIT_SECONDS)
    return _repeat(step, _SECONDS)


def _repeat(step: Callable[[], int], seconds: float) -> float:
    rows, started, now = 0, time.perf_counter(), 0.0
    while now < seconds:
        rows += step()
        now = time.perf_counter() - started
    return rows / now


def _groups(files: Sequence[str]) -> Iterator[tuple[str, int]]:
    for path in files:
        for group in range(pq.ParquetFile(path).num_row_groups):
            yield path, group


def _length(columns: Any) -> int:
    return len(columns[0])
