"""What a run leaves in predictions/, however it ends, and that nothing but the job and its data can be seen in it."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch.api import Options, run_job
from ortbatch.data import data_file
from ortbatch.data.plan import Shard
from ortbatch.engine import checkpoint, driver, evaluate, folder, pool, predictions, rules, turned
from ortbatch.engine.owner import Owner
from ortbatch.errors import RunFolderError, ShardError, StorageError
from ortbatch.job import Job, load_job
from ortbatch.model.outputs import Decision, Output
from ortbatch.report.report import Report
from tests.faults.fault_job import end, make_fault_job, start, wait_for_segments
from tests.integration.test_predictions import (
    FAULTS,
    FILTER,
    TASKS,
    Asked,
    check_report,
    check_rows,
    expected,
    make_files,
    written,
)
from tests.models import product_model
from tests.tables import corrupt, write_table

TASK = TASKS["three logits"]
# Preflight reads 256 rows, and so not the third file.
SIZES = (400, 3, 60, 41)
LATE = range(403, 463)
DONE = {"_SUCCESS", "_manifest.json"}
HANGS = """
import time
from pathlib import Path
import numpy as np

def feed(batch):
    ids = batch.column("id").to_pylist()
    while len(ids) == {rows} and ids[0] == {first} and not Path({until!r}).exists():
        time.sleep(0.01)
    return {{"x": np.array(batch.column("x").to_pylist(), np.float32)}}
"""


class EndedError(BaseException):
    """The process ends here."""


def ends(*_: object) -> None:
    raise EndedError


def job(kinds: str = FAULTS, **keys: Any) -> Asked:
    """A shard a file, with faults of some kinds in its rows."""
    return Asked(TASK, make_files(TASK, SIZES, 4, 0.2, kinds), **{"top_k": 2, "shard_rows": 1, "data": FILTER, **keys})


def listed(run: Path) -> set[str]:
    return {path.name for path in (run / "predictions").iterdir()}


def parts(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "predictions").glob("*.parquet"))}


def manifest(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "predictions/_manifest.json").read_text()))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """A folder with a job and its finished run; do not write there."""
    place = tmp_path_factory.mktemp("finished")
    job().write(place)
    return place, job().run(place)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    job().write(tmp_path)
    return tmp_path


def test_the_manifest_names_every_file_with_its_rows_and_hash(finished: tuple[Path, Report]) -> None:
    place, _ = finished
    found = manifest(place / "run")
    assert [part["rows"] for part in found["files"]] == list(SIZES)
    assert found["rows"] == sum(SIZES)
    assert listed(place / "run") == DONE | {part["name"] for part in found["files"]}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in parts(place / "run").items()}
    assert {part["name"]: part["sha256"] for part in found["files"]} == hashes
    for number, part in enumerate(found["files"]):
        assert re.fullmatch(rf"part-{number:06}-[0-9a-f]{{8}}\.parquet", part["name"])


def test_report_and_predictions_tell_the_same_of_the_same_run(finished: tuple[Path, Report]) -> None:
    place, report = finished
    check_report(report, written(place / "run"), TASK.classes)
    names = pq.read_table(place / "run/predictions").schema.names
    told = report.data["predictions"]
    assert told == {"folder": "predictions", "files": len(SIZES), "rows": sum(SIZES), "columns": names}
    for number, path in enumerate(sorted((place / "run/predictions").glob("*.parquet"))):
        told = pq.read_metadata(path).metadata
        assert told[b"ortbatch.model_sha256"].decode() == report.data["provenance"]["model"]["sha256"]
        assert told[b"ortbatch.evaluation_digest"].decode() == report.data["job"]["evaluation_digest"]
        assert told[b"ortbatch.shard"].decode() == str(number)


def test_a_flipped_byte_of_a_part_is_caught_by_its_page_checksum(finished: tuple[Path, Report], tmp_path: Path) -> None:
    for name, content in parts(finished[0] / "run").items():
        path = tmp_path / name
        for column in range(pq.read_metadata(finished[0] / "run/predictions" / name).num_columns):
            path.write_bytes(content)
            corrupt(path, column, 0)
            with pytest.raises(OSError, match="CRC checksum verification failed"):
                pq.read_table(path, page_checksum_verification=True)


def test_a_part_has_the_same_columns_whatever_became_of_its_rows(tmp_path: Path) -> None:
    asked, faults = job(""), ({}, {"x": None}, {"split": "train"}, {})
    asked.files = [[{**row, **fault} for row in rows] for rows, fault in zip(asked.files, faults, strict=True)]
    got = asked.done(tmp_path)
    assert [row["rejected_reason"] for row in got[400:463]] == ["null_feature"] * 3 + ["filtered"] * 60
    schemas = [pq.read_schema(path) for path in sorted((tmp_path / "run/predictions").glob("*.parquet"))]
    assert [schema.equals(schemas[0]) for schema in schemas] == [True] * 4
    assert schemas[1].field("score").type == pa.float64()
    assert schemas[1].field("top_k_labels").type == pa.list_(pa.field("element", pa.string()))


def test_files_that_the_run_did_not_write_are_gone_when_it_is_complete(place: Path, tmp_path: Path) -> None:
    (place / "run/predictions").mkdir(parents=True)
    for name in ("part-000000-00000000.parquet", "part-000099-00000000.parquet", "notes.txt", "_SUCCESS"):
        (place / "run/predictions" / name).write_bytes(b"old")
    job().run(place)
    assert listed(place / "run") == DONE | {part["name"] for part in manifest(place / "run")["files"]}
    assert len(manifest(place / "run")["files"]) == len(SIZES)


def test_a_run_that_fails_is_not_complete(place: Path) -> None:
    job().run(place)
    first = listed(place / "run")
    assert first > DONE
    corrupt(place / "data/002.parquet", 1, 0)
    with pytest.raises(ShardError, match="cannot be decoded"):
        job().run(place, force=True)
    assert not listed(place / "run") & DONE
    assert not (place / "run/report.json").exists()


def test_a_quarantined_shard_has_no_part_and_takes_none_from_others(tmp_path: Path) -> None:
    asked = job(shard_rows=10, group_rows=10, execution={"on_bad_shard": "quarantine"})
    asked.done(tmp_path)
    truth = [row for row in expected(asked, tmp_path) if row["id"] not in LATE[:10]]
    corrupt(tmp_path / "data/002.parquet", 1, 0)
    report = asked.run(tmp_path, force=True)
    assert [left_out["rows"] for left_out in report.data["coverage"]["shards"]["quarantined"]] == [10]
    check_rows(written(tmp_path / "run"), truth, 2)
    assert listed(tmp_path / "run") == DONE | {part["name"] for part in manifest(tmp_path / "run")["files"]}


def test_a_shard_that_ends_after_it_was_given_up_adds_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "LONGEST_DELAY", 0.1)
    monkeypatch.setattr(pool, "_CLOSE_SECONDS", 0.0)
    transform = {"transform": {"function": "prep:feed", "columns": ["id", "x"]}}
    execution = {"on_bad_shard": "quarantine", "shard_seconds": 0.2}
    asked = job("", model=transform, batch_size=64, execution=execution)
    asked.write(tmp_path)
    (tmp_path / "prep.py").write_text(HANGS.format(rows=len(LATE), first=LATE.start, until=str(tmp_path / "go on")))
    asked.run(tmp_path)
    before = listed(tmp_path / "run")
    (tmp_path / "go on").touch()
    for thread in threading.enumerate():
        if thread.name == "stream":
            thread.join(5)
    assert listed(tmp_path / "run") == before


def test_a_part_that_could_not_be_written_at_first_is_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, failures = predictions.write_bytes, iter([StorageError("no room")])

    def failing(uri: str, content: bytes) -> None:
        if "part-000002" in uri and (failure := next(failures, None)):
            raise failure
        write(uri, content)

    monkeypatch.setattr(predictions, "write_bytes", failing)
    job().run(place)
    assert [row["id"] for row in written(place / "run")] == list(range(sum(SIZES)))


VARIANTS: dict[str, tuple[Any, str, Any]] = {
    "small windows": (evaluate, "_WINDOW_VALUES", 24),
    "row groups in parts": (data_file, "_rows_of_part", lambda *_: 7),
    "files apart": (evaluate, "_SMALL_ROWS", 0),
}


@pytest.mark.parametrize(("shard_rows", "kinds"), [(1, FAULTS), (1_000, FAULTS), (1_000, "number split")])
def test_parts_are_byte_identical_however_rows_are_fed(tmp_path: Path, shard_rows: int, kinds: str) -> None:
    asked = job(kinds, shard_rows=shard_rows)
    asked.write(tmp_path)
    asked.run(tmp_path)
    for name, patched in VARIANTS.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(*patched)
            asked.run(tmp_path, name)
        assert (parts(tmp_path / name), manifest(tmp_path / name)) == (
            parts(tmp_path / "run"),
            manifest(tmp_path / "run"),
        )


def test_parts_are_byte_identical_in_any_order_of_shards(finished: tuple[Path, Report]) -> None:
    place, _ = finished
    job().run(place, "order", order=[3, 1, 0, 2])
    assert parts(place / "order") == parts(place / "run")
    assert manifest(place / "order") == manifest(place / "run")


def test_parts_of_a_model_fed_by_columns_hold_the_same_bytes(tmp_path: Path) -> None:
    product_model(tmp_path / "m.onnx", 24, 3)
    names = [f"f{place}" for place in range(24)]
    x = np.random.default_rng(0).normal(size=(3_000, 24)).astype(np.float32)
    rows = pa.table({**dict(zip(names, x.T, strict=True)), "y": np.arange(3_000) % 3})
    write_table(tmp_path / "data/a.parquet", rows, [1_001, 1_000, 999])
    model = {"path": "m.onnx", "inputs": {"x": names}, "batch_size": 100}
    keys = {"name": "p", "model": model, "data": {"path": "data", "label": "y"}, "predictions": {"columns": ["f3"]}}
    asked, runs = Job.from_mapping({**keys, "latency": {"max_seconds": 0.01}}, tmp_path), []
    for name, gaining in (("columns", turned.inputs_for_columns), ("rows", lambda _: ())):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(turned, "inputs_for_columns", gaining)
            runs.append(run_job(asked, Options(run_dir=str(tmp_path / name), engine="inline")).report)
    assert [run.data["provenance"]["identity"]["by_columns"] for run in runs] == ["x", ""]
    assert list(parts(tmp_path / "columns").values()) == list(parts(tmp_path / "rows").values())


def test_parts_made_on_ray_are_byte_identical(finished: tuple[Path, Report], tmp_path: Path, ray_cluster: Any) -> None:
    place, _ = finished
    job(execution={"workers": 2, "cpus_per_worker": 1}).run(place, str(tmp_path / "ray"), engine="ray")
    assert parts(tmp_path / "ray") == parts(place / "run")
    assert manifest(tmp_path / "ray") == manifest(place / "run")


def test_parts_of_a_run_whose_driver_was_killed_are_byte_identical(tmp_path: Path) -> None:
    asked, wanted = make_fault_job(tmp_path / "job", pace=0.05), "predictions={columns: [f0], top_k: 3}"
    running = start("run", asked, "--run-dir", tmp_path / "run", "--engine", "inline", "--set", wanted)
    wait_for_segments(tmp_path / "run", 2, running)
    running.kill()
    end(running)
    assert parts(tmp_path / "run")
    assert not listed(tmp_path / "run") & DONE
    for name in ("run", "undisturbed"):
        report = run_job(
            load_job(asked, overrides=[wanted]), Options(run_dir=str(tmp_path / name), engine="inline")
        ).report
        assert (report.data["provenance"]["restored_shards"] > 0) == (name == "run")
    assert parts(tmp_path / "run") == parts(tmp_path / "undisturbed")
    assert manifest(tmp_path / "run") == manifest(tmp_path / "undisturbed")


def test_a_finished_run_that_is_asked_for_again_leaves_its_predictions_alone(place: Path) -> None:
    job().run(place)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (place / "run/predictions").iterdir()}
    (place / "run/predictions/mine.txt").touch()
    job().run(place)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before
    assert "mine.txt" in listed(place / "run")


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("change", [{"columns": ["id", "y"]}, {"columns": ["id"]}, None])
def test_other_predictions_in_the_folder_of_a_run_are_refused(place: Path, complete: bool, change: Any) -> None:
    if complete:
        job().run(place)
    else:
        end_at(place, predictions, "finish")
    keys = {**job().keys(), "predictions": change}
    if change is None:
        del keys["predictions"]
    with pytest.raises(RunFolderError, match=r"of something else: predictions is [0-9a-f]{12} there, \w+ here"):
        run_job(Job.from_mapping(keys, place), Options(run_dir=str(place / "run"), engine="inline"))


def end_at(place: Path, module: Any, name: str, **options: Any) -> None:
    """A run whose process ends at a call of a function, with all shards kept that were done."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "_FLUSH_SECONDS", 0)
        patch.setattr(driver, "_TICK_SECONDS", 0)
        patch.setattr(module, name, ends)
        with pytest.raises(EndedError):
            job().run(place, **options)


@pytest.mark.parametrize(("module", "name"), [(predictions, "begin"), (folder, "remove")], ids=["begin", "remove"])
def test_a_run_that_ends_as_it_starts_over_does_not_pass_for_complete(
    place: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    job().run(place)
    end_at(place, module, name, force=True)
    monkeypatch.setattr(Owner, "lives", lambda _: False)
    job().run(place)
    assert listed(place / "run") > DONE
    assert [row["id"] for row in written(place / "run")] == list(range(sum(SIZES)))


def test_a_part_that_is_gone_when_a_run_goes_on_is_made_again(place: Path) -> None:
    end_at(place, predictions, "finish")
    next((place / "run/predictions").glob("part-000000-*")).unlink()
    check_report(job().run(place), written(place / "run"), TASK.classes)


def test_a_part_that_is_gone_at_the_end_is_missed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = predictions.write_bytes
    monkeypatch.setattr(predictions, "write_bytes", lambda uri, content: "part-000002" in uri or write(uri, content))
    with pytest.raises(StorageError, match=r"1 files of predictions are gone, the first part-000002-"):
        job().run(place)
    assert not listed(place / "run") & DONE


def test_a_run_without_predictions_leaves_none_of_the_run_before(place: Path) -> None:
    job().run(place)
    keys = job().keys()
    del keys["predictions"]
    run_job(Job.from_mapping(keys, place), Options(run_dir=str(place / "run"), engine="inline", force=True))
    assert listed(place / "run") == set()


def test_a_part_without_rows_has_the_columns_of_all(finished: tuple[Path, Report], tmp_path: Path) -> None:
    kept, sink = predictions.Kept(pa.schema({"id": pa.int64()}), 2), predictions.Sink(str(tmp_path), "", "0" * 64, {})
    decision = Decision(Output("out", "logits", 3, "job"), TASK.classes, None, 0.5)
    part = predictions.ShardPredictions(kept, sink, decision).write(Shard(5, (), {}))
    (path,) = tmp_path.iterdir()
    assert (part.rows, part.sha256) == (0, hashlib.sha256(path.read_bytes()).hexdigest())
    assert pq.read_schema(path).equals(pq.read_schema(next((finished[0] / "run/predictions").glob("*.parquet"))))
