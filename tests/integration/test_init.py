"""`ortbatch init`, then `ortbatch run` of the file as it was written: its numbers are those of a plain loop."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix

from ortbatch.job import load_job
from tests import makers
from tests.command_line import call
from tests.models import linear_model, mixed_model
from tests.tables import write_table

pytestmark = [
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),
]
SUGGESTED = re.compile(r"^( *)#(?! \S)")


@dataclass(frozen=True)
class Made:
    """What a case left in its folder (model.onnx, data or data.parquet), and how a plain loop feeds the model."""

    feed: Callable[[pa.Table], dict[str, NDArray[Any]]]
    label: str = "label"
    output: int = 0
    data: str = "data.parquet"
    classes: tuple[str, ...] | None = None


def column(table: pa.Table, name: str, dtype: Any = np.float32) -> NDArray[Any]:
    return np.array(table.column(name).to_pylist(), dtype)[:, None]


def side_by_side(*names: str, dtype: Any = np.float32) -> Callable[[pa.Table], NDArray[Any]]:
    return lambda table: np.hstack([column(table, name, dtype) for name in names])


F = ("f0", "f1", "f2", "f3")
FEATURES = side_by_side(*F)
Names = Sequence[Any]


def zipmap(names: Names, **columns: Any) -> Callable[[Path], Made]:
    """A scikit-learn model as skl2onnx exports it by default."""

    def make(folder: Path) -> Made:
        rows = makers.rows(names)
        makers.scikit_learn(folder, LogisticRegression(), rows)
        rows.write(folder)
        return Made(lambda table: {"X": FEATURES(table)})

    return make


def of_its_own_columns(folder: Path) -> Made:
    """Columns that no input is called like, in a file with an id, a time and text besides."""
    made = makers.rows(["b", "a", "c"])
    makers.scikit_learn(folder, LogisticRegression(), made)
    names = ("amount: €", "age", "visits #", "no")
    columns: dict[str, Any] = {"row_id": np.arange(300) + 10_000}
    columns |= dict(zip(names, made.features.T, strict=True))
    columns |= {"country": ["DE", "FR"] * 150, "species": made.labels.tolist()}
    write_table(folder / "data.parquet", columns, [200, 100])
    return Made(lambda table: {"X": side_by_side(*names)(table)}, "species")


def convolution(kind: str) -> Callable[[Path], Made]:
    """A torch CNN on images in a column of lists."""

    def make(folder: Path) -> Made:
        makers.images(folder)
        makers.torchscript(folder / "model.onnx", makers.cnn())
        if kind == "list":
            table = pq.read_table(folder / "data.parquet")
            place = table.schema.get_field_index("image")
            lists = pa.array(table.column("image").to_pylist(), pa.list_(pa.float32()))
            pq.write_table(table.set_column(place, "pixels", lists), folder / "data.parquet", row_group_size=50)
        name = "pixels" if kind == "list" else "image"
        return Made(lambda t: {"image": np.array(t.column(name).to_pylist(), np.float32).reshape(-1, *makers.IMAGE)})

    return make


def an_input_a_column(folder: Path) -> Made:
    """A pipeline of five named inputs: floats, int64 and strings."""
    kinds = (FloatTensorType, FloatTensorType, Int64TensorType, StringTensorType, StringTensorType)
    made = makers.customers(("b", "a", "c"))
    made.write(folder)
    inputs = [(name, kind([None, 1])) for name, kind in zip(makers.CUSTOMER, kinds, strict=True)]
    makers.pipeline(folder, LogisticRegression(), made, inputs)
    dtypes = dict(zip(makers.CUSTOMER, (np.float32, np.float32, np.int64, object, object), strict=True))
    return Made(lambda table: {name: column(table, name, dtype) for name, dtype in dtypes.items()})


def strings_together(folder: Path) -> Made:
    """A pipeline of one input of numbers and one of strings, called like no column."""
    made = makers.customers(("no", "yes"))
    made.write(folder)
    inputs = [("numbers", FloatTensorType([None, 3])), ("texts", StringTensorType([None, 2]))]
    makers.pipeline(folder, LogisticRegression(), made, inputs)
    texts = side_by_side(*makers.CUSTOMER[3:], dtype=object)
    return Made(lambda table: {"numbers": side_by_side(*makers.CUSTOMER[:3])(table), "texts": texts(table)})


def three_named(folder: Path) -> Made:
    """A torch model of three named inputs, of which columns differ in case and punctuation."""
    makers.three_inputs(folder / "model.onnx", "age", new=False)
    rng = np.random.default_rng(0)
    columns = {"Amount": rng.normal(size=90).astype(np.float32), "RATE": rng.normal(size=90).astype(np.float32)}
    columns |= {"age": rng.integers(0, 9, 90), "target": rng.integers(0, 3, 90)}
    write_table(folder / "data.parquet", columns)
    fed = (("amount", "Amount", np.float32), ("rate", "RATE", np.float32), ("age", "age", np.int64))
    return Made(lambda t: {name: column(t, held, dtype) for name, held, dtype in fed}, "target")


def features_and_labels(rows: int = 120, classes: int = 2, seed: int = 0) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """Columns f0 to f3, and labels that no model knows."""
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(size=rows).astype(np.float32) for name in F}
    return columns, rng.integers(0, classes, rows)


def sigmoid(dtype: str) -> Callable[[Path], Made]:
    """One output between 0 and 1; the label as integers, floats or booleans."""

    def make(folder: Path) -> Made:
        linear_model(folder / "model.onnx", 4, 1, end="Sigmoid")
        columns, labels = features_and_labels()
        write_table(folder / "data.parquet", {**columns, "y": labels.astype(dtype)})
        classes = ("false", "true") if dtype == "bool" else None
        return Made(lambda table: {"x": FEATURES(table)}, "y", classes=classes)

    return make


def partitions(folder: Path) -> Made:
    """Files in folders that name columns."""
    linear_model(folder / "model.onnx", 4, 3)
    for number, country in enumerate(("DE", "FR", "日本")):
        columns, labels = features_and_labels(40, 3, number)
        where = folder / "data" / f"country={country}" / "year=2026" / "part.parquet"
        write_table(where, {**columns, "label": labels})
    return Made(lambda table: {"x": FEATURES(table)}, data="data")


def mixed(folder: Path) -> Made:
    """A wide float input beside an int64 one: numbered columns, and one of its name."""
    mixed_model(folder / "model.onnx", 3)
    columns, labels = features_and_labels(120, 3)
    write_table(folder / "data.parquet", {"n": np.arange(120), **columns, "extra": labels * 0.5, "label": labels})
    return Made(lambda table: {"x": FEATURES(table), "n": column(table, "n", np.int64)})


CASES: dict[str, Callable[[Path], Made]] = {
    "scikit-learn, ZipMap of strings": zipmap(["b", "a", "c"]),
    "scikit-learn, ZipMap of integers": zipmap([3, 11, 7]),
    "scikit-learn, two classes": zipmap(["no", "yes"]),
    "scikit-learn, columns of its own names": of_its_own_columns,
    "torch CNN, fixed-size lists": convolution("fixed"),
    "torch CNN, lists": convolution("list"),
    "five named inputs": an_input_a_column,
    "numbers and strings": strings_together,
    "three named inputs of a torch model": three_named,
    "sigmoid, integers": sigmoid("int64"),
    "sigmoid, floats": sigmoid("float64"),
    "sigmoid, booleans": sigmoid("bool"),
    "folders that name columns": partitions,
    "wide input beside a named one": mixed,
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Made, str]:
    """A folder in which `init` wrote job.yaml, and what it said."""
    folder = tmp_path_factory.mktemp("case")
    made = CASES[request.param](folder)
    done = call("init", "--model", folder / "model.onnx", "--data", folder / made.data, "--out", folder / "job.yaml")
    assert done.code == 0, done.err
    return folder, made, done.out


def plain_loop(folder: Path, made: Made, classes: Sequence[str]) -> list[list[int]]:
    """Confusion counts by ONNX Runtime and scikit-learn alone."""
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    names, true, predicted = [str(name) for name in classes], list[str](), list[str]()
    for path in sorted((folder / made.data).rglob("*.parquet")) or [folder / made.data]:
        table = pq.read_table(path, partitioning=None)
        raw = session.run(None, made.feed(table))[made.output]
        true += [names[int(v)] if isinstance(v, bool | float) else str(v) for v in table.column(made.label).to_pylist()]
        predicted += _labels(raw, names)
    return confusion_matrix(true, predicted, labels=names).tolist()


def _labels(raw: NDArray[Any], names: Sequence[str]) -> list[str]:
    """The model's own labels, or the class of the largest score, or by 0.5."""
    if raw.dtype.kind != "f":
        return [str(label) for label in raw]
    places = np.argmax(raw, axis=1) if raw.shape[1] > 1 else (raw[:, 0] >= 0.5).astype(int)
    return [names[place] for place in places]


def test_the_file_runs_unedited_and_its_counts_are_those_of_a_plain_loop(case: tuple[Path, Made, str]) -> None:
    folder, made, _ = case
    done = call("run", folder / "job.yaml", "--engine", "inline", "--run-dir", folder / "run")
    report = json.loads((folder / "run" / "report.json").read_text())
    classes = report["confusion_matrix"]["classes"]
    assert (done.code, report["status"]) == (0, "ungated"), done.err
    assert report["confusion_matrix"]["counts"] == plain_loop(folder, made, classes)
    assert made.classes is None or tuple(classes) == made.classes


def test_every_suggestion_of_the_file_works_once_its_mark_is_taken_away(case: tuple[Path, Made, str]) -> None:
    folder, _, _ = case
    lines = (folder / "job.yaml").read_text().splitlines()
    assert sum(bool(SUGGESTED.match(line)) for line in lines) >= 5
    # The first two lines are prose.
    (folder / "all.yaml").write_text("\n".join(SUGGESTED.sub(r"\1", line) for line in lines))
    done = call("check", folder / "all.yaml")
    assert done.code == 0, done.err
    assert len(load_job(folder / "all.yaml").gates) == 3


def test_it_says_what_it_inferred_and_what_comes_next(case: tuple[Path, Made, str]) -> None:
    _, made, out = case
    assert out.startswith("wrote ")
    assert re.search(rf"^ label +{re.escape(made.label)} ", out, re.MULTILINE)
    assert "rows right" in out
    assert out.splitlines()[-1].startswith("next: ortbatch run ")
