"""A model is the bytes that were hashed, wherever they lie; anything else is refused before it runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ortbatch.data.atomic import write_bytes
from ortbatch.data.storage import locate
from ortbatch.errors import ModelError, OrtbatchError
from ortbatch.model.session import OnnxModel
from ortbatch.model.source import ModelSource, load, open_source, unpack
from tests.models import linear_model

ROW = {"x": np.ones((1, 4), np.float32)}


def outside(folder: Path, location: str = "w.bin") -> Path:
    """A linear model whose weights lie in another file."""
    model = onnx.load(str(linear_model(folder / "whole.onnx", 4, 2)))
    (folder / location).parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(folder / "m.onnx"), save_as_external_data=True, location=location, size_threshold=0)
    return folder / "m.onnx"


def session(source: ModelSource) -> OnnxModel:
    return load(source, ["CPUExecutionProvider"], 1)


def scores(model: OnnxModel) -> list[list[float]]:
    return model.run(["out"], ROW)[0].tolist()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return outside(tmp_path)


@pytest.mark.parametrize("location", ["w.bin", "deep/er/w.bin"])
def test_weights_in_another_file_give_the_same_scores(tmp_path: Path, location: str) -> None:
    source = open_source(str(outside(tmp_path, location)))
    assert [file.name for file in source.external] == [location]
    assert scores(session(source)) == scores(session(open_source(str(tmp_path / "whole.onnx"))))


def test_a_file_uri_names_the_same_model(path: Path) -> None:
    assert open_source(f"file://{path}").sha256 == open_source(str(path)).sha256
    assert scores(session(open_source(f"file://{path}"))) == scores(session(open_source(str(path))))


def test_other_weights_make_another_model(path: Path) -> None:
    before = open_source(str(path))
    (path.parent / "w.bin").write_bytes(b"\0" * (path.parent / "w.bin").stat().st_size)
    after = open_source(str(path))
    assert before.file_sha256 == after.file_sha256
    assert before.sha256 != after.sha256


def test_a_model_of_one_file_has_the_hash_of_its_bytes(tmp_path: Path) -> None:
    path = linear_model(tmp_path / "m.onnx", 4, 2)
    source = open_source(str(path))
    assert (source.sha256, source.size) == (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)


@pytest.mark.parametrize("changed", ["m.onnx", "w.bin"])
def test_a_file_that_changed_since_it_was_hashed_is_never_run(path: Path, changed: str) -> None:
    source = open_source(str(path))
    file = path.parent / changed
    # One bit of a weight, or a field that nobody reads: still a model that loads.
    file.write_bytes(file.read_bytes() + b"\x32\x00" if changed == "m.onnx" else b"\1" + file.read_bytes()[1:])
    with pytest.raises(ModelError, match=rf"{changed}: changed after the run began"):
        session(source)


GONE: dict[str, tuple[Callable[[Path], object], str]] = {
    "not there": (lambda weights: weights.unlink(), "which is not there; copy it beside the model"),
    "a folder": (lambda weights: [weights.unlink(), weights.mkdir()], "cannot be read: .*[Ii]s a directory"),
    "a link": (
        lambda weights: [weights.rename(weights.with_name("other")), weights.symlink_to("other")],
        "which is a link; put the file itself there",
    ),
}


@pytest.mark.parametrize("case", GONE)
def test_weights_that_are_no_file_beside_the_model_are_refused(path: Path, case: str) -> None:
    change, message = GONE[case]
    change(path.parent / "w.bin")
    with pytest.raises(ModelError, match=message):
        open_source(str(path))


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "a/../../w.bin", "", "..\\w.bin"])
def test_weights_outside_the_folder_of_the_model_are_refused(path: Path, location: str) -> None:
    model = onnx.load_model_from_string(path.read_bytes())
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="outside the model's folder; save the model with its weights beside it"):
        open_source(str(path))


def test_a_linked_folder_of_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = outside(tmp_path / "model", "deep/w.bin")
    (tmp_path / "model" / "deep").rename(tmp_path / "elsewhere")
    (tmp_path / "model" / "deep").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="which is a link"):
        open_source(str(path))


def test_a_remote_model_runs_from_a_copy_with_its_weights(path: Path) -> None:
    locate("mock://host/")[0].create_dir("/models")
    for file in (path, path.parent / "w.bin"):
        write_bytes(f"mock://host/models/{file.name}", file.read_bytes())
    source = open_source("mock://host/models/m.onnx")
    assert source.sha256 == open_source(str(path)).sha256
    assert scores(session(source)) == scores(session(open_source(str(path))))


def test_a_model_sent_to_another_machine_gives_the_same_scores(path: Path, tmp_path: Path) -> None:
    source = open_source(str(path))
    weights = {file.name: (file.sha256, memoryview(Path(file.uri).read_bytes())) for file in source.external}
    copy = unpack(memoryview(source.graph.runs), weights, tmp_path / "node")
    assert scores(OnnxModel(copy, ["CPUExecutionProvider"], 1, "copy")) == scores(session(source))


def test_weights_that_changed_on_the_way_are_refused(path: Path, tmp_path: Path) -> None:
    (file,) = open_source(str(path)).external
    with pytest.raises(ModelError, match="changed on the way"):
        unpack(memoryview(path.read_bytes()), {file.name: (file.sha256, memoryview(b"other"))}, tmp_path / "node")


def test_a_zipmap_is_replaced_in_a_copy_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    path = linear_model(tmp_path / "m.onnx", 4, 2, end="Softmax")
    plain = scores(session(open_source(str(path))))
    model = onnx.load(str(path))
    model.graph.node.append(
        helper.make_node("ZipMap", ["out"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[5, 3])
    )
    model.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("maps", TensorProto.FLOAT, None))
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    path.write_bytes(model.SerializeToString())
    source = open_source(str(path))
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert session(source).run(["maps"], ROW)[0].tolist() == plain


@pytest.mark.parametrize("uri", ["mock://host/none.onnx", "nosuch://host/m.onnx", "file://host/m.onnx"])
def test_a_model_that_cannot_be_found_is_bad_input(uri: str) -> None:
    with pytest.raises(OrtbatchError) as caught:
        open_source(uri)
    assert (type(caught.value), caught.value.exit_code) == (ModelError, 2)
