"""Ray Data: read_parquet and map_batches over a pool of actors, a partial confusion matrix a batch, summed at the end.

As its documentation has it for batch inference: a class that loads the model once an actor, NumPy batches, only the
needed columns. Timed: from the moment when all actors are ready, at which reading begins, to the end of the last batch.
Ray, the actors and the processes that read have started by then. (A clock that starts at the first batch leaves out
what was read before it, which can be most of a small table: it showed rates beyond the limit.)
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib import import_module

import numpy as np
import ray
import ray.data

from benchmarks.contract import Answer, Stopwatch, Task, steady_seconds, sum_cells
from benchmarks.scoring import Array, cells

_ACTORS_SECONDS, _TOGETHER_SECONDS = 120, 0.5
_BLOCKS = 32


class Predictor:
    """One actor: a warm session."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._score = task.scorer()
        self._watch = Stopwatch(task.scratch)
        self._watch.begin()

    def __call__(self, batch: dict[str, Array]) -> dict[str, Array]:
        """Cells of the batch's confusion matrix that are not empty."""
        columns = [_flat(batch[name]) for name in self._task.columns]
        places, counts = cells(batch["label"], self._score(columns), self._task.classes)
        self._watch.end()
        return {"cell": places, "count": counts}


def _flat(column: Array) -> Array:
    """Values of a column; list columns come as [N, width]."""
    rows = np.stack(list(column)) if column.dtype == object else column
    return rows.reshape(-1)


def evaluate(task: Task) -> Iterator[tuple[Array, Array]]:
    """Cells and counts of all batches."""
    blocks = min(_BLOCKS, len(task.files))
    rows = ray.data.read_parquet(list(task.files), override_num_blocks=blocks).select_columns([*task.columns, "label"])
    found = rows.map_batches(
        Predictor,
        fn_constructor_args=(task,),
        batch_size=task.settings.batch,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=task.settings.workers),
        num_cpus=1,
    )
    for batch in found.iter_batches(batch_size=None, batch_format="numpy"):
        yield batch["cell"], batch["count"]


def _warm_process() -> None:
    """Import what tasks need, in one of the processes that Ray keeps; as many at once as there are CPUs."""
    for name in ("pyarrow.dataset", "fsspec.implementations.http"):
        import_module(name)
    time.sleep(_TOGETHER_SECONDS)


def run(task: Task) -> Answer:
    """Run one task."""
    # As many CPUs for reading as there are, beside those that the actors hold: with fewer, two actors leave none to
    # read with and the pipeline waits for ever.
    cpus = task.cores + task.settings.workers
    ray.init(
        address="local", num_cpus=cpus, include_dashboard=False, _node_ip_address="127.0.0.1",
        log_to_driver=False, logging_level="ERROR",
    )  # fmt: skip
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.wait_for_min_actors_s = _ACTORS_SECONDS
    # Its newer source does not honour override_num_blocks (a small table is one block, which one actor gets) and
    # spends 4 s and more on listing 16 files.
    context.use_datasource_v2 = False
    warm = ray.remote(num_cpus=1)(_warm_process)
    ray.get([warm.remote() for _ in range(cpus)])
    try:
        matrix = sum_cells(evaluate(task), task.classes)
    finally:
        ray.shutdown()
    return Answer.of(matrix, steady_seconds(task.scratch, np.max))
