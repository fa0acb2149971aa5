"""Tables and models of the workloads, made from a seed, once a folder.

A label is the model's own answer for nine rows of ten and random for the rest, so a contender that shifts features
against labels, or loses rows, gets another confusion matrix.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.models import centred
from benchmarks.scoring import Array, predict, session
from benchmarks.workloads import Workload

SEED = 20_261
_RANDOM_LABELS = 0.1
_LABELLING_ROWS = 4_096
_CENTRED_ON = 64


@dataclass(frozen=True)
class Made:
    """Where the parts of a workload are."""

    files: tuple[Path, ...]
    model: Path


def make(workload: Workload, folder: Path, say: Callable[[str], None] = print) -> Made:
    """The files of a workload below a folder; made if they are not there."""
    home = folder / f"{workload.data}-{workload.rows}"
    stamp, wanted = home.with_suffix(".json"), _recipe(workload)
    if not stamp.exists() or json.loads(stamp.read_text()) != wanted:
        stamp.unlink(missing_ok=True)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        say(f"making {workload.rows:,} rows in {workload.files:,} files for {workload.data}")
        _write_table(workload, home)
        stamp.write_text(json.dumps(wanted))
    model = folder / f"{workload.name}.onnx"
    onnx.save(_model(workload, workload.model), model)
    return Made(tuple(sorted(home.glob("*.parquet"))), model)


def _recipe(workload: Workload) -> dict[str, object]:
    """What a table depends on; other figures, other table."""
    shape = [*workload.row_shape, workload.dtype, workload.classes]
    versions = [np.__version__, pa.__version__]
    return {
        "seed": SEED, "files": workload.files, "rows": workload.rows, "group_rows": workload.group_rows,
        "row": shape, "versions": versions,
    }  # fmt: skip


def _model(workload: Workload, made_by: Callable[[], onnx.ModelProto]) -> onnx.ModelProto:
    rows = _features(workload, np.random.default_rng(SEED), _CENTRED_ON)
    return centred(made_by(), rows.reshape(_CENTRED_ON, *workload.row_shape))


def _write_table(workload: Workload, home: Path) -> None:
    labelling = _model(workload, workload.labelled_by).SerializeToString()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(partial(_write_file, workload, home, labelling), range(workload.files)))


def _write_file(workload: Workload, home: Path, labelling: bytes, number: int) -> None:
    rng = np.random.default_rng([SEED, number])
    features = _features(workload, rng, workload.file_rows)
    labels = _answers(workload, labelling, features)
    random = rng.random(labels.size) < _RANDOM_LABELS
    labels[random] = rng.integers(0, workload.classes, random.sum())
    if workload.listed:
        values = pa.array(features.reshape(-1))
        columns = [pa.FixedSizeListArray.from_arrays(values, features.shape[1])]
    else:
        columns = [pa.array(features[:, place].copy()) for place in range(features.shape[1])]
    table = pa.table([*columns, pa.array(labels)], names=[*workload.columns, "label"])
    pq.write_table(table, home / f"part-{number:05}.parquet", row_group_size=workload.group_rows)


def _features(workload: Workload, rng: np.random.Generator, rows: int) -> Array:
    """[N, values a row]: normal floats, or pictures of 49 coloured squares with noise."""
    width = int(np.prod(workload.row_shape))
    if workload.dtype == "float32":
        return rng.standard_normal((rows, width), np.float32)
    channels, height, _ = workload.row_shape
    squares = rng.integers(0, 200, (rows, channels, 7, 7), np.uint8)
    picture = squares.repeat(height // 7, axis=2).repeat(height // 7, axis=3).reshape(rows, width)
    noisy: Array = picture + rng.integers(0, 56, (rows, width), np.uint8)
    return noisy


def _answers(workload: Workload, model: bytes, features: Array) -> Array:
    answering = session(model, 1)
    shaped = features.reshape(-1, *workload.row_shape)
    step = max(1, min(_LABELLING_ROWS, (1 << 22) // features.shape[1]))
    parts = [
        predict(answering.run(None, {"x": shaped[start : start + step]})[0]) for start in range(0, len(shaped), step)
    ]
    return np.concatenate(parts)
