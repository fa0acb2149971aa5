"""The nightly job is what its README says: nights in small files, few labels, and the others later."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from jobs.fraud.prepare import TRAIN_ROWS
from jobs.fraud.transactions import FEATURES, SCHEMA, transactions
from jobs.nightly.prepare import FIRST, stamp_of, write_night
from ortbatch.job import load_job
from tests.jobs import JOBS, prepare_nightly

ROWS, NIGHTS = 2_400, ("2026-11-23", "2026-11-24")


def prepare(folder: Path) -> Path:
    return prepare_nightly(folder, ROWS, nights=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders with the same job, each made by itself."""
    root = tmp_path_factory.mktemp("nightly")
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(prepare, (root / "one", root / "two"))
    return one.parent, two.parent


@pytest.fixture(scope="module")
def folder(folders: tuple[Path, Path]) -> Path:
    return folders[0]


def read(folder: Path, what: str, night: str) -> pa.Table:
    return pa.concat_tables(
        pq.read_table(path, partitioning=None) for path in sorted((folder / what / f"dt={night}").iterdir())
    )


def made(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


@pytest.mark.parametrize("name", ["job.yaml", "late.yaml"])
def test_the_job_files_load(folder: Path, name: str) -> None:
    assert load_job(folder / name, variables={"date": FIRST}).run_dir.endswith(f"dt={FIRST}")


@pytest.mark.parametrize("name", ["job.yaml", "late.yaml"])
def test_a_night_is_never_today_by_itself(folder: Path, name: str) -> None:
    from ortbatch.errors import JobError

    with pytest.raises(JobError, match="date"):
        load_job(folder / name)


@pytest.mark.parametrize("number", [0, 1])
def test_the_rows_of_a_night_follow_those_before(folder: Path, number: int) -> None:
    first = TRAIN_ROWS + number * ROWS
    night = read(folder, "data", NIGHTS[number])
    assert night.schema.equals(SCHEMA)
    expected = transactions(first, first + ROWS)
    assert night.drop_columns(["is_fraud"]).equals(expected.drop_columns(["is_fraud"]))


def test_one_row_in_ten_has_its_label_by_night(folder: Path) -> None:
    night = read(folder, "data", NIGHTS[0])
    truth = transactions(TRAIN_ROWS, TRAIN_ROWS + ROWS)["is_fraud"].to_pylist()
    labels = night["is_fraud"].to_pylist()
    assert labels.count(None) == ROWS * 9 // 10
    assert all(label in (None, true) for label, true in zip(labels, truth, strict=True))


def test_nine_in_ten_have_one_later_in_another_order(folder: Path) -> None:
    late = read(folder, "labels", NIGHTS[0])
    truth = transactions(TRAIN_ROWS, TRAIN_ROWS + ROWS)
    by_id = dict(zip(truth["id"].to_pylist(), truth["is_fraud"].to_pylist(), strict=True))
    ids = late["id"].to_pylist()
    assert (len(ids), len(set(ids))) == (ROWS * 9 // 10, ROWS * 9 // 10)
    assert ids != sorted(ids)
    assert [by_id[each] for each in ids] == late["is_fraud"].to_pylist()


def test_a_night_is_24_files(folder: Path) -> None:
    names = sorted(path.name for path in (folder / "data" / f"dt={NIGHTS[0]}").iterdir())
    assert names == [f"hour-{hour:02}.parquet" for hour in range(24)]


def test_made_twice_every_file_is_equal_byte_for_byte(folders: tuple[Path, Path]) -> None:
    assert made(folders[0]) == made(folders[1])


def test_a_second_preparation_writes_nothing(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    prepare(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")} == before


def test_other_nights_ask_for_a_new_preparation(folder: Path) -> None:
    asked = [
        stamp_of(folder, ROWS, list(NIGHTS)),
        stamp_of(folder, ROWS + 1, list(NIGHTS)),
        stamp_of(folder, ROWS, [FIRST]),
    ]
    assert [stamp.is_current() for stamp in asked] == [True, False, False]


def test_the_job_lists_the_columns_in_the_order_of_the_model(folder: Path) -> None:
    assert tuple(YAML(typ="safe").load(folder / "job.yaml")["model"]["inputs"]["features"]) == FEATURES


def test_a_night_made_alone_is_the_same(folder: Path, tmp_path: Path) -> None:
    write_night(TRAIN_ROWS + ROWS, ROWS, tmp_path, NIGHTS[1])
    assert np.array_equal(read(tmp_path, "labels", NIGHTS[1])["id"], read(folder, "labels", NIGHTS[1])["id"])


@pytest.mark.parametrize("wrong", [("--rows", "23"), ("--nights", "0"), ("--first", "tomorrow")])
def test_what_makes_no_night_is_refused(tmp_path: Path, wrong: tuple[str, str]) -> None:
    command = [sys.executable, str(JOBS / "nightly" / "prepare.py"), "--out", str(tmp_path), *wrong]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
