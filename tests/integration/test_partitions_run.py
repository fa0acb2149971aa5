"""Tables in folders, as Spark and DuckDB write them: label, feature and filter may stand in folder names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import confusion_matrix

from ortbatch.api import Options, run_job
from ortbatch.errors import DataError
from ortbatch.job import Job
from ortbatch.report.report import Report
from tests.models import linear_model, linear_weights

ROWS, CLASSES = 120, 3
NAMES = ["f0", "f1", "f2"]


def write(folder: Path, *partitions: str) -> tuple[pa.Table, np.ndarray[Any, Any]]:
    """Rows in folders of some of their columns; returns them, and what a plain loop predicts for each."""
    rng = np.random.default_rng(0)
    features = rng.integers(-3, 4, (ROWS, 2)).astype(np.float32)
    shop = rng.integers(0, 4, ROWS)
    table = pa.table({"f0": features[:, 0], "f1": features[:, 1], "f2": shop, "day": ["x", "y"] * (ROWS // 2),
                      "label": rng.integers(0, CLASSES, ROWS)})  # fmt: skip
    pq.write_to_dataset(table, folder / "data", partition_cols=list(partitions))
    linear_model(folder / "model.onnx", 3, CLASSES)
    weights, bias = linear_weights(3, CLASSES)
    return table, (np.column_stack([features, shop]).astype(np.float32) @ weights + bias).argmax(axis=1)


def evaluated(folder: Path, path: str = "data", **data: Any) -> Report:
    model = {"path": "model.onnx", "inputs": {"x": NAMES}}
    keys = {"name": "t", "model": model, "data": {"path": path, "label": "label", **data}}
    options = Options(run_dir=str(folder / "run"), engine="inline")
    return run_job(Job.from_mapping({**keys, "latency": {"max_seconds": 0.01}}, folder), options).report


@pytest.mark.parametrize("partitions", [["label"], ["f2"], ["day", "label"], ["f2", "label", "day"]], ids=str)
def test_counts_are_those_of_the_table_before_it_was_cut(tmp_path: Path, partitions: list[str]) -> None:
    table, predicted = write(tmp_path, *partitions)
    expected = confusion_matrix(table.column("label").to_pylist(), predicted, labels=range(CLASSES))
    assert evaluated(tmp_path).confusion_matrix.tolist() == expected.tolist()


@pytest.mark.parametrize("path", ["data", "data/day=*/label=*/*.parquet", "data/**/*.parquet"])
def test_a_filter_may_ask_for_a_folder(tmp_path: Path, path: str) -> None:
    table, predicted = write(tmp_path, "day", "label")
    report = evaluated(tmp_path, path, filter=[["day", "==", "y"]])
    labels = np.array(table.column("label").to_pylist())[1::2]
    assert report.confusion_matrix.tolist() == confusion_matrix(labels, predicted[1::2], labels=range(3)).tolist()
    assert report.data["coverage"]["rows"]["filtered"] == ROWS // 2


def test_a_folder_that_the_job_names_itself_is_no_column(tmp_path: Path) -> None:
    write(tmp_path, "day", "label")
    with pytest.raises(DataError, match=r"data\.filter names column `day`"):
        evaluated(tmp_path, "data/day=x", filter=[["day", "==", "x"]])


def test_a_number_in_a_folder_is_no_feature_unless_the_job_says_so(tmp_path: Path) -> None:
    write(tmp_path, "f2", "day")
    keys = {"name": "t", "model": "model.onnx", "data": {"path": "data", "label": "label"}}
    with pytest.raises(DataError, match=r"no columns for the model's input `x`"):
        run_job(Job.from_mapping(keys, tmp_path), Options(run_dir=str(tmp_path / "run"), engine="inline"))
