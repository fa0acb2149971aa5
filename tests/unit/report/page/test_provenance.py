"""Provenance: what the report knows is shown, as text, and the job reads back as it was resolved."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML

from ortbatch.report.page.blocks import Fragment
from ortbatch.report.page.provenance import provenance
from tests.unit.report import made
from tests.unit.report.page.cells import tables, texts

LADDER = [
    {"rows": 64, "rows_per_s": 1234567.8, "same_scores": True},
    {"rows": 128, "rows_per_s": None, "same_scores": False},
]
SIZE = {"rows": 64, "how": "tuned", "why": "fastest", "seconds": 1.25, "streams": 2, "ladder": LADDER}


def text_of(report: dict[str, Any], title: str) -> str:
    found = [block for block in provenance(report).blocks if isinstance(block, Fragment)]
    return next(str(block.values["text"]) for block in found if block.values.get("title") == title)


def job_of(report: dict[str, Any]) -> str:
    return text_of(report, "The job, with all its keys")


def test_the_job_reads_back_as_it_was_resolved() -> None:
    report = made.binary("accuracy >= 0.9", "recall[dog] >= 0.5", keys={"slices": ["country"]})
    assert YAML(typ="safe").load(job_of(report)) == report["job"]


def test_secrets_of_paths_are_not_there() -> None:
    report = made.binary(keys={"data": {"path": "s3://AKIA:hidden@bucket/data?token=hidden"}})
    assert "s3://***@bucket" in job_of(report)
    assert "hidden" not in str(provenance(report))


def test_names_in_the_job_begin_no_line_and_end_none() -> None:
    report = made.binary(keys={"slices": ["a\nb\u2028c\x1b[2J\u202egnp"]})
    assert not set("\u2028\x1b\u202e") & set(job_of(report))
    assert YAML(typ="safe").load(job_of(report))["name"] == "made"


def test_a_job_of_very_many_lines_is_cut_and_says_so() -> None:
    report = made.binary()
    report["job"]["data"]["path"] = [f"part-{number}" for number in range(5_000)]
    lines = job_of(report).splitlines()
    assert len(lines) == 1_001
    assert lines[-1].endswith("lines more, in report.json")


def test_model_data_versions_and_machine_are_shown() -> None:
    found = tables(provenance(made.binary()))
    assert ["sha256", "a" * 64] in texts(found["Model"])
    assert ["data plan digest", "b" * 64] in texts(found["Run"])
    assert ["id", "20261123T190945Z-ae3c9108-c1d1"] in texts(found["Run"])
    assert texts(found["Versions"]) == [["ortbatch", "0.1.0"]]
    assert {"engine", "cpus", "retries"} <= {row[0] for row in texts(found["Engine and machine"])}


def test_the_sizes_that_were_tried_are_shown_with_their_pace() -> None:
    report = made.binary()
    report["provenance"]["batch_size"] = SIZE
    found = tables(provenance(report))
    assert texts(found["Batch sizes tried"]) == [["64", "1,234,568", "yes"], ["128", "–", "no"]]
    assert ["how", "tuned"] in texts(found["Batch size"])


def test_what_went_wrong_is_shown_inert_and_counted() -> None:
    report = made.binary()
    report["provenance"]["faults"] = [f"worker {number} ended\x1b[31m" for number in range(60)]
    table = tables(provenance(report))["What went wrong on the way: 60"]
    assert len(table.rows) == 50
    assert table.rows[0][0].text == "worker 0 ended\\x1b[31m"
    assert table.note == "The first 50 of 60."


def test_predictions_and_earlier_runs_are_named() -> None:
    report = made.binary()
    report["predictions"] = {"folder": "out", "files": 2, "rows": 7, "columns": ["id", "score"]}
    report["baselines"] = {
        "before": {"run_id": "x1", "metrics": {"accuracy": {}}},
        "none": {"missing": "no run", "if_missing": "pass"},
    }
    found = tables(provenance(report))
    assert ["columns", "id, score"] in texts(found["Predictions that were written"])
    assert texts(found["Earlier run before"]) == [["run id", "x1"]]
    assert texts(found["Earlier run none"])[0] == ["missing", "no run"]
