"""What stands in a section, found by walking its blocks."""

from __future__ import annotations

from collections.abc import Iterator

from ortbatch.report.page.blocks import Cell, Figure, Fragment, Section, Table


def tables(section: Section | None) -> dict[str, Table]:
    """By title; those of figures and of fragments too."""
    assert section is not None
    return {table.title: table for block in section.blocks for table in _tables(block)}


def _tables(block: object) -> Iterator[Table]:
    if isinstance(block, Table):
        yield block
    elif isinstance(block, Figure):
        yield block.table
    elif isinstance(block, Fragment):
        yield from block.values.get("tables", [])


def keyed(section: Section | None) -> dict[str, float | None]:
    """Key → value of every cell that has a key."""
    cells = (cell for table in tables(section).values() for row in table.rows for cell in row)
    return {cell.key: cell.value for cell in cells if cell.key}


def texts(table: Table) -> list[list[str]]:
    assert all(len(row) == len(table.head) for row in table.rows)
    return [[cell.text for cell in row] for row in table.rows]


def cell(table: Table, first: str, column: int) -> Cell:
    """Of the row that begins with a text."""
    return next(row[column] for row in table.rows if row[0].text == first)
