"""Every row of a run's predictions against a plain loop over Python rows with ONNX Runtime, one row at a time."""

from __future__ import annotations

import itertools
import json
import math
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from ortbatch.api import Options, run_job
from ortbatch.data import data_file
from ortbatch.engine import evaluate
from ortbatch.job import Job
from ortbatch.report.report import Report
from tests.models import linear_model
from tests.tables import write_table

NAN, INF = float("nan"), float("inf")
Row = dict[str, Any]
Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Task:
    """How a model ends, over how many columns, and what its classes are called."""

    end: str
    columns: int
    classes: tuple[str, ...]

    @property
    def kind(self) -> str:
        return {"Softmax": "probabilities", "Sigmoid": "probabilities", "ArgMax": "label"}.get(self.end, "logits")

    @property
    def binary(self) -> bool:
        return len(self.classes) == 2

    def label(self, index: int) -> Any:
        """As the data hold it."""
        return int(self.classes[index]) if self.classes[0].isdigit() else self.classes[index]


TASKS = {
    "two logits": Task("logits", 2, ("0", "1")),
    "one logit": Task("logits", 1, ("good", "bad")),
    "two probabilities": Task("Softmax", 2, ("7", "3")),
    "one probability": Task("Sigmoid", 1, ("0", "1")),
    "three logits": Task("logits", 3, ("ham", "spam", "eggs")),
    "five probabilities": Task("Softmax", 5, ("0", "1", "2", "3", "4")),
    "many logits": Task("logits", 30, tuple(map(str, range(30)))),
    "labels of two": Task("ArgMax", 2, ("0", "1")),
    "labels of four": Task("ArgMax", 4, ("0", "1", "2", "3")),
    "a label too many": Task("ArgMax", 4, ("0", "1", "2")),
}
FAULTS = "label list number split"
CHECKED = {"write_page_checksum": True}
FILTER = {"filter": [["split", "==", "test"]]}
TRANSFORM = {"transform": {"function": "prep:feed", "columns": ["x"]}}
PREP = """
import numpy as np

def feed(batch):
    rows = batch.column("x").to_pylist()
    if any(row is None or len(row) != 4 for row in rows):
        raise ValueError("no row of four")
    return {"x": np.array(rows, np.float32)}
"""


@dataclass
class Asked:
    """A job and its data: rows of each file, and what is asked of them."""

    task: Task
    files: list[list[Row]]
    top_k: int = 1
    threshold: float = 0.5
    positive: int = 1
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 8
    shard_rows: int = 1_000
    execution: dict[str, Any] = field(default_factory=dict)
    group_rows: int = 1_000

    @property
    def rows(self) -> list[Row]:
        return [row for rows in self.files for row in rows]

    def write(self, folder: Path, weight: Change = np.rint, bias: Change = np.rint) -> None:
        """Model and data. Weights and features are whole, so that float32 is exact whatever the batch."""
        linear_model(folder / "m.onnx", 4, self.task.columns, end=self.task.end)
        model = onnx.load(folder / "m.onnx")
        for tensor, change in zip(model.graph.initializer, (weight, bias), strict=True):
            changed = change(numpy_helper.to_array(tensor)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
        onnx.save(model, folder / "m.onnx")
        (folder / "prep.py").write_text(PREP)
        kind = pa.int64() if self.task.classes[0].isdigit() else pa.string()
        schema = pa.schema({"id": pa.int64(), "x": pa.list_(pa.float32()), "y": kind, "split": pa.string()})
        for place, rows in enumerate(self.files):
            step = self.group_rows
            groups = [min(step, len(rows) - start) for start in range(0, len(rows), step)] or [0]
            write_table(folder / f"data/{place:03}.parquet", pa.Table.from_pylist(rows, schema), groups, **CHECKED)

    def keys(self) -> dict[str, Any]:
        """The job."""
        task = self.task
        positive = {"positive": task.classes[self.positive]} if task.binary else {}
        data = {"path": "data", "label": "y", "classes": list(task.classes), "max_bad_rows": "100%", **positive}
        return {
            "name": "p",
            "model": {"path": "m.onnx", "output": {"kind": task.kind}, "batch_size": self.batch_size, **self.model},
            "data": {**data, **self.data},
            "predictions": {"columns": ["id"], "top_k": self.top_k},
            "latency": {"max_seconds": 0.01},
            "execution": {"shard_rows": self.shard_rows, **self.execution},
            **({"threshold": self.threshold} if task.binary else {}),
        }

    def run(self, folder: Path, run_dir: str = "run", **options: Any) -> Report:
        options = {"engine": "inline", "run_dir": str(folder / run_dir), **options}
        return run_job(Job.from_mapping(self.keys(), folder), Options(**options)).report

    def done(self, folder: Path, run_dir: str = "run", **changes: Change) -> list[Row]:
        """Rows of the predictions of a run."""
        self.write(folder, **changes)
        self.run(folder, run_dir)
        return written(folder / run_dir)


def written(run: Path) -> list[Row]:
    """All rows of the predictions of a run, in the order of its manifest."""
    listed = json.loads((run / "predictions/_manifest.json").read_text())["files"]
    tables = [pq.read_table(run / "predictions" / part["name"]) for part in listed]
    assert [part["rows"] for part in listed] == [table.num_rows for table in tables]
    return [row for table in tables for row in table.to_pylist()]


def expected(asked: Asked, folder: Path) -> list[Row]:
    """What a plain loop says of every row."""
    session = onnxruntime.InferenceSession(str(folder / "m.onnx"), providers=["CPUExecutionProvider"])
    return [of_row(asked, session, row) for row in asked.rows]


def of_row(asked: Asked, session: onnxruntime.InferenceSession, row: Row) -> Row:
    task, names = asked.task, asked.task.classes
    found: Row = dict.fromkeys(["label", "predicted", "score", "top_k_labels", "top_k_scores", "rejected_reason"])
    found["id"] = row["id"]
    known = [task.label(index) for index in range(len(names))]
    if "filter" in asked.data and row["split"] != "test":
        return {**found, "rejected_reason": "filtered"}
    found["label"] = names[known.index(row["y"])] if row["y"] in known else None
    if (reason := reason_against(asked, row, known)) is not None:
        return {**found, "rejected_reason": reason}
    (out,) = session.run(None, {"x": np.array([row["x"]], np.float32)})
    if task.kind == "label":
        known_class = int(out[0]) < len(names)
        return {
            **found,
            **({"predicted": names[int(out[0])]} if known_class else {"rejected_reason": "unknown_prediction"}),
        }
    if (reason := unusable(out[0])) is not None:
        return {**found, "rejected_reason": reason}
    return {**found, **decided(asked, [float(value) for value in out[0]])}


def reason_against(asked: Asked, row: Row, known: Sequence[Any]) -> str | None:
    x, y = row["x"], row["y"]
    misfit, transformed = x is None or len(x) != 4, bool(asked.model)
    checks = {
        "null_label": y is None and asked.data.get("unlabelled") != "score",
        "unknown_label": y is not None and y not in known,
        "transform_error": misfit and transformed,
        "null_feature": x is None,
        "wrong_length": misfit,
    }
    return next((reason for reason, bad in checks.items() if bad), None)


def unusable(out: np.ndarray) -> str | None:
    return "nan_score" if np.isnan(out).any() else "infinite_score" if np.isinf(out).any() else None


def decided(asked: Asked, out: list[float]) -> Row:
    """Prediction, score and best classes by one row of scores."""
    task, names = asked.task, asked.task.classes
    both = out if len(out) > 1 else [0.0, out[0]] if task.kind == "logits" else [1 - out[0], out[0]]
    weights = both if task.kind == "probabilities" else [math.exp(value - max(both)) for value in both]
    total = 1.0 if task.kind == "probabilities" else sum(weights)
    probabilities = [weight / total for weight in weights]
    predicted = max(range(len(names)), key=lambda place: both[place])
    if task.binary:
        predicted = asked.positive if probabilities[asked.positive] >= asked.threshold else 1 - asked.positive
    best = sorted(range(len(names)), key=lambda place: (-probabilities[place], place))[: asked.top_k]
    return {
        "predicted": names[predicted],
        "score": probabilities[asked.positive if task.binary else predicted],
        "top_k_labels": [names[place] for place in best],
        "top_k_scores": [probabilities[place] for place in best],
    }


def check_rows(got: list[Row], truth: list[Row], top_k: int) -> None:
    """Names, reasons and order to the letter; probabilities but for the last digits."""
    assert [row["id"] for row in got] == [row["id"] for row in truth]
    exact = ["id", "label", "predicted", "rejected_reason", *(["top_k_labels"] if top_k > 1 else [])]
    for row, other in zip(got, truth, strict=True):
        assert {name: row[name] for name in exact} == {name: other[name] for name in exact}
        assert row["score"] == (None if other["score"] is None else pytest.approx(other["score"], abs=1e-12))
        if top_k > 1:
            scores = other["top_k_scores"]
            assert row["top_k_scores"] == (None if scores is None else pytest.approx(scores, abs=1e-12))


def check_report(report: Report, rows: list[Row], classes: Sequence[str]) -> None:
    """The report's counts, made again from the rows alone."""
    coverage = report.data["coverage"]["rows"]
    reasons = Counter(row["rejected_reason"] for row in rows)
    judged = [row for row in rows if row["rejected_reason"] is None]
    assert reasons.pop("filtered", 0) == coverage["filtered"]
    assert sum(row["label"] is None for row in judged) == coverage["unlabelled"]
    assert reasons.pop(None, 0) == coverage["evaluated"] + coverage["unlabelled"]
    assert dict(reasons) == coverage["rejected"]
    cells = Counter((row["label"], row["predicted"]) for row in judged)
    assert report.confusion_matrix.tolist() == [[cells[true, said] for said in classes] for true in classes]
    assert len(rows) == coverage["planned"]


def make_row(task: Task, rng: random.Random, number: int, faults: float, kinds: str) -> Row:
    """A row with faults at random, several of them in some."""

    def fault(kind: str) -> bool:
        return rng.random() < faults and kind in kinds

    row: Row = {"id": number, "x": [float(rng.randrange(-2, 3)) for _ in range(4)], "split": "test"}
    row["y"] = task.label(rng.randrange(len(task.classes)))
    if fault("label"):
        row["y"] = rng.choice([None, 99 if task.classes[0].isdigit() else "Ham"])
    if fault("list"):
        row["x"] = rng.choice([None, [], row["x"][:3], [*row["x"], 0.0]])
    elif fault("number"):
        row["x"][rng.randrange(4)] = rng.choice([NAN, INF, -INF] if task.kind != "label" else [9.0])
    if fault("split"):
        row["split"] = rng.choice(["train", None])
    return row


def make_files(task: Task, sizes: Sequence[int], seed: int, faults: float, kinds: str = FAULTS) -> list[list[Row]]:
    """Files of these lengths; the first row is good, as preflight needs one."""
    rng, numbers = random.Random(seed), itertools.count()
    numbered = [list(itertools.islice(numbers, size)) for size in sizes]
    return [[make_row(task, rng, n, faults if n else 0, kinds) for n in file] for file in numbered]


@st.composite
def asked(draw: st.DrawFn) -> Asked:
    task = TASKS[draw(st.sampled_from(sorted(TASKS)))]
    sizes = draw(st.lists(st.integers(0, 40), min_size=1, max_size=6))
    kinds = draw(st.sampled_from([FAULTS, "number split", "split", "label"]))
    files = make_files(task, [max(1, sizes[0]), *sizes[1:]], draw(st.integers(0, 99)), 0.2, kinds)
    data = {**draw(st.sampled_from([{}, FILTER])), **draw(st.sampled_from([{}, {"unlabelled": "score"}]))}
    return Asked(
        task,
        files,
        top_k=1 if task.kind == "label" else draw(st.integers(1, len(task.classes))),
        threshold=draw(st.sampled_from([0.5, 0.2, 0.9])),
        positive=draw(st.integers(0, 1)),
        data=data,
        model=draw(st.sampled_from([{}, TRANSFORM])),
        batch_size=draw(st.sampled_from([1, 3, 64])),
        shard_rows=draw(st.sampled_from([1, 30, 1_000])),
        group_rows=draw(st.sampled_from([7, 1_000])),
    )


@given(asked())
@settings(max_examples=25)
def test_every_row_is_what_a_plain_loop_says(asked: Asked) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked.write(folder)
        report = asked.run(folder)
        got, truth = written(folder / "run"), expected(asked, folder)
    check_rows(got, truth, asked.top_k)
    check_report(report, got, asked.task.classes)


@pytest.mark.parametrize("model", [{}, TRANSFORM], ids=["columns", "transform"])
@pytest.mark.parametrize(("data", "faults"), [(FILTER, FAULTS), ({}, "number"), ({}, "list")])
def test_rows_in_small_windows_and_parts_of_row_groups_keep_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: dict[str, Any], data: dict[str, Any], faults: str
) -> None:
    monkeypatch.setattr(evaluate, "_WINDOW_VALUES", 24)
    monkeypatch.setattr(data_file, "_rows_of_part", lambda *_: 21)
    task = TASKS["three logits"]
    asked = Asked(task, make_files(task, [90, 11, 0, 64], 5, 0.2, faults), 2, data=data, model=model, batch_size=4)
    check_rows(asked.done(tmp_path), expected(asked, tmp_path), 2)


def test_large_and_small_files_of_one_shard_keep_their_order(tmp_path: Path) -> None:
    task = TASKS["two logits"]
    files = make_files(task, [30, 5_000, 0, 41, 7, 4_095, 2, 4_096, 20], 3, 0)
    files[3] = make_files(task, [8_000, 41], 4, 0.3)[1]
    asked = Asked(task, files, batch_size=100, shard_rows=100_000)
    got = asked.done(tmp_path)
    assert len(list((tmp_path / "run/predictions").glob("*.parquet"))) == 1
    check_rows(got, expected(asked, tmp_path), 1)


def test_of_a_sample_only_the_drawn_rows_are_written(tmp_path: Path) -> None:
    task = TASKS["three logits"]
    asked = Asked(task, make_files(task, [70, 3, 90], 2, 0.1), data={"sample": {"rows": 60, "seed": 7}}, shard_rows=20)
    got = asked.done(tmp_path)
    drawn = set(np.random.default_rng(7).choice(163, 60, replace=False, shuffle=False).tolist())
    check_rows(got, [row for row in expected(asked, tmp_path) if row["id"] in drawn], 1)
