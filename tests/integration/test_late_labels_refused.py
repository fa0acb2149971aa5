"""What cannot be joined is refused before anything is run, in a sentence that says what to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch.curve import latency_curve
from ortbatch.errors import DataError, JobError, OrtbatchError
from ortbatch.job import Job
from tests.nights import Night, labelled

ROWS = 60


@pytest.fixture
def night(tmp_path: Path) -> Night:
    """A night that is scored, in two files, and its labels."""
    made = Night(tmp_path)
    table = made.make([f"id{number}" for number in range(ROWS)], files=2)
    made.score()
    made.write("late", labelled(table, 3))
    return made


def predictions(night: Night) -> Path:
    return night.folder / "predictions" / "dt=1"


def part(night: Night) -> Path:
    return min(predictions(night).glob("*.parquet"))


def manifest(night: Night, change: Callable[[Any], None]) -> None:
    path = predictions(night) / "_manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def refused(night: Night, error: type[OrtbatchError] = DataError, **more: Any) -> str:
    with pytest.raises(error) as caught:
        night.late(**more)
    assert not (night.folder / "runs" / "late").exists()
    return str(caught.value)


@pytest.mark.parametrize("name", ["_SUCCESS", "_manifest.json"])
def test_predictions_of_an_unfinished_night(night: Night, name: str) -> None:
    (predictions(night) / name).unlink()
    assert f"no complete predictions ({name} is not there)" in refused(night)


def test_a_night_that_never_ran(night: Night) -> None:
    job = night.job("late", {"scores": "predictions/dt=2", "join": "id"}, "late")
    with pytest.raises(DataError, match=r"or never ran\. Run it first"):
        night.run(job)


def test_a_file_that_the_manifest_does_not_list(night: Night) -> None:
    (predictions(night) / "part-000009-0badcafe.parquet").write_bytes(part(night).read_bytes())
    assert "1 files that _manifest.json does not list, the first part-000009-0badcafe.parquet" in refused(night)


def test_a_file_that_is_gone(night: Night) -> None:
    part(night).unlink()
    assert "1 of 2 listed files are gone" in refused(night)


def test_a_file_that_was_written_again(night: Night) -> None:
    pq.write_table(pq.read_table(part(night)), part(night), compression="none")
    assert "not the file that the manifest lists (sha256)" in refused(night)


def test_a_changed_byte(night: Night) -> None:
    content = bytearray(part(night).read_bytes())
    content[len(content) // 2] ^= 1
    part(night).write_bytes(content)
    assert "not the file that the manifest lists" in refused(night)


def test_a_manifest_that_counts_other_rows(night: Night) -> None:
    manifest(night, lambda content: content["files"][0].update(rows=1))
    assert "30 rows; the manifest lists 1" in refused(night)


DAMAGES: dict[str, Callable[[Any], Any]] = {
    "of a version before": lambda content: content.pop("scored"),
    "no files": lambda content: content.pop("files"),
    "no model": lambda content: content.pop("ortbatch.model_sha256"),
    "files that are none": lambda content: content.update(files={"name": 1}),
    "a file elsewhere": lambda content: content["files"][0].update(name="../../data/000.parquet"),
    "rows that are none": lambda content: content["files"][0].update(rows=-1),
    "an unknown kind": lambda content: content["scored"].update(kind="guesses"),
    "a class too few": lambda content: content["scored"].update(classes=["0", "1"]),
    "a positive class that is none": lambda content: content["scored"].update(positive=7),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest(night: Night, damage: str) -> None:
    manifest(night, DAMAGES[damage])
    assert "_manifest.json is damaged, or of a version before joins" in refused(night)


def test_a_manifest_that_is_no_json(night: Night) -> None:
    (predictions(night) / "_manifest.json").write_bytes(b"\xff{")
    assert "_manifest.json is damaged" in refused(night)


def test_rows_with_a_score_too_few(night: Night) -> None:
    table = pq.read_table(part(night))
    short = pa.array([scores[:2] for scores in table["scores"].to_pylist()], pa.list_(pa.float32()))
    pq.write_table(table.set_column(table.schema.get_field_index("scores"), "scores", short), part(night))
    sha256 = hashlib.sha256(part(night).read_bytes()).hexdigest()
    manifest(night, lambda content: content["files"][0].update(sha256=sha256))
    assert "rows without 3 scores each. Write them again." in refused(night)


def test_predictions_without_the_ids(night: Night) -> None:
    night.score(columns=["group"], force=True)
    said = refused(night)
    assert "no column `id` to join by" in said
    assert "`predictions.columns` keeps it" in said


def test_data_without_the_ids(night: Night) -> None:
    rows = pq.read_table(night.folder / "late").drop_columns(["id"])
    assert "no column `id` to join by" in refused(night, table=rows)


@pytest.mark.parametrize("kind", [pa.float64(), pa.bool_(), pa.binary()])
def test_ids_that_are_neither_integers_nor_text(night: Night, kind: pa.DataType) -> None:
    rows = pq.read_table(night.folder / "late")
    rows = rows.set_column(0, "id", pa.nulls(rows.num_rows, kind))
    assert f"column `id` holds {kind}; ids are integers or text" in refused(night, table=rows)


def test_ids_of_unlike_kinds(night: Night) -> None:
    rows = pq.read_table(night.folder / "late")
    rows = rows.set_column(0, "id", pa.array(range(rows.num_rows)))
    assert "column `id` holds int64; in the predictions it holds string. Write both alike." in refused(
        night, table=rows
    )


def test_an_integer_that_is_too_large(tmp_path: Path) -> None:
    made = Night(tmp_path)
    table = made.make(pa.array([2**64 - 1, *range(ROWS)], pa.uint64()))
    made.score()
    assert "ids that do not fit 64 bits with their sign" in refused(made, table=labelled(table, 3))


def test_another_night(night: Night) -> None:
    rows = pq.read_table(night.folder / "late")
    rows = rows.set_column(0, "id", pa.array([f"other{number}" for number in range(rows.num_rows)]))
    assert "none of 60 rows has an id that is among the 60 predictions" in refused(night, table=rows)


def test_all_that_is_wrong_is_told_at_once(night: Night) -> None:
    (predictions(night) / "_SUCCESS").unlink()
    said = refused(night, OrtbatchError, table=pq.read_table(night.folder / "late").drop_columns(["y"]))
    assert "2 problems" in said


ASKED: dict[str, tuple[dict[str, Any], str]] = {
    "a latency gate": ({"gates": ["latency.single.p99_ms <= 1"]}, "gates.0: `model.scores` takes stored scores"),
    "a baseline": ({"baselines": {"old": {"path": "model.onnx"}}}, "baselines.old"),
    "checks": ({"checks": {"training_data": "data"}}, "checks"),
}


@pytest.mark.parametrize("asked", ASKED)
def test_what_needs_a_model(night: Night, asked: str) -> None:
    more, said = ASKED[asked]
    assert said in refused(night, JobError, **more)


def test_a_latency_curve(night: Night) -> None:
    with pytest.raises(JobError, match="there is no model to time"):
        latency_curve(night.job("late", {"scores": "predictions/dt=1", "join": "id"}, "late"))


def job_of(model: Any) -> Job:
    return Job.from_mapping({"name": "n", "model": model, "data": {"path": "d", "label": "y"}})


WRONG = {
    "no column": ({"scores": "p"}, "model.join: missing"),
    "no scores": ({"join": "id"}, "model.scores: missing"),
    "a model too": ({"path": "m", "scores": "p", "join": "id"}, "unknown key `scores`"),
    "more keys": ({"scores": "p", "join": "id", "batch_size": 1}, "unknown key `batch_size`"),
    "two columns": ({"scores": "p", "join": ["a", "b"]}, "model.join: expected text"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_job_that_is_written_wrong(wrong: str) -> None:
    model, said = WRONG[wrong]
    with pytest.raises(JobError) as caught:
        job_of(model)
    assert said in str(caught.value)


def test_scores_of_a_model_that_puts_out_labels(tmp_path: Path) -> None:
    made = Night(tmp_path, end="ArgMax")
    made.make(list(range(ROWS)))
    with pytest.raises(DataError, match=r"predictions\.scores: the model puts out labels only"):
        made.score()


def test_secrets_of_the_place_are_not_told(tmp_path: Path) -> None:
    made = Night(tmp_path)
    made.write("late", labelled(made.make(list(range(ROWS))), 3))
    job = made.job("late", {"scores": "file://key:s3cret@localhost/nowhere", "join": "id"}, "late")
    with pytest.raises(OrtbatchError) as caught:
        made.run(job)
    assert "s3cret" not in str(caught.value)
