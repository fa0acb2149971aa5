"""Where the time went: stages fill the bar, and the numbers are the report's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ortbatch.metrics.stages import StageTimes
from ortbatch.report.page.blocks import Fragment
from ortbatch.report.page.stages import time_spent
from tests.unit.report import made
from tests.unit.report.page.cells import keyed, tables


def bar(report: dict[str, Any]) -> list[dict[str, Any]]:
    found = [block for block in time_spent(report).blocks if isinstance(block, Fragment) and "stages" in block.values]
    return found[0].values["stages"] if found else []


def test_numbers_are_those_of_the_report() -> None:
    report = made.binary()
    found, of = keyed(time_spent(report)), report["throughput"]
    assert found["throughput.rows_per_s"] == of["rows_per_s"]["value"]
    assert found["throughput.pass_s"] == of["pass_s"]
    assert found["run.duration_s"] == report["run"]["duration_s"]
    assert {key: found[f"throughput.seconds.{key}"] for key in of["seconds"]} == of["seconds"]


def test_stages_lie_end_to_end_and_fill_the_bar() -> None:
    stages = bar(made.binary())
    assert [stage["width"] for stage in stages] == [300, 100, 500, 100, 0]
    assert [stage["x"] for stage in stages] == [0, 300, 400, 900, 1000]
    assert [stage["share"] for stage in stages] == ["30.0%", "10.0%", "50.0%", "10.0%", "0.0%"]


def test_no_time_is_no_bar() -> None:
    report = made.report(replace(made.label_tally([[1, 0], [0, 1]]), stages=StageTimes()))
    assert bar(report) == []
    assert list(tables(time_spent(report))) == ["Pace"]


@pytest.mark.parametrize(
    ("workers", "said"), [(1, "on 1 worker of 2 streams each"), (3, "on 3 workers of 2 streams each")]
)
def test_workers_and_streams_are_named(workers: int, said: str) -> None:
    report = made.binary()
    report["provenance"]["engine"]["workers"] = workers
    assert said in time_spent(report).blocks[0].text  # type: ignore[union-attr]
