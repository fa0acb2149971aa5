"""The quantised job is what its README says: three forms of one model, and gates that the shipped one passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.quantized.prepare import stamp_of
from ortbatch.api import Options, run_job
from ortbatch.job import load_job
from ortbatch.report.report import Report
from tests.jobs import prepare_quantized


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_quantized(tmp_path_factory.mktemp("quantized")).parent


@pytest.fixture(scope="module")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    run_dir = tmp_path_factory.mktemp("run") / "run"
    job = load_job(folder / "job.yaml", overrides=["latency.max_seconds=2"])
    return run_job(job, Options(run_dir=str(run_dir), engine="inline")).report


def logits(folder: Path, model: str) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of a model for all test rows, one image at a time, and the labels."""
    rows = pa.concat_tables(pq.read_table(path) for path in sorted((folder / "data" / "test").iterdir()))
    images = np.array(rows["image"].to_pylist(), np.float32).reshape(-1, 1, 1, 8, 8)
    session = onnxruntime.InferenceSession(folder / model, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": image})[0] for image in images]), rows["label"].to_numpy()


def test_the_quantised_model_is_a_fraction_of_the_other(folder: Path) -> None:
    assert (folder / "int8.onnx").stat().st_size < 0.6 * (folder / "fp32.onnx").stat().st_size


def test_what_was_made_is_not_made_again(folder: Path) -> None:
    assert stamp_of(folder).is_current()


def test_int8_against_fp32_gives_the_numbers_of_a_plain_script(folder: Path, report: Report) -> None:
    (own, labels), (theirs, _) = logits(folder, "int8.onnx"), logits(folder, "fp32.onnx")
    predicted, expected = own.argmax(axis=1), theirs.argmax(axis=1)
    found = report.data["fidelity"]["fp32"]
    assert found["rows"] == len(labels) == 899
    assert found["agreement"]["value"] == pytest.approx((predicted == expected).mean(), abs=1e-12)
    assert found["metrics"]["accuracy"]["model"] == pytest.approx((predicted == labels).mean(), abs=1e-12)
    assert found["metrics"]["accuracy"]["baseline"] == pytest.approx((expected == labels).mean(), abs=1e-12)


def test_the_job_passes_its_gates_but_those_of_the_clock(report: Report) -> None:
    steady = {gate["gate"]: gate["outcome"] for gate in report.data["gates"] if "latency" not in gate["gate"]}
    assert len(steady) == 5
    assert set(steady.values()) == {"passed"}


def test_both_origins_are_the_same_model(report: Report) -> None:
    fp32, torch = (report.data["fidelity"][name] for name in ("fp32", "torch"))
    assert fp32["agreement"] == torch["agreement"]


def test_the_difference_is_said_to_be_that_of_quantisation(report: Report) -> None:
    codes = [finding["code"] for finding in report.data["findings"] if finding["code"].startswith("fidelity")]
    assert len(codes) == 2
    assert set(codes) <= {"fidelity_quantised", "fidelity_precision"}
