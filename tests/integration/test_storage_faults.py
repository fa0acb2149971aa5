"""Between ortbatch and a real store stands a proxy that fails: what a run gives is what it gives on a disk."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ortbatch.api import Options, run_job
from ortbatch.data.atomic import write_bytes
from ortbatch.data.fetches import Fetches
from ortbatch.data.plan import Plan, make_plan
from ortbatch.data.reader import Reader
from ortbatch.job import load_job
from tests.faults.fault_job import FILES, end, lasting, make_fault_job, start
from tests.faulty_proxy import Proxy, Rule, faulty_proxy
from tests.s3 import KEY, S3, SECRET

INLINE = ("--engine", "inline")
IMPATIENT = """
import ortbatch.data.retry as retry, ortbatch.data.storage as storage
storage.PATIENCE = retry.Patience(seconds=1)
schedule.STORAGE_ERRORS_OF_A_SHARD = 2
"""
PREDICTIONS = "predictions={columns: [f0]}"
MIXES = {
    "answers": [Rule("slow_down", share=0.08), Rule("internal", share=0.08)],
    "connections": [
        Rule("reset", share=0.05),
        Rule("lost", share=0.05),
        Rule("cut", "GET", share=0.15),
    ],
    "bodies": [
        Rule("short", "GET", path=r"parquet|onnx", share=0.1),
        Rule("short", "GET", path=r"parquet|onnx", share=0.1, keep=0.0),
        Rule("short", "GET", path=r"parquet|onnx", share=0.1, keep=1.0),
        Rule("slow", "GET", share=0.1),
    ],
}


@dataclass(frozen=True)
class OnStore:
    """The job with model, data, predictions and run folder in the bucket, by way of a proxy."""

    job: Path
    s3: S3

    def sets(self, proxy: Proxy) -> list[str]:
        there = {"data.path": proxy.uri("faulty/data"), "model.path": proxy.uri("faulty/model.onnx")}
        return [*(f"{key}={json.dumps(uri)}" for key, uri in there.items()), PREDICTIONS]

    def arguments(self, proxy: Proxy, run: str) -> list[str]:
        sets = [word for override in self.sets(proxy) for word in ("--set", override)]
        return ["run", str(self.job), "--run-dir", proxy.uri(f"faulty/{run}"), *INLINE, *sets]

    def run(self, proxy: Proxy, run: str) -> None:
        options = Options(run_dir=proxy.uri(f"faulty/{run}"), engine="inline")
        run_job(load_job(self.job, overrides=self.sets(proxy)), options)

    def found(self, run: str) -> Found:
        return Found.of(self.s3.objects(f"faulty/{run}"))


@dataclass(frozen=True)
class Found:
    """What a run left: what no fault may change of its report, its predictions byte by byte, names of all else."""

    report: dict[str, Any]
    predictions: dict[str, bytes]
    names: set[str]

    @classmethod
    def of(cls, files: dict[str, bytes]) -> Found:
        parts = {name: content for name, content in files.items() if name.startswith("predictions/")}
        return cls(lasting(json.loads(files["report.json"])), parts, set(files) - set(parts))


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fault_job(tmp_path_factory.mktemp("faulty") / "job")


@pytest.fixture(scope="module")
def local(job: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """A run on a disk."""
    run = tmp_path_factory.mktemp("local")
    run_job(load_job(job, overrides=[PREDICTIONS]), Options(run_dir=str(run), engine="inline"))
    return Found.of({str(p.relative_to(run)): p.read_bytes() for p in run.rglob("*") if p.is_file()})


@pytest.fixture(scope="module")
def on_store(s3: S3, job: Path) -> OnStore:
    s3.upload(job.parent / "data", "faulty/data")
    write_bytes(s3.uri("faulty/model.onnx"), (job.parent / "model.onnx").read_bytes())
    return OnStore(job, s3)


@pytest.fixture(scope="module", params=MIXES)
def disturbed(on_store: OnStore, request: pytest.FixtureRequest) -> tuple[str, Proxy]:
    """A run through faults of some kinds, and the proxy that it went through."""
    with faulty_proxy(on_store.s3.port, MIXES[request.param]) as proxy:
        on_store.run(proxy, request.param)
        return request.param, proxy


def test_faults_of_each_kind_were_done(disturbed: tuple[str, Proxy]) -> None:
    name, proxy = disturbed
    assert all(proxy.counts[rule.fault] > 0 for rule in MIXES[name])
    assert proxy.total >= 10


def test_a_run_through_faults_gives_what_one_on_a_disk_gives(
    disturbed: tuple[str, Proxy], on_store: OnStore, local: Found
) -> None:
    assert on_store.found(disturbed[0]).report == local.report


def test_its_predictions_are_byte_for_byte_those_of_one_on_a_disk(
    disturbed: tuple[str, Proxy], on_store: OnStore, local: Found
) -> None:
    assert len(local.predictions) == FILES + 2
    assert on_store.found(disturbed[0]).predictions == local.predictions


def test_it_leaves_nothing_else(disturbed: tuple[str, Proxy], on_store: OnStore) -> None:
    assert on_store.found(disturbed[0]).names <= {"metrics.csv", "plan.json", "report.html", "report.json"}


@pytest.fixture(scope="module")
def outage(on_store: OnStore, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, int]:
    """A store that goes down in the middle of a run, and comes back: exit code and stderr, then exit code."""
    job = make_fault_job(tmp_path_factory.mktemp("outage") / "job", pace=0.2)
    slower = OnStore(job, on_store.s3)
    with faulty_proxy(on_store.s3.port) as proxy:
        running = start(*slower.arguments(proxy, "outage"), more=IMPATIENT)
        wait_for(proxy, r"PUT .*\.segment", 2, running)
        proxy.down = True
        code, err = end(running, timeout=120)
        proxy.down = False
        again, _ = end(start(*slower.arguments(proxy, "outage")), timeout=120)
    return code, err, again


def wait_for(proxy: Proxy, pattern: str, times: int, running: subprocess.Popen[str] | None = None) -> None:
    """Until so many requests came that a pattern fits."""
    until = time.monotonic() + 60
    while sum(re.match(pattern, request) is not None for request in list(proxy.requests)) < times:
        assert time.monotonic() < until, proxy.requests[-5:]
        assert running is None or running.poll() is None, running.communicate()
        time.sleep(0.002)


def test_a_store_that_stays_away_ends_the_run_with_5(outage: tuple[int, str, int]) -> None:
    assert outage[0] == 5, outage[1]


def test_it_is_said_where_and_what_to_do_without_the_secret(outage: tuple[int, str, int]) -> None:
    _, err, _ = outage
    assert "s3://***@bucket/faulty/" in err
    assert "again" in err
    assert not [secret for secret in (KEY, SECRET) if secret in err]


def test_the_same_command_goes_on_when_the_store_is_back(
    outage: tuple[int, str, int], on_store: OnStore, local: Found
) -> None:
    assert outage[2] == 0
    found = on_store.found("outage")
    assert found.report == local.report
    report = json.loads(on_store.s3.objects("faulty/outage")["report.json"])
    assert 0 < report["provenance"]["restored_shards"] < FILES


def test_a_store_that_is_away_from_the_start_ends_with_5(on_store: OnStore) -> None:
    with faulty_proxy(on_store.s3.port) as proxy:
        proxy.down = True
        code, err = end(start(*on_store.arguments(proxy, "never"), more=IMPATIENT), timeout=120)
    assert code == 5, err
    assert "s3://***@bucket/faulty/" in err


def test_a_driver_killed_while_it_writes_goes_on_and_gives_the_same(on_store: OnStore, local: Found) -> None:
    with faulty_proxy(on_store.s3.port, latency=0.01) as proxy:
        for number in (1, 2):
            proxy.requests.clear()
            running = start(*on_store.arguments(proxy, "killed"))
            wait_for(proxy, r"PUT .*\.segment", 1, running)
            wait_for(proxy, r"PUT .*/part-", 8 * number, running)
            running.kill()
            end(running)
        assert end(start(*on_store.arguments(proxy, "killed")), timeout=120)[0] == 0
    found = on_store.found("killed")
    assert (found.report, found.predictions) == (local.report, local.predictions)


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    with faulty_proxy(s3.port) as found:
        yield found


def plan_of(proxy: Proxy) -> Plan:
    return make_plan([proxy.uri("faulty/data")], None, lambda *_: None)


def test_footers_are_read_side_by_side(on_store: OnStore) -> None:
    with faulty_proxy(on_store.s3.port, latency=0.1) as proxy:
        assert len(plan_of(proxy).files) == FILES
    assert proxy.most_at_once >= 8


def test_shards_are_fetched_before_they_are_asked_for(on_store: OnStore, proxy: Proxy) -> None:
    plan = plan_of(proxy)
    proxy.requests.clear()
    ahead = Fetches(["label"])
    with ahead.expecting(plan.shards[:2]):
        for name in ("000", "001"):
            wait_for(proxy, rf"GET .*/{name}\.parquet", 1)
        with Reader(["label"], ahead) as rows, closing(rows.read(plan.shards[0])) as blocks:
            next(blocks)
        assert not [request for request in proxy.requests if "/002.parquet" in request]


def test_rows_that_were_fetched_ahead_are_those_of_their_shard(on_store: OnStore, proxy: Proxy) -> None:
    plan = plan_of(proxy)
    ahead = Fetches(["f0", "label"])
    with ahead.expecting(list(plan.shards)), Reader(["f0", "label"], ahead) as rows:
        read = [b.table for shard in plan.shards for b in rows.read(shard)]
    tables = [pq.read_table(path, columns=["f0", "label"]) for path in sorted((on_store.job.parent / "data").iterdir())]
    assert [table.to_pydict() for table in read] == [table.to_pydict() for table in tables]
