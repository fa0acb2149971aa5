"""Quality on training rows by whole runs, against a plain loop over them, and the gap with its interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn import metrics

from ortbatch.api import Options, run_job
from ortbatch.errors import JobError
from ortbatch.job import Job
from ortbatch.metrics.intervals import wilson
from ortbatch.report.report import Report
from tests.leaky import NAMES, Leaky, make, mapping, write
from tests.models import linear_weights


def run(folder: Path, checks: Any, *gates: str, into: Path, **keys: Any) -> Report:
    job = Job.from_mapping(mapping(checks, *gates, **keys), folder)
    return run_job(job, Options(run_dir=str(into), engine="inline")).report


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Leaky:
    return make(tmp_path_factory.mktemp("overfitted"), files=2, rows=300)


def probabilities(data: Leaky, half: str) -> tuple[np.ndarray, np.ndarray]:
    """True classes and probabilities of class 1 of all rows, by ONNX Runtime."""
    files = data.test if half == "test" else data.train
    parts = [files[name] for name in sorted(files)]
    session = onnxruntime.InferenceSession(data.folder / "model.onnx", providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {"x": np.concatenate([features for features, _ in parts])})
    return np.concatenate([labels for _, labels in parts]), out[:, 1].astype(np.float64)


def test_quality_on_all_training_rows_is_that_of_a_plain_loop(data: Leaky, tmp_path: Path) -> None:
    section = run(data.folder, {"overfitting": {"rows": "all"}}, into=tmp_path / "run").data["overfitting"]
    labels, scores = probabilities(data, "train")
    assert (section["rows"], section["sampled"], section["rejected"]) == (1_200, None, {})
    found = section["quality"]
    assert found["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(labels, scores >= 0.5), abs=1e-12)
    assert found["f1"]["value"] == pytest.approx(metrics.f1_score(labels, scores >= 0.5), abs=1e-12)
    assert found["log_loss"]["value"] == pytest.approx(metrics.log_loss(labels, scores), abs=1e-6)
    low, high = found["roc_auc"]["bound"]
    assert low <= metrics.roc_auc_score(labels, scores) <= high


def test_the_gap_is_training_minus_evaluation_with_the_interval_of_two_samples(data: Leaky, tmp_path: Path) -> None:
    got = run(data.folder, {"overfitting": {"rows": "all"}}, into=tmp_path / "run").data
    (here, there), gap = (right(data, half) for half in ("test", "train")), got["overfitting"]["gaps"]["accuracy_gap"]
    assert gap["value"] == pytest.approx(there[0] / there[1] - here[0] / here[1], abs=1e-12)
    # Newcombe (1998), method 10, written out.
    (p1, n1), (p2, n2) = ((hits / rows, rows) for hits, rows in (there, here))
    (l1, u1), (l2, u2) = wilson(there[0], n1), wilson(here[0], n2)
    low = p1 - p2 - np.sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2)
    high = p1 - p2 + np.sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)
    assert gap["ci"] == pytest.approx([low, high], abs=1e-12)


def right(data: Leaky, half: str) -> tuple[int, int]:
    labels, scores = probabilities(data, half)
    return int(((scores >= 0.5) == (labels == 1)).sum()), len(labels)


def test_a_sample_is_the_one_that_its_seed_draws(data: Leaky, tmp_path: Path) -> None:
    section = run(data.folder, {"overfitting": {"rows": 200, "seed": 5}}, into=tmp_path / "run").data["overfitting"]
    labels, scores = probabilities(data, "train")
    drawn = np.sort(np.random.default_rng(5).choice(1_200, 200, replace=False, shuffle=False))
    expected = metrics.accuracy_score(labels[drawn], scores[drawn] >= 0.5)
    assert (section["rows"], section["sampled"], section["seed"]) == (200, 200, 5)
    assert section["quality"]["accuracy"]["value"] == pytest.approx(expected, abs=1e-12)


def test_a_model_that_knows_its_training_rows_by_heart_is_found_out(data: Leaky, tmp_path: Path) -> None:
    weights, bias = linear_weights(len(NAMES), 2)
    (tmp_path / "model.onnx").write_bytes((data.folder / "model.onnx").read_bytes())
    for half, files in (("test", data.test), ("train", data.train)):
        for name, (features, labels) in files.items():
            # The labels of the training rows are those that the model gives.
            given = (features @ weights + bias).argmax(axis=1) if half == "train" else labels
            write(tmp_path / half / name, features, given)
    got = run(tmp_path, {"leakage": False}, "overfitting.accuracy_gap <= 0.02", into=tmp_path / "run").data
    (found,) = [finding for finding in got["findings"] if finding["code"] == "overfitting"]
    assert "accuracy 1.0000 on 1,200 training rows" in found["text"]
    assert [gate["outcome"] for gate in got["gates"]] == ["failed"]
    assert "leakage" not in got


def test_rows_that_are_alike_on_both_sides_are_no_finding(data: Leaky, tmp_path: Path) -> None:
    got = run(data.folder, {"leakage": False}, "overfitting.accuracy_gap <= 0.2", into=tmp_path / "run").data
    assert not [finding for finding in got["findings"] if finding["code"] == "overfitting"]
    assert [gate["outcome"] for gate in got["gates"]] == ["passed"]


def test_the_filter_and_slices_are_of_evaluation_rows_only(data: Leaky, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes((data.folder / "model.onnx").read_bytes())
    for name, (features, labels) in data.test.items():
        half = ["a" if n % 2 else "b" for n in range(len(labels))]
        write(tmp_path / "test" / name, features, labels, extra={"half": half})
    asked = {"training_data": str(data.folder / "train"), "overfitting": True}
    keys: dict[str, Any] = {"data": {"filter": [["half", "==", "a"]]}, "slices": ["half"]}
    got = run(tmp_path, asked, into=tmp_path / "run", **keys).data
    assert (got["quality"]["rows"], got["overfitting"]["rows"]) == (300, 1_200)


def test_predictions_are_of_evaluation_rows_only(data: Leaky, tmp_path: Path) -> None:
    got = run(data.folder, {"overfitting": True}, into=tmp_path / "run", predictions={}).data
    assert got["predictions"]["rows"] == 600
    plain = run(data.folder, None, into=tmp_path / "plain", predictions={}).data
    assert got["predictions"] == plain["predictions"]
    for one in sorted((tmp_path / "plain" / "predictions").glob("part-*.parquet")):
        assert one.read_bytes() == (tmp_path / "run" / "predictions" / one.name).read_bytes()


def test_all_else_in_the_report_is_as_without_the_checks(data: Leaky, tmp_path: Path) -> None:
    got, plain = (run(data.folder, asked, into=tmp_path / name).data for name, asked in (("a", {}), ("b", None)))
    for name in ("coverage", "quality", "calibration", "confusion_matrix", "thresholds"):
        assert got[name] == plain[name], name


@pytest.mark.parametrize(
    ("checks", "gate"),
    [(None, "leakage.rows <= 0"), ({"leakage": False}, "leakage.share <= 0"),
     ({"overfitting": False}, "overfitting.f1_gap <= 0")],
)  # fmt: skip
def test_a_gate_on_what_is_not_looked_for_is_refused_before_the_run(
    data: Leaky, tmp_path: Path, checks: Any, gate: str
) -> None:
    with pytest.raises(JobError, match="the job does not look for it; ask with"):
        run(data.folder, checks, gate, into=tmp_path / "run")
    assert not (tmp_path / "run").exists()
