"""Metrics of a run as a cluster's Prometheus would read them: scraped from the agent of a real Ray."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch.engine.live_metrics import EDGES_S
from tests.command_line import Done, process
from tests.faults.fault_job import make_fault_job
from tests.ray_head import LOCAL, running_head

LINE = re.compile(r"^ray_ortbatch_(\w+?)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Ran:
    """A run that met faults, and what was scraped after it: (metric, label's value) → sum."""

    report: dict[str, Any]
    scraped: dict[tuple[str, str], float]
    runs: set[str]
    done: Done


def scrape(port: int) -> tuple[dict[tuple[str, str], float], set[str]]:
    """Each metric by its own label, which is `fate`, `reason` or `le`, and the ids of runs."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[tuple[str, str], float] = defaultdict(float)
    runs = set()
    for name, labels, value in filter(None, (match and match.groups() for match in map(LINE.match, text.splitlines()))):
        tags = dict(LABEL.findall(labels))
        assert tags["job_name"] == "faults"
        runs.add(tags["run_id"])
        found[name, next((tags[key] for key in ("fate", "reason", "le") if key in tags), "")] += float(value)
    return found, runs


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """40 shards: one worker dies once, one shard is quarantined, seven rows have no label."""
    folder = tmp_path_factory.mktemp("live")
    faults = {20: f"once:{folder / 'died'}:die", 30: "memory"}
    job = make_fault_job(folder / "job", faults, workers=2, cpus_per_worker=1, on_bad_shard="quarantine")
    file = folder / "job" / "data" / "035.parquet"
    table = pq.read_table(file)
    labels = pa.array([None] * 7 + table["label"].to_pylist()[7:], pa.int64())
    pq.write_table(table.set_column(table.schema.get_field_index("label"), "label", labels), file)
    with running_head() as head:
        arguments = ("--address", head["address"], "--run-dir", folder / "run", "--no-progress", "--no-page")
        done = process("run", job, "--engine", "ray", "--set", "data.max_bad_rows=107", *arguments, **LOCAL)
        assert done.code == 0, done.err
        report = json.loads((folder / "run" / "report.json").read_text())
        end = time.monotonic() + 60
        while True:
            scraped, runs = scrape(head["port"])
            whole = scraped["rows_total", "evaluated"] == report["coverage"]["rows"]["evaluated"]
            if (whole and scraped["rows_total", "rejected"] == 107) or time.monotonic() > end:
                return Ran(report, scraped, runs, done)
            time.sleep(0.5)


def test_rows_are_those_of_the_report(ran: Ran) -> None:
    rows = ran.report["coverage"]["rows"]
    assert ran.scraped["rows_total", "evaluated"] == rows["evaluated"] == 3_893
    assert ran.scraped["rows_total", "rejected"] == sum(rows["rejected"].values())


def test_rejected_rows_stand_under_the_reasons_of_the_report(ran: Ran) -> None:
    told = {reason: rows for (name, reason), rows in ran.scraped.items() if name == "rejected_rows_total"}
    assert told == ran.report["coverage"]["rows"]["rejected"]
    assert len(told) == 2


def test_shards_are_those_of_the_report(ran: Ran) -> None:
    shards = ran.report["coverage"]["shards"]
    assert ran.scraped["shards_total", ""] == shards["done"] == 39
    assert ran.scraped["quarantined_shards_total", ""] == len(shards["quarantined"]) == 1


def test_retries_are_those_of_the_report(ran: Ran) -> None:
    assert ran.scraped["retries_total", ""] == ran.report["provenance"]["retries"] > 0


def test_batches_are_those_of_the_report(ran: Ran) -> None:
    batch = ran.report["latency"]["batch"]
    assert ran.scraped["batch_seconds_count_total", ""] == batch["count"]
    assert ran.scraped["batch_seconds_bucket_total", "+Inf"] == batch["count"]
    mean = ran.scraped["batch_seconds_sum_total", ""] / batch["count"] * 1e3
    assert mean == pytest.approx(batch["mean_ms"]["value"])


def test_no_bucket_holds_more_than_the_next_and_the_median_lies_where_the_report_says(ran: Ran) -> None:
    counts = [ran.scraped.get(("batch_seconds_bucket_total", repr(edge)), 0.0) for edge in EDGES_S]
    batch = ran.report["latency"]["batch"]
    assert counts == sorted(counts)
    above = next(place for place, count in enumerate(counts) if count >= batch["count"] / 2)
    assert batch["p50_ms"]["value"] <= EDGES_S[above] * 1e3 * 1.001
    assert above == 0 or batch["p50_ms"]["value"] > EDGES_S[above - 1] * 1e3


def test_every_metric_has_the_run_as_a_label(ran: Ran) -> None:
    assert ran.runs == {ran.report["run"]["id"]}


def test_nothing_is_said_of_metrics(ran: Ran) -> None:
    assert "metric" not in ran.done.err.lower()
