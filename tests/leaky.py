"""A binary job whose evaluation rows partly stand in its training data, and what plain Python knows of both.

Nothing of ortbatch is used here: rows are equal if the tuples of their float32 bits are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tests.models import linear_model

FEATURES = 6
NAMES = [f"f{n}" for n in range(FEATURES)]
Key = tuple[bytes, ...]


@dataclass
class Leaky:
    """A folder with a model and two data sets; rows by file, as float32[N, FEATURES] and labels.

    Args:
        folder: of the job.
        test, train: file name → (features, labels).
    """

    folder: Path
    test: dict[str, tuple[NDArray[np.float32], NDArray[np.int64]]] = field(default_factory=dict)
    train: dict[str, tuple[NDArray[np.float32], NDArray[np.int64]]] = field(default_factory=dict)

    def keys(self, half: str) -> list[tuple[str, int, Key, int]]:
        """(file, row, inputs, label) of every row, in order."""
        files = self.test if half == "test" else self.train
        return [
            (name, row, key_of(features[row]), int(labels[row]))
            for name, (features, labels) in sorted(files.items())
            for row in range(len(labels))
        ]

    def leaked(self) -> list[tuple[str, int]]:
        """Evaluation rows whose inputs stand in the training data."""
        there = {key for _, _, key, _ in self.keys("train")}
        return [(name, row) for name, row, key, _ in self.keys("test") if key in there]

    def labels_of(self, half: str) -> Mapping[Key, list[int]]:
        """Labels of each inputs."""
        found: dict[Key, list[int]] = defaultdict(list)
        for _, _, key, label in self.keys(half):
            found[key].append(label)
        return found


def key_of(row: NDArray[np.float32]) -> Key:
    """One zero, one NaN, else the bits."""
    return tuple(b"nan" if np.isnan(value) else (value + np.float32(0)).tobytes() for value in row)


def write(
    path: Path, features: NDArray[np.float32], labels: NDArray[np.int64] | None, *, row_group: int = 100, **how: Any
) -> None:
    """One file; `names` in another order, `dtype` float64, and more columns by `extra`."""
    names, dtype = how.get("names", NAMES), how.get("dtype", np.float32)
    columns: dict[str, Any] = {name: features[:, NAMES.index(name)].astype(dtype) for name in names}
    if labels is not None:
        columns["label"] = labels
    columns |= how.get("extra", {})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=row_group)


def drawn(rows: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows and labels that a linear model can tell somewhat."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows)
    return (rng.normal(size=(rows, FEATURES)) + labels[:, None] * 0.5).astype(np.float32), labels


def make(folder: Path, files: int = 4, rows: int = 500, leaked: float = 0.01) -> Leaky:
    """Test and training files; a share of the test rows stands in training files too, in other places and layouts."""
    data = Leaky(folder)
    linear_model(folder / "model.onnx", FEATURES, 2, end="Softmax")
    rng = np.random.default_rng(7)
    for number in range(files):
        features, labels = drawn(rows, number)
        data.test[f"test-{number}.parquet"] = features, labels
        write(folder / "test" / f"test-{number}.parquet", features, labels)
    everything = np.concatenate([features for features, _ in data.test.values()])
    all_labels = np.concatenate([labels for _, labels in data.test.values()])
    taken = rng.choice(len(everything), round(leaked * len(everything)), replace=False)
    for number, chosen in enumerate(np.array_split(taken, files)):
        features, labels = drawn(2 * rows, 100 + number)
        features[: len(chosen)], labels[: len(chosen)] = everything[chosen], all_labels[chosen]
        order = rng.permutation(len(labels))
        data.train[f"train-{number}.parquet"] = features[order], labels[order]
        layout: dict[str, Any] = {"names": NAMES[::-1], "dtype": np.float64} if number % 2 else {}
        write(folder / "train" / f"train-{number}.parquet", features[order], labels[order], row_group=150, **layout)
    return data


def mapping(checks: Any = None, *gates: str, **keys: Any) -> dict[str, Any]:
    """A job over such a folder."""
    data = {"path": "test", "label": "label", **keys.pop("data", {})}
    model = keys.pop("model", {"path": "model.onnx", "inputs": {"x": NAMES}})
    plain: dict[str, Any] = {"name": "leaky", "model": model, "data": data, "latency": {"max_seconds": 0.01}}
    asked = {} if checks is None else {"checks": {"training_data": "train", **checks}}
    return {**plain, "gates": list(gates), **asked, **keys}


def places(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Name and row of examples of a report."""
    return [(Path(row["file"]).name, row["row"]) for row in rows]
