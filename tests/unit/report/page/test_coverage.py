"""Coverage: the sum adds up, and everything that was left out has its reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ortbatch.metrics.coverage import Coverage
from ortbatch.report.page.coverage import coverage
from tests.unit.report import made
from tests.unit.report.page.cells import keyed, tables, texts

LEFT_OUT = {"shard": 3, "rows": 4, "files": ["a.parquet", "b.parquet"], "reason": "torn <b>", "fault": "corrupt"}


def spoiled(**changes: Any) -> dict[str, Any]:
    """Two rows evaluated of twelve."""
    rejected = {(0, "label_null"): 4, (1, "not_finite"): 2}
    counted = Coverage(planned=12, evaluated=2, unlabelled=1, filtered=3, rejected_rows=rejected)
    tally = replace(made.label_tally([[1, 0], [0, 1]]), coverage=counted)
    return made.report(tally, rows=12, **changes)


def test_rows_are_shown_as_a_sum_that_adds_up() -> None:
    rows = tables(coverage(spoiled()))["Rows"].rows
    assert [cell.text for cell, _ in rows] == [
        "planned", "= evaluated", "+ unlabelled", "+ filtered", "+ rejected: label_null", "+ rejected: not_finite",
    ]  # fmt: skip
    assert [number.value for _, number in rows] == [12, 2, 1, 3, 4, 2]


def test_numbers_have_the_names_of_the_report() -> None:
    report = spoiled()
    found = keyed(coverage(report))
    assert found["coverage"] == report["coverage"]["fraction"]["value"]
    assert found["coverage.rows.rejected.label_null"] == 4
    assert found["coverage.shards.planned"] == report["coverage"]["shards"]["planned"]


def test_it_is_said_first_whether_every_row_was_evaluated() -> None:
    whole, part = (coverage(report).blocks[0] for report in (made.binary(), spoiled()))
    assert whole.text == "Every planned row was evaluated: 200 of 200."  # type: ignore[union-attr]
    assert part.text.startswith("Of 12 planned rows 2 were evaluated")  # type: ignore[union-attr]
    assert (whole.tone, part.tone) == ("", "bad")  # type: ignore[union-attr]


def test_files_and_classes_of_rejected_rows_are_named() -> None:
    report = spoiled()
    report["coverage"]["bad_rows"]["worst_files"] = [{"file": "a\x1b[2J.parquet", "rows": 4}]
    report["coverage"]["bad_rows"]["by_class"] = [{"class": "cat", "rejected": 2, "evaluated": 9}]
    found = tables(coverage(report))
    files = next(table for title, table in found.items() if title.startswith("Files with the most"))
    assert texts(files) == [["a\\x1b[2J.parquet", "4"]]
    assert texts(found["Rejected rows whose label is known"]) == [["cat", "2", "9"]]


def test_a_shard_that_was_left_out_is_shown_with_its_reason() -> None:
    table = tables(coverage(spoiled(quarantined=[LEFT_OUT])))["Shards that were left out"]
    assert texts(table) == [["3", "torn <b>", "a.parquet, b.parquet", "4"]]


def test_nothing_left_out_is_no_table() -> None:
    assert list(tables(coverage(made.binary()))) == ["Rows", "Files and shards"]
