"""Quality of each class against the rest, worst first: what is missed, and what is called by its name wrongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ortbatch.report.format import name
from ortbatch.report.page.blocks import Block, Cell, Section, Sentence, Table, count, word
from ortbatch.report.page.doubts import doubts, starred
from ortbatch.report.page.forest import PAIR, Dot, beside, forest
from ortbatch.report.page.room import fitting, key, said

_METRICS = ("recall", "precision", "f1", "roc_auc", "average_precision", "specificity")
_DRAWN = ("recall", "precision")
_DRAWN_CLASSES = 20
_SEARCH_ABOVE = 20
_ROWS, _BYTES = 200, 220_000


def classes(report: Mapping[str, Any]) -> Section:
    """A row a class."""
    rows = sorted(report["quality"]["per_class"], key=lambda row: (_or_one(row["f1"]), -row["support"]))
    table = _table(rows)
    intro = Sentence(
        "Each class against all others, worst F1 first. Recall: of the rows of the class, the share that the model "
        "finds. Precision: of the rows that it calls so, the share that are."
    )
    shown = rows[: len(table.rows)]
    notes = doubts((f"{metric}[{name(row['class'])}]", row[metric]) for row in shown for metric in _METRICS)
    return Section("classes", "Classes", [intro, *_picture(rows[:_DRAWN_CLASSES], table), *notes])


def _or_one(item: Mapping[str, Any]) -> float:
    return 1.0 if item["value"] is None else float(item["value"])


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    metrics = [metric for metric in _METRICS if any(row[metric]["value"] is not None for row in rows)]
    head = ("class", "rows", "predicted", *(text for metric in metrics for text in (metric, "95% interval")))
    cells = fitting((_row(row, metrics) for row in rows), _ROWS, _BYTES)
    note = said(len(cells), len(rows), "classes, those of worst F1,")
    return Table("Classes, worst F1 first", head, cells, note=note, search=len(rows) > _SEARCH_ABOVE)


def _row(row: Mapping[str, Any], metrics: Sequence[str]) -> tuple[Cell, ...]:
    found = [starred(row[metric], key(metric, row["class"])) for metric in metrics]
    return (
        word(row["class"]),
        count(row["support"]),
        count(row["predicted"]),
        *(cell for pair in found for cell in pair),
    )


def _picture(rows: Sequence[Mapping[str, Any]], table: Table) -> Sequence[Block]:
    """Recall and precision of the worst, beside the table."""
    dots = [
        Dot(line, row["class"], row[metric]["value"], row[metric]["ci"], metric)
        for line, row in enumerate(rows)
        for metric in _DRAWN
        if row[metric]["value"] is not None
    ]
    if not dots:
        return [table]
    alt = f"Recall and precision of {len(rows)} classes with 95% intervals; the numbers stand in the table of classes."
    whose = "" if len(rows) < _DRAWN_CLASSES else f" of the {_DRAWN_CLASSES} classes of worst F1"
    picture = forest(dots, "share of rows", alt, looks=dict(zip(_DRAWN, PAIR, strict=True)))
    return [beside(f"Recall and precision{whose}, 95% intervals", picture, table)]
