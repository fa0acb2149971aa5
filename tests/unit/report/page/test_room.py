"""How much a page has room for."""

from __future__ import annotations

import pytest
from markupsafe import escape

from ortbatch.report.page.blocks import Cell
from ortbatch.report.page.room import fitting, key, said, weight


def rows(*texts: str) -> list[tuple[Cell]]:
    return [(Cell(text),) for text in texts]


def test_no_more_rows_than_asked_for() -> None:
    assert fitting(rows("a", "b", "c"), 2, 10_000) == rows("a", "b")


def test_no_more_bytes_than_there_are() -> None:
    assert fitting(rows("a" * 100, "b" * 100, "c" * 100), 9, 350) == rows("a" * 100, "b" * 100)


def test_one_row_is_always_shown() -> None:
    assert fitting(rows("a" * 100, "b"), 9, 10) == rows("a" * 100)


def test_no_room_for_rows_is_no_row() -> None:
    assert fitting(rows("a"), 0, 10_000) == []


def test_rows_behind_one_that_does_not_fit_are_not_taken_in_its_place() -> None:
    assert fitting(rows("a", "b" * 1_000, "c"), 9, 500) == rows("a")


@pytest.mark.parametrize("text", ["plain", "<script>&\"'", "猫🐈"])
def test_a_cell_weighs_no_less_than_its_markup(text: str) -> None:
    assert weight(Cell(text, key=text, more=text)) >= 3 * len(str(escape(text)).encode())


def test_a_part_is_told_with_the_whole() -> None:
    assert said(2, 10_000, "classes") == "2 of 10,000 classes are shown; report.json has all of them."


def test_a_key_is_what_gates_write() -> None:
    assert key("recall", "a]b", [("country", "DE")]) == 'recall["a]b"]@country=DE'


@pytest.mark.parametrize("class_name", ["x" * 10_000, "half \ud800 pair"])
def test_a_name_that_makes_no_key_makes_none(class_name: str) -> None:
    assert key("recall", class_name) == ""
