"""A model of more than 2 GiB, beyond what one protobuf file can hold: its weights lie in a file of holes beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.metrics import confusion_matrix

from ortbatch.api import check
from ortbatch.job import Job
from tests.makers import evaluate

GIB = 1 << 30
WIDTH, CLASSES, ROWS = 64, 10, 400
BEYOND = 2 * GIB // (4 * WIDTH)
"""The row of the table that begins 2^31 bytes behind its first."""
LENGTH = BEYOND + 1_000
TABLE_BYTES = 4 * LENGTH * WIDTH


@dataclass(frozen=True)
class Embedded:
    """model.onnx, w.bin and data.parquet in a folder, and what is in them, int64[N] and float32[N, 64], [64, 10]."""

    folder: Path
    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]
    weights: NDArray[np.float32]
    labels: NDArray[np.int64]


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    disk, memory = shutil.disk_usage(tmp_path).free / GIB, psutil.virtual_memory().available / GIB
    if disk < 4 or memory < 6:
        pytest.skip(f"{disk:.1f} GiB of disk and {memory:.1f} GiB of memory are free; 4 and 6 are needed")
    rng = np.random.default_rng(0)
    # The first 100 rows, and those that 31 bits of a place in the file cannot tell from them.
    ids = np.unique([*range(100), *range(BEYOND, BEYOND + 100), *rng.integers(0, LENGTH, ROWS), LENGTH - 1])
    vectors, weights = rng.normal(size=(len(ids), WIDTH)), rng.normal(size=(WIDTH, CLASSES))
    labels = rng.integers(0, CLASSES, len(ids))
    made = Embedded(tmp_path, ids, vectors.astype("f4"), weights.astype("f4"), labels)
    write(made)
    yield made
    (tmp_path / "w.bin").unlink()


def write(made: Embedded) -> None:
    """Look up `id` in a table, times a matrix that lies behind the table in w.bin; the rest of the table is zero."""
    with (made.folder / "w.bin").open("wb") as file:
        os.truncate(file.fileno(), TABLE_BYTES)
        for place, vector in [*zip(made.ids, made.vectors, strict=True), (LENGTH, made.weights)]:
            file.seek(4 * WIDTH * int(place))
            file.write(vector.tobytes())
    nodes = [
        helper.make_node("Gather", ["table", "id"], ["found"]),
        helper.make_node("Reshape", ["found", "flat"], ["vectors"]),
        helper.make_node("MatMul", ["vectors", "matrix"], ["logits"]),
    ]
    constants = [
        in_file("table", (LENGTH, WIDTH), 0),
        in_file("matrix", (WIDTH, CLASSES), TABLE_BYTES),
        numpy_helper.from_array(np.array([-1, WIDTH]), "flat"),
    ]
    given = helper.make_tensor_value_info("id", TensorProto.INT64, ["N", 1])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])
    graph = helper.make_graph(nodes, "embedded", [given], [logits], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (made.folder / "model.onnx").write_bytes(model.SerializeToString())
    pq.write_table(pa.table({"label": made.labels, "id": made.ids}), made.folder / "data.parquet", row_group_size=97)


def in_file(name: str, shape: tuple[int, int], offset: int) -> onnx.TensorProto:
    """A tensor of w.bin."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "w.bin"), ("offset", offset), ("length", 4 * shape[0] * shape[1])):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def test_a_model_of_more_than_2_gib_counts_what_its_numbers_say(embedded: Embedded) -> None:
    assert (embedded.folder / "w.bin").stat().st_size > TABLE_BYTES > 2 * GIB
    report = evaluate(embedded.folder)
    predicted = [int((vector @ embedded.weights).argmax()) for vector in embedded.vectors]
    assert report.confusion_matrix.tolist() == confusion_matrix(embedded.labels, predicted).tolist()


def test_a_weight_beyond_2_gib_is_part_of_the_models_identity(embedded: Embedded) -> None:
    job = Job.from_mapping(
        {"name": "made", "model": "model.onnx", "data": {"path": "data.parquet", "label": "label"}}, embedded.folder
    )
    before = check(job).model.sha256
    with (embedded.folder / "w.bin").open("r+b") as file:
        file.seek(TABLE_BYTES - 1)
        file.write(b"\x00")
    assert check(job).model.sha256 != before
