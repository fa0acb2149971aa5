"""Nights of predictions: where they go, what a second run does, how many files they are, and who can read them."""

from __future__ import annotations

import datetime
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch.api import Options, Outcome, run_job
from ortbatch.errors import JobError, RunFolderError
from ortbatch.job import load_job
from tests.models import linear_model
from tests.nightly_job import CLASSES, FEATURES, FILES, NIGHTS, ROWS, files_of, make_nightly, rows_by_night, whole
from tests.s3 import S3


def night(job: Path, day: str = NIGHTS[0], overrides: tuple[str, ...] = (), **options: Any) -> Outcome:
    loaded = load_job(job, variables={"date": day}, overrides=overrides)
    return run_job(loaded, Options(engine="inline", page=False, **options))


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job whose nights are done."""
    job = make_nightly(tmp_path_factory.mktemp("nights") / "job")
    for day in NIGHTS:
        night(job, day)
    return job.parent


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return make_nightly(tmp_path / "job")


def test_every_row_of_every_night_is_there_once(two_nights: Path) -> None:
    assert rows_by_night(two_nights) == whole()


def test_scores_are_those_of_the_model_to_the_bit(two_nights: Path) -> None:
    rows = pq.read_table(two_nights / "data" / f"dt={NIGHTS[0]}", partitioning=None)
    session = onnxruntime.InferenceSession(two_nights / "model.onnx", providers=["CPUExecutionProvider"])
    features = np.column_stack([rows[f"f{n}"].to_numpy() for n in range(FEATURES)])
    batches = [session.run(None, {"x": features[at : at + ROWS]})[0] for at in range(0, len(features), ROWS)]
    stored = pq.read_table(two_nights / "predictions" / f"dt={NIGHTS[0]}", partitioning=None)
    assert stored.schema.field("scores").type == pa.list_(pa.float32())
    kept = dict(zip(stored["id"].to_pylist(), stored["scores"].to_pylist(), strict=True))
    wanted = dict(zip(rows["id"].to_pylist(), np.concatenate(batches).tolist(), strict=True))
    assert kept == wanted


def test_pandas_reads_all_nights_as_one_table(two_nights: Path) -> None:
    frame = pd.read_parquet(two_nights / "predictions")
    assert (len(frame), frame["id"].nunique()) == (2 * FILES * ROWS, 2 * FILES * ROWS)
    assert frame["id"].dtype == np.int64
    assert sorted(frame["dt"].astype(str).unique()) == list(NIGHTS)


def test_polars_reads_all_nights_as_one_table(two_nights: Path) -> None:
    frame = pl.scan_parquet(f"{two_nights}/predictions/*/*.parquet", hive_partitioning=True).collect()
    assert (frame.height, frame["id"].n_unique()) == (2 * FILES * ROWS, 2 * FILES * ROWS)
    assert frame.schema["id"] == pl.Int64
    assert frame.schema["scores"] == pl.List(pl.Float32)
    assert frame["dt"].unique().sort().to_list() == [datetime.date.fromisoformat(day) for day in NIGHTS]


def test_duckdb_reads_types_as_they_are(two_nights: Path) -> None:
    import duckdb

    with duckdb.connect() as connection:
        files = f"'{two_nights}/predictions/*/*.parquet'"
        described = connection.sql(f"DESCRIBE SELECT * FROM read_parquet({files}, hive_partitioning = true)").fetchall()
    kinds = {name: kind for name, kind, *_ in described}
    assert (kinds["id"], kinds["score"], kinds["scores"], kinds["dt"]) == ("BIGINT", "DOUBLE", "FLOAT[]", "DATE")


def test_the_report_names_the_folder_as_the_job_does(two_nights: Path) -> None:
    report = night(two_nights / "job.yaml").report.data
    assert report["predictions"]["folder"] == f"predictions/dt={NIGHTS[0]}"
    assert (report["predictions"]["files"], report["predictions"]["rows"]) == (FILES, FILES * ROWS)
    assert not (two_nights / "runs" / "nightly" / f"dt={NIGHTS[0]}" / "predictions").exists()


def test_a_finished_night_is_not_done_again(job: Path) -> None:
    night(job)
    before = {path: path.stat().st_mtime_ns for path in job.parent.rglob("*") if path.is_file()}
    again = night(job)
    assert (again.repeated, again.report.exit_code) == (True, 0)
    assert {path: path.stat().st_mtime_ns for path in job.parent.rglob("*") if path.is_file()} == before


def test_done_again_by_force_it_is_the_same_to_the_byte(job: Path) -> None:
    night(job)
    before = files_of(job.parent, NIGHTS[0])
    night(job, force=True)
    assert files_of(job.parent, NIGHTS[0]) == before


def test_another_model_takes_the_place_of_the_first(job: Path) -> None:
    night(job)
    before = files_of(job.parent, NIGHTS[0])
    linear_model(job.parent / "model.onnx", FEATURES, CLASSES, seed=1)
    with pytest.raises(RunFolderError, match="model is"):
        night(job)
    night(job, force=True)
    after = files_of(job.parent, NIGHTS[0])
    assert set(before) & set(after) == {"_manifest.json", "_SUCCESS"}
    assert rows_by_night(job.parent) == whole(1)


def test_no_row_is_there_twice_while_another_model_takes_the_place_of_the_first(job: Path) -> None:
    night(job)
    folder = job.parent / "predictions" / f"dt={NIGHTS[0]}"
    seen: list[tuple[int, bool]] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.001):
            # The mark first: what it vouches for must be there afterwards too.
            whole_night = (folder / "_SUCCESS").exists()
            names = [path.name for path in folder.glob("part-*.parquet")]
            seen.append((len(names) - len({name[:11] for name in names}), whole_night and len(names) > FILES))

    watcher = threading.Thread(target=watch)
    watcher.start()
    linear_model(job.parent / "model.onnx", FEATURES, CLASSES, seed=1)
    night(job, force=True)
    over.set()
    watcher.join()
    assert seen
    assert set(seen) == {(0, False)}


def test_files_of_others_in_the_folder_are_refused_and_kept(job: Path) -> None:
    foreign = job.parent / "predictions" / f"dt={NIGHTS[0]}" / "mine.parquet"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"mine")
    with pytest.raises(RunFolderError, match=r"1 files that are no predictions, the first mine\.parquet"):
        night(job)
    assert foreign.read_bytes() == b"mine"


def test_names_that_readers_ignore_are_left_alone(job: Path) -> None:
    folder = job.parent / "predictions" / f"dt={NIGHTS[0]}"
    folder.mkdir(parents=True)
    for name in ("_metadata", ".crc"):
        (folder / name).write_bytes(b"theirs")
    night(job)
    assert {(folder / name).read_bytes() for name in ("_metadata", ".crc")} == {b"theirs"}


def test_a_part_that_was_not_finished_is_cleared_away(job: Path) -> None:
    folder = job.parent / "predictions" / f"dt={NIGHTS[0]}"
    folder.mkdir(parents=True)
    (folder / ".part-000000-0badcafe.parquet.x7Yz").write_bytes(b"half")
    night(job)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(("shard_rows", "files"), [(1, FILES), (150, FILES // 3), (10_000, 1)])
def test_small_files_make_as_many_parts_as_shards(tmp_path: Path, shard_rows: int, files: int) -> None:
    job = make_nightly(tmp_path / "job", shard_rows=shard_rows)
    night(job)
    parts = [name for name in files_of(job.parent, NIGHTS[0]) if name.startswith("part-")]
    assert len(parts) == files
    assert rows_by_night(job.parent) == whole(1)


def test_hundreds_of_tiny_files_are_one_part_with_one_row_group(tmp_path: Path) -> None:
    job = make_nightly(tmp_path / "job", files=300, shard_rows=1_000_000)
    night(job)
    (part,) = (job.parent / "predictions" / f"dt={NIGHTS[0]}").glob("part-*.parquet")
    described = pq.read_metadata(part)
    assert (described.num_rows, described.num_row_groups) == (300 * ROWS, 1)
    assert {described.row_group(0).column(n).compression for n in range(described.num_columns)} == {"ZSTD"}


def test_one_folder_for_all_runs_is_refused(job: Path) -> None:
    with pytest.raises(JobError, match=r"`predictions\.path` is one folder for all runs"):
        night(job, overrides=("run_dir=runs/{name}/{started}",))


def test_without_a_path_predictions_stay_in_the_run_folder(job: Path) -> None:
    overrides = ("predictions={columns: [id]}", "run_dir=runs/{name}/{started}")
    folder = Path(night(job, overrides=overrides).folder)
    assert (folder / "predictions" / "_SUCCESS").exists()
    assert not (job.parent / "predictions").exists()


def test_a_night_in_a_bucket_is_the_same(two_nights: Path, tmp_path: Path, s3: S3) -> None:
    job = make_nightly(tmp_path / "job", predictions=s3.uri("nightly/dt={date}"))
    outcome = night(job)
    system = s3.filesystem()
    names = [info.base_name for info in system.get_file_info(pa.fs.FileSelector(f"bucket/nightly/dt={NIGHTS[0]}"))]
    assert set(names) == set(files_of(two_nights, NIGHTS[0]))
    assert "s3cret" not in outcome.report.encode()
    late = {"name": "late", "model": {"scores": s3.uri(f"nightly/dt={NIGHTS[0]}"), "join": "id"}}
    _joined_like_the_model(job, late)


def _joined_like_the_model(job: Path, late: dict[str, Any]) -> None:
    from ortbatch.job import Job

    data = {"data": {"path": f"data/dt={NIGHTS[0]}/*.parquet", "label": "y", "max_bad_rows": "100%"}}
    model = {"name": "full", "model": {"path": "model.onnx", "inputs": {"x": [f"f{n}" for n in range(FEATURES)]}}}
    jobs = [Job.from_mapping({**keys, **data, "latency": {"max_seconds": 0.2}}, job.parent) for keys in (late, model)]
    joined, full = (run_job(each, Options(engine="inline", page=False)).report.data["quality"] for each in jobs)
    assert joined == full
