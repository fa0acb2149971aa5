"""Images as lists of lists and as tensors give the counts of a plain loop; a row that cannot be taken costs itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from ortbatch.errors import DataError
from tests.makers import IMAGE, SIDE, cnn, evaluate, images, torchscript, true_labels

pytestmark = [
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),
]
FLOAT = pa.float32()
KINDS: dict[str, pa.DataType] = {
    "lists of lists": pa.list_(pa.list_(FLOAT)),
    "lists of lists of lists": pa.list_(pa.list_(pa.list_(FLOAT))),
    "fixed lists": pa.list_(pa.list_(FLOAT, SIDE), SIDE),
    "tensors": pa.fixed_shape_tensor(FLOAT, (SIDE, SIDE)),
}


def column(pixels: NDArray[np.float32], kind: pa.DataType) -> pa.Array:
    if isinstance(kind, pa.FixedShapeTensorType):
        return pa.FixedShapeTensorArray.from_numpy_ndarray(pixels.reshape(-1, SIDE, SIDE))
    channels = isinstance(kind.value_type, pa.ListType) and isinstance(kind.value_type.value_type, pa.ListType)
    return pa.array((pixels if channels else pixels[:, 0]).tolist(), kind)


def write(folder: Path, array: pa.Array) -> None:
    labels = pq.read_table(folder / "data.parquet", columns=["label"]).column("label")
    pq.write_table(pa.table({"image": array, "label": labels}), folder / "data.parquet", row_group_size=37)


@pytest.mark.parametrize("name", KINDS)
def test_counts_are_those_of_a_plain_loop(tmp_path: Path, name: str) -> None:
    pixels = images(tmp_path)
    torchscript(tmp_path / "model.onnx", cnn())
    write(tmp_path, column(pixels, KINDS[name]))
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    predicted = session.run(None, {"image": pixels})[0].argmax(axis=1)
    expected = confusion_matrix(true_labels(tmp_path), predicted, labels=range(10))
    assert evaluate(tmp_path).confusion_matrix.tolist() == expected.tolist()


def test_a_row_with_a_null_or_a_short_list_is_rejected_and_shifts_no_other(tmp_path: Path) -> None:
    pixels = images(tmp_path)
    torchscript(tmp_path / "model.onnx", cnn())
    rows: list[Any] = pixels[:, 0].tolist()
    rows[3][2], rows[50], rows[90] = None, None, rows[90][:-1]
    write(tmp_path, pa.array(rows, KINDS["lists of lists"]))
    report = evaluate(tmp_path, max_bad_rows=3)
    kept = np.setdiff1d(np.arange(len(pixels)), [3, 50, 90])
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    predicted = session.run(None, {"image": pixels[kept]})[0].argmax(axis=1)
    expected = confusion_matrix(np.array(true_labels(tmp_path))[kept], predicted, labels=range(10))
    assert report.confusion_matrix.tolist() == expected.tolist()
    assert report.data["coverage"]["rows"]["rejected"] == {"null_feature": 2, "wrong_length": 1}


def test_lists_of_the_wrong_lengths_are_refused_with_both_shapes(tmp_path: Path) -> None:
    pixels = images(tmp_path)
    torchscript(tmp_path / "model.onnx", cnn())
    write(tmp_path, pa.array(pixels.reshape(-1, 16, 4).tolist(), KINDS["lists of lists"]))
    assert IMAGE == (1, 8, 8)
    with pytest.raises(DataError, match=r"column `image` holds lists of 16×4; input `image` needs 64 \(1×8×8\); write"):
        evaluate(tmp_path)
