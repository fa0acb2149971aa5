"""What the numbers must be: a plain loop with onnxruntime and scikit-learn, one process, one file after the other.

Nothing of ortbatch is used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix


@dataclass(frozen=True)
class Expected:
    """Raw labels int64[N] and raw model outputs [N, ...] of all rows, in file order."""

    labels: NDArray[np.int64]
    outputs: NDArray[np.float32]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """First largest output."""
        return np.argmax(self.outputs, axis=1)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the outputs in float64."""
        shifted = np.exp(self.outputs.astype(np.float64) - self.outputs.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)

    def confusion(self) -> NDArray[np.int64]:
        """scikit-learn's confusion matrix of all classes."""
        return confusion_matrix(self.labels, self.predicted, labels=range(self.outputs.shape[1]))


def plain_loop(model: Path, files: Sequence[Path], column: str, shape: tuple[int, ...], label: str) -> Expected:
    """Read every file, reshape one list column, run the model on whole files."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    labels, outputs = [], []
    for file in files:
        table = pq.read_table(file, columns=[column, label])
        rows = np.array(table.column(column).to_pylist(), np.float32).reshape(-1, *shape)
        outputs.append(session.run(None, {name: rows})[0])
        labels.append(np.array(table.column(label).to_pylist(), np.int64))
    return Expected(np.concatenate(labels), np.concatenate(outputs))
