"""Inputs fed column by column: only where a probe proves it harmless, and then nothing but the speed is another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch.api import Options, run_job
from ortbatch.engine import turned
from ortbatch.job import Job
from ortbatch.model import source
from ortbatch.model.columns import by_columns
from ortbatch.report.report import Report
from tests.models import product_model

FEATURES, ROWS = 24, 5_000
NAMES = [f"f{place}" for place in range(FEATURES)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product of 24 columns for 3 classes, and rows in two files with row groups of odd sizes."""
    folder = tmp_path_factory.mktemp("columns")
    product_model(folder / "model.onnx", FEATURES, 3)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    table = pa.table({**dict(zip(NAMES, x.T, strict=True)), "label": rng.integers(0, 3, ROWS)})
    (folder / "data").mkdir()
    pq.write_table(table.slice(0, 3_000), folder / "data" / "a.parquet", row_group_size=1_001)
    pq.write_table(table.slice(3_000), folder / "data" / "b.parquet", row_group_size=257)
    return folder


def run(folder: Path, run_dir: Path, options: Options | None = None, **model: Any) -> Report:
    job = Job.from_mapping(
        {
            "name": "columns",
            "model": {"path": str(folder / "model.onnx"), "inputs": {"x": NAMES}, "batch_size": 100, **model},
            "data": {"path": str(folder / "data"), "label": "label"},
            "latency": {"max_seconds": 0.1},
        }
    )
    options = options or Options(engine="inline")
    return run_job(job, Options(run_dir=str(run_dir), engine=options.engine, order=options.order)).report


def fed_by_columns(report: Report) -> bool:
    (binding,) = report.data["provenance"]["binding"]["inputs"]
    assert (report.data["provenance"]["identity"]["by_columns"] == "x") == binding["by_columns"]
    return bool(binding["by_columns"])


def quality(report: Report) -> bytes:
    return json.dumps(json.loads(Path(report.path).read_text())["quality"]).encode()


@pytest.fixture(scope="module")
def by_rows(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turned, "inputs_for_columns", lambda _: ())
        report = run(folder, tmp_path_factory.mktemp("rows"))
    assert not fed_by_columns(report)
    return report


def test_counts_are_those_of_a_plain_loop(folder: Path, tmp_path: Path) -> None:
    report = run(folder, tmp_path)
    assert fed_by_columns(report)
    table = pq.read_table(folder / "data")
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    x = np.column_stack([table[name].to_numpy() for name in NAMES])
    expected = np.zeros((3, 3), int)
    for true, predicted in zip(table["label"].to_pylist(), session.run(None, {"x": x})[0].argmax(axis=1), strict=True):
        expected[true, predicted] += 1
    assert report.confusion_matrix.tolist() == expected.tolist()


@pytest.mark.parametrize("batch_size", [1, 7, 100, 5_000])
def test_quality_is_byte_identical_to_that_by_rows(
    folder: Path, tmp_path: Path, by_rows: Report, batch_size: int
) -> None:
    report = run(folder, tmp_path, batch_size=batch_size)
    assert fed_by_columns(report)
    assert quality(report) == quality(by_rows)


def test_quality_on_ray_is_byte_identical_to_that_by_rows(
    folder: Path, tmp_path: Path, by_rows: Report, ray_cluster: object
) -> None:
    report = run(folder, tmp_path, Options(engine="ray"))
    assert fed_by_columns(report)
    assert quality(report) == quality(by_rows)


def test_a_model_that_says_otherwise_by_columns_is_fed_by_rows(
    folder: Path, tmp_path: Path, by_rows: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = product_model(tmp_path / "other.onnx", FEATURES, 3, seed=1).read_bytes()
    monkeypatch.setattr(source, "by_columns", lambda content, names: by_columns(other, names))
    report = run(folder, tmp_path / "run")
    assert not fed_by_columns(report)
    assert quality(report) == quality(by_rows)


def test_rows_with_nulls_leave_by_columns_too(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    table = pq.read_table(folder / "data" / "a.parquet")
    holed = [None if row % 7 == 0 else row % 3 for row in range(table.num_rows)]
    table = table.set_column(FEATURES, "label", pa.array(holed, pa.int64()))
    pq.write_table(table, tmp_path / "data" / "a.parquet")
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    report = run(tmp_path, tmp_path / "run")
    assert fed_by_columns(report)
    assert report.data["coverage"]["rows"]["rejected"] == {"null_label": 429}
    assert report.confusion_matrix.sum() == table.num_rows - 429
