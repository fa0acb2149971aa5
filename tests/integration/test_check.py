"""`ortbatch check`: what it says of a run, and that its estimates are made of what was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest

from ortbatch.job import load_job
from ortbatch.job.gates import Gate, GateMapping
from ortbatch.metrics.intervals import wilson
from ortbatch.preflight import needed, preflight
from ortbatch.preflight_schema import PREFLIGHT_SCHEMA
from ortbatch.preflight_text import seconds
from tests.command_line import JOB, Done, call, files_of, make_job, write_rows

KEYS_OF_ESTIMATE = PREFLIGHT_SCHEMA["properties"]["estimate"]["anyOf"][0]["properties"]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """job.yaml of the small job; do not write beside it."""
    return make_job(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def told(job: Path) -> dict[str, Any]:
    """What `check --json` says of it."""
    data: dict[str, Any] = json.loads(call("check", job, "--json").out)
    return data


def said(done: Done) -> str:
    """What was printed, on one line."""
    assert done.code == 0, done.err
    return " ".join(done.out.split())


def test_json_keeps_the_schema_that_is_published(told: dict[str, Any]) -> None:
    schema = json.loads(call("schema", "check").out)
    assert schema == PREFLIGHT_SCHEMA
    jsonschema.Draft202012Validator(schema).validate(told)


def test_json_says_what_feeds_the_model_and_what_it_is_held_against(told: dict[str, Any]) -> None:
    (fed,) = told["inputs"]
    assert (fed["name"], fed["columns"], fed["row_shape"]) == ("x", ["f0", "f1", "f2", "f3"], [4])
    assert (told["label"]["column"], told["classes"], told["task"]) == ("label", ["0", "1", "2"], "multiclass")
    assert told["data"] == {"rows": 120, "files": 3, "shards": 3, "largest_group_rows": 40}


def test_json_goes_to_stdout_alone(job: Path) -> None:
    done = call("check", job, "--json")
    assert done.err == ""
    assert json.loads(done.out)["job"] == "small"


def test_a_check_with_an_estimate_writes_nothing(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    before = files_of(tmp_path)
    assert "time, estimated: " in said(call("check", job))
    assert files_of(tmp_path) == before


def test_the_time_is_the_rows_over_the_rate_of_all_streams(told: dict[str, Any]) -> None:
    estimate, engine = told["estimate"], told["engine"]
    a_row = estimate["read_s_per_row"] + estimate["other_s_per_row"]
    streams = min(engine["workers"] * engine["streams_per_worker"], told["data"]["shards"])
    assert estimate["pass_s"] == pytest.approx(120 * a_row / streams)
    assert estimate["rows_per_s"] == pytest.approx(streams / a_row)


def test_the_memory_is_the_sum_of_its_parts(told: dict[str, Any]) -> None:
    parts = [told["estimate"][f"{part}_bytes"] for part in ("base", "session", "groups", "batch")]
    assert told["estimate"]["worker_bytes"] == sum(parts)
    assert min(parts) > 0


def test_memory_grows_with_the_largest_row_group_and_with_the_batch(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    small = preflight(load_job(job)).forecast
    write_rows(tmp_path / "job" / "data" / "part-1.parquet", rows=40_000, group=40_000)
    large = preflight(load_job(job, {}, ["model.batch_size=20000"])).forecast
    assert small is not None
    assert large is not None
    columns = 4 * 4 + 8
    assert large.groups_bytes / 40_000 == pytest.approx(small.groups_bytes / 40, rel=0.2)
    assert large.groups_bytes % 40_000 == 0 or large.groups_bytes >= 40_000 * columns
    assert large.batch_bytes > small.batch_bytes


def test_no_more_rows_are_timed_than_the_row_group_has(told: dict[str, Any]) -> None:
    assert told["estimate"]["rows_timed"] == 40


def test_a_row_group_that_cannot_be_read_costs_the_estimate_only(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    write_rows(tmp_path / "job" / "data" / "part-0.parquet", rows=300)
    path = tmp_path / "job" / "data" / "part-1.parquet"
    chunk = pq.read_metadata(path).row_group(0).column(0)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset : chunk.data_page_offset + 8] = b"\xff" * 8
    path.write_bytes(content)
    told = json.loads(call("check", job, "--json").out)
    assert told["estimate"] is None
    assert "part-1.parquet" in told["not_estimated"]
    assert "time and memory: not estimated: " in said(call("check", job))


def test_training_data_and_what_is_looked_for_are_told(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", JOB + "checks: {training_data: train, overfitting: false}\n")
    (tmp_path / "job" / "train").mkdir()
    write_rows(tmp_path / "job" / "train" / "part.parquet", rows=70)
    assert "training data: 70 rows in 1 files, for leakage" in said(call("check", job))
    told = json.loads(call("check", job, "--json").out)
    assert told["training_data"] == {"rows": 70, "files": 1, "leakage": True, "overfitting": False}


def test_baselines_of_both_kinds_are_told(tmp_path: Path) -> None:
    text = "baselines: {same: model.onnx, night: {run: 'runs/*', if_missing: pass}}\n"
    job = make_job(tmp_path / "job", JOB + text)
    told = json.loads(call("check", job, "--json").out)
    assert told["baselines"] == [
        {"name": "same", "kind": "onnx", "run": None},
        {"name": "night", "kind": "run", "run": None},
    ]
    assert "baseline night: no run: " in said(call("check", job))


def test_a_gate_that_so_few_batches_cannot_decide_is_told_before_the_run(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", JOB.replace("coverage >= 1", "latency.batch.p99_ms <= 10"))
    assert "368 batches; 120 rows make about 1: this run cannot decide it" in said(call("check", job))


def gate(**keys: Any) -> Gate:
    return GateMapping.model_validate(keys).gate()


@pytest.mark.parametrize("limit", [0.5, 0.9, 0.95, 0.999])
def test_the_fewest_rows_are_those_whose_interval_begins_at_the_limit(limit: float) -> None:
    text, _ = needed(gate(metric="accuracy", min=limit, confidence=0.95), 10, 1)
    rows = int(re.findall(r"[\d,]+", text)[0].replace(",", ""))
    assert wilson(rows, rows, 0.95)[0] >= limit > wilson(rows - 1, rows - 1, 0.95)[0]


@pytest.mark.parametrize(("rows", "lacks"), [(72, True), (73, False)])
def test_a_gate_with_confidence_lacks_rows_below_that(rows: int, lacks: bool) -> None:
    assert needed(gate(metric="accuracy", min=0.95, confidence=0.95), rows, 1)[1] == lacks


@pytest.mark.parametrize("keys", [{"metric": "accuracy", "min": 0.9}, {"metric": "f1", "min": 0.9, "confidence": 0.9}])
def test_of_other_gates_nothing_is_known_before(keys: dict[str, Any]) -> None:
    assert needed(gate(**keys), 10, 1) == ("", False)


def test_a_limit_that_no_number_of_rows_reaches_is_not_counted() -> None:
    assert needed(gate(metric="accuracy", min=1.0, confidence=0.95), 10, 1) == ("", False)


@pytest.mark.parametrize("key", [*PREFLIGHT_SCHEMA["properties"], *KEYS_OF_ESTIMATE])
def test_every_key_of_the_json_is_described(key: str) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "commands" / "check.md").read_text()
    assert f"`{key}`" in text


@pytest.mark.parametrize(("value", "text"), [(0.04, "0.04 s"), (9.96, "10 s"), (59.0, "59 s"), (5400.0, "1.5 h")])
def test_durations_are_as_people_say_them(value: float, text: str) -> None:
    assert seconds(value) == text
