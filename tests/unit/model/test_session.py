"""A session is what was asked for, or an error; the local copy of a model is the model, whole and private."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper

from ortbatch.data.binding import TensorSpec
from ortbatch.errors import ModelError, StorageError
from ortbatch.model.session import OnnxModel, local_copy
from tests.models import linear_model, linear_weights, save

CPU = ["CPUExecutionProvider"]
CONTENT = b"some model" * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return linear_model(tmp_path / "m.onnx", 4, 2)


def load(path: Path, providers: list[str] | None = None, threads: int = 1) -> OnnxModel:
    return OnnxModel(path, providers or CPU, threads, "the model")


def test_a_session_says_what_it_takes_gives_and_runs_on(path: Path) -> None:
    model = load(path)
    assert model.inputs == (TensorSpec("x", "float32", (None, 4)),)
    assert model.outputs == (TensorSpec("out", "float32", (None, 2)),)
    assert (model.providers, model.threads) == (tuple(CPU), 1)


def test_a_batch_gives_what_the_weights_say(path: Path) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    weights, bias = linear_weights(4, 2)
    assert load(path).run(["out"], {"x": rows})[0] == pytest.approx(rows @ weights + bias, abs=1e-5)


def test_an_empty_batch_gives_no_rows(path: Path) -> None:
    assert load(path).run(["out"], {"x": np.empty((0, 4), np.float32)})[0].shape == (0, 2)


def test_read_only_and_strided_inputs_give_the_same(path: Path) -> None:
    model, rows = load(path), np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    rows.flags.writeable = False
    assert model.run(["out"], {"x": rows[::2]})[0].tolist() == model.run(["out"], {"x": rows[::2].copy()})[0].tolist()


def test_threads_that_share_a_session_do_not_mix_their_batches(path: Path) -> None:
    model = load(path)
    batches = [np.full((500, 4), number, np.float32) for number in range(16)]
    alone = [model.run(["out"], {"x": batch})[0].tolist() for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda batch: model.run(["out"], {"x": batch})[0].tolist(), batches)) == alone


BATCHES = [
    (np.zeros((3, 5), np.float32), r"the model failed on a batch of x: float32\[3, 5\]: .*index: 1 Got: 5 Expected: 4"),
    (np.zeros((3, 4), np.float64), r"failed on a batch of x: float64\[3, 4\]: .*Unexpected input data type"),
    (np.zeros(4, np.float32), r"failed on a batch of x: float32\[4\]: .*Invalid rank"),
]


@pytest.mark.parametrize(("batch", "message"), BATCHES)
def test_a_batch_that_does_not_fit_is_refused_with_its_shape(path: Path, batch: np.ndarray, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load(path).run(["out"], {"x": batch})


def fixed(path: Path, *nodes: NodeProto, outputs: dict[str, list[int]], inputs: tuple[int, ...] = (4,)) -> OnnxModel:
    """A model of batches of so many rows with inputs x0, x1, ... of 2 columns."""
    shapes = {f"x{i}": [batch, 2] for i, batch in enumerate(inputs)}
    infos = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in side.items()]
        for side in (shapes, outputs)
    ]
    return load(save(path, helper.make_graph(list(nodes), "fixed", *infos)))


SAME = helper.make_node("Identity", ["x0"], ["out"])
ROWS = np.arange(8, dtype=np.float32).reshape(4, 2)


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_a_short_batch_of_a_fixed_size_is_filled_up_and_cut_again(path: Path, rows: int) -> None:
    model = fixed(path, SAME, helper.make_node("Neg", ["x0"], ["minus"]), outputs={"out": [4, 2], "minus": [4, 2]})
    assert model.fixed_batch == 4
    same, minus = model.run(["out", "minus"], {"x0": ROWS[:rows]})
    assert same.tolist() == ROWS[:rows].tolist()
    assert minus.tolist() == (-ROWS[:rows]).tolist()


def test_a_batch_longer_than_the_fixed_size_is_refused(path: Path) -> None:
    model = fixed(path, SAME, outputs={"out": [4, 2]})
    with pytest.raises(ModelError, match=r"failed on a batch of x0: float32\[8, 2\]"):
        model.run(["out"], {"x0": np.concatenate([ROWS, ROWS])})


TWICE = helper.make_node("Concat", ["x0", "x0"], ["out"], axis=0)
MEAN = helper.make_node("ReduceMean", ["x0"], ["out"], keepdims=0)


@pytest.mark.parametrize(("node", "shape"), [(TWICE, [8, 2]), (MEAN, [])])
@pytest.mark.parametrize("rows", [3, 4])
def test_an_output_that_is_not_one_for_each_row_is_never_cut_to_look_like_it(
    path: Path, node: NodeProto, shape: list[int], rows: int
) -> None:
    model = fixed(path, node, outputs={"out": shape})
    with pytest.raises(ModelError, match=rf"`out` has shape {re.escape(str(shape))} for a batch of 4 rows"):
        model.run(["out"], {"x0": ROWS[:rows]})


def test_inputs_of_different_fixed_sizes_are_refused(path: Path) -> None:
    with pytest.raises(ModelError, match=r"inputs have batches of \[4, 8\]"):
        fixed(path, SAME, outputs={"out": [4, 2]}, inputs=(4, 8))


@pytest.mark.parametrize("providers", [["CUDAExecutionProvider", *CPU], ["MadeUpExecutionProvider"]])
def test_a_provider_that_is_missing_is_an_error_that_says_what_there_is(path: Path, providers: list[str]) -> None:
    with pytest.raises(ModelError) as caught:
        load(path, providers)
    assert f"{providers[0]} not in this build of ONNX Runtime {onnxruntime.__version__}" in str(caught.value)
    assert "CPUExecutionProvider" in str(caught.value).partition("which has ")[2]


def test_a_provider_given_up_by_the_session_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", *CPU])
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"), pytest.raises(ModelError):
        load(path, ["CUDAExecutionProvider"])


BROKEN = {
    "empty": lambda whole: b"",
    "garbage": lambda whole: os.urandom(1000),
    "cut": lambda whole: whole[:-40],
    "no model": lambda whole: b"PAR1" + whole,
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_file_that_is_no_model_is_an_error_with_its_name(path: Path, how: str) -> None:
    path.write_bytes(BROKEN[how](path.read_bytes()))
    with pytest.raises(ModelError, match="the model: ONNX Runtime cannot load the model: "):
        load(path)


def test_a_model_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot load the model: .*none\.onnx"):
        load(tmp_path / "none.onnx")


def test_a_session_that_cannot_be_built_is_not_tried_again_and_prints_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")  # ONNX Runtime answers with a RuntimeError
    with pytest.raises(ModelError, match="cannot load the model"):
        load(path)
    assert capfd.readouterr() == ("", "")


def test_a_copy_is_named_by_its_hash_and_holds_the_bytes(tmp_path: Path) -> None:
    copy = local_copy(CONTENT, SHA, tmp_path / "new")
    assert copy == tmp_path / "new" / f"{SHA}.onnx"
    assert copy.read_bytes() == CONTENT


def test_a_copy_and_its_folder_are_private(tmp_path: Path) -> None:
    copy = local_copy(memoryview(CONTENT), SHA, tmp_path / "new")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.parent.stat().st_mode & 0o777 == 0o700


def test_bytes_of_another_hash_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"10,001 bytes do not have sha256 {SHA}; it was changed on the way"):
        local_copy(CONTENT + b"x", SHA, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT + b"x"])
def test_a_damaged_copy_is_written_again(tmp_path: Path, damage: bytes) -> None:
    local_copy(CONTENT, SHA, tmp_path).write_bytes(damage)
    assert local_copy(CONTENT, SHA, tmp_path).read_bytes() == CONTENT


def test_a_good_copy_is_not_written_again(tmp_path: Path) -> None:
    before = local_copy(CONTENT, SHA, tmp_path).stat()
    after = local_copy(CONTENT, SHA, tmp_path).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_many_writers_leave_one_whole_copy(tmp_path: Path) -> None:
    gate = threading.Barrier(12)

    def write(_: int) -> bytes:
        gate.wait()
        return local_copy(CONTENT, SHA, tmp_path / "new").read_bytes()

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(write, range(12))) == {CONTENT}
    assert [p.name for p in (tmp_path / "new").iterdir()] == [f"{SHA}.onnx"]


def test_a_copy_that_cannot_be_written_leaves_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StorageError, match=r"the copy of the model cannot be written: .*No space left"):
        local_copy(CONTENT, SHA, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(StorageError, match="may be written by another user"):
        local_copy(CONTENT, SHA, tmp_path / "open")


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(StorageError, match="belongs to or may be written by another user"):
        local_copy(CONTENT, SHA, tmp_path / "link")
