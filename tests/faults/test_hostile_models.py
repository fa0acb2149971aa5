"""Models that are cut, broken at random, or ask for a terabyte: one error that names the file; no process is ended.

What could end the process runs in one of its own, with little memory.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from ortbatch.api import check
from ortbatch.errors import ModelError, OrtbatchError
from ortbatch.job import Job
from ortbatch.model.session import OnnxModel
from ortbatch.model.source import load, open_source
from tests.models import linear_model, product_model
from tests.tables import write_table

ROOT = Path(__file__).resolve().parents[2]
CPU = ["CPUExecutionProvider"]
ROW = {"x": np.ones((1, 4), np.float32)}
TERABYTE = 1 << 40
ONE = helper.make_opsetid


def model_of(nodes: Sequence[NodeProto], *weights: TensorProto, **options: Any) -> bytes:
    """x float32[N, 4] → out float32[N, 4], unchecked."""
    rows = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("x", "out")]
    graph = helper.make_graph(list(nodes), "g", rows[:1], rows[1:], list(weights))
    made: bytes = helper.make_model(
        graph, opset_imports=[ONE("", options.pop("opset", 18)), *options.pop("others", [])], ir_version=10, **options
    ).SerializeToString()
    return made


def numbers(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def number(name: str, value: int) -> TensorProto:
    return numpy_helper.from_array(np.array(value, np.int64), name)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def tensor(dims: Sequence[int], content: bytes = b"") -> TensorProto:
    """A weight that says to be of any size."""
    return TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=content)


def forest(classes: int = 3) -> bytes:
    """A tree ensemble of one split a class, behind a ZipMap."""
    nodes = range(3)
    trees = [(tree, place) for tree in range(classes) for place in nodes]
    attributes = {
        "nodes_treeids": [tree for tree, _ in trees], "nodes_nodeids": [place for _, place in trees],
        "nodes_featureids": [0] * len(trees), "nodes_values": [0.5] * len(trees),
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"] * classes, "nodes_truenodeids": [1, 0, 0] * classes,
        "nodes_falsenodeids": [2, 0, 0] * classes, "class_treeids": [t for t in range(classes) for _ in range(2)],
        "class_nodeids": [1, 2] * classes, "class_ids": [t for t in range(classes) for _ in range(2)],
        "class_weights": [0.2, 0.9] * classes, "classlabels_int64s": list(range(classes)), "post_transform": "SOFTMAX",
    }  # fmt: skip
    ml = {"domain": "ai.onnx.ml"}
    trees_ = helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "scores"], **ml, **attributes)
    zipmap = helper.make_node("ZipMap", ["scores"], ["out"], **ml, classlabels_int64s=list(range(classes)))
    model = onnx.load_model_from_string(model_of([trees_, zipmap], others=[ONE("ai.onnx.ml", 3)]))
    model.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("out", TensorProto.FLOAT, None))
    content: bytes = model.SerializeToString()
    return content


def plain(folder: Path) -> bytes:
    return linear_model(folder / "linear.onnx", 4, 3, end="Softmax").read_bytes()


def scores(path: Path) -> Any:
    model = load(open_source(str(path)), CPU, 1)
    return model.run(["out"], ROW)[0].tolist()


@pytest.mark.parametrize("made", [plain, lambda folder: forest()], ids=["linear", "forest"])
def test_a_model_cut_anywhere_is_refused_with_its_name_or_is_the_same(tmp_path: Path, made: Any) -> None:
    content, path = made(tmp_path), tmp_path / "m.onnx"
    path.write_bytes(content)
    whole = scores(path)
    messages = []
    for size in range(len(content)):
        path.write_bytes(content[:size])
        try:
            assert scores(path) == whole
        except ModelError as error:
            messages.append(str(error))
    assert len(messages) > 0.9 * len(content)
    assert [message for message in messages if not message.startswith(f"{path}: ")] == []


# Hunts, each in a process of its own with little memory


def limit_memory(more: int) -> None:
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + more, in_use + more))


def alone(call: str, *arguments: object, limit: int = 2 << 30) -> Any:
    """What a function of this module gives in a process that can have `limit` bytes more than it starts with."""
    code = (
        "import json, sys, pathlib\n"
        "from tests.faults import test_hostile_models as here\n"
        "here.limit_memory(int(sys.argv[1]))\n"
        f"print(json.dumps({call}))"
    )
    command = [sys.executable, "-c", code, str(limit), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-2_000:]}"
    return json.loads(done.stdout)


def job_in(folder: Path) -> Job:
    data = {"path": "data", "label": "y"}
    return Job.from_mapping({"name": "t", "model": "m.onnx", "data": data, "latency": {"max_seconds": 0.01}}, folder)


def place(folder: Path) -> Path:
    """A folder with data for a model m.onnx that is still to come."""
    lists = pa.array(np.random.default_rng(0).normal(size=(30, 4)).tolist(), pa.list_(pa.float32(), 4))
    write_table(folder / "data" / "a.parquet", pa.table({"x": lists, "y": np.arange(30) % 3}))
    return folder


def refusal(folder: Path) -> list[str]:
    """The error that a check of the job ends in."""
    try:
        check(job_in(folder))
    except OrtbatchError as error:
        return [type(error).__name__, str(error)]
    return ["", "it can run"]


def broken(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(changed))
        draw = rng.random()
        if draw < 0.5:
            changed[at] ^= 1 << rng.randrange(8)
        elif draw < 0.8:
            changed[at] = rng.choice([0, 1, 127, 128, 255])
        elif draw < 0.9:
            del changed[at : at + rng.choice([1, 2, 8])]
        else:
            changed[at:at] = changed[at : at + rng.choice([1, 4, 50])]
    return bytes(changed)


def hunt(folder: Path, tries: int) -> dict[str, int]:
    found = Counter[str]()
    for seed, content in enumerate([plain(folder), forest()]):
        rng = random.Random(seed)
        for _ in range(tries):
            (folder / "m.onnx").write_bytes(broken(content, rng))
            found[refusal(folder)[0]] += 1
    return dict(found)


def test_models_broken_at_random_are_refused_or_run(tmp_path: Path) -> None:
    found = alone("here.hunt(pathlib.Path(sys.argv[2]), 250)", place(tmp_path))
    assert set(found) <= {"", "ModelError", "DataError", "PreflightError"}
    assert found["ModelError"] > 200
    assert found[""] > 20


# Sizes


SUM = [node("ReduceSum", "big", "all", keepdims=0), node("Add", "x all", "out")]
GIANTS = {
    "ConstantOfShape": model_of([node("ConstantOfShape", "s", "big"), *SUM], numbers("s", 1 << 38)),
    "by the batch": model_of(
        [node("Shape", "x", "here"), node("Mul", "here k", "s"), node("ConstantOfShape", "s", "big"), *SUM],
        numbers("k", 1 << 19, 1 << 16),
    ),
    "Expand": model_of([node("Expand", "x s", "big"), *SUM], numbers("s", 1 << 35, 1, 4)),
    "Range": model_of(
        [node("Range", "a b c", "i"), node("Cast", "i", "big", to=TensorProto.FLOAT), *SUM],
        number("a", 0), number("b", 1 << 37), number("c", 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", GIANTS)
def test_a_model_that_asks_for_more_than_the_machine_has_is_refused(tmp_path: Path, what: str) -> None:
    (place(tmp_path) / "m.onnx").write_bytes(GIANTS[what])
    kind, message = alone("here.refusal(pathlib.Path(sys.argv[2]))", tmp_path)
    assert kind == "ModelError"
    assert "the model asks for 1" in message
    assert "bytes at once for a batch of x: float32[" in message
    assert "this machine has" in message


def too_little(path: str) -> str:
    try:
        OnnxModel(Path(path), CPU, 1, "m").run(["out"], ROW)
    except MemoryError as error:
        return f"MemoryError: {error}"
    return "it ran"


def test_a_model_that_asks_for_more_than_is_left_is_out_of_memory(tmp_path: Path) -> None:
    content = model_of([node("ConstantOfShape", "s", "big"), *SUM], numbers("s", 1 << 28))
    (tmp_path / "m.onnx").write_bytes(content)
    assert alone("here.too_little(sys.argv[2])", tmp_path / "m.onnx", limit=512 << 20).startswith("MemoryError: ")


WEIGHTS = {
    "a terabyte of nothing": tensor([1 << 38]),
    "a terabyte in 16 bytes": tensor([1 << 38], b"0" * 16),
    "more than can be counted": tensor([1 << 62, 8, 4], b"0" * 16),
    "negative": tensor([-4], b"0" * 16),
    "too few bytes": tensor([4], b"0" * 15),
}


@pytest.mark.parametrize("what", WEIGHTS)
def test_weights_that_are_not_as_large_as_they_say_are_refused(tmp_path: Path, what: str) -> None:
    (tmp_path / "m.onnx").write_bytes(model_of([node("Add", "x w", "out")], WEIGHTS[what]))
    with pytest.raises(ModelError, match=r"m\.onnx: ONNX Runtime cannot load the model: "):
        scores(tmp_path / "m.onnx")


def test_a_file_beyond_what_protobuf_holds_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate(1 << 31)
    with pytest.raises(ModelError, match=r"m\.onnx: 2,147,483,648 bytes; an ONNX file has at most 2,147,483,647"):
        open_source(str(tmp_path / "m.onnx"))


# Graphs


LOOP = helper.make_function("loc", "F", ["a"], ["b"], [node("F", "a", "b", domain="loc")], [ONE("", 18), ONE("loc", 1)])
GRAPHS = {
    "operators of another library": (
        model_of([node("Evil", "x", "out", domain="com.evil")], others=[ONE("com.evil", 1)]),
        r"com\.evil:Evil.*Operators of other libraries are never loaded",
    ),
    "operators that nobody imports": (
        model_of([node("Evil", "x", "out", domain="com.evil")]),
        r"'com\.evil'.*Operators of other libraries are never loaded",
    ),
    "an operator that there is not": (model_of([node("Evil", "x", "out")]), "Evil.*Operators of other libraries"),
    "a function that calls itself": (
        model_of([node("F", "x", "out", domain="loc")], others=[ONE("loc", 1)], functions=[LOOP]), "cannot load"
    ),
    "a circle": (model_of([node("Add", "x b", "out"), node("Neg", "out", "b")]), "cannot load"),
    "an input that there is not": (model_of([node("Add", "x gone", "out")]), "cannot load.*gone"),
    "a version to come": (model_of([node("Neg", "x", "out")], opset=9_999), "cannot load"),
    "no operator set": (b"\x08\x0a\x3a\x00", "without outputs or operator set"),
    "text": (b"model: linear\n" * 100, "not an ONNX"),
    "a pickle": (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00", "not an ONNX"),
}  # fmt: skip


@pytest.mark.parametrize("what", GRAPHS)
def test_a_graph_that_cannot_be_run_is_refused(tmp_path: Path, what: str) -> None:
    content, message = GRAPHS[what]
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=rf"m\.onnx: .*{message}"):
        scores(tmp_path / "m.onnx")


@pytest.mark.parametrize("name", [b"linear", b"sum", b"MatMul", b"out", b"flat"])
def test_names_that_are_no_text_are_refused(tmp_path: Path, name: bytes) -> None:
    content = linear_model(tmp_path / "linear.onnx", 4, 3).read_bytes()
    (tmp_path / "m.onnx").write_bytes(content.replace(name, b"\xff" * len(name)))
    if name == b"linear":
        assert len(scores(tmp_path / "m.onnx")[0]) == 3  # the graph's name is never looked at
        return
    with pytest.raises(ModelError, match=r"m\.onnx: .*(no UTF-8|cannot load)"):
        scores(tmp_path / "m.onnx")


def test_a_size_that_is_called_by_no_text_is_refused(tmp_path: Path) -> None:
    content = product_model(tmp_path / "m.onnx", 4, 3, batch="how many").read_bytes()
    (tmp_path / "m.onnx").write_bytes(content.replace(b"how many", b"\xff" * 8))
    with pytest.raises(ModelError, match=r"m\.onnx: a name of its inputs and outputs is no UTF-8"):
        scores(tmp_path / "m.onnx")


def test_a_zipmap_of_nothing_is_refused(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(forest())
    del model.graph.node[1].output[:]
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"m\.onnx: .*cannot load"):
        scores(tmp_path / "m.onnx")


def test_settings_in_a_model_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = {"session_options": {"enable_profiling": 1, "profile_file_prefix": "spied", "intra_op_num_threads": 7}}
    model = onnx.load(str(linear_model(tmp_path / "m.onnx", 4, 3)))
    model.metadata_props.add(key="ort_config", value=json.dumps(asks))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    assert len(scores(tmp_path / "m.onnx")[0]) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx"]


def test_names_of_a_model_are_inert_in_messages(tmp_path: Path) -> None:
    evil = node("Evil\x1b]0;pwned\x07\n\u202e", "x", "out", domain="com.evil")
    (tmp_path / "m.onnx").write_bytes(model_of([evil], others=[ONE("com.evil", 1)]))
    with pytest.raises(ModelError) as caught:
        scores(tmp_path / "m.onnx")
    assert "Evil" in str(caught.value)
    assert str(caught.value).isprintable()
