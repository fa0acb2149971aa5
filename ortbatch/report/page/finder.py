"""The data of the finder (static/matrix.js): classes and confusions of most rows, as many as there is room for.

What is left out is counted, and the page says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from ortbatch.report.format import name
from ortbatch.report.page.blocks import Fragment
from ortbatch.report.page.confusions import Confusion, Confusions
from ortbatch.report.page.room import said

_DATA_BYTES = 260_000
_NAME_CHARACTERS = 60


def finder(found: Confusions) -> Fragment:
    """The data of the finder, and what they lack."""
    data = _Data()
    for true, predicted, rows in found.confusions:
        if not data.add(found, true, predicted, rows):
            break
    for place in range(len(found.classes)):
        if not data.knows(found, place):
            break
    held = sum(rows for _, _, rows in data.cells)
    parts = [said(len(data.places), len(found.classes), "classes")]
    if len(data.cells) < found.cells:
        parts.append(f"Of {found.wrong_rows:,} rows that are taken for another class, {held:,} can be found here.")
    return Fragment("finder.html", {"data": data.as_json(), "left_out": " ".join(filter(None, parts))})


@dataclass
class _Data:
    """Classes and confusions as long as there is room; a class is known by its place in the list."""

    room: int = _DATA_BYTES
    places: dict[int, int] = field(default_factory=dict)
    classes: list[tuple[str, int, int]] = field(default_factory=list)
    cells: list[Confusion] = field(default_factory=list)

    def knows(self, found: Confusions, place: int) -> bool:
        """Take up a class; False where there is no room."""
        if place in self.places:
            return True
        entry = name(found.classes[place], _NAME_CHARACTERS), found.support[place], found.hits[place]
        self.room -= len(json.dumps(entry)) + 5 * sum(map(entry[0].count, "<>&'"))
        if self.room < 0:
            return False
        self.places[place] = len(self.classes)
        self.classes.append(entry)
        return True

    def add(self, found: Confusions, true: int, predicted: int, rows: int) -> bool:
        """Take up a confusion; False where there is no room."""
        if not (self.knows(found, true) and self.knows(found, predicted)):
            return False
        cell = self.places[true], self.places[predicted], rows
        self.room -= sum(len(str(value)) + 2 for value in cell)
        if self.room < 0:
            return False
        self.cells.append(cell)
        return True

    def as_json(self) -> dict[str, list[Any]]:
        """Columns of the classes; the numbers of all confusions in a row, three each."""
        names, support, hits = (list(column) for column in zip(*self.classes, strict=True))
        return {"classes": names, "support": support, "hits": hits, "cells": list(chain.from_iterable(self.cells))}
