"""Bad rows of all kinds, strewn over files and row groups: every one counted, by reason and file, and none evaluated.

The oracle is a plain loop over Python rows, ONNX Runtime on the good ones, and scikit-learn.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics

from ortbatch.api import Options, Outcome, run_job
from ortbatch.data import data_file
from ortbatch.engine import evaluate
from ortbatch.job import Job
from tests.models import mixed_model
from tests.tables import write_table

NAN, INF = float("nan"), float("inf")
FILES = 6
BEYOND = 2**63 + 5


@dataclass(frozen=True)
class Task:
    """Classes in output order, how the model ends, and how labels are written in Parquet."""

    classes: tuple[str, ...]
    end: str
    kinds: tuple[pa.DataType, ...]
    unknown: tuple[Any, ...]
    data: dict[str, Any]

    def label(self, index: int) -> Any:
        name = self.classes[index]
        return (
            {"false": False, "true": True}.get(name, name) if pa.types.is_boolean(self.kinds[0]) else self.plain(name)
        )

    def plain(self, name: str) -> Any:
        return name if pa.types.is_string(self.kinds[0]) else int(name)


NUMBERS = (pa.int64(), pa.int8(), pa.float64(), pa.int32(), pa.float32(), pa.int16())
TEXTS = (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()))
TASKS = {
    "two logits": Task(("0", "1"), "logits", NUMBERS, (-1, 2, 100), {}),
    "probabilities by name": Task(("7", "3", "-1"), "Softmax", NUMBERS, (0, 1, 2), {"classes": ["7", "3", "-1"]}),
    "text": Task(("ham", "spam", "eggs"), "logits", TEXTS, ("Ham", ""), {"classes": ["ham", "spam", "eggs"]}),
    "the first is positive": Task(("0", "1"), "Softmax", NUMBERS, (-1, 2), {"positive": "0"}),
    "booleans": Task(("false", "true"), "logits", (pa.bool_(),), (), {}),
}


def rows_of(task: Task, file: int, rng: random.Random, rows: int) -> list[dict[str, Any]]:
    """Rows with faults at random, several of them in some rows."""

    def fault(share: float = 0.06) -> bool:
        return rng.random() < share

    made = []
    for _ in range(rows):
        row: dict[str, Any] = {"x": [rng.gauss(0, 2) for _ in range(4)], "n": rng.randrange(-3, 4)}
        row["y"] = task.label(rng.randrange(len(task.classes)))
        if fault():
            row["y"] = None
        elif task.unknown and fault():
            row["y"] = rng.choice(task.unknown)
        if fault():
            row["x"] = rng.choice([None, None, [], row["x"][:3], [*row["x"], 0.0]])
        elif fault():
            row["x"][rng.randrange(4)] = rng.choice([None, NAN, INF, -INF])
        if fault():
            # The first rows are looked at before the run, which refuses numbers that do not fit.
            row["n"] = BEYOND if file >= 3 and rng.random() < 0.5 else None
        made.append(row)
    return made


def write_files(task: Task, folder: Path, seed: int) -> None:
    """Files whose columns differ in order, width and kind of list."""
    rng = random.Random(seed)
    for file in range(FILES):
        rows = rows_of(task, file, rng, rng.randrange(90, 200))
        kind = task.kinds[file % len(task.kinds)]
        lists = pa.large_list(pa.float64()) if file % 2 else pa.list_(pa.float32())
        numbers, unsigned = [row["n"] for row in rows], file >= 3
        labels = pa.array([row["y"] for row in rows], kind if kind != TEXTS[2] else pa.string())
        columns = {
            "id": pa.array([str(i) for i in range(len(rows))]),
            "x": pa.array([row["x"] for row in rows], lists),
            "n": pa.array([abs(n) if n and unsigned else n for n in numbers], pa.uint64() if unsigned else pa.int8()),
            "y": labels.dictionary_encode() if kind == TEXTS[2] else labels,
        }
        names = rng.sample(list(columns), 4)
        cut = rng.randrange(len(rows))
        write_table(folder / f"{file}.parquet", {n: columns[n] for n in names}, [cut, 0, len(rows) - cut])


@dataclass
class Plain:
    """What a plain loop finds."""

    rejected: Counter[str] = field(default_factory=Counter)
    by_file: Counter[str] = field(default_factory=Counter)
    by_class: Counter[str] = field(default_factory=Counter)
    labels: list[int] = field(default_factory=list)
    outputs: list[np.ndarray] = field(default_factory=list)


def reason_against(task: Task, row: dict[str, Any]) -> str | None:
    """The first reason why a row cannot be scored."""
    x, n, y = row["x"], row["n"], row["y"]
    known = [task.label(index) for index in range(len(task.classes))]
    checks = {
        "null_label": y is None or y != y,
        "unknown_label": y not in known,
        "null_feature": x is None or n is None,
        "wrong_length": x is not None and len(x) != 4,
        "inexact_value": n is not None and n > 2**63 - 1,
    }
    return next((reason for reason, bad in checks.items() if bad), None)


def plain_loop(task: Task, folder: Path) -> Plain:
    session = onnxruntime.InferenceSession(str(folder / "m.onnx"), providers=["CPUExecutionProvider"])
    found = Plain()
    for path in sorted((folder / "data").iterdir()):
        for row in pq.read_table(path).to_pylist():
            reason = reason_against(task, row)
            if reason is None:
                x = np.array([[NAN if v is None else v for v in row["x"]]], np.float32)
                (out,) = session.run(None, {"x": x, "n": np.array([[row["n"]]], np.int64)})
                reason = "nan_score" if np.isnan(out).any() else "infinite_score" if np.isinf(out).any() else None
            if reason is not None:
                found.rejected[reason] += 1
                found.by_file[path.name] += 1
                known = [name for name in task.classes if task.label(task.classes.index(name)) == row["y"]]
                found.by_class.update(known if row["y"] is not None else [])
                continue
            found.labels.append([task.label(index) for index in range(len(task.classes))].index(row["y"]))
            found.outputs.append(out[0].astype(np.float64))
    return found


@dataclass(frozen=True)
class Case:
    task: Task
    folder: Path
    plain: Plain

    def run(self, name: str, batch_size: int | str = "auto", **keys: Any) -> Outcome:
        data = {"path": "data", "label": "y", **self.task.data, **keys}
        job = {
            "name": "t",
            "model": {"path": "m.onnx", "output": {"kind": self.kind}, "batch_size": batch_size},
            "data": data,
            "latency": {"max_seconds": 0.01},
        }
        return run_job(Job.from_mapping(job, self.folder), Options(run_dir=str(self.folder / name), engine="inline"))

    @property
    def kind(self) -> str:
        return "probabilities" if self.task.end == "Softmax" else "logits"

    @property
    def probabilities(self) -> np.ndarray:
        outputs = np.array(self.plain.outputs)
        weights = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return outputs if self.kind == "probabilities" else weights / weights.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module", params=TASKS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    task, folder = TASKS[request.param], tmp_path_factory.mktemp("hostile")
    mixed_model(folder / "m.onnx", len(task.classes), task.end)
    write_files(task, folder / "data", seed=list(TASKS).index(request.param))
    return Case(task, folder, plain_loop(task, folder))


@pytest.fixture(scope="module")
def outcome(case: Case) -> Outcome:
    return case.run("run")


def test_the_oracle_meets_every_reason(case: Case) -> None:
    reasons = {"null_label", "null_feature", "wrong_length", "inexact_value", "nan_score"}
    # A softmax makes NaN of what is infinite.
    reasons |= {"infinite_score"} if case.kind == "logits" else set()
    assert set(case.plain.rejected) == reasons | ({"unknown_label"} if case.task.unknown else set())


def test_every_bad_row_is_counted_by_its_reason(case: Case, outcome: Outcome) -> None:
    assert outcome.report.data["coverage"]["rows"]["rejected"] == dict(sorted(case.plain.rejected.items()))


def test_every_bad_row_is_counted_by_its_file(case: Case, outcome: Outcome) -> None:
    worst = outcome.report.data["coverage"]["bad_rows"]["worst_files"]
    assert {Path(entry["file"]).name: entry["rows"] for entry in worst} == dict(case.plain.by_file)


def test_bad_rows_whose_label_is_known_are_counted_by_their_class(case: Case, outcome: Outcome) -> None:
    by_class = outcome.report.data["coverage"]["bad_rows"]["by_class"]
    support = Counter(case.task.classes[label] for label in case.plain.labels)
    assert {entry["class"]: entry["rejected"] for entry in by_class} == dict(case.plain.by_class)
    assert {entry["class"]: entry["evaluated"] for entry in by_class} == {n: support[n] for n in case.plain.by_class}


def test_planned_rows_are_evaluated_or_rejected(case: Case, outcome: Outcome) -> None:
    rows = outcome.report.data["coverage"]["rows"]
    planned = sum(pq.read_metadata(path).num_rows for path in (case.folder / "data").iterdir())
    assert rows["evaluated"] == len(case.plain.labels)
    assert rows["planned"] == planned == rows["evaluated"] + sum(rows["rejected"].values())


def test_bad_rows_beyond_those_allowed_make_the_run_incomplete(case: Case, outcome: Outcome) -> None:
    assert (outcome.report.status, outcome.report.exit_code) == ("incomplete", 3)


def test_predictions_of_good_rows_are_counted_as_in_the_plain_loop(case: Case, outcome: Outcome) -> None:
    predicted = case.probabilities.argmax(axis=1)
    if len(case.task.classes) == 2:
        positive = 0 if case.task.data.get("positive") == "0" else 1
        predicted = np.where(case.probabilities[:, positive] >= 0.5, positive, 1 - positive)
    expected = metrics.confusion_matrix(case.plain.labels, predicted, labels=range(len(case.task.classes)))
    assert outcome.report.confusion_matrix.tolist() == expected.tolist()


def test_log_loss_of_good_rows_is_that_of_the_plain_loop(case: Case, outcome: Outcome) -> None:
    own = case.probabilities[np.arange(len(case.plain.labels)), case.plain.labels]
    expected = -np.log(np.clip(own, 2.0**-52, 1)).mean()
    assert outcome.report.quality["log_loss"].value == pytest.approx(expected, abs=1e-9)


def test_brier_score_of_good_rows_is_that_of_the_plain_loop(case: Case, outcome: Outcome) -> None:
    error = ((case.probabilities - np.eye(len(case.task.classes))[case.plain.labels]) ** 2).sum(axis=1).mean()
    expected = error / 2 if len(case.task.classes) == 2 else error
    assert outcome.report.quality["brier"].value == pytest.approx(expected, abs=1e-6)


def test_row_groups_read_in_parts_give_the_same_quality_and_coverage(case: Case, outcome: Outcome) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_file, "_rows_of_part", lambda *_: 7)
        parts = case.run("parts").report.data
    assert parts["coverage"] == outcome.report.data["coverage"]
    assert parts["quality"] == outcome.report.data["quality"]


def test_outputs_counted_in_small_windows_give_the_same_quality_and_coverage(case: Case, outcome: Outcome) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "_WINDOW_VALUES", 24)
        windows = case.run("windows", batch_size=4).report.data
    assert windows["coverage"] == outcome.report.data["coverage"]
    assert windows["quality"] == outcome.report.data["quality"]


ALLOWED: list[tuple[Callable[[int], Any], int]] = [
    (lambda bad: bad, 0), (lambda bad: bad - 1, 3), (lambda bad: "100%", 0), (lambda bad: "0.1%", 3),
]  # fmt: skip


@pytest.mark.parametrize(("allowed", "code"), ALLOWED)
def test_a_run_is_complete_up_to_the_bad_rows_allowed(
    case: Case, tmp_path: Path, allowed: Callable[[int], Any], code: int
) -> None:
    bad = sum(case.plain.rejected.values())
    report = case.run(str(tmp_path / "run"), max_bad_rows=allowed(bad)).report
    assert report.exit_code == code
    assert report.data["coverage"]["bad_rows"]["count"] == bad
