"""What every contender but ortbatch shares: a session, a batch from columns, predictions, cells of a confusion matrix.

The rule for two classes is that of ortbatch, so that the matrices can be equal: positive if score >= 0.5, so a tie
of the logits is positive too; for more classes the first largest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Array = NDArray[Any]


def session(model: str | Path | bytes, threads: int) -> onnxruntime.InferenceSession:
    """A session on the CPU with so many intra-op threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def predict(scores: Array) -> NDArray[np.int64]:
    """Class of each row of logits [N, C]."""
    if scores.shape[1] == 2:
        return np.asarray(scores[:, 1] >= scores[:, 0], np.int64)
    return np.asarray(scores.argmax(axis=1), np.int64)


def cells(labels: Array, predicted: Array, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cells of a confusion matrix that are not empty, as true * C + predicted, and their counts."""
    counts = np.bincount(labels * classes + predicted, minlength=classes * classes)
    filled = np.flatnonzero(counts)
    return filled, counts[filled]


def matrix_digest(matrix: Array) -> str:
    """Sha256 of the counts int64[C, C], rows = true class: equal if and only if all counts are."""
    return hashlib.sha256(np.ascontiguousarray(matrix, dtype="<i8").tobytes()).hexdigest()


class Scorer:
    """A warm session of a task that scores the batches of one worker.

    Args:
        model: path of the model. row_shape, dtype: of its input.
        threads: intra-op threads.
        run_rows: most rows of one `session.run`; larger batches are cut.
    """

    def __init__(self, model: str, row_shape: tuple[int, ...], dtype: str, threads: int, run_rows: int) -> None:
        self._session = session(model, threads)
        self._row_shape = row_shape
        self._dtype = dtype
        self._run_rows = run_rows
        self._session.run(None, {"x": np.zeros((run_rows, *row_shape), dtype)})

    def __call__(self, columns: Sequence[Array]) -> NDArray[np.int64]:
        """Predictions of a batch: of one array that holds whole rows one after another, or of N-long columns."""
        whole = columns[0].astype(self._dtype, copy=False).reshape(-1, *self._row_shape) if len(columns) == 1 else None
        rows = len(columns[0]) if whole is None else len(whole)
        parts = []
        for start in range(0, rows, self._run_rows):
            some = slice(start, start + self._run_rows)
            batch = np.column_stack([column[some] for column in columns]) if whole is None else whole[some]
            parts.append(predict(self._session.run(None, {"x": batch})[0]))
        return np.concatenate(parts) if parts else np.empty(0, np.int64)
