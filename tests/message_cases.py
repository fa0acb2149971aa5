"""Commands that go wrong, each in another way, and what they need in the folder of the small job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper

from tests.models import linear_model, mixed_model, save
from tests.tables import write_table


@dataclass(frozen=True)
class Case:
    """Words of a command; paths in it are below the folder of `made`."""

    words: Sequence[str]

    def __str__(self) -> str:
        return " ".join(self.words)


def check(*overrides: str, job: str = "job.yaml") -> Case:
    return Case(("check", job, *(word for each in overrides for word in ("--set", each))))


def transform(function: str, more: str = "") -> Case:
    return check(f"model={{path: model.onnx, transform: {{function: 'prep:{function}', columns: [f0]{more}}}}}")


def inputs(text: str, job: str = "job.yaml") -> Case:
    return check(f"model={{path: model.onnx, inputs: {{{text}}}}}", job=job)


def mixed(column: str) -> Case:
    model = f"model={{path: mixed.onnx, inputs: {{x: [f0, f1, f2, f3], n: {column}}}}}"
    return check("data.path=odd.parquet", "data.label=whole", model)


def tokens(text: str) -> Case:
    return check(f"model={{path: tokens.onnx, inputs: {{{text}}}}}", "data.path=odd.parquet")


def label(name: str, *more: str) -> Case:
    return check("data.path=odd.parquet", f"data.label={name}", *more)


SECRET = "http://key:hush@127.0.0.1/x"
CASES = [
    Case(("walk",)),
    Case(("run",)),
    Case(("run", "job.yaml", "--fast")),
    Case(("run", "gone.yaml")),
    Case(("run", ".")),
    Case(("run", "job.yaml", "--var", "date")),
    Case(("run", "job.yaml", "--engine", "inline", "--address", "auto")),
    Case(("run", "job.yaml", "--force", "--resume")),
    Case(("run", "job.yaml", "--resume")),
    Case(("run", "job.yaml", "--run-dir", "empty", "--resume")),
    Case(("run", "job.yaml", "--run-dir", "text.txt/run")),
    Case(("run", "job.yaml", "--engine", "inline", "--set", "execution.workers=3")),
    Case(("run", "job.yaml", "--run-dir", "hdfs://x/y")),
    Case(("report", "gone")),
    Case(("report", "empty")),
    Case(("report", "broken")),
    Case(("report", "other")),
    Case(("gate", "gone")),
    Case(("gate", "run", "--gates", "gone.yaml")),
    Case(("gate", "run", "--gates", "bad.yaml")),
    Case(("gate", "run", "--gates", "acuracy.yaml")),
    Case(("thresholds", "run", "--min-recall", "0.9", "--min-precision", "0.9")),
    Case(("thresholds", "run", "--cost", "fn=a")),
    Case(("thresholds", "run", "--class", "z")),
    Case(("compare", "run", "gone")),
    Case(("compare", "run", "run", "--max-drop", "recall")),
    Case(("compare", "run", "run", "--max-drop", "recall=x")),
    Case(("compare", "run", "run", "--confidence", "2")),
    Case(("history", "gone")),
    Case(("history", "run", "--metric", "acuracy")),
    Case(("latency", "job.yaml", "--batch", "4,2")),
    Case(("latency", "job.yaml", "--plot", "curve.png")),
    Case(("latency", "job.yaml", "--seconds", "-1")),
    Case(("schema", "run")),
    Case(("completion", "tcsh")),
    Case(("init", "--model", "gone.onnx", "--data", "gone")),
    Case(("init", "--model", "model.onnx", "--data", "data")),
    Case(("init", "--model", "model.onnx", "--data", "data", "--out", "n.yaml", "--label", "gone")),
    Case(("init", "--model", "model.onnx", "--data", "odd.parquet", "--out", "n.yaml")),
    Case(("init", "--model", "model.onnx", "--data", "data", "--out", "text.txt/n.yaml")),
    Case(("init", "--model", "model.onnx", "--data", "odd.parquet", "--out", "n.yaml", "--label", "text")),
    check("data.lable=x"),
    check("threshold=2"),
    check("gates=[acuracy >= 1]"),
    check("gates=['recall[7] >= 0.5']"),
    check("model.path=gone.onnx"),
    check("model.path=job.yaml"),
    check("model.path=empty.onnx"),
    check("model.path=text.txt"),
    check("model.path=nowhere.onnx"),
    check("model.path=outside.onnx"),
    check("model.path=" + SECRET),
    check("data.path=gone"),
    check("data.path=" + SECRET),
    check("data.path=empty"),
    check("data.path=job.yaml"),
    check("data.path=none.parquet"),
    check("data.path=file://x/y"),
    check("data.path=http://[x"),
    check("data.path=odd://x/y"),
    check("data.label=gone"),
    check("data.expect.files=4"),
    check("data.sample={rows: 1000}"),
    check("data.filter=[[gone, ==, 1]]"),
    check("data.filter=[[f0, ==, a]]"),
    check("data.filter=[[f0, '>', 1000]]"),
    check("data.positive=1"),
    check("data.classes=[a, b]"),
    check("data.classes=[a, b, c]", "data.label_is=name"),
    check("slices=[f0]"),
    check("slices=[gone]"),
    check("slices=[{column: label, bins: [0, 1]}, {column: text, bins: [0, 1]}]"),
    check("predictions={columns: [gone]}"),
    check("predictions={columns: [label, label]}"),
    check("predictions={top_k: 9}"),
    check("checks={training_data: gone}"),
    check("baselines={x: {run: gone}}"),
    check("baselines={x: {scores: gone}}"),
    check("baselines={x: {function: 'prep:nothing', columns: [f0]}}"),
    check("baselines={x: {torch: gone.pt2}}"),
    check("baselines={x: two.onnx}"),
    check("model.output={name: gone}"),
    check("model.batch_size=7", "model.path=fixed.onnx"),
    check("model.providers=[TPUExecutionProvider]"),
    check("model.path=several.onnx"),
    check("model.path=several_sig.onnx"),
    check("model.path=scalar.onnx"),
    check("model.path=operator.onnx"),
    inputs("x: [f0, f1, f2, f9]"),
    inputs("x: [f0, f1]"),
    inputs("y: f0"),
    inputs("x: 'g*'"),
    inputs("x: {columns: text.txt}"),
    inputs("x: {columns: gone.txt}"),
    inputs("x: {columns: [f0, f1, f2, f3], null: a}"),
    inputs("x: text"),
    inputs("x: {columns: [f0, f1, f2, f3], null: 1.0e+300}"),
    inputs("x: {columns: [f0, f1, f2, f3], pad: 0}"),
    inputs("x: {mask_of: y}"),
    inputs("x: [f0, f1, f2, when]"),
    mixed("part"),
    mixed("{column: whole, null: 0.5}"),
    tokens("ids: {column: ragged, pad: 0, pad_to: 3, max_length: 2}, mask: {mask_of: ids}"),
    tokens("ids: {column: ragged, pad: 0, overflow: truncate}, mask: {mask_of: ids}"),
    tokens("ids: {column: ragged, pad: 0}, mask: {mask_of: gone}"),
    tokens("ids: ragged, mask: {mask_of: ids}"),
    tokens("ids: {column: ragged, pad_to: 3}, mask: {mask_of: ids}"),
    tokens("ids: {fill: 0, pad: 1}, mask: {fill: 1}"),
    tokens("ids: {column: pairs}, mask: {mask_of: ids}"),
    label("text"),
    label("part"),
    label("ragged"),
    label("when"),
    label("no"),
    label("yes"),
    label("whole", "data.classes=[a, b, c, d]"),
    label("text", "data.classes=[a, b, c]", "data.label_is=index"),
    label("none"),
    label("yes", "data.classes=[a, b]", "model.path=two.onnx"),
    label("text", "data.classes=[p, q, r]"),
    transform("gone"),
    transform("number"),
    transform("nothing"),
    transform("fails"),
    transform("short"),
    transform("wide"),
    transform("together"),
    check("model={path: model.onnx, transform: {function: 'gone:f', columns: [f0]}}"),
    check("model={path: model.onnx, transform: {function: 'odd:f', columns: [f0]}}"),
    check("model={path: model.onnx, transform: {function: 'bad:f', columns: [f0]}}"),
    check("model={path: model.onnx, transform: {function: 'prep:nothing', columns: [gone]}}"),
    check(
        "model={path: model.onnx, inputs: {x: [f0, f1, f2, f3]}, transform: {function: 'prep:nothing', columns: [f0]}}"
    ),
    transform("nothing", ", files: [gone.txt]"),
]


PREP = """
import numpy as np
number = 3
def nothing(batch): return {}
def fails(batch): raise ValueError("broken row")
def short(batch): return {"x": np.zeros((1, 4), np.float32)}
def together(batch): return {"x": np.zeros((batch.num_rows, 4), np.float32)} if batch.num_rows == 1 else 1 / 0
def wide(batch): return {"x": np.zeros((batch.num_rows, 5), np.float32)}
"""


def write_wrong_things(folder: Path) -> None:
    """Files and folders beside the small job and its run."""
    for name in ("empty", "broken", "other"):
        (folder / name).mkdir()
    texts = {
        "text.txt": "",
        "broken/report.json": "{",
        "other/report.json": '{"schema_version": 99}',
        "bad.yaml": "gates: {a: 1",
        "acuracy.yaml": "gates: [acuracy >= 0.5]",
        "prep.py": PREP,
        "odd.py": "raise RuntimeError('no')",
        "bad.py": "def (",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    write_models(folder)
    write_odd(folder / "odd.parquet")
    none = {f"f{number}": pa.array([], pa.float32()) for number in range(4)}
    write_table(folder / "none.parquet", {**none, "label": pa.array([], pa.int64())})


def write_odd(path: Path) -> None:
    """Columns of all kinds, 40 rows."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {f"f{number}": rng.normal(size=40).astype(np.float32) for number in range(4)}
    columns |= {"text": ["a", "b", "c", "d"] * 10, "whole": [0, 1, 2, 3] * 10, "part": [0.5, 1.5] * 20}
    columns |= {"yes": [True, False] * 20, "no": [b"x"] * 40, "none": pa.nulls(40, pa.int64())}
    columns |= {"ragged": [[1], [1, 2]] * 20, "pairs": pa.array([[1, 2]] * 40, pa.list_(pa.int64(), 2))}
    columns["when"] = pa.array([0] * 40, pa.timestamp("s"))
    write_table(path, columns)


def write_models(folder: Path) -> None:
    linear_model(folder / "two.onnx", 4, 2, end="Softmax")
    linear_model(folder / "several_sig.onnx", 4, 3, end="Sigmoid")
    mixed_model(folder / "mixed.onnx", 3)
    save(folder / "empty.onnx", helper.make_graph([], "empty", [], []))
    changed(folder, "fixed.onnx", lambda g: g.input[0].type.tensor_type.shape.dim[0].CopyFrom(fixed(8)))
    changed(folder, "several.onnx", lambda g: g.output.insert(0, value("flat", TensorProto.FLOAT, ["N", 4])))
    changed(folder, "scalar.onnx", lambda g: g.input[0].CopyFrom(value("x", TensorProto.FLOAT, [])))
    changed(folder, "operator.onnx", lambda g: setattr(g.node[0], "op_type", "Nonsense"))
    for name, location in (("nowhere.onnx", "gone.bin"), ("outside.onnx", "../w.bin")):
        changed(folder, name, lambda g, location=location: elsewhere(g.initializer[0], location))
    nodes = [
        helper.make_node("Mul", ["ids", "mask"], ["kept"]),
        helper.make_node("Cast", ["kept"], ["out"], to=TensorProto.FLOAT),
    ]
    fed = [value(name, TensorProto.INT64, ["N", "L"]) for name in ("ids", "mask")]
    save(folder / "tokens.onnx", helper.make_graph(nodes, "t", fed, [value("out", TensorProto.FLOAT, ["N", "L"])]))


def value(name: str, kind: int, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def fixed(size: int) -> onnx.TensorShapeProto.Dimension:
    return onnx.TensorShapeProto.Dimension(dim_value=size)


def changed(folder: Path, name: str, change: Callable[[onnx.GraphProto], None]) -> None:
    """The small job's model with something else in it."""
    model = onnx.load(str(folder / "model.onnx"))
    change(model.graph)
    (folder / name).write_bytes(model.SerializeToString())


def elsewhere(tensor: onnx.TensorProto, location: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
