"""What rows of a class are taken for: the confusion matrix, whole where it can be read, else its largest cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ortbatch.report.format import name
from ortbatch.report.page.blocks import Block, Cell, Fragment, Section, Sentence, Table, count, word
from ortbatch.report.page.confusions import Confusions
from ortbatch.report.page.doubts import doubts, starred
from ortbatch.report.page.finder import finder
from ortbatch.report.page.room import fitting, said

_WHOLE_UP_TO = 30
_SHADES = 9
_HEAD_CHARACTERS = 14
_LISTED, _LISTED_BYTES = 60, 60_000
_NAMED = 5
_SEARCH_ABOVE = 10


def matrix(report: Mapping[str, Any]) -> Section:
    """The matrix, the most confused pairs, and with many classes a finder."""
    found = Confusions.of(report)
    blocks: list[Block] = [Sentence(_intro(found))]
    if len(found.classes) <= _WHOLE_UP_TO:
        blocks.append(_whole(report["confusion_matrix"]["counts"], found))
    many = len(found.classes) > 2 and bool(found.confusions)
    if many:
        blocks.append(finder(found))
    blocks += _pairs(report["confusion_matrix"]["most_confused"], folded=len(found.classes) <= 2)
    if many:
        blocks.append(_list(found))
    return Section("matrix", "Confusion matrix", blocks)


def _intro(found: Confusions) -> str:
    ways = f", in {found.cells:,} different ways" if len(found.classes) > 2 else ""
    told = f"{found.wrong_rows:,} of {sum(found.support):,} rows are taken for another class{ways}."
    if len(found.classes) > _WHOLE_UP_TO:
        return f"What the rows of a class are taken for. {told}"
    return (
        "Rows by their true class, downwards, and by what the model says, across; the framed diagonal is right. The "
        f"larger the share of the true class in a cell, the stronger its colour. {told}"
    )


def _whole(counts: Sequence[Sequence[int]], found: Confusions) -> Fragment:
    """Every cell, with its rows and its share of the true class."""
    rows = [
        {
            "name": word(text),
            "short": name(text, _HEAD_CHARACTERS),
            "rows": count(support),
            "cells": [_cell(value, support, place == line) for place, value in enumerate(row)],
        }
        for line, (text, row, support) in enumerate(zip(found.classes, counts, found.support, strict=True))
    ]
    return Fragment("matrix.html", {"rows": rows})


def _cell(rows: int, support: int, right: bool) -> dict[str, Any]:
    """Shade 0 to 9 by the root of the share of the true class: only an empty cell has 0, and one of 4% can be seen."""
    share = rows / support if support else 0.0
    shade = min(_SHADES, 1 + int(share**0.5 * _SHADES)) if rows else 0
    return {"count": rows, "share": _percent(share) if rows else "", "class": f"{'hit' if right else 'miss'} s{shade}"}


def _percent(share: float) -> str:
    """A share in a cell, which has little room; never 0% or 100% for what is not.

    >>> _percent(0.5), _percent(1.0), _percent(0.0051), _percent(0.99999), _percent(0.00001)
    ('50%', '100%', '0.5%', '>99.9%', '<0.1%')
    """
    if share in (0, 1) or 0.01 <= share <= 0.99:
        return f"{share:.0%}"
    return f"{share:.1%}" if 0.001 <= share <= 0.999 else "<0.1%" if share < 0.001 else ">99.9%"


def _pairs(most_confused: Sequence[Mapping[str, Any]], *, folded: bool) -> list[Block]:
    if not most_confused:
        return [Sentence("No row is taken for another class.", "good")]
    rows = [
        (word(pair["true"]), word(pair["predicted"]), count(pair["rows"]), *starred(pair["share"]))
        for pair in most_confused
    ]
    shown = fitting(rows, len(rows), _LISTED_BYTES)
    head = ("true class", "taken for", "rows", "of its rows", "95% interval")
    note = said(len(shown), len(rows), "of the most confused pairs")
    search = len(rows) > _SEARCH_ABOVE
    table = Table("Most confused pairs of classes", head, shown, texts=2, note=note, folded=folded, search=search)
    return [
        table,
        *doubts((f"{name(pair['true'])} as {name(pair['predicted'])}", pair["share"]) for pair in most_confused),
    ]


def _list(found: Confusions) -> Table:
    """Classes with most rows that are taken for others, and for what."""
    taken = found.taken_for()
    order = sorted(taken, key=lambda place: (found.hits[place] - found.support[place], place))
    rows = fitting((_line(found, place, taken[place]) for place in order), _LISTED, _LISTED_BYTES)
    wrong = sum(hits < support for hits, support in zip(found.hits, found.support, strict=True))
    note = said(len(rows), wrong, "classes that are taken for others, those with most such rows,")
    head = ("class", "taken for", "rows", "right", "wrong")
    return Table(
        "Classes by rows that are taken for others",
        head,
        rows,
        texts=2,
        note=note,
        folded=True,
        search=len(rows) > _SEARCH_ABOVE,
    )


def _line(found: Confusions, place: int, taken: Sequence[tuple[int, int]]) -> tuple[Cell, ...]:
    others = ", ".join(f"{name(found.classes[other], 24)} ({rows:,})" for other, rows in taken[:_NAMED])
    more = f" and {len(taken) - _NAMED:,} more" if len(taken) > _NAMED else ""
    support, hits = found.support[place], found.hits[place]
    return word(found.classes[place]), Cell(f"{others}{more}"), count(support), count(hits), count(support - hits)
