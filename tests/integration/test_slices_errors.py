"""What is wrong with slices is told before a run, with file, column and what to do."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from ortbatch.api import Options, check, judge_again, read_report, run_job
from ortbatch.errors import DataError, JobError, PreflightError, RunFolderError, ShardError
from ortbatch.job import Gate, Job
from ortbatch.preflight_text import print_prepared
from tests.models import linear_model
from tests.tables import corrupt, write_table

ROWS = 20


def write(folder: Path, name: str, **columns: Any) -> Path:
    """A file of twenty rows: two features, a label, and some columns."""
    made = {"f0": [0.5] * ROWS, "f1": [1.0] * ROWS, "label": [0, 1] * (ROWS // 2), **columns}
    made["f0"], made["f1"] = (pa.array(made[key], pa.float32()) for key in ("f0", "f1"))
    return write_table(folder / "data" / name, made, [ROWS // 2] * 2, write_page_checksum=True, use_dictionary=False)


def job(folder: Path, slices: Any, *gates: str, classes: int = 2, **keys: Any) -> Job:
    linear_model(folder / "model.onnx", 2, classes, end="Softmax")
    model = {"path": "model.onnx", "inputs": {"x": ["f0", "f1"]}}
    mapping = {"name": "t", "model": model, "data": {"path": "data", "label": "label"}, "slices": slices}
    return Job.from_mapping({**mapping, "gates": list(gates), "latency": {"max_seconds": 0.01}, **keys}, folder)


def refusal(asked: Job) -> str:
    with pytest.raises((DataError, PreflightError)) as caught:
        check(asked)
    return str(caught.value).replace(f"{asked.folder}/", "")


def test_a_column_that_no_file_has_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", x=["a"] * ROWS)
    said = "data/a.parquet: slices ask for country, device; columns: f0, f1, label, x."
    assert refusal(job(tmp_path, ["x", ["country", "device"], "country"][:2])) == said


def test_a_column_that_one_file_lacks_is_told_with_that_file(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", x=["a"] * ROWS)
    write(tmp_path, "b.parquet")
    assert refusal(job(tmp_path, ["x"])) == "data/b.parquet: slices ask for x; columns: f0, f1, label."


@pytest.mark.parametrize(
    ("first", "other", "held"),
    [
        (["a"] * ROWS, [1] * ROWS, "int64; in the first file it holds string"),
        ([True] * ROWS, [1] * ROWS, "int64; in the first file it holds bool"),
        (
            pa.array([datetime(2026, 1, 1)] * ROWS, pa.timestamp("us")),
            pa.array([datetime(2026, 1, 1)] * ROWS, pa.timestamp("us", "UTC")),
            "timestamp[us, tz=UTC]; in the first file it holds timestamp[us]",
        ),
    ],
)
def test_a_column_of_another_type_is_told_with_both(tmp_path: Path, first: Any, other: Any, held: str) -> None:
    write(tmp_path, "a.parquet", x=first)
    write(tmp_path, "b.parquet", x=other)
    assert refusal(job(tmp_path, ["x"])) == f"data/b.parquet: column `x` of slices holds {held}. Write both alike."


def test_types_of_one_family_are_alike(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", x=pa.array([1] * ROWS, pa.int8()), y=["a"] * ROWS)
    write(tmp_path, "b.parquet", x=pa.array([1] * ROWS, pa.uint64()), y=pa.array(["a"] * ROWS).dictionary_encode())
    assert [cut.values for cut in check(job(tmp_path, ["x", "y"])).evaluation.cuts] == [(("1",),), (("a",),)]


def test_floats_without_bins_are_told_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet")
    assert refusal(job(tmp_path, ["f0"])).startswith("data/a.parquet: column `f0` of slices holds float; floats cut ")


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet")
    said = refusal(job(tmp_path, ["country"], data={"path": "data", "label": "y"}))
    assert said.startswith("2 problems:")
    assert "slices ask for country" in said
    assert "label" in said


def test_a_text_that_names_another_slice_ends_preflight(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", x=["a", "(other)"] * (ROWS // 2))
    assert refusal(job(tmp_path, ["x"])).startswith("column `x` of slices holds the text `(other)`, which is the name")


@pytest.mark.parametrize(
    ("gate", "classes", "said"),
    [
        ("f1_macro@x=a > 0", 2, "`f1_macro` of 2 classes is not kept for slices; kept are accuracy, precision, recall"),
        (
            "roc_auc@x=a > 0",
            3,
            "`roc_auc` of 3 classes is not kept for slices; kept are accuracy, balanced_accuracy, f",
        ),
    ],
)
def test_gates_are_held_against_the_classes_before_the_run(tmp_path: Path, gate: str, classes: int, said: str) -> None:
    write(tmp_path, "a.parquet", x=["a"] * ROWS)
    with pytest.raises(JobError) as caught:
        check(job(tmp_path, ["x"], gate, classes=classes))
    assert f"gates.0: {said}" in str(caught.value)


def test_a_job_made_without_a_file_is_checked_too(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", x=["a"] * ROWS)
    asked = job(tmp_path, ["x"]).model_copy(update={"gates": (Gate.parse("accuracy@y=a > 0"),)})
    with pytest.raises(JobError, match="the job has no slices by y; its slices are by: x"):
        check(asked)


def run(asked: Job, folder: Path) -> Any:
    return run_job(asked, Options(run_dir=str(folder / "run"), engine="inline"))


def test_a_stored_report_is_judged_by_gates_on_slices(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", x=["a", "b"] * (ROWS // 2))
    run(job(tmp_path, ["x"]), tmp_path)
    gates = [Gate.parse("accuracy@x=a >= 0"), Gate.parse("accuracy@x=c >= 0"), Gate.parse("accuracy@y=c >= 0")]
    judged = judge_again(read_report(str(tmp_path / "run")), gates).data["gates"]
    assert [verdict["outcome"] for verdict in judged] == ["passed", "failed", "failed"]


def test_rows_that_cannot_be_decoded_are_the_runs_to_tell(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", x=["a", "b"] * (ROWS // 2))
    corrupt(write(tmp_path, "b.parquet", x=["c", "d"] * (ROWS // 2)), 3, 1)
    asked = job(tmp_path, ["x"])
    with pytest.raises(ShardError, match=r"b\.parquet"):
        run(asked, tmp_path)
    left_out = {"on_bad_shard": "quarantine", "shard_rows": ROWS}
    data = {"path": "data", "label": "label", "max_bad_rows": ROWS}
    report = run(job(tmp_path, ["x"], execution=left_out, data=data), tmp_path / "other").report
    rows = {entry["name"]: entry["rows"] for entry in report.data["slices"]}
    assert rows == {"x=a": ROWS // 2, "x=b": ROWS // 2}


def test_a_check_shows_which_slices_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ortbatch.data.survey.VALUES_KEPT", 3)
    write(tmp_path, "a.parquet", x=["a", "b"] * (ROWS // 2), n=list(range(ROWS)))
    console = Console(file=io.StringIO(), width=100)
    print_prepared(check(job(tmp_path, ["x", ["n", "x"]])), console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "slices: by x: 2" in lines
    assert "slices: by n, x: 3, 17 rarer ones together" in lines


def test_a_run_of_other_slices_in_a_folder_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", x=["a", "b"] * (ROWS // 2))
    run(job(tmp_path, ["x"]), tmp_path)
    assert run(job(tmp_path, ["x"]), tmp_path).repeated
    with pytest.raises(RunFolderError, match=r"what is evaluated \(.*, slices\)"):
        run(job(tmp_path, []), tmp_path)
