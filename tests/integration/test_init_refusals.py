"""`ortbatch init` guesses nothing: what cannot be told is asked for, and odd names come back as they were."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper

from ortbatch.job import load_job
from tests.command_line import Done, call, files_of
from tests.models import linear_model, linear_weights, save
from tests.tables import write_table

F = ("f0", "f1", "f2", "f3")
ROWS = 400


def known(classes: int = 3, rows: int = ROWS) -> tuple[dict[str, Any], np.ndarray]:
    """Columns f0 to f3, and what `linear_model` of so many classes answers, but for a tenth."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(rows, 4)).astype(np.float32)
    weights, bias = linear_weights(4, classes)
    labels = np.argmax(features @ weights + bias, axis=1)
    labels[::10] = (labels[::10] + 1) % classes
    return dict(zip(F, features.T, strict=True)), labels


def init(folder: Path, *options: object) -> Done:
    return call(
        "init", "--model", folder / "m.onnx", "--data", folder / "d.parquet", "--out", folder / "job.yaml", *options
    )


def made(folder: Path, columns: dict[str, Any], classes: int = 3, **model: Any) -> Path:
    linear_model(folder / "m.onnx", 4, classes, **model)
    write_table(folder / "d.parquet", columns)
    return folder


def written(folder: Path) -> dict[str, Any]:
    keys: dict[str, Any] = load_job(folder / "job.yaml").resolved()
    return keys


def test_labels_of_text_whose_order_nobody_says_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "label": np.array(["b", "a", "c"])[labels]})
    before = files_of(tmp_path)
    done = init(tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "which output is which? Say it with --classes NAME,NAME,... in output order" in done.err
    assert files_of(tmp_path) == before


def test_classes_that_are_said_are_taken(tmp_path: Path) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "label": np.array(["b", "a", "c"])[labels]})
    assert init(tmp_path, "--classes", "b,a,c").code == 0
    assert written(tmp_path)["data"]["classes"] == ["b", "a", "c"]


def test_a_file_of_classes_is_named_relative_to_the_job(tmp_path: Path) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "label": np.array(["b", "a", "c"])[labels]})
    (tmp_path / "names.txt").write_text("b\na\nc\n")
    assert init(tmp_path, "--classes", tmp_path / "names.txt").code == 0
    assert "  classes: names.txt\n" in (tmp_path / "job.yaml").read_text()


@pytest.mark.parametrize("text", ['["b", "a", "c"]', "{0: 'b', 1: 'a', 2: 'c'}", '{"0": "b", "1": "a", "2": "c"}'])
def test_classes_in_the_metadata_of_the_model_are_taken(tmp_path: Path, text: str) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "label": np.array(["b", "a", "c"])[labels]})
    model = onnx.load(str(tmp_path / "m.onnx"))
    helper.set_model_props(model, {"names": text})
    onnx.save(model, str(tmp_path / "m.onnx"))
    assert init(tmp_path).code == 0
    assert written(tmp_path)["data"]["classes"] == ["b", "a", "c"]


def test_labels_that_are_no_places_of_outputs_are_refused(tmp_path: Path) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "label": labels + 1})
    done = init(tmp_path)
    assert done.code == 2
    assert "it holds 1, 2, 3; the classes are 0, 1, 2" in done.err


def test_a_label_that_no_name_tells_is_told_by_the_model(tmp_path: Path) -> None:
    columns, labels = known()
    other = np.random.default_rng(1).integers(0, 3, ROWS)
    made(tmp_path, {"a": other, **columns, "b": labels, "c": other[::-1].copy()})
    done = init(tmp_path)
    assert done.code == 0, done.err
    assert written(tmp_path)["data"]["label"] == "b"
    assert "the one that the model agrees with" in " ".join(done.out.split())


def test_labels_that_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "a": labels, "b": labels})
    done = init(tmp_path)
    assert done.code == 2
    assert "several columns may be the label, and nothing tells which: `a`, `b`. Say which one with --label" in (
        done.err.replace("`b`, `a`", "`a`, `b`")
    )


def test_a_label_that_is_said_is_taken(tmp_path: Path) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "a": labels, "label": labels[::-1].copy()})
    assert init(tmp_path, "--label", "a").code == 0
    assert written(tmp_path)["data"]["label"] == "a"


def test_a_label_that_is_not_there_is_refused(tmp_path: Path) -> None:
    columns, labels = known()
    done = init(made(tmp_path, {**columns, "a": labels}), "--label", "b")
    assert done.code == 2
    assert "--label b: no such column; the data have f0, f1, f2, f3, a." in done.err


def test_without_any_label_nothing_is_written(tmp_path: Path) -> None:
    columns, _ = known()
    done = init(made(tmp_path, {**columns, "id": np.arange(ROWS)}))
    assert done.code == 2
    assert "no column looks like a label; the data have f0, f1, f2, f3, id. Say which one with --label" in done.err


def test_columns_that_do_not_fit_are_refused_with_both_sides(tmp_path: Path) -> None:
    columns, labels = known()
    del columns["f3"]
    done = init(made(tmp_path, {**columns, "label": labels}))
    assert done.code == 2
    assert (
        "no columns fit the model's inputs `x: float32[?, 4]`; there are f0 (float), f1 (float), f2 (float)" in done.err
    )


def test_two_inputs_that_could_be_exchanged_are_refused(tmp_path: Path) -> None:
    _, labels = known()
    numbers = np.random.default_rng(0).normal(size=ROWS).astype(np.float32)
    linear_model(tmp_path / "m.onnx", 2, 3, inputs=("left", "right"))
    # One is the only fraction, so that only their likeness speaks against an order.
    write_table(tmp_path / "d.parquet", {"p": numbers, "q": np.arange(ROWS) % 7, "label": labels})
    done = init(tmp_path)
    assert done.code == 2
    assert "no columns fit the model's inputs `left: float32[?, 1]`, `right: float32[?, 1]`" in done.err


def test_a_model_and_data_that_cannot_be_read_are_both_told(tmp_path: Path) -> None:
    done = call("init", "--model", tmp_path / "m.onnx", "--data", tmp_path / "d", "--out", tmp_path / "job.yaml")
    assert done.code == 2
    assert "m.onnx: no such file" in done.err
    assert "d: no such file or folder" in done.err


def test_a_file_that_is_there_is_kept_unless_forced(tmp_path: Path) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "label": labels})
    (tmp_path / "job.yaml").write_text("mine")
    done = init(tmp_path)
    assert (done.code, (tmp_path / "job.yaml").read_text()) == (2, "mine")
    assert "there is one already; give another name, or --force" in done.err
    assert init(tmp_path, "--force").code == 0
    assert written(tmp_path)["data"]["label"] == "label"


def test_features_are_told_from_ids_and_text(tmp_path: Path) -> None:
    columns, labels = known()
    made(tmp_path, {"customer_id": np.arange(ROWS), **columns, "city": ["x", "y"] * (ROWS // 2), "y": labels})
    assert init(tmp_path).code == 0
    text = (tmp_path / "job.yaml").read_text()
    assert "    x: [f0, f1, f2, f3]\n" in text
    assert "#predictions: {columns: [customer_id]}" in text
    assert "#slices:\n#  - city\n" in text


def test_numbered_columns_are_taken_by_their_numbers(tmp_path: Path) -> None:
    columns, labels = known()
    made(tmp_path, {"f2": columns["f2"], "f1": columns["f1"], "extra": columns["f0"], **columns, "label": labels})
    assert init(tmp_path).code == 0
    assert written(tmp_path)["model"]["inputs"]["x"]["columns"] == list(F)


ODD = ("no: 1", "a#b", '"q"', "'s", "new\nline", "{x}", "{{y}}", "a*", "[z]", "日本", "null", "1.0", " pad ", "tab\t",
       "~", "\u202eabc", "a, b", "- d", "\\n", "🙂")  # fmt: skip


@pytest.mark.parametrize("name", ODD, ids=repr)
def test_odd_names_of_columns_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    columns, labels = known()
    renamed = {f"{name}{key[1:]}" if key != "f0" else name: values for key, values in columns.items()}
    made(tmp_path, {**renamed, f"label {name}": labels, "id": np.arange(ROWS)})
    done = init(tmp_path, "--label", f"label {name}")
    assert done.code == 0, done.err
    assert written(tmp_path)["model"]["inputs"]["x"]["columns"] == list(renamed)
    assert written(tmp_path)["data"]["label"] == f"label {name}"


def test_a_column_called_like_a_pattern_of_all_is_taken_by_order(tmp_path: Path) -> None:
    columns, labels = known()
    made(tmp_path, {**{name.replace("f0", "*"): values for name, values in columns.items()}, "label": labels})
    assert init(tmp_path).code == 0
    assert written(tmp_path)["model"]["inputs"] is None


@pytest.mark.parametrize("name", ODD, ids=repr)
def test_odd_names_of_inputs_and_classes_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "label": np.array([name, "b", "c"])[labels]})
    model = onnx.load(str(tmp_path / "m.onnx"))
    model.graph.input[0].name = model.graph.node[0].input[0] = name
    helper.set_model_props(model, {"labels": json.dumps([name, "b", "c"])})
    onnx.save(model, str(tmp_path / "m.onnx"))
    done = init(tmp_path)
    assert done.code == 0, done.err
    assert list(written(tmp_path)["model"]["inputs"]) == [name]
    assert written(tmp_path)["data"]["classes"] == [name, "b", "c"]


def test_an_odd_folder_of_data_comes_back_as_it_was(tmp_path: Path) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "label": labels})
    folder = tmp_path / "da{t}a: #1 [x]"
    folder.mkdir()
    (tmp_path / "d.parquet").rename(folder / "d.parquet")
    done = call("init", "--model", tmp_path / "m.onnx", "--data", folder, "--out", tmp_path / "job.yaml")
    assert done.code == 0, done.err
    assert written(tmp_path)["data"]["path"] == ["da{t}a: #1 [x]"]


def test_paths_are_relative_where_both_lie_below_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "label": labels})
    monkeypatch.chdir(tmp_path)
    assert call("init", "--model", "m.onnx", "--data", "d.parquet", "--out", "jobs/one/job.yaml").code == 0
    text = (tmp_path / "jobs" / "one" / "job.yaml").read_text()
    assert "  path: ../../m.onnx\n" in text
    assert "name: m\n" in text
    assert call("check", "jobs/one/job.yaml").code == 0


def test_paths_elsewhere_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "label": labels})
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert call("init", "--model", "../m.onnx", "--data", "../d.parquet").code == 0
    assert written(tmp_path / "here")["model"]["path"] == str(tmp_path / "m.onnx")


def test_several_paths_of_data_are_a_list(tmp_path: Path) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "label": labels})
    write_table(tmp_path / "e.parquet", {**columns, "label": labels})
    assert init(tmp_path, "--data", tmp_path / "e.parquet").code == 0
    assert written(tmp_path)["data"]["path"] == ["d.parquet", "e.parquet"]


def test_rows_that_are_sorted_by_the_label_are_looked_at_far_apart(tmp_path: Path) -> None:
    columns, labels = known()
    order = np.argsort(labels, kind="stable")[::-1]
    table = pa.table({**{name: values[order] for name, values in columns.items()}, "label": labels[order]})
    linear_model(tmp_path / "m.onnx", 4, 3)
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=20)
    done = init(tmp_path)
    assert done.code == 0
    assert "caution" not in done.out


def test_a_model_that_does_not_agree_with_the_labels_is_told_with_what_to_look_at(tmp_path: Path) -> None:
    columns, labels = known()
    rolled = np.random.default_rng(5).permutation(labels)
    done = init(made(tmp_path, {**columns, "label": rolled}))
    assert done.code == 0
    assert "caution: the model is right no more often than by chance" in done.out


def test_json_holds_what_was_inferred(tmp_path: Path) -> None:
    columns, labels = known()
    done = init(made(tmp_path, {**columns, "label": labels}), "--json")
    told = json.loads(done.out)
    assert (told["path"], told["job"]["data"]["label"], told["caution"]) == (str(tmp_path / "job.yaml"), "label", None)
    assert {note["what"] for note in told["inferred"]} >= {"rows", "input x", "label", "classes", "task", "output"}


def test_token_lists_are_padded_and_the_mask_is_made(tmp_path: Path) -> None:
    shapes = {name: helper.make_tensor_value_info(name, TensorProto.INT64, ["N", "L"]) for name in ("ids", "ids_mask")}
    nodes = [
        helper.make_node("Mul", ["ids", "ids_mask"], ["kept"]),
        helper.make_node("Cast", ["kept"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["float"], ["sum"], keepdims=1),
        helper.make_node("Sigmoid", ["sum"], ["out"]),
    ]
    nodes[2].input.append("axes")
    axes = onnx.numpy_helper.from_array(np.array([1]), "axes")
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 1])
    save(tmp_path / "m.onnx", helper.make_graph(nodes, "tokens", list(shapes.values()), [out], [axes]))
    write_table(tmp_path / "d.parquet", {"tokens": [[1, 2], [3], [-4, 0, 5]] * 10, "label": [True, True, False] * 10})
    done = init(tmp_path)
    assert done.code == 0, done.err
    assert "    ids: {column: tokens, pad: 0}\n    ids_mask: {mask_of: ids}\n" in (tmp_path / "job.yaml").read_text()


def test_the_likely_one_of_several_outputs_is_taken(tmp_path: Path) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "label": labels})
    model = onnx.load(str(tmp_path / "m.onnx"))
    model.graph.output.insert(0, helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["N", 4]))
    onnx.save(model, str(tmp_path / "m.onnx"))
    assert init(tmp_path).code == 0
    assert written(tmp_path)["model"]["output"]["name"] == "out"


def test_the_first_line_is_the_command_that_makes_the_file_again(tmp_path: Path) -> None:
    columns, labels = known()
    init(made(tmp_path, {**columns, "label": labels}))
    before = (tmp_path / "job.yaml").read_text()
    words = shlex.split(before.splitlines()[0].removeprefix("# made by: ortbatch "))
    assert call(*words, "--force").code == 0
    assert (tmp_path / "job.yaml").read_text() == before


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    columns, labels = known()
    made(tmp_path, {**columns, "label": labels})
    (tmp_path / "file").write_text("")
    done = call(
        "init", "--model", tmp_path / "m.onnx", "--data", tmp_path / "d.parquet", "--out", tmp_path / "file" / "j"
    )
    assert done.code != 0
    assert "cannot be written" in done.err


def test_a_draft_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    columns, _ = known()
    made(tmp_path, columns)
    assert (
        call("init", "--model", tmp_path / "m.onnx", "--data", tmp_path, "--out", tmp_path / "a" / "b" / "j").code == 2
    )
    assert not (tmp_path / "a").exists()
