"""Daft: read_parquet and a batch method of a class, on the native runner; Daft itself counts label and prediction.

Timed: from the moment when the first instance has loaded its session to the end of the last batch.
"""

from __future__ import annotations

from typing import Any

import daft
import numpy as np
from daft import DataType, Series, col

from benchmarks.contract import Answer, Stopwatch, Task, steady_seconds, sum_cells
from benchmarks.scoring import Array, Scorer


def _values(series: Series) -> Array:
    """Values of a column; of a list column all values in a row."""
    array = series.to_arrow()
    return np.asarray(array.flatten() if series.datatype().is_fixed_size_list() else array)


def predictor(task: Task) -> Any:
    """The expression that predicts the class of each row."""
    batched = daft.method.batch(return_dtype=DataType.int64(), batch_size=task.settings.batch)

    @daft.cls(max_concurrency=task.settings.workers)
    class Predictor:
        def __init__(self) -> None:
            self._score: Scorer = task.scorer()
            self._watch = Stopwatch(task.scratch)
            self._watch.begin()

        @batched  # type: ignore[untyped-decorator]
        def predict(self, *columns: Series) -> Array:
            predicted = self._score([_values(column) for column in columns])
            self._watch.end()
            return predicted

    # Called with expressions, a batch method is one itself.
    predict: Any = Predictor().predict
    return predict(*(col(name) for name in task.columns))


def run(task: Task) -> Answer:
    """Run one task."""
    daft.set_runner_native()
    rows = daft.read_parquet(list(task.files))
    place = (col("label") * task.classes + predictor(task)).alias("cell")
    found = rows.select(place).groupby("cell").agg(col("cell").count().alias("count")).to_arrow()
    matrix = sum_cells([(found["cell"].to_numpy(), found["count"].to_numpy())], task.classes)
    return Answer.of(matrix, steady_seconds(task.scratch))
