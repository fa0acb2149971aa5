"""Networks as torch and ONNX Runtime write them: both exporters, fixed batches, weights outside, int8, float16."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from ortbatch.errors import ModelError
from ortbatch.report.report import Report
from tests.makers import GROUP, cnn, dynamo, evaluate, findings, images, outside, quantised, torchscript, true_labels

ROWS = 203
STEP = 50
pytestmark = [
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning"),
]
EXPORTS: dict[str, Callable[[Path], Path]] = {
    "TorchScript": lambda path: torchscript(path, cnn()),
    "dynamo": lambda path: dynamo(path, cnn(), external=False),
    "dynamo, weights outside": lambda path: dynamo(path, cnn(), external=True),
    "batch of 1": lambda path: torchscript(path, cnn(), batch=1),
    "batch of 8": lambda path: torchscript(path, cnn(), batch=8),
}


def counts(folder: Path, outputs: NDArray[Any]) -> Any:
    return confusion_matrix(true_labels(folder), outputs.argmax(axis=1), labels=range(10)).tolist()


def looped(path: Path, pixels: NDArray[Any], step: int) -> NDArray[Any]:
    """A plain loop; step divides the rows of a row group, so that its batches are those of a run."""
    assert GROUP % step == 0
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    batches = [session.run(None, {"image": pixels[at : at + step]})[0] for at in range(0, len(pixels), step)]
    return np.concatenate(batches)


def batch(report: Report) -> Any:
    return report.data["provenance"]["binding"]["batch_size"]


def quality(report: Report) -> str:
    return json.dumps([report.data["quality"], report.data["confusion_matrix"]])


@pytest.mark.parametrize("export", EXPORTS)
def test_counts_are_those_of_the_torch_module(tmp_path: Path, export: str) -> None:
    import torch

    pixels = images(tmp_path, ROWS)
    EXPORTS[export](tmp_path / "model.onnx")
    report = evaluate(tmp_path)
    with torch.no_grad():
        outputs = cnn()(torch.from_numpy(pixels)).numpy()
    assert report.confusion_matrix.tolist() == counts(tmp_path, outputs)


@pytest.mark.parametrize(("rows", "size"), [(203, 8), (3, 8), (8, 8), (9, 8), (5, 1)])
def test_rows_beyond_the_last_fixed_batch_are_counted_once(tmp_path: Path, rows: int, size: int) -> None:
    images(tmp_path, rows)
    torchscript(tmp_path / "model.onnx", cnn(), batch=size)
    report = evaluate(tmp_path)
    assert report.data["coverage"]["rows"]["evaluated"] == report.confusion_matrix.sum() == rows
    assert (batch(report)["rows"], batch(report)["how"]) == (size, "model")


def test_another_batch_size_than_the_fixed_one_is_refused(tmp_path: Path) -> None:
    images(tmp_path, ROWS)
    torchscript(tmp_path / "model.onnx", cnn(), batch=8)
    with pytest.raises(ModelError, match=r"model\.batch_size: 16; the model takes batches of 8 only"):
        evaluate(tmp_path, {"path": "model.onnx", "batch_size": 16})


@pytest.fixture(scope="module")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return torchscript(tmp_path_factory.mktemp("float") / "model.onnx", cnn())


@pytest.fixture
def int8(tmp_path: Path, float_model: Path) -> NDArray[np.float32]:
    """Images in tmp_path, and the model quantised there in both ways: static.onnx and dynamic.onnx."""
    pixels = images(tmp_path, ROWS)
    quantised(tmp_path / "static.onnx", float_model, pixels, static=True)
    quantised(tmp_path / "dynamic.onnx", float_model, pixels, static=False)
    return pixels


@pytest.mark.parametrize("step", [1, STEP])
def test_a_statically_quantised_model_counts_what_a_plain_loop_counts(
    tmp_path: Path, int8: NDArray[np.float32], step: int
) -> None:
    report = evaluate(tmp_path, "static.onnx")
    assert report.confusion_matrix.tolist() == counts(tmp_path, looped(tmp_path / "static.onnx", int8, step))
    assert (batch(report)["how"], "batch_dependent" in findings(report)) == ("rule", False)


def test_a_dynamically_quantised_model_is_evaluated_a_row_at_a_time(tmp_path: Path, int8: NDArray[np.float32]) -> None:
    report = evaluate(tmp_path, "dynamic.onnx")
    assert report.confusion_matrix.tolist() == counts(tmp_path, looped(tmp_path / "dynamic.onnx", int8, 1))
    assert batch(report) == {"rows": 1, "how": "batch_dependent", "scores_depend_on_batch": True}
    assert "rows are evaluated one at a time" in findings(report)["batch_dependent"]


@pytest.mark.parametrize(("model", "baseline"), [("dynamic.onnx", "float"), ("float", "dynamic.onnx")])
def test_a_dynamically_quantised_model_depends_on_its_batch_rather_than_being_unfaithful(
    tmp_path: Path, int8: NDArray[np.float32], float_model: Path, model: str, baseline: str
) -> None:
    asked, other = (str(float_model) if name == "float" else name for name in (model, baseline))
    said = findings(evaluate(tmp_path, asked, baselines={"b": other}))
    assert [code for code in said if code.startswith("fidelity")] == ["fidelity_batch_dependent"]
    assert "depend on the batch" in said["fidelity_batch_dependent"]


@pytest.mark.parametrize("batch", [1, 8])
def test_a_baseline_of_a_fixed_batch_says_what_the_torch_module_says(tmp_path: Path, batch: int) -> None:
    import torch

    pixels = images(tmp_path, ROWS)
    torchscript(tmp_path / "model.onnx", cnn())
    torchscript(tmp_path / "fixed.onnx", cnn(), batch=batch)
    found = evaluate(tmp_path, baselines={"b": "fixed.onnx"}).data["fidelity"]["b"]
    with torch.no_grad():
        outputs = cnn()(torch.from_numpy(pixels)).numpy()
    right = (outputs.argmax(axis=1) == true_labels(tmp_path)).mean()
    assert (found["rows"], found["agreement"]["value"]) == (ROWS, 1.0)
    assert found["metrics"]["accuracy"]["baseline"] == pytest.approx(right, abs=1e-12)


def test_batches_that_the_job_asks_for_are_obeyed_and_the_finding_stays(
    tmp_path: Path, int8: NDArray[np.float32]
) -> None:
    report = evaluate(tmp_path, {"path": "dynamic.onnx", "batch_size": STEP})
    in_batches, alone = (counts(tmp_path, looped(tmp_path / "dynamic.onnx", int8, step)) for step in (STEP, 1))
    assert in_batches != alone
    assert report.confusion_matrix.tolist() == in_batches
    assert f"the batch size is {STEP}" in findings(report)["batch_dependent"]


def test_a_float_model_is_not_said_to_depend_on_its_batch(tmp_path: Path, float_model: Path) -> None:
    images(tmp_path, ROWS)
    report = evaluate(tmp_path, str(float_model))
    assert "batch_dependent" not in findings(report)
    assert batch(report)["how"] == "rule"


def test_a_float16_model_counts_what_a_plain_loop_counts(tmp_path: Path) -> None:
    pixels = images(tmp_path, ROWS, dtype="float16")
    torchscript(tmp_path / "model.onnx", cnn().half())
    report = evaluate(tmp_path)
    model = report.data["provenance"]["model"]
    assert (model["inputs"], model["outputs"]) == (["image: float16[?, 1, 8, 8]"], ["logits: float16[?, 10]"])
    assert report.confusion_matrix.tolist() == counts(tmp_path, looped(tmp_path / "model.onnx", pixels, STEP))


def test_float32_images_are_rounded_for_a_float16_model(tmp_path: Path) -> None:
    pixels = images(tmp_path, ROWS)
    torchscript(tmp_path / "model.onnx", cnn().half())
    rounded = looped(tmp_path / "model.onnx", pixels.astype(np.float16), STEP)
    assert evaluate(tmp_path).confusion_matrix.tolist() == counts(tmp_path, rounded)


@pytest.fixture
def with_weights_outside(tmp_path: Path, float_model: Path) -> Path:
    """A folder, `job`, whose model keeps its weights in w.bin beside it."""
    folder = tmp_path / "job"
    folder.mkdir()
    images(folder, ROWS)
    (folder / "model.onnx").write_bytes(float_model.read_bytes())
    outside(folder, "w.bin")
    return folder


def test_weights_outside_give_the_same_quality(with_weights_outside: Path, float_model: Path) -> None:
    report = evaluate(with_weights_outside)
    (with_weights_outside / "w.bin").unlink()
    (with_weights_outside / "model.onnx").write_bytes(float_model.read_bytes())
    assert quality(report) == quality(evaluate(with_weights_outside, run="whole"))


def test_weights_outside_reach_the_workers_of_a_cluster(with_weights_outside: Path, ray_cluster: Any) -> None:
    on_ray = evaluate(with_weights_outside, engine="ray")
    assert on_ray.data["provenance"]["engine"]["engine"] == "ray"
    assert quality(on_ray) == quality(evaluate(with_weights_outside))


@pytest.mark.parametrize("location", ["../w.bin", "deep/../../w.bin", "{absolute}"])
def test_weights_outside_the_folder_of_the_model_are_refused(with_weights_outside: Path, location: str) -> None:
    (with_weights_outside / "deep").mkdir()
    outside(with_weights_outside, location.format(absolute=with_weights_outside.parent / "w.bin"))
    with pytest.raises(ModelError, match=r"its weights lie in '.*w\.bin', outside the model's folder"):
        evaluate(with_weights_outside)


def test_weights_that_are_a_link_are_refused(with_weights_outside: Path) -> None:
    weights = with_weights_outside / "w.bin"
    weights.rename(with_weights_outside.parent / "w.bin")
    weights.symlink_to(with_weights_outside.parent / "w.bin")
    with pytest.raises(ModelError, match=r"its weights lie in 'w\.bin', which is a link"):
        evaluate(with_weights_outside)


def test_weights_that_are_missing_are_refused(with_weights_outside: Path) -> None:
    (with_weights_outside / "w.bin").unlink()
    with pytest.raises(ModelError, match=r"its weights lie in 'w\.bin', which is not there; copy it beside the model"):
        evaluate(with_weights_outside)


def test_a_refused_model_leaves_no_run_folder(with_weights_outside: Path) -> None:
    (with_weights_outside / "w.bin").unlink()
    with pytest.raises(ModelError):
        evaluate(with_weights_outside)
    assert not list(with_weights_outside.glob("run*"))


def test_dynamo_writes_weights_into_a_file_of_their_own(tmp_path: Path) -> None:
    dynamo(tmp_path / "model.onnx", cnn(), external=True)
    weights = onnx.load(str(tmp_path / "model.onnx"), load_external_data=False).graph.initializer
    assert any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in weights)
