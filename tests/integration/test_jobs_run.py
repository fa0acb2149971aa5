"""The example jobs, end to end, against plain loops with onnxruntime: ZipMap, a transform, ragged lists."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

from ortbatch.api import Options, run_job
from ortbatch.job import load_job
from ortbatch.report.report import Report
from tests.jobs import prepare_fraud, prepare_images, prepare_text


def run(job: Path, folder: Path) -> Report:
    loaded = load_job(job, overrides=["latency.max_seconds=1"])
    return run_job(loaded, Options(run_dir=str(folder), engine="inline")).report


def test_rows(job: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted((job.parent / "data" / "test").glob("*.parquet")))


test_rows.__test__ = False  # type: ignore[attr-defined]


def session(job: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(job.parent / "model.onnx"), providers=["CPUExecutionProvider"])


def counts(truth: Any, predicted: Any, classes: list[str]) -> list[list[int]]:
    matrix: list[list[int]] = confusion_matrix(truth, predicted, labels=classes).tolist()
    return matrix


def test_fraud_equals_the_dictionaries_that_zipmap_makes(tmp_path: Path) -> None:
    job = prepare_fraud(tmp_path / "fraud", rows=4_000)
    report, rows = run(job, tmp_path / "run"), test_rows(job)
    columns = load_job(job).model.inputs["features"].columns
    features = np.column_stack([rows.column(name).to_numpy() for name in columns]).astype(np.float32)
    dictionaries = session(job).run(["output_probability"], {"features": features})[0]
    predicted = [int(row[1] >= 0.5) for row in dictionaries]
    assert report.confusion_matrix.tolist() == counts(rows.column("is_fraud").to_numpy(), predicted, [0, 1])
    assert report.data["quality"]["own_label"] == {"rows": 4_000, "disagreements": 0}


def test_the_report_of_fraud_says_that_its_model_is_not_fit_and_why(tmp_path: Path) -> None:
    report = run(prepare_fraud(tmp_path / "fraud"), tmp_path / "run")
    assert (report.status, report.exit_code) == ("failed", 1)
    failed = [gate["gate"] for gate in report.data["gates"] if gate["outcome"] == "failed"]
    assert failed == ["recall[fraud] >= 0.8"]
    worst = report.data["findings"][0]
    assert (worst["severity"], worst["code"]) == ("error", "class_missed")
    assert "of `fraud`: its recall is" in worst["text"]
    assert "better_threshold" in {finding["code"] for finding in report.data["findings"]}


def test_images_equal_a_loop_over_pictures(tmp_path: Path) -> None:
    job = prepare_images(tmp_path / "images")
    report, rows, model = run(job, tmp_path / "run"), test_rows(job), session(job)
    decode = {}
    exec((job.parent / "prep.py").read_text(), decode)
    predicted = []
    for row in range(rows.num_rows):
        batch = rows.slice(row, 1).combine_chunks().to_batches()[0]
        assert Image.open(io.BytesIO(batch.column("jpeg")[0].as_py())).format == "JPEG"
        (scores,) = model.run(None, decode["decode"](batch.select(["jpeg"])))
        predicted.append(report.classes[int(scores[0].argmax())])
    assert report.confusion_matrix.tolist() == counts(rows.column("label").to_pylist(), predicted, report.classes)


def test_text_equals_a_loop_over_sentences_without_padding(tmp_path: Path) -> None:
    job = prepare_text(tmp_path / "text")
    report, rows, model = run(job, tmp_path / "run"), test_rows(job), session(job)
    predicted = []
    for ids in rows.column("ids").to_pylist():
        tokens = np.array([ids], np.int64)
        (scores,) = model.run(None, {"input_ids": tokens, "attention_mask": np.ones_like(tokens)})
        predicted.append(report.classes[int(scores[0].argmax())])
    assert report.confusion_matrix.tolist() == counts(rows.column("label").to_pylist(), predicted, report.classes)


@pytest.mark.parametrize("name", ["fraud", "images", "text"])
def test_an_example_job_is_one_that_the_readme_names(name: str) -> None:
    root = Path(__file__).resolve().parents[2]
    assert f"jobs/{name}/README.md" in (root / "README.md").read_text()
