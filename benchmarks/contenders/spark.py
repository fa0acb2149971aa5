"""PySpark: Parquet to mapInArrow on local[cores], one session a Python worker, the cells of each partition summed.

Timed: from the moment when a worker begins its first partition, so that reading for the first batch counts, to the end
of the last batch. The JVM has started by then, and each Python worker has its session, from a small job before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from benchmarks.contract import Answer, Stopwatch, Task, steady_seconds, sum_cells
from benchmarks.scoring import Array, Scorer, cells

_SCHEMA = "cell long, count long"
_WARM_UP_ROWS = 1_000


class _Worker:
    """What a Python worker keeps between partitions."""

    scorer: Scorer | None = None
    watch: Stopwatch | None = None


def _warm(task: Task) -> tuple[Scorer, Stopwatch]:
    if _Worker.scorer is None or _Worker.watch is None:
        _Worker.scorer, _Worker.watch = task.scorer(), Stopwatch(task.scratch)
    return _Worker.scorer, _Worker.watch


def warm_up(task: Task, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Load the session of a worker."""
    _warm(task)
    for _ in batches:
        pass
    yield _batch(np.empty(0, np.int64), np.empty(0, np.int64))


def evaluate(task: Task, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cells of the confusion matrix of one partition that are not empty."""
    score, watch = _warm(task)
    watch.begin()
    counts = np.zeros(task.classes**2, np.int64)
    for batch in batches:
        predicted = score([_values(batch.column(name)) for name in task.columns])
        places, values = cells(batch.column("label").to_numpy(), predicted, task.classes)
        counts[places] += values
        watch.end()
    filled = np.flatnonzero(counts)
    yield _batch(filled, counts[filled])


def _batch(places: Array, counts: Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"cell": places, "count": counts})


def _values(column: pa.Array) -> Array:
    """Values of a column; of a list column all values in a row. Spark has no byte without a sign: it widens uint8."""
    return np.asarray(column.flatten() if pa.types.is_list(column.type) else column)


def _session(task: Task) -> SparkSession:
    settings: dict[str, Any] = {
        "spark.sql.execution.arrow.maxRecordsPerBatch": task.settings.batch,
        "spark.python.worker.reuse": "true",
        "spark.driver.memory": "8g",
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": task.scratch,
    }
    builder = SparkSession.builder.master(f"local[{task.settings.workers}]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def run(task: Task) -> Answer:
    """Run one task."""
    spark = _session(task)
    spark.sparkContext.setLogLevel("ERROR")
    workers = task.settings.workers
    spark.range(0, _WARM_UP_ROWS, 1, workers).mapInArrow(lambda batches: warm_up(task, batches), _SCHEMA).collect()
    rows = spark.read.parquet(*task.files).select(*task.columns, "label")
    table = rows.mapInArrow(lambda batches: evaluate(task, batches), _SCHEMA).toArrow()
    matrix = sum_cells([(table["cell"].to_numpy(), table["count"].to_numpy())], task.classes)
    spark.stop()
    return Answer.of(matrix, steady_seconds(task.scratch))
