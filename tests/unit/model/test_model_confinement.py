"""A model reads nothing but its own file and files beside it, however it names them; its copies are nobody else's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper

from ortbatch.data.atomic import write_bytes
from ortbatch.data.storage import locate
from ortbatch.errors import ModelError, StorageError
from ortbatch.model import session
from ortbatch.model.session import local_copy, make_private
from ortbatch.model.source import load, open_source
from tests.models import linear_model

ROW = {"x": np.ones((1, 4), np.float32)}


def outside(folder: Path, location: str = "w.bin", **also: str) -> ModelProto:
    """A linear model whose weights lie in w.bin of a folder, and who says they lie elsewhere."""
    folder.mkdir(exist_ok=True)
    model = onnx.load(str(linear_model(folder / "whole.onnx", 4, 2)))
    onnx.save_model(model, str(folder / "m.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0)
    model = onnx.load_model_from_string((folder / "m.onnx").read_bytes())
    for tensor in model.graph.initializer:
        for key, value in {"location": location, **also}.items():
            entries = {entry.key: entry for entry in tensor.external_data}
            (entries[key] if key in entries else tensor.external_data.add(key=key)).value = value
    return model


def saved(folder: Path, model: ModelProto) -> str:
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return str(folder / "m.onnx")


def with_zipmap(model: ModelProto) -> ModelProto:
    """The same behind a ZipMap, so that a copy of it is run."""
    node = helper.make_node("ZipMap", ["out"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    model.graph.node.append(node)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    model.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("maps", TensorProto.FLOAT, None))
    return model


def runs(uri: str) -> bool:
    model = load(open_source(uri), ["CPUExecutionProvider"], 1)
    return bool(np.isfinite(model.run([model.outputs[0].name], ROW)[0]).all())


OUTSIDE = [
    "../secret.bin", "/etc/passwd", "a/../../secret.bin", "..", ".", "", "..\\secret.bin", "w\0.bin", "w.bin\n",
    "\x1b[2Jw.bin", "*/_ORT_MEM_ADDR_/*", "*/_ORT_NATIVE_ENDIAN_MEM_ADDR_/*",
]  # fmt: skip


@pytest.mark.parametrize("location", OUTSIDE)
@pytest.mark.parametrize("zipmap", [False, True])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str, zipmap: bool) -> None:
    (tmp_path / "secret.bin").write_bytes(b"\0" * 100)
    model = outside(tmp_path / "model", location)
    with pytest.raises(
        ModelError, match="outside the model's folder; save the model with its weights beside it"
    ) as caught:
        open_source(saved(tmp_path / "model", with_zipmap(model) if zipmap else model))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("location", ["%2e%2e/secret.bin", "..%2fsecret.bin", "%2fetc%2fpasswd"])
@pytest.mark.parametrize("scheme", ["", "file://", "mock://host"])
def test_an_escaped_name_is_the_name_of_a_file_and_no_way_out(tmp_path: Path, location: str, scheme: str) -> None:
    model = with_zipmap(outside(tmp_path / "model", location))
    (tmp_path / "secret.bin").write_bytes((tmp_path / "model" / "w.bin").read_bytes())
    uri = scheme + saved(tmp_path / "model", model)
    if scheme.startswith("mock"):
        for path in (tmp_path / "secret.bin", tmp_path / "model" / "m.onnx"):
            locate("mock://host/")[0].create_dir(str(path.parent))
            write_bytes(f"mock://host{path}", path.read_bytes())
    with pytest.raises(ModelError, match=r"its weights lie in '.*', which is not there"):
        open_source(uri)


@pytest.mark.parametrize("location", ["w 1%.bin", "what?.bin", "a#b.bin", "./w.bin", "ä.bin"])
@pytest.mark.parametrize("scheme", ["", "file://", "mock://host"])
def test_a_name_with_marks_of_uris_is_found_beside_the_model(tmp_path: Path, location: str, scheme: str) -> None:
    model = outside(tmp_path / "model", location)
    (tmp_path / "model" / "w.bin").rename(tmp_path / "model" / location)
    uri = scheme + saved(tmp_path / "model", model)
    if scheme.startswith("mock"):
        filesystem, path = locate(uri)
        filesystem.create_dir(path.rpartition("/")[0])
        for name in ("m.onnx", location):
            with filesystem.open_output_stream(f"{path.rpartition('/')[0]}/{name.removeprefix('./')}") as stream:
                stream.write((tmp_path / "model" / name).read_bytes())
    assert runs(uri)


def test_a_name_longer_than_a_file_system_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"its weights lie in 'x{100}…'"):
        open_source(saved(tmp_path, outside(tmp_path, "x" * 5_000)))


def test_a_pipe_in_place_of_weights_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = saved(tmp_path, outside(tmp_path))
    (tmp_path / "w.bin").unlink()
    os.mkfifo(tmp_path / "w.bin")
    with pytest.raises(ModelError, match=r"'w\.bin', which is no file; put the file itself there"):
        open_source(path)


LENGTHS = [("offset", "-8"), ("offset", "99999999"), ("offset", str(2**63 - 1)), ("offset", "x"), ("length", "-1"),
           ("length", "999999"), ("length", "4"), ("length", "1e3")]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), LENGTHS)
def test_weights_beyond_their_file_are_refused(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(ModelError, match=r"m\.onnx: ONNX Runtime cannot load the model: "):
        runs(saved(tmp_path, outside(tmp_path, **{key: value})))


def test_weights_cut_short_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, outside(tmp_path))
    os.truncate(tmp_path / "w.bin", 5)
    with pytest.raises(ModelError, match=r"m\.onnx: ONNX Runtime cannot load the model: .*file_length: 5"):
        runs(path)


def elsewhere(name: str = "w") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def in_subgraph() -> GraphProto:
    out = helper.make_tensor_value_info("w", TensorProto.FLOAT, [2])
    return helper.make_graph([], "inner", [], [out], [elsewhere()])


HIDDEN = {
    "a constant": lambda: helper.make_attribute("value", elsewhere()),
    "a list of tensors": lambda: AttributeProto(name="a", type=AttributeProto.TENSORS, tensors=[elsewhere()]),
    "a subgraph": lambda: helper.make_attribute("then_branch", in_subgraph()),
    "a list of subgraphs": lambda: AttributeProto(name="a", type=AttributeProto.GRAPHS, graphs=[in_subgraph()]),
}


@pytest.mark.parametrize("where", HIDDEN)
@pytest.mark.parametrize("in_function", [False, True])
def test_weights_outside_are_found_wherever_they_hide(tmp_path: Path, where: str, in_function: bool) -> None:
    model = onnx.load(str(linear_model(tmp_path / "m.onnx", 4, 2)))
    node = helper.make_node("Constant", [], ["hidden"])
    node.attribute.append(HIDDEN[where]())
    if in_function:
        model.functions.append(helper.make_function("f", "F", [], ["hidden"], [node], [helper.make_opsetid("", 18)]))
    else:
        model.graph.node.append(node)
    with pytest.raises(ModelError, match="'/etc/passwd', outside the model's folder"):
        open_source(saved(tmp_path, model))


@contextmanager
def as_user(number: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session.os, "getuid", lambda: number)
        yield


def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    with as_user(os.getuid() + 1), pytest.raises(StorageError, match="belongs to or may be written by another user"):
        make_private(tmp_path / "theirs")


@pytest.mark.parametrize("mode", [0o770, 0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(mode)
    with pytest.raises(StorageError, match="may be written by another user"):
        make_private(tmp_path / "open")


def test_a_folder_that_is_made_is_nobody_elses_whatever_the_mask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        copy = local_copy(b"a", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", tmp_path / "own")
    finally:
        os.umask(before)
    assert (copy.stat().st_mode & 0o777, (tmp_path / "own").stat().st_mode & 0o777) == (0o600, 0o700)
