"""What to know of single numbers: why an interval may be too narrow, or is not there, or why there is no value.

Such a number bears a star; the sentences stand in a table below, each once, not only on hover.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ortbatch.report.compare_text import signed
from ortbatch.report.format import interval, name, number
from ortbatch.report.page.blocks import Cell, Table
from ortbatch.report.page.room import fitting, said

_ROWS, _BYTES = 60, 12_000
_NAMED, _LABEL = 300, 60
_SENTENCE = 300


def starred(item: Mapping[str, Any], key: str = "") -> tuple[Cell, Cell]:
    """An estimate as two cells: its value, and its interval, with a star where there is something to know."""
    text = "" if item["ci"] is None else interval(item["ci"])
    return _cells(item, number(item["value"]), text, key)


def difference(item: Mapping[str, Any], key: str = "") -> tuple[Cell, Cell]:
    """The same for an estimate that may be negative: with its sign."""
    return _cells(item, signed(item["value"]), between(item["ci"]), key)


def between(ci: Sequence[float] | None) -> str:
    """The interval of a difference; empty without one.

    >>> between([-0.5, 0.25])
    '-0.5000 to +0.2500'
    """
    return "" if ci is None else f"{signed(ci[0])} to {signed(ci[1])}"


def _cells(item: Mapping[str, Any], value: str, interval: str, key: str) -> tuple[Cell, Cell]:
    note, shown = name(_note(item), _SENTENCE), interval or "none"
    if item["value"] is None:
        return Cell(value, key=key, tone="dim", more=note), Cell(f"{shown} *", tone="dim", more=note)
    return Cell(value, item["value"], key), Cell(f"{shown} *", tone="doubt", more=note) if note else Cell(shown)


def doubts(estimates: Iterable[tuple[str, Mapping[str, Any]]], *, folded: bool = True) -> list[Table]:
    """A table of what the stars of some estimates stand for; empty without any.

    Args:
        estimates: what an estimate is of, and the estimate.
        folded: closed until it is asked for.
    """
    found: dict[str, list[str]] = {}
    for label, item in estimates:
        if text := _note(item):
            found.setdefault(text, []).append(label)
    if not found:
        return []
    rows = [(Cell(name(text, _SENTENCE)), Cell(_joined(labels))) for text, labels in found.items()]
    shown = fitting(rows, _ROWS, _BYTES)
    note = said(len(shown), len(rows), "notes")
    return [Table("What * stands for", ("what to know", "of"), shown, texts=2, note=note, folded=folded)]


def _note(item: Mapping[str, Any]) -> str:
    if item["value"] is None:
        return f"no value: {item['reason']}"
    without = item.get("reason", "") if item["ci"] is None else ""
    return str(item.get("caution") or without)


def _joined(labels: list[str]) -> str:
    """Names, as many as fit on a line or three."""
    text, taken = name(labels[0], _LABEL), 1
    while taken < len(labels) and len(text) < _NAMED:
        text += f", {name(labels[taken], _LABEL)}"
        taken += 1
    return text if taken == len(labels) else f"{text} and {len(labels) - taken:,} more"
