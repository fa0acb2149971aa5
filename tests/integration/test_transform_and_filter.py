"""Transforms, filters and rows without a label, end to end against a plain loop."""

from __future__ import annotations

import sys
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch.api import Options, run_job
from ortbatch.errors import DataError, RunFolderError
from ortbatch.job import Job
from ortbatch.report.report import Report
from tests.models import linear_model

ROWS = 500
CLASSES = 3
PREP = """
import json
from pathlib import Path
import numpy as np
from scaling import halved

WIDTH = json.loads((Path(__file__).parent / "width.json").read_text())

def decode(batch):
    texts = batch.column("text").to_pylist()
    rows = [[float(part) for part in text.split(",")] for text in texts]
    return {"x": halved(np.array(rows, np.float32).reshape(len(texts), WIDTH))}

def alone(batch):
    return decode(batch)["x"]

def wrong_name(batch):
    return {"y": np.zeros((batch.num_rows, WIDTH), np.float32)}

def wrong_rows(batch):
    return {"x": np.zeros((batch.num_rows + 1, WIDTH), np.float32)}

def wrong_shape(batch):
    return {"x": np.zeros((batch.num_rows, 2), np.float32)}

def fails(batch):
    raise ValueError("no tokenizer")
"""


class Case:
    """A folder with a model of four numbers, a module that reads them from text, and rows, some of them broken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        linear_model(folder / "model.onnx", 4, CLASSES)
        (folder / "prep.py").write_text(PREP)
        (folder / "scaling.py").write_text("def halved(rows):\n    return rows / 2\n")
        (folder / "width.json").write_text("4")
        rng = np.random.default_rng(0)
        self.features = rng.normal(size=(ROWS, 4)).astype(np.float32)
        self.labels = rng.integers(0, CLASSES, ROWS)
        self.broken = rng.random(ROWS) < 0.05
        self.split = rng.choice(["train", "test"], ROWS)
        self.unlabelled = rng.random(ROWS) < 0.1
        text = [",".join(map(str, row.tolist())) for row in self.features]
        table = pa.table(
            {
                "text": ["broken" if bad else line for bad, line in zip(self.broken, text, strict=True)],
                "label": pa.array(self.labels, mask=self.unlabelled),
                "split": self.split,
            }
        )
        (folder / "data").mkdir()
        for part in range(4):
            rows = table.slice(part * ROWS // 4, ROWS // 4)
            pq.write_table(rows, folder / "data" / f"part-{part}.parquet", row_group_size=40)

    def run(self, options: Options, function: str = "decode", **data: Any) -> Report:
        transform = {"function": f"prep:{function}", "columns": ["text"], "files": ["width.json"]}
        keys = {
            "name": "case",
            "model": {"path": "model.onnx", "transform": transform, "batch_size": 16},
            "data": {"path": "data", "label": "label", "max_bad_rows": ROWS, **data},
            "latency": {"max_seconds": 0.5},
        }
        return run_job(Job.from_mapping(keys, self.folder), options).report

    def expected(self, rows: np.ndarray) -> list[list[int]]:
        """Counts by a plain loop over the rows of a mask."""
        session = onnxruntime.InferenceSession(str(self.folder / "model.onnx"), providers=["CPUExecutionProvider"])
        counts = np.zeros((CLASSES, CLASSES), int)
        for row in np.flatnonzero(rows):
            (scores,) = session.run(None, {"x": self.features[row : row + 1] / 2})
            counts[self.labels[row], scores[0].argmax()] += 1
        return counts.tolist()


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("case"))


@pytest.fixture
def inline(tmp_path: Path) -> Options:
    return Options(run_dir=str(tmp_path / "run"), engine="inline")


def test_a_row_on_which_the_transform_raises_costs_itself_only(case: Case, inline: Options) -> None:
    report = case.run(inline)
    assert report.confusion_matrix.tolist() == case.expected(~case.broken & ~case.unlabelled)
    rejected = report.data["coverage"]["rows"]["rejected"]
    assert rejected == {
        "null_label": int(case.unlabelled.sum()),
        "transform_error": int((case.broken & ~case.unlabelled).sum()),
    }


def test_the_transform_travels_to_ray_with_its_neighbours_and_files(
    case: Case, tmp_path: Path, inline: Options, ray_cluster: Any
) -> None:
    on_ray = case.run(Options(run_dir=str(tmp_path / "ray"), engine="ray"))
    assert on_ray.data["quality"] == case.run(inline).data["quality"]


def test_workers_leave_no_copy_of_a_transform_on_their_node(tmp_path: Path, ray_cluster: Any) -> None:
    (tmp_path / "job").mkdir()
    own, token = Case(tmp_path / "job"), uuid.uuid4().hex
    source = own.folder / "scaling.py"
    source.write_text(f"{source.read_text()}TOKEN = '{token}'\n")
    own.run(Options(run_dir=str(tmp_path / "run"), engine="ray"))
    # One is this process's own: preflight tries the transform here, and the copy goes at exit.
    assert copies_with(token) == 1


def copies_with(token: str) -> int:
    """Copies of scaling.py below the temp folder that hold a token; those of other processes come and go."""
    found = 0
    for copy in Path(tempfile.gettempdir()).glob("ortbatch-*/**/scaling.py"):
        with suppress(OSError):
            found += token in copy.read_text()
    return found


def test_one_array_is_enough_for_a_model_of_one_input(case: Case, inline: Options) -> None:
    report = case.run(inline, "alone")
    assert report.confusion_matrix.tolist() == case.expected(~case.broken & ~case.unlabelled)


def test_its_modules_do_not_stay_in_the_way_of_others(case: Case, inline: Options) -> None:
    case.run(inline)
    assert "scaling" not in sys.modules
    assert "prep" not in sys.modules


def test_a_changed_neighbour_is_another_run(tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    case = Case(tmp_path / "case")
    options = Options(run_dir=str(tmp_path / "run"), engine="inline")
    case.run(options)
    (case.folder / "scaling.py").write_text("def halved(rows):\n    return rows / 3\n")
    with pytest.raises(RunFolderError, match="something else"):
        case.run(options)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("wrong_name", r"returned y; the model's inputs that no column feeds are x"),
        ("wrong_rows", r"returned \[\d+, 4\] for input `x` of \d+ rows; expected one row each"),
        ("wrong_shape", r"returned float32\[\d+, 2\] for input `x: float32\[\?, 4\]`"),
        ("fails", r"raises on every one of the first 256 rows; on the first: ValueError: no tokenizer"),
        ("absent", r"prep\.py has no `absent`"),
    ],
)
def test_a_transform_that_cannot_feed_the_model_is_refused_before_the_run(
    case: Case, tmp_path: Path, inline: Options, function: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        case.run(inline, function)
    assert not (tmp_path / "run").exists()


def test_filtered_rows_are_counted_and_leave_no_trace_in_the_counts(case: Case, inline: Options) -> None:
    report = case.run(inline, filter=[["split", "==", "test"]])
    test = case.split == "test"
    assert report.confusion_matrix.tolist() == case.expected(~case.broken & ~case.unlabelled & test)
    rows = report.data["coverage"]["rows"]
    assert rows["filtered"] == int((~test).sum())
    assert rows["planned"] == ROWS
    assert report.data["coverage"]["fraction"]["value"] == rows["evaluated"] / test.sum()


def test_a_filter_that_no_row_meets_is_refused(case: Case, inline: Options) -> None:
    with pytest.raises(DataError, match="none of 500 rows meets"):
        case.run(inline, filter=[["split", "==", "later"]])


def test_rows_without_a_label_are_scored_and_counted_apart(case: Case, inline: Options) -> None:
    report = case.run(inline, unlabelled="score")
    assert report.confusion_matrix.tolist() == case.expected(~case.broken & ~case.unlabelled)
    rows = report.data["coverage"]["rows"]
    assert rows["unlabelled"] == int((case.unlabelled & ~case.broken).sum())
    assert rows["rejected"] == {"transform_error": int(case.broken.sum())}


def test_a_module_that_is_not_there_is_named(case: Case, inline: Options) -> None:
    keys = {
        "name": "case",
        "model": {"path": "model.onnx", "transform": {"function": "other:f", "columns": ["text"]}},
        "data": {"path": "data", "label": "label"},
    }
    with pytest.raises(DataError, match=r"no file .*other\.py"):
        run_job(Job.from_mapping(keys, case.folder), inline)


def test_a_sample_is_that_many_rows_drawn_from_all(case: Case, inline: Options) -> None:
    report = case.run(inline, sample={"rows": 120, "seed": 7})
    drawn = np.zeros(ROWS, bool)
    drawn[np.random.default_rng(7).choice(ROWS, 120, replace=False, shuffle=False)] = True
    assert report.confusion_matrix.tolist() == case.expected(drawn & ~case.broken & ~case.unlabelled)
    assert report.data["coverage"]["rows"]["planned"] == 120
    assert report.data["sampled"] is True


def test_a_sample_of_all_rows_is_all_rows(case: Case, tmp_path: Path, inline: Options) -> None:
    whole = case.run(Options(run_dir=str(tmp_path / "whole"), engine="inline"))
    assert case.run(inline, sample={"rows": ROWS}).data["quality"] == whole.data["quality"]
    assert "sampled" not in whole.data


def test_a_sample_larger_than_the_data_is_refused(case: Case, inline: Options) -> None:
    with pytest.raises(DataError, match="501 asked for, the data have 500 rows"):
        case.run(inline, sample={"rows": ROWS + 1})
