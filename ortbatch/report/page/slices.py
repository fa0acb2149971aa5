"""Parts of the rows against each other and against all: which are worse, and whether by more than chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ortbatch.report.encode import is_estimate
from ortbatch.report.format import name
from ortbatch.report.page.blocks import Block, Cell, Section, Sentence, Table, Tone, count, figure, word
from ortbatch.report.page.doubts import doubts, starred
from ortbatch.report.page.draw import LINE
from ortbatch.report.page.forest import WORSE, Dot, Look, beside, forest
from ortbatch.report.page.room import fitting, key, said

_DRAWN = 30
_SEARCH_ABOVE = 10
_ROWS, _BYTES = 300, 160_000
_CLASS_ROWS, _CLASS_BYTES = 150, 60_000
_OF_CLASSES = ("recall", "precision", "f1")
_SURE, _REST = "worse by more than chance", "may be chance"
_LOOKS = {_SURE: WORSE, _REST: Look(LINE, "circle")}
Slice = Mapping[str, Any]


def slices(report: Mapping[str, Any]) -> Section | None:
    """A row a slice; those that are worse by more than chance first."""
    found: Sequence[Slice] = report.get("slices", [])
    if not found:
        return None
    metrics = [metric for metric in found[0] if is_estimate(found[0][metric])]
    table = _table(found, metrics)
    told = found[: len(table.rows)]
    notes = doubts((f"{metric}@{name(entry['name'])}", entry[metric]) for entry in told for metric in metrics)
    blocks = [
        *_intro(found),
        *_drawn(found, report["quality"], metrics, table),
        *notes,
        *_tests(found),
        *_per_class(found),
    ]
    worse = _worse(found)
    return Section("slices", "Slices", blocks, f"{worse:,} worse" if worse else "", "bad" if worse else "")


def _worse(found: Sequence[Slice]) -> int:
    return sum(bool(entry["worse"]) for entry in found)


def _intro(found: Sequence[Slice]) -> Iterator[Block]:
    yield Sentence(
        "Parts of the rows by their values in some columns. A slice is held against all other rows of the same "
        "columns; it is called worse only where a test says that chance alone would hardly do it (Holm's correction "
        "over all tests, 0.05)."
    )
    worse = _worse(found)
    small = sum(entry["small"] for entry in found)
    tone: Tone = "bad" if worse else "good"
    yield Sentence(
        f"{worse:,} of {len(found):,} slices {'is' if worse == 1 else 'are'} worse by more than chance.", tone
    )
    if small:
        of = "slice has" if small == 1 else "slices have"
        yield Sentence(f"{small:,} {of} fewer than 50 rows, which says little.", "doubt")


def _table(found: Sequence[Slice], metrics: Sequence[str]) -> Table:
    head = ("slice", "what is said", "rows", *(text for metric in metrics for text in (metric, "95% interval")))
    rows = fitting((_row(entry, metrics) for entry in found), _ROWS, _BYTES)
    texts = 2
    if not any(row[1].text for row in rows):
        head, rows, texts = (head[0], *head[2:]), [(row[0], *row[2:]) for row in rows], 1
    note = said(len(rows), len(found), "slices")
    return Table("Slices, worse ones first", head, rows, texts, note, search=len(found) > _SEARCH_ABOVE)


def _row(entry: Slice, metrics: Sequence[str]) -> tuple[Cell, ...]:
    found = [starred(entry[metric], key(metric, None, entry["slice"].items())) for metric in metrics]
    return word(entry["name"]), _told(entry), count(entry["rows"]), *(cell for pair in found for cell in pair)


def _told(entry: Slice) -> Cell:
    """Worse, small, pooled: in words."""
    few = ["few rows"] if entry["small"] else []
    others = [f"{entry['pooled']:,} values together"] if "pooled" in entry else []
    if entry["worse"]:
        return Cell(
            "; ".join([f"worse: {', '.join(test['metric'] for test in entry['worse'])}", *few, *others]), tone="bad"
        )
    return Cell("; ".join([*few, *others]), tone="doubt" if few else "dim")


def _drawn(found: Sequence[Slice], quality: Mapping[str, Any], metrics: Sequence[str], table: Table) -> Iterator[Block]:
    """Accuracy, of two classes recall too, with the value of all rows; the table beside the first picture."""
    pictures = [metric for metric in ("accuracy", "recall") if metric in metrics]
    for place, metric in enumerate(pictures):
        lines = sorted(
            (entry for entry in found if entry[metric]["value"] is not None), key=lambda entry: _rank(entry, metric)
        )
        if not lines:
            continue
        picture = _picture(lines[:_DRAWN], metric, quality[metric]["value"])
        more = f"; {len(lines) - _DRAWN:,} more in the table" if len(lines) > _DRAWN else ""
        title = f"{metric} by slice with 95% intervals, worst first{more}; dashed: all rows"
        numbers = _numbers(lines[:_DRAWN], metric)
        yield beside(title, picture, table if place == 0 else numbers)
    if not any(entry["accuracy"]["value"] is not None for entry in found):
        yield table


def _rank(entry: Slice, metric: str) -> tuple[bool, float]:
    """Those that are surely low first: by the upper end of the interval, so that small slices do not crowd them out."""
    sure = any(test["metric"] == metric for test in entry["worse"])
    return not sure, entry[metric]["ci"][1] if entry[metric]["ci"] else entry[metric]["value"]


def _picture(lines: Sequence[Slice], metric: str, of_all: float | None) -> Any:
    dots = []
    for line, entry in enumerate(lines):
        sure = any(test["metric"] == metric for test in entry["worse"])
        dots.append(Dot(line, entry["name"], entry[metric]["value"], entry[metric]["ci"], _SURE if sure else _REST))
    alt = (
        f"{metric} of {len(dots)} slices with 95% intervals, and of all rows; the numbers stand in the table of slices."
    )
    return forest(dots, metric, alt, of_all, _LOOKS)


def _numbers(lines: Sequence[Slice], metric: str) -> Table:
    rows = [(word(entry["name"]), count(entry["rows"]), *starred(entry[metric])) for entry in lines]
    return Table(
        f"{metric} by slice, worst first",
        ("slice", "rows", metric, "95% interval"),
        fitting(rows, _DRAWN, _CLASS_BYTES),
    )


def _tests(found: Sequence[Slice]) -> Iterator[Table]:
    """The tests that found a slice to be worse."""
    rows = [
        (
            word(entry["name"]),
            Cell(test["metric"]),
            *(figure(test[part]) for part in ("value", "rest", "difference")),
            *(Cell(f"{test[part]:.2g}", test[part]) for part in ("p_value", "p_adjusted")),
        )
        for entry in found
        for test in entry["worse"]
    ]
    if rows:
        shown = fitting(rows, _CLASS_ROWS, _CLASS_BYTES)
        head = ("slice", "metric", "in the slice", "in the rest", "difference", "p", "p, corrected")
        note = said(len(shown), len(rows), "tests")
        yield Table(
            "Worse by more than chance: the tests", head, shown, texts=2, note=note, search=len(rows) > _SEARCH_ABOVE
        )


def _per_class(found: Sequence[Slice]) -> Iterator[Table]:
    """Classes of slices, lowest recall first by the upper end of its interval."""
    parts = [(entry, row) for entry in found for row in entry.get("per_class", []) if row["support"]]
    if not parts:
        return
    parts.sort(key=lambda part: part[1]["recall"]["ci"][1])
    rows = fitting((_class_row(entry, row) for entry, row in parts), _CLASS_ROWS, _CLASS_BYTES)
    head = (
        "slice",
        "class",
        "rows",
        "predicted",
        *(text for metric in _OF_CLASSES for text in (metric, "95% interval")),
    )
    note = said(len(rows), len(parts), "classes of slices, those of lowest recall,")
    yield Table("Classes of slices, lowest recall first", head, rows, texts=2, note=note, folded=True, search=True)


def _class_row(entry: Slice, row: Mapping[str, Any]) -> tuple[Cell, ...]:
    refs = [key(metric, row["class"], entry["slice"].items()) for metric in _OF_CLASSES]
    numbers = [cell for metric, ref in zip(_OF_CLASSES, refs, strict=True) for cell in starred(row[metric], ref)]
    return word(entry["name"]), word(row["class"]), count(row["support"]), count(row["predicted"]), *numbers
