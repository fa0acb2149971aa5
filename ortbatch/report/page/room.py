"""How much a page has room for: so many rows of a table, in so many bytes, whatever names the data hold.

A page of 10,000 classes is as small as one of 200: what does not fit is counted, and the section says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import escape

from ortbatch.metrics.reference import MetricRef
from ortbatch.report.page.blocks import Cell

_TAGS = 60  # bytes around a cell
_KEY_CHARACTERS = 200


def fitting(rows: Iterable[Sequence[Cell]], most: int, size: int) -> list[Sequence[Cell]]:
    """The first rows that there is room for.

    Args:
        rows: of a table.
        most: so many rows.
        size: so many bytes of HTML, about.
    """
    taken: list[Sequence[Cell]] = []
    for row in rows:
        size -= sum(weight(cell) for cell in row)
        if len(taken) == most or (taken and size < 0):
            break
        taken.append(row)
    return taken


def weight(cell: Cell) -> int:
    """About how many bytes of HTML a cell takes."""
    return _TAGS + len(cell.exact) + sum(len(escape(text).encode()) for text in (cell.text, cell.key, cell.more))


def said(shown: int, total: int, things: str) -> str:
    """Which part of a list is shown, and where the rest is; empty if nothing is left out.

    >>> said(20, 1_000, "classes"), said(3, 3, "classes")
    ('20 of 1,000 classes are shown; report.json has all of them.', '')
    """
    return "" if shown == total else f"{shown:,} of {total:,} {things} are shown; report.json has all of them."


def key(metric: str, class_name: str | None = None, of_slice: Iterable[tuple[str, str]] = ()) -> str:
    """What a number is, as gates and metrics.csv write it; empty where a name makes that too long or impossible.

    >>> key("recall", "fraud"), key("recall", "x" * 1_000)
    ('recall[fraud]', '')
    """
    try:
        written = str(MetricRef(metric, class_name=class_name, slice=tuple(of_slice)))
    except ValueError:
        return ""
    return written if len(written) <= _KEY_CHARACTERS else ""
