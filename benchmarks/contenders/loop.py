"""A plain loop: pyarrow, one session with all cores, scikit-learn. What most people write first.

Timed: from the first read to the end of scikit-learn's confusion matrix; session and its first run are before.
"""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from benchmarks.contract import Answer, Task
from benchmarks.scoring import Array, Scorer


def evaluate(task: Task, score: Scorer) -> tuple[Array, Array]:
    """Labels and predictions of all rows."""
    labels, predicted = [], []
    for path in task.files:
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=[*task.columns, "label"])
            labels.append(table["label"].to_numpy())
            predicted.append(score([_numpy(table[name]) for name in task.columns]))
    return np.concatenate(labels), np.concatenate(predicted)


def _numpy(column: pa.ChunkedArray) -> Array:
    """Values of a column; of a list column all values in a row."""
    joined = column.combine_chunks()
    return np.asarray(joined.flatten() if pa.types.is_fixed_size_list(joined.type) else joined)


def run(task: Task) -> Answer:
    """Run one task."""
    score = task.scorer()
    started = time.perf_counter()
    labels, predicted = evaluate(task, score)
    matrix = confusion_matrix(labels, predicted, labels=np.arange(task.classes))
    seconds = time.perf_counter() - started
    accuracy_score(labels, predicted)
    f1_score(labels, predicted, average="macro", zero_division=0)
    return Answer.of(matrix, seconds)
