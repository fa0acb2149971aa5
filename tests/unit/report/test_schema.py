"""The schema is a promise: what breaks it is refused, and said where."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from ortbatch.report.schema import REPORT_SCHEMA, problems_of
from tests.unit.report.made import binary, label_tally, report

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return binary("accuracy >= 0.5", "latency.single.p99_ms <= 10", findings=[FINDING])


FINDING = {"severity": "warning", "code": "bound_by_order", "text": "columns in file order"}


def broken(whole: dict[str, Any], change: Change) -> list[str]:
    changed = copy.deepcopy(whole)
    change(changed)
    return problems_of(changed)


def test_the_schema_itself_is_valid() -> None:
    Draft202012Validator.check_schema(REPORT_SCHEMA)


def test_a_whole_report_has_no_problem(whole: dict[str, Any]) -> None:
    assert problems_of(whole) == []


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every mapping of a report, by path."""
    if isinstance(value, dict):
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


OPEN = {
    "recommended",
    "job",
    "rejected",
    "seconds",
    "identity",
    "vars",
    "binding",
    "versions",
    "engine",
    "host",
    "model",
    "data",
}


def test_an_extra_key_is_refused_wherever_keys_are_fixed(whole: dict[str, Any]) -> None:
    closed = [path for path in places(whole) if not OPEN & set(path)]
    assert len(closed) > 50
    for path in closed:
        problems = broken(whole, lambda changed, path=path: at(changed, path).update(extra=1))
        assert any("'extra' was unexpected" in problem for problem in problems), path


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize("section", sorted(REPORT_SCHEMA["required"]))
def test_a_missing_section_is_refused(whole: dict[str, Any], section: str) -> None:
    assert broken(whole, lambda changed: changed.pop(section)) == [f"report: '{section}' is a required property"]


REFUSED: dict[str, tuple[Change, str]] = {
    "a null without reason": (
        lambda r: r["quality"].update(accuracy={"value": None, "ci": None}),
        "quality.accuracy: 'reason' is a required property",
    ),
    "a null with an interval": (
        lambda r: r["quality"].update(accuracy={"value": None, "ci": [0, 1], "reason": "none"}),
        "quality.accuracy.ci: [0, 1] is not of type 'null'",
    ),
    "an interval with a reason": (
        lambda r: r["quality"].update(accuracy={"value": 0.5, "ci": [0, 1], "reason": "few"}),
        "quality.accuracy.ci: [0, 1] is not of type 'null'",
    ),
    "an interval of one end": (
        lambda r: r["quality"].update(accuracy={"value": 0.5, "ci": [0]}),
        "quality.accuracy.ci: [0] is not valid",
    ),
    "not a number": (
        lambda r: r["quality"]["accuracy"].update(value=float("nan")),
        "report.quality.accuracy.value: nan is not finite",
    ),
    "infinity": (
        lambda r: r["throughput"].update(pass_s=float("inf")),
        "report.throughput.pass_s: inf is not finite",
    ),
    "another version": (lambda r: r.update(schema_version=2), "schema_version: 1 was expected"),
    "a status that there is not": (lambda r: r.update(status="ok"), "status: 'ok' is not one of"),
    "a negative count": (
        lambda r: r["coverage"]["rows"].update(planned=-1),
        "coverage.rows.planned: -1 is less than the minimum of 0",
    ),
    "a count that is no integer": (
        lambda r: r["quality"].update(rows=1.5),
        "quality.rows: 1.5 is not of type 'integer'",
    ),
    "a dense matrix without counts": (
        lambda r: r["confusion_matrix"].pop("counts"),
        "confusion_matrix: 'counts' is a required property",
    ),
    "a sparse matrix without cells": (
        lambda r: r["confusion_matrix"].update(format="coo"),
        "confusion_matrix: 'cells' is a required property",
    ),
    "a matrix that is not square": (
        lambda r: r["confusion_matrix"]["counts"].pop(),
        "confusion_matrix.counts: expected 2 rows of 2 counts",
    ),
    "classes that differ between sections": (
        lambda r: r["confusion_matrix"].update(classes=["cat", "cow"]),
        "are not the same classes",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_refuses(whole: dict[str, Any], what: str) -> None:
    change, message = REFUSED[what]
    assert any(message in problem for problem in broken(whole, change)), broken(whole, change)


def test_a_cell_beyond_the_classes_is_refused() -> None:
    sparse = report(label_tally(np.eye(101, dtype=int)))
    sparse["confusion_matrix"]["cells"][0] = [101, 0, 1]
    assert problems_of(sparse) == ["confusion_matrix.cells: a class is beyond the 101 classes"]


def test_all_problems_are_told_in_order_of_their_place(whole: dict[str, Any]) -> None:
    def change(changed: dict[str, Any]) -> None:
        changed.update(status="ok", exit_code=2)

    assert [problem.partition(":")[0] for problem in broken(whole, change)] == ["exit_code", "status"]


@pytest.mark.parametrize("cell", [[0, 1], [0, 1, -1], [0, 1, 1.5], [0, 1, True], "0,1", None])
def test_a_cell_that_is_none_is_refused(cell: object) -> None:
    sparse = report(label_tally(np.eye(101, dtype=int)))
    sparse["confusion_matrix"]["cells"][7] = cell
    assert problems_of(sparse)[0].startswith("confusion_matrix.cells.7")
