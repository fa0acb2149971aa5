"""Metrics of two runs, each with its difference: those that moved first, in pictures with their tables.

A difference is new less old; its word follows its interval, as `compare` has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ortbatch.metrics.reference import bounds, lower_is_better, scan
from ortbatch.report.compare import BETTER, NOT_SIGNIFICANT, UNKNOWN, WORSE
from ortbatch.report.compare_text import signed
from ortbatch.report.page.blocks import Block, Cell, Section, Sentence, Table, Tone, count, figure, word
from ortbatch.report.page.doubts import between
from ortbatch.report.page.draw import BAD, GOOD, LINE
from ortbatch.report.page.forest import Dot, Look, beside, forest
from ortbatch.report.page.room import fitting, said

_TONES: dict[str, Tone] = {BETTER: "good", WORSE: "bad", NOT_SIGNIFICANT: "dim", UNKNOWN: "dim"}
_LOOKS = {
    WORSE: Look(BAD, "triangle-down"),
    BETTER: Look(GOOD, "triangle-up"),
    NOT_SIGNIFICANT: Look(LINE, "circle"),
    UNKNOWN: Look(LINE, "square"),
}
URGENCY = (WORSE, BETTER, NOT_SIGNIFICANT, UNKNOWN)
_KEY_CHARACTERS = 200
_DRAWN = 30
_ROWS, _BYTES = 250, 200_000
_SEARCH_ABOVE = 20
Entry = Mapping[str, Any]


def differences(data: Mapping[str, Any], entries: Sequence[Entry]) -> Section:
    """Metrics of all rows: shares and coefficients in a picture, times in another, losses in the table."""
    known = sorted((entry for entry in entries if _has_value(entry)), key=_urgency)
    intro = Sentence(
        f"Every metric, new less old, with the {_level(data)} interval of the difference. Better or worse is said "
        "where that leaves out 0; not significant does not say that nothing changed: the interval says how large "
        "a change there may be."
    )
    told = sum(entry["ci"] is not None for entry in data["metrics"])
    by_chance = f"about {told * (1 - data['confidence']):.1f} of {told:,} intervals would leave out 0 by chance"
    table = _table("Metrics, those that moved first", known, data)
    shares = [entry for entry in known if _is_share(entry) and entry["ci"] is not None]
    times = [entry for entry in known if entry["metric"].startswith("latency.") and entry["ci"] is not None]
    blocks: list[Block] = [intro, *_picture("Metrics, higher is better", shares, data, table)]
    if times:
        blocks += _picture("Latency, ms", times, data, _table("Latency", times, data))
    return Section("differences", "Differences", [*blocks, Sentence(f"Where nothing changed, {by_chance}.", "dim")])


def classes(data: Mapping[str, Any], entries: Sequence[Entry]) -> Section | None:
    known = sorted((entry for entry in entries if _has_value(entry)), key=_urgency)
    if not known:
        return None
    moved = [entry for entry in known if entry["verdict"] in (BETTER, WORSE)]
    table = _table("Metrics of classes, those that moved first", known, data)
    intro = Sentence(f"{len(moved):,} of {len(known):,} metrics of classes moved by more than their interval.")
    drawn = [entry for entry in known if entry["ci"] is not None][:_DRAWN]
    return Section("classes", "Classes", [intro, *_picture("Metrics of classes", drawn, data, table)])


def _picture(title: str, entries: Sequence[Entry], data: Mapping[str, Any], table: Table) -> Sequence[Block]:
    if not entries:
        return [table]
    dots = [
        Dot(line, entry["metric"], entry["difference"], entry["ci"], entry["verdict"])
        for line, entry in enumerate(entries[:_DRAWN])
    ]
    alt = (
        f"Differences of {len(dots)} metrics between two runs, new less old, with intervals; the table has the numbers."
    )
    picture = forest(dots, "new less old", alt, 0.0, _LOOKS)
    return [beside(f"{title}, {_level(data)} intervals of the difference", picture, table)]


def _table(title: str, entries: Sequence[Entry], data: Mapping[str, Any]) -> Table:
    rows = fitting((_row(entry) for entry in entries), _ROWS, _BYTES)
    head = ("metric", "verdict", "difference", f"{_level(data)} interval", "old", "new", "rows", "why")
    note = said(len(rows), len(entries), "metrics")
    return Table(title, head, rows, texts=2, note=note, search=len(entries) > _SEARCH_ABOVE, ends=1)


def _row(entry: Entry) -> tuple[Cell, ...]:
    metric, by_row = entry["metric"], entry.get("method") == "newcombe_paired"
    return (
        word(metric),
        Cell(entry["verdict"], tone=_TONES[entry["verdict"]]),
        Cell(signed(entry["difference"]), entry["difference"], metric if len(metric) <= _KEY_CHARACTERS else ""),
        Cell(between(entry["ci"])),
        figure(entry["old"]),
        figure(entry["new"]),
        count(entry["rows"]),
        word(str(entry.get("why", "compared row by row" if by_row else ""))),
    )


def _level(data: Mapping[str, Any]) -> str:
    return f"{data['confidence'] * 100:.12g}%"


def _has_value(entry: Entry) -> bool:
    return (entry["old"], entry["new"]) != (None, None)


def _urgency(entry: Entry) -> tuple[int, float]:
    return URGENCY.index(entry["verdict"]), -abs(entry["difference"] or 0.0)


def _is_share(entry: Entry) -> bool:
    """May it stand on an axis with others?"""
    metric = scan(entry["metric"])[0].name
    return bounds(metric)[1] == 1.0 and not lower_is_better(metric) and metric != "majority_class_accuracy"
