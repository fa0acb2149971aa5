"""What stands in the columns of predictions, on rows made for it, and which columns of the data can be kept."""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch.api import Options, run_job
from ortbatch.data import data_file
from ortbatch.errors import DataError, OrtbatchError
from ortbatch.job import Job
from tests.integration.test_predictions import FILTER, INF, NAN, TASKS, Asked, Row, make_files
from tests.models import linear_model

ROWS = 24
ZONES = ("UTC", "Europe/Berlin", "+02:00")
NOON = datetime.datetime(2026, 11, 25, 12, 30, 5)


def some(task: str, rows: int, **keys: Any) -> Asked:
    """A job over one file of rows without faults."""
    return Asked(TASKS[task], make_files(TASKS[task], [rows], 1, 0), **keys)


def with_features(asked: Asked, values: Sequence[Sequence[float]]) -> Asked:
    """The same with these features, filled up with 0."""
    asked.files = [[{**row, "x": [*x, 0.0, 0.0, 0.0, 0.0][:4]} for row, x in zip(asked.rows, values, strict=True)]]
    return asked


def first_feature(weights: np.ndarray) -> np.ndarray:
    """Weights by which the last score is the first feature, and any other 0."""
    weights = np.zeros_like(weights)
    weights[0, -1] = 1
    return weights


def test_each_reason_is_on_its_own_row_beside_the_label_if_there_is_one(tmp_path: Path) -> None:
    faults: list[Row] = [{}, {"y": None}, {"y": "Ham"}, {"x": None}, {"x": [1.0]}, {"x": [NAN] * 4}, {"x": [INF] * 4}]
    faults += [{"split": "train"}]
    asked = some("three logits", len(faults), data=FILTER)
    asked.files = [[{**row, "y": "eggs", **fault} for row, fault in zip(asked.rows, faults, strict=True)]]
    got = asked.done(tmp_path, weight=np.ones_like)
    reasons = [None, "null_label", "unknown_label", "null_feature", "wrong_length", "nan_score", "infinite_score"]
    assert [row["rejected_reason"] for row in got] == [*reasons, "filtered"]
    assert [row["label"] for row in got] == ["eggs", None, None, "eggs", "eggs", "eggs", "eggs", None]
    assert [row["predicted"] is None for row in got] == [row["score"] is None for row in got] == [False] + 7 * [True]


def test_a_row_without_a_label_is_scored_where_the_job_says_so_and_its_reason_is_its_own(tmp_path: Path) -> None:
    asked = some("three logits", 4, data={"unlabelled": "score"})
    faults: list[Row] = [{}, {"y": None}, {"y": None, "x": [NAN] * 4}, {"y": "Ham"}]
    asked.files = [[{**row, "y": "ham", **fault} for row, fault in zip(asked.rows, faults, strict=True)]]
    got = asked.done(tmp_path, weight=np.ones_like)
    assert [row["label"] for row in got] == ["ham", None, None, None]
    assert [row["rejected_reason"] for row in got] == [None, None, "nan_score", "unknown_label"]
    assert [row["predicted"] is None for row in got] == [False, False, True, True]


def test_scores_that_are_no_probabilities_are_told_from_those_that_nearly_are(tmp_path: Path) -> None:
    asked = some("three logits", 4, model={"output": {"kind": "probabilities"}}, top_k=3)
    asked = with_features(asked, ([1.0, 1.0], [2.0], [0.0], [-1e-6, 1.0]))
    got = asked.done(tmp_path, weight=lambda w: np.eye(*w.shape), bias=np.zeros_like)
    assert [row["rejected_reason"] for row in got] == [None, "score_out_of_range", "nan_score", None]
    assert [row["predicted"] for row in got] == ["ham", None, None, "spam"]
    assert [row["top_k_scores"] for row in got] == [[1.0, 1.0, 0.0], None, None, [1.0, 0.0, 0.0]]
    assert got[3]["top_k_labels"] == ["spam", "ham", "eggs"]


def test_of_equal_probabilities_the_first_class_is_best(tmp_path: Path) -> None:
    asked = some("five probabilities", 3, top_k=4)
    got = asked.done(tmp_path, weight=np.zeros_like, bias=lambda b: np.array([0, 1, 0, 1, 1]))
    assert {(row["predicted"], *row["top_k_labels"]) for row in got} == {("1", "1", "3", "4", "0")}


@pytest.mark.parametrize("positive", [0, 1])
def test_a_score_at_the_threshold_is_positive(tmp_path: Path, positive: int) -> None:
    got = some("two logits", 3, positive=positive).done(tmp_path, weight=np.zeros_like, bias=np.zeros_like)
    assert {(row["predicted"], row["score"]) for row in got} == {(str(positive), 0.5)}


def test_a_threshold_decides_where_another_class_is_more_probable(tmp_path: Path) -> None:
    asked = with_features(some("two logits", 2, threshold=0.9, top_k=2), ([1.0], [3.0]))
    got = asked.done(tmp_path, weight=first_feature, bias=np.zeros_like)
    assert [row["predicted"] for row in got] == ["0", "1"]
    assert [row["top_k_labels"] for row in got] == [["1", "0"], ["1", "0"]]
    assert got[0]["score"] == pytest.approx(1 / (1 + math.exp(-1)))


def test_a_threshold_taken_from_the_scores_holds_for_the_row_that_has_it(tmp_path: Path) -> None:
    asked = with_features(some("one logit", 3), ([-1.0], [0.671875], [2.0]))
    asked.threshold = asked.done(tmp_path, weight=first_feature, bias=np.zeros_like)[1]["score"]
    got = asked.done(tmp_path, "again", weight=first_feature, bias=np.zeros_like)
    assert [row["predicted"] for row in got] == ["good", "bad", "bad"]


def test_the_score_is_the_same_number_among_the_best(tmp_path: Path) -> None:
    asked = with_features(some("one logit", 512, top_k=2), [[place / 64 - 4] for place in range(512)])
    got = asked.done(tmp_path, weight=first_feature, bias=np.zeros_like)
    assert [row["score"] for row in got if row["score"] not in row["top_k_scores"]] == []


def repeated(values: Sequence[Any], kind: pa.DataType | None = None) -> pa.Array:
    return pa.array([values[row % len(values)] for row in range(ROWS)], kind)


def decimals(kind: pa.DataType) -> pa.Array:
    return repeated([Decimal("-1.23"), None, Decimal("99.00")], kind)


TEXT = ["a", None, "", "a text that no view holds within itself"]
KINDS: dict[str, pa.Array] = {
    "text": repeated(TEXT),
    "large text": repeated(TEXT, pa.large_string()),
    "view of text": repeated(TEXT, pa.string_view()),
    "view of bytes": repeated([b"\xff", None, b"x" * 40], pa.binary_view()),
    "bytes": repeated([b"\xff\0", None, b""]),
    "fixed bytes": repeated([b"abcd", None], pa.binary(4)),
    "dictionary": repeated(TEXT).dictionary_encode(),
    "dictionary of small places": repeated(TEXT, pa.dictionary(pa.int8(), pa.string())),
    "dictionary of numbers": repeated([7, None, 5]).dictionary_encode(),
    "booleans": repeated([True, None, False]),
    "halves": repeated([1.5, None, -2.0], pa.float16()),
    "floats": repeated([1.5, None, -0.0, INF], pa.float32()),
    "doubles": repeated([0.1, None, 1e-320, -INF]),
    "largest number": repeated([2**64 - 1, None], pa.uint64()),
    "bytes of numbers": repeated([-128, None, 127], pa.int8()),
    **{f"instants in {zone}": repeated([NOON, None], pa.timestamp("us", zone)) for zone in ZONES},
    "nanoseconds": repeated([1, None, 2**62], pa.timestamp("ns")),
    "days": repeated([NOON.date(), None]),
    "times": repeated([NOON.time(), None], pa.time32("ms")),
    "durations": repeated([datetime.timedelta(seconds=3), None], pa.duration("us")),
    **{f"decimals of {kind}": decimals(kind) for kind in (pa.decimal32(5, 2), pa.decimal128(10, 2))},
    "large decimals": decimals(pa.decimal256(50, 2)),
    "lists": repeated([[1, None], None, []], pa.list_(pa.int64())),
    "large lists": repeated([["a"], None, [None]], pa.large_list(pa.string())),
    "fixed lists": repeated([[1.0, 2.0], None], pa.list_(pa.float32(), 2)),
    "lists of dictionaries": repeated([["a", "b"], None, ["a"]], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
    "structs": repeated([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
    "maps": repeated([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "nothing": pa.nulls(ROWS),
    "identifiers": repeated([uuid.UUID(int=5).bytes, None], pa.binary(16)).cast(pa.uuid()),
}
PLAIN = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


def table(columns: Mapping[str, Any]) -> pa.Table:
    rng = np.random.default_rng(0)
    x = pa.array(rng.normal(size=(ROWS, 4)).tolist(), pa.list_(pa.float32()))
    return pa.table({"x": x, "y": rng.integers(0, 3, ROWS), **columns})


def predict(folder: Path, tables: Mapping[str, pa.Table], columns: Sequence[str], **keys: Any) -> pa.Table:
    """Predictions of tables by the name of their file, with these columns kept."""
    folder.mkdir(exist_ok=True)
    linear_model(folder / "m.onnx", 4, 3)
    for name, rows in tables.items():
        (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, folder / "data" / name, row_group_size=10)
    data = {"path": "data", "label": "y", **keys.pop("data", {})}
    predictions = {"columns": columns, **keys.pop("predictions", {})}
    job = {"name": "p", "model": "m.onnx", "latency": {"max_seconds": 0.01}, "execution": {"shard_rows": 20}, **keys}
    job = Job.from_mapping({**job, "data": data, "predictions": predictions}, folder)
    run_job(job, Options(run_dir=str(folder / "run"), engine="inline"))
    return pq.read_table(folder / "run/predictions")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    tables = {"a.parquet": table(KINDS), "b.parquet": table(KINDS).slice(5)}
    return predict(tmp_path_factory.mktemp("kinds"), tables, list(KINDS))


@pytest.mark.parametrize("name", KINDS)
def test_kept_columns_hold_what_the_data_hold(kept: pa.Table, name: str) -> None:
    array, kind = KINDS[name], KINDS[name].type
    plain = kind.value_type if pa.types.is_dictionary(kind) else PLAIN.get(kind, kind)
    assert kept.schema.field(name) == pa.field(name, plain)
    assert kept.column(name).combine_chunks().equals(pa.concat_arrays([array, array[5:]]).cast(plain))


def test_tensors_are_kept(tmp_path: Path) -> None:
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(ROWS * 4, dtype=np.float32).reshape(ROWS, 2, 2))
    got = predict(tmp_path, {"a.parquet": table({"k": tensors})}, ["k"]).column("k")
    assert got.type == tensors.type
    assert got.to_pylist() == tensors.to_pylist()


def test_kept_columns_stand_first_in_the_order_of_the_job(tmp_path: Path) -> None:
    tables = {"a.parquet": table({"a": range(ROWS), "b": range(ROWS)})}
    names = predict(tmp_path, tables, ["b", "y", "a"], predictions={"top_k": 2}).schema.names
    made = ["label", "predicted", "score", "top_k_labels", "top_k_scores", "rejected_reason"]
    assert names == ["b", "y", "a", *made]


def test_without_kept_columns_there_is_a_row_for_each_row(tmp_path: Path) -> None:
    got = predict(tmp_path, {"a.parquet": table({})}, [])
    assert got.schema.names == ["label", "predicted", "score", "rejected_reason"]
    assert got.column("label").to_pylist() == [str(label) for label in table({}).column("y").to_pylist()]


@pytest.mark.parametrize("first", ["dictionary", "text"])
def test_files_may_hold_a_kept_column_as_dictionary_or_as_text(tmp_path: Path, first: str) -> None:
    kinds = {"dictionary": KINDS["dictionary"], "text": KINDS["text"]}
    other = kinds.pop("text" if first == "dictionary" else "dictionary")
    tables = {"a.parquet": table({"k": kinds[first]}), "b.parquet": table({"k": other})}
    got = predict(tmp_path, tables, ["k"])
    assert got.column("k").to_pylist() == 2 * KINDS["text"].to_pylist()
    assert got.schema.field("k").type == pa.string()


@pytest.mark.parametrize("shard_rows", [10, 1_000])
def test_dictionaries_within_lists_may_differ_between_files(tmp_path: Path, shard_rows: int) -> None:
    kind = pa.list_(pa.dictionary(pa.int32(), pa.string()))
    words = {"a.parquet": [["b", "a"], None], "b.parquet": [["z"], ["a"]]}
    tables = {name: table({"k": repeated(values, kind)}) for name, values in words.items()}
    got = predict(tmp_path, tables, ["k"], execution={"shard_rows": shard_rows})
    assert got.column("k").to_pylist() == [row for rows in tables.values() for row in rows.column("k").to_pylist()]


def test_pages_do_not_show_in_which_parts_rows_were_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = table({"k": [f"{row}" * 60_000 for row in range(ROWS)]})
    for name, step in (("whole", ROWS), ("parts", 3)):
        monkeypatch.setattr(data_file, "_rows_of_part", lambda *_, step=step: step)
        predict(tmp_path / name, {"a.parquet": large}, ["k"])
    whole, parts = ((tmp_path / name / "run/predictions").glob("*.parquet") for name in ("whole", "parts"))
    assert [path.read_bytes() for path in sorted(parts)] == [path.read_bytes() for path in sorted(whole)]


def test_names_of_folders_are_kept_like_columns(tmp_path: Path) -> None:
    days = {f"day={day}/n={n}/a.parquet": table({}) for day, n in (("mon", 7), ("__HIVE_DEFAULT_PARTITION__", 8))}
    got = predict(tmp_path, days, ["n", "day"])
    assert got.column("n").to_pylist() == [8] * ROWS + [7] * ROWS
    assert got.column("day").to_pylist() == [None] * ROWS + ["mon"] * ROWS


def test_columns_of_the_model_the_label_and_the_filter_are_kept_as_they_are(tmp_path: Path) -> None:
    rows = table({"part": repeated(["test", "train", None])})
    keys = {"data": {"filter": [["part", "==", "test"]]}}
    got = predict(tmp_path, {"a.parquet": rows}, ["part", "x", "y"], **keys)
    assert got.select(["part", "x", "y"]).to_pylist() == rows.select(["part", "x", "y"]).to_pylist()
    assert got.column("rejected_reason").to_pylist() == [None, "filtered", "filtered"] * (ROWS // 3)


def test_a_label_column_may_be_called_as_a_column_that_is_written(tmp_path: Path) -> None:
    rows = table({}).rename_columns(["x", "score"])
    got = predict(tmp_path, {"a.parquet": rows}, ["x"], data={"label": "score"})
    assert got.column("label").to_pylist() == [str(label) for label in rows.column("score").to_pylist()]


def numbers(**more: Any) -> pa.Table:
    """Four columns of numbers in place of a list of four."""
    rng = np.random.default_rng(1)
    return table({**{f"c{place}": rng.normal(size=ROWS) for place in range(4)}, **more}).drop_columns(["x"])


def test_kept_numbers_are_no_features_by_order(tmp_path: Path) -> None:
    tables = {"a.parquet": numbers(id=range(ROWS))}
    named = {"path": "m.onnx", "inputs": {"x": [f"c{place}" for place in range(4)]}}
    got = predict(tmp_path / "by order", tables, ["id"])
    assert got.equals(predict(tmp_path / "by name", tables, ["id"], model=named))
    assert got.column("id").to_pylist() == list(range(ROWS))


REFUSED: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "a name that is written": (["id", "score"], {}, r"none of label, predicted, score, .* got id, score\. Rename"),
    "the name of the label": (["label"], {}, r"predictions\.columns: each once, and none of label"),
    "a name of a top_k that is not asked for": (["top_k_labels"], {}, "none of .*top_k_labels"),
    "a column twice": (["id", "id"], {}, r"predictions\.columns: each once.* got id, id"),
    "a column that is not there": (
        ["id", "nope"], {}, r"a\.parquet: predictions\.columns asks for nope; columns: x, y, k, id, ",
    ),
    "a column that one file has not": (["late"], {}, r"b\.parquet: .*asks for late; columns: x, y, k, id, "),
    "a column of another type": (["k"], {}, r"b\.parquet: column `k` .*holds int64; in the first file it holds string"),
    "more classes than there are": ([], {"top_k": 4}, r"predictions\.top_k: 4; there are 3 classes\. Lower it"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_the_run_with_a_sentence(tmp_path: Path, case: str) -> None:
    columns, predictions, message = REFUSED[case]
    more = {"k": KINDS["text"], **dict.fromkeys(("id", "score", "label", "top_k_labels"), range(ROWS))}
    tables = {"a.parquet": table({**more, "late": range(ROWS)}), "b.parquet": table({**more, "k": range(ROWS)})}
    with pytest.raises(OrtbatchError, match=message):
        predict(tmp_path, tables, columns, predictions=predictions)
    assert not (tmp_path / "run").exists()


def test_the_best_classes_of_a_model_that_puts_out_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"predictions\.top_k: 2; the model puts out labels only\. Lower it"):
        some("labels of four", 3, top_k=2).done(tmp_path)
