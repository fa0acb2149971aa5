"""What the rows of each class are taken for: the cells of a confusion matrix off its diagonal, largest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

_CONFUSIONS = 30_000
Confusion = tuple[int, int, int]
"""Class, what it is taken for, rows."""


@dataclass(frozen=True)
class Confusions:
    """The counts, dense or as cells.

    Args:
        classes: names.
        support: rows of each class.
        hits: rows of each that are right.
        confusions: other cells that are not empty, most rows first; at most `_CONFUSIONS`.
        cells: how many of them there are.
    """

    classes: Sequence[str]
    support: Sequence[int]
    hits: Sequence[int]
    confusions: Sequence[Confusion]
    cells: int

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Confusions:
        """As the report has it."""
        matrix = report["confusion_matrix"]
        hits = [0] * len(matrix["classes"])
        wrong: list[Confusion] = []
        for true, predicted, rows in _cells(matrix):
            if true == predicted:
                hits[true] = rows
            else:
                wrong.append((true, predicted, rows))
        largest = nsmallest(_CONFUSIONS, wrong, key=lambda cell: (-cell[2], cell[0], cell[1]))
        support = [row["support"] for row in report["quality"]["per_class"]]
        return cls(matrix["classes"], support, hits, largest, len(wrong))

    @property
    def wrong_rows(self) -> int:
        return sum(self.support) - sum(self.hits)

    def taken_for(self) -> dict[int, list[tuple[int, int]]]:
        """Class → what its rows are taken for, with the rows; most first."""
        found: dict[int, list[tuple[int, int]]] = {}
        for true, predicted, rows in self.confusions:
            found.setdefault(true, []).append((predicted, rows))
        return found


def _cells(matrix: Mapping[str, Any]) -> Iterator[Confusion]:
    if matrix["format"] == "coo":
        yield from ((true, predicted, rows) for true, predicted, rows in matrix["cells"])
        return
    for true, counts in enumerate(matrix["counts"]):
        yield from ((true, predicted, rows) for predicted, rows in enumerate(counts) if rows)
