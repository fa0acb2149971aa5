"""Bad input ends in one clear message and exit code 2, with nothing written; a broken shard in exit code 3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper, numpy_helper

from ortbatch.api import Options, Outcome, run_job
from ortbatch.engine.inline import InlineFleet
from ortbatch.engine.prepare import prepare
from ortbatch.errors import DataError, ModelError, OrtbatchError, RunFolderError, ShardError
from ortbatch.job import Job
from tests.models import linear_model, save
from tests.tables import corrupt, write_table

ROWS = 20
LISTS = pa.list_(pa.float32(), 4)


def table(rows: int = ROWS, **columns: Any) -> pa.Table:
    """Lists of 4 floats and integer labels 0 and 1; other columns as given, None to leave one out."""
    rng = np.random.default_rng(0)
    all_columns = {"x": pa.array(rng.normal(size=(rows, 4)).tolist(), LISTS), "y": np.arange(rows) % 2, **columns}
    return pa.table({name: column for name, column in all_columns.items() if column is not None})


@dataclass
class Place:
    """A folder with a model, a data folder and a job."""

    folder: Path
    keys: dict[str, Any]

    @classmethod
    def make(cls, folder: Path) -> Place:
        linear_model(folder / "m.onnx", 4, 2)
        write_table(folder / "data" / "a.parquet", table())
        data = {"path": "data", "label": "y"}
        return cls(folder, {"name": "t", "model": {"path": "m.onnx"}, "data": data, "latency": {"max_seconds": 0.01}})

    def write(self, name: str, rows: pa.Table, groups: list[int] | None = None, **options: Any) -> Path:
        return write_table(self.folder / "data" / name, rows, groups, **options)

    def job(self) -> Job:
        return Job.from_mapping(self.keys, self.folder)

    def run(self, run_dir: str | None = None) -> Outcome:
        return run_job(self.job(), Options(run_dir=run_dir or str(self.folder / "run"), engine="inline"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.make(tmp_path)


Change = Callable[[Place], Any]


def model_key(**keys: Any) -> Change:
    return lambda place: place.keys["model"].update(keys)


def data_key(**keys: Any) -> Change:
    return lambda place: place.keys["data"].update(keys)


def rows(name: str = "a.parquet", **columns: Any) -> Change:
    return lambda place: place.write(name, table(**columns))


def all_of(*changes: Change) -> Change:
    return lambda place: [change(place) for change in changes]


def content(name: str, make: Callable[[bytes], bytes]) -> Change:
    """Change the bytes of a file that is there."""
    return lambda place: (place.folder / name).write_bytes(make((place.folder / name).read_bytes()))


def file(name: str, content: bytes) -> Change:
    return lambda place: (place.folder / "data" / name).write_bytes(content)


def new_model(features: int, columns: int, **options: Any) -> Change:
    return lambda place: linear_model(place.folder / "m.onnx", features, columns, **options)


def one_node(*nodes: onnx.NodeProto, out: tuple[Any, ...], batch: Any = "N") -> Change:
    info = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4])]
    result = [helper.make_tensor_value_info("out", TensorProto.FLOAT, list(out))]
    return lambda place: save(place.folder / "m.onnx", helper.make_graph(list(nodes), "g", info, result))


ALL = helper.make_node("ReduceMean", ["x"], ["out"], keepdims=0)
TWICE = helper.make_node("Concat", ["x", "x"], ["out"], axis=0)
SAME = helper.make_node("Identity", ["x"], ["out"])
TEXT = pa.array(["a", "b"] * (ROWS // 2))
OFFSETS = pa.array(range(ROWS + 1), pa.int32()).buffers()[1]
NO_UTF8 = pa.Array.from_buffers(pa.string(), ROWS, [None, OFFSETS, pa.py_buffer(b"\xff" * ROWS)])


def fixed_lists(width: int) -> pa.Array:
    return pa.array([[1.0] * width] * ROWS, pa.list_(pa.float32(), width))


MODELS: dict[str, tuple[Change, str]] = {
    "no such model": (model_key(path="none.onnx"), r"none\.onnx: no such file"),
    "a folder as model": (model_key(path="data"), r"data: cannot be read: .*is a directory"),
    "a table as model": (model_key(path="data/a.parquet"), r"a\.parquet: not an ONNX"),
    "an empty model": (content("m.onnx", lambda whole: b""), r"m\.onnx: not an ONNX model: 0 bytes"),
    "a model cut short": (content("m.onnx", lambda whole: whole[:-50]), r"m\.onnx: (not an ONNX|.* cannot load)"),
    "no such provider": (model_key(providers=["CUDAExecutionProvider"]), r"CUDAExecutionProvider not in .* has .*CPU"),
    "no such output": (model_key(output={"name": "q"}), "no output `q`; it has `out: float32"),
    "another batch than the model's": (
        all_of(one_node(SAME, out=(8, 4), batch=8), model_key(batch_size=4)), r"batch_size: 4; .*batches of 8 only"
    ),
    "one output for a fixed batch": (one_node(ALL, out=(), batch=8), r"out.*shape \[\] .*dimension must be the batch"),
    "two outputs for each row": (one_node(TWICE, out=(16, 4), batch=8), r"out.*shape \[16, 4\] .*must be the batch"),
    "an output for all rows": (one_node(ALL, out=()), r"out.*shape \[\] .*first dimension must be the batch"),
    "a multilabel model": (new_model(4, 3, end="Sigmoid"), "sigmoid over 3 columns: this is a multilabel model"),
    "more classes in the job": (data_key(classes=["a", "b", "c"]), "scores 2 classes, `data.classes` names 3: a, b, c"),
    "an input of another width": (new_model(5, 2), "`x` holds lists of 4; input `x` needs 5"),
}  # fmt: skip

FILES: dict[str, tuple[Change, str]] = {
    "no such folder": (data_key(path="none"), "none: no such file or folder"),
    "an empty glob": (data_key(path="data/b*.parquet"), r"data/b\*\.parquet: no data files here"),
    "one empty glob of two": (data_key(path=["data", "more/*"]), r"more/\*: no data files here"),
    "an unknown storage": (data_key(path="ftp://host/a"), "ftp://host/a: no filesystem for this URI"),
    "not Parquet": (file("b.parquet", b"x,y\n1,2\n3,4\n"), r"b\.parquet: not a readable Parquet file: 12 bytes"),
    "an empty file": (file("b.parquet", b""), r"b\.parquet: not a readable Parquet file: 0 bytes"),
    "a file cut short": (content("data/a.parquet", lambda whole: whole[:-100]), "not a readable Parquet file"),
    "no rows": (lambda p: p.write("a.parquet", table().slice(0, 0)), "but no row in"),
    "no row groups": (lambda p: p.write("a.parquet", table().slice(0, 0), []), "but no row in"),
    "other rows than expected": (data_key(expect={"rows": 21}), r"data\.expect\.rows: expected 21, found 20"),
    "other files than expected": (data_key(expect={"files": 2}), r"data\.expect\.files: expected 2, found 1"),
    "a corrupt page": (
        all_of(
            lambda p: p.write("a.parquet", table(), write_page_checksum=True),
            lambda p: corrupt(p.folder / "data/a.parquet", column=0, group=0),
        ),
        r"a\.parquet: row group 0 cannot be decoded",
    ),
}

COLUMNS: dict[str, tuple[Change, str]] = {
    "no feature": (rows(x=None), r"no columns for the model's input `x`.*\n.*\n.*columns: y"),
    "no label": (data_key(label="z"), r"a\.parquet: column `z` is missing\. Columns: x \(.*\), y \(int64\)"),
    "no label and too many numbers": (
        all_of(lambda p: p.write("a.parquet", pa.table({n: [1.0] for n in "abcdy"})), data_key(label="z")),
        r"a\.parquet: column `z` is missing",
    ),
    "no feature in one file": (rows("b.parquet", x=None), r"b\.parquet: column `x` is missing"),
    "no label in one file": (rows("b.parquet", y=None), r"b\.parquet: column `y` is missing"),
    "a label twice": (
        lambda p: p.write("a.parquet", pa.Table.from_arrays([*table().columns, table()["y"]], ["x", "y", "y"])),
        "column `y` stands 2 times",
    ),
    "text": (rows(x=TEXT), r"takes 4 values a row; got column `x` \(string\)\. Expected 4 columns, or one that"),
    "text in one file": (rows("b.parquet", x=TEXT), r"b\.parquet: column `x` is string; expected a list of 4"),
    "lists of text": (rows(x=pa.array([["a"] * 4] * ROWS)), "column `x` holds string, which is not a number"),
    "lists of 3": (rows(x=fixed_lists(3)), "`x` holds lists of 3; input `x` needs 4"),
    "lists of 5 in one file": (rows("b.parquet", x=fixed_lists(5)), r"b\.parquet: .*lists of 5; input `x` needs 4"),
    "ragged lists of 3": (rows(x=pa.array([[1.0] * 3] * ROWS)), r"`x` holds lists of 3.* input `x` needs 4"),
    "lists that are null": (rows(x=pa.nulls(ROWS, LISTS)), r"none of the first 20 rows .*null_feature"),
    "numbers too large": (rows(x=pa.array([[2**24 + 1] * 4] * ROWS)), r"row 0 .*cannot hold exactly.*`cast: lossy`"),
    "a null that does not fit": (
        model_key(inputs={"x": {"column": "x", "null": 1e300}}), r"model\.inputs\.x\.null: 1e\+300 does not fit"
    ),
}  # fmt: skip

LABELS: dict[str, tuple[Change, str]] = {
    "lists": (rows(y=pa.array([[1, 0]] * ROWS)), r"label column `y` is a list.*: this is a multilabel task"),
    "halves": (rows(y=np.arange(ROWS) + 0.5), r"label column `y` holds 0\.5, .*: this is a regression task"),
    "dates": (rows(y=pa.array(range(ROWS), pa.date32())), r"label column `y` is a date32.*expected integers"),
    "nulls": (rows(y=pa.nulls(ROWS, pa.int64())), "null_label: 20"),
    "text without classes": (rows(y=TEXT), r"label column `y` holds strings.*`data.classes`"),
    "text of other classes": (
        all_of(rows(y=TEXT), data_key(classes=["ham", "spam"])),
        r"none of the first 20 rows .*unknown_label: 20.*holds a, b; expected, by name: ham, spam",
    ),
    "text that is none": (
        all_of(rows(y=NO_UTF8), data_key(classes=["ham", "spam"])), r"unknown_label: 20.*text that is not UTF-8"
    ),
    "long text": (
        all_of(rows(y=pa.array(["x" * 10_000] * ROWS)), data_key(classes=["ham", "spam"])), "holds x{40}; expected"
    ),
    "text in one file": (rows("b.parquet", y=TEXT), r"b\.parquet: .*`y` holds string; in the first file .* int64"),
    "booleans by foreign names": (
        all_of(rows(y=np.arange(ROWS) > 9), data_key(classes=["no", "yes"], label_is="name")),
        "is boolean and `data.classes` are no, yes",
    ),
    "no such positive class": (data_key(positive="x"), r"data\.positive: `x` is none of the classes 0, 1"),
    "one of three positive": (
        all_of(new_model(4, 3), data_key(positive="1")), "are for two classes; this task has 3"
    ),
}  # fmt: skip

CASES = {**{f"labels: {name}": case for name, case in LABELS.items()}, **FILES, **COLUMNS}


def refusal(place: Place, message: str) -> OrtbatchError:
    """The one error of a run that never began."""
    with pytest.raises(OrtbatchError, match=message) as caught:
        place.run()
    assert not (place.folder / "run").exists()
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize("case", MODELS)
def test_a_model_that_cannot_be_used_is_refused_before_anything_is_written(place: Place, case: str) -> None:
    change, message = MODELS[case]
    change(place)
    assert isinstance(refusal(place, message), (ModelError, DataError))


@pytest.mark.parametrize("case", CASES)
def test_data_that_cannot_be_used_are_refused_before_anything_is_written(place: Place, case: str) -> None:
    change, message = CASES[case]
    change(place)
    assert isinstance(refusal(place, message), DataError)


@pytest.mark.parametrize("target", ["m.onnx/run", "m.onnx", "data/a.parquet/deep/er"])
def test_a_run_folder_that_cannot_be_written_is_refused_and_nothing_is_written(place: Place, target: str) -> None:
    before = sorted(place.folder.rglob("*"))
    with pytest.raises(
        RunFolderError, match=r"the run folder cannot be written: .*Give another with --run-dir"
    ) as caught:
        place.run(str(place.folder / target))
    assert caught.value.exit_code == 2
    assert sorted(place.folder.rglob("*")) == before


def test_a_page_that_is_corrupt_deep_in_the_data_is_a_failed_shard_that_is_named(place: Place) -> None:
    corrupt(place.write("b.parquet", table(600), [300, 300], write_page_checksum=True), column=0, group=1)
    with pytest.raises(ShardError, match=r"b\.parquet.*row group 1 cannot be decoded: .*CRC") as caught:
        place.run()
    assert caught.value.exit_code == 3
    assert not (place.folder / "run" / "report.json").exists()


def test_a_model_replaced_after_preflight_is_refused(place: Place) -> None:
    prepared = prepare(place.job())
    linear_model(place.folder / "m.onnx", 4, 2, seed=1)
    fleet = InlineFleet(prepared)
    with pytest.raises(ModelError, match=r"m\.onnx: changed after the run began"):
        fleet.start_worker()
    fleet.close()


def test_an_integer_output_that_has_more_rows_than_the_batch_is_no_label_of_the_model(place: Place) -> None:
    model = onnx.load(str(place.folder / "m.onnx"))
    model.graph.node.append(helper.make_node("NonZero", ["out"], ["places"]))
    model.graph.node.append(helper.make_node("Reshape", ["places", "one_row"], ["all"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), "one_row"))
    model.graph.output.append(helper.make_tensor_value_info("all", TensorProto.INT64, ["K"]))
    onnx.save(model, str(place.folder / "m.onnx"))
    report = place.run().report
    assert report.data["provenance"]["binding"]["output"]["own_label"] is None
    assert report.data["coverage"]["rows"]["evaluated"] == ROWS


BAD_FIRST = {
    "null_label": {"y": pa.array([None] * 600 + [0, 1] * 50, pa.int64())},
    "null_feature": {"x": pa.array([None] * 600 + [[1.0, 2.0, 3.0, 4.0]] * 100, LISTS)},
}


@pytest.mark.parametrize("reason", BAD_FIRST)
@pytest.mark.parametrize("groups", [None, [300, 300, 100]])
def test_bad_rows_at_the_start_of_the_data_are_counted_as_any_others(
    place: Place, reason: str, groups: list[int] | None
) -> None:
    place.write("a.parquet", table(700, **BAD_FIRST[reason]), groups)
    place.keys["data"]["max_bad_rows"] = 600
    place.keys["execution"] = {"shard_rows": 300}
    report = place.run().report
    assert report.data["coverage"]["rows"]["rejected"] == {reason: 600}
    assert report.exit_code == 0
