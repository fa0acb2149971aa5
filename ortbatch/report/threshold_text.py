"""Thresholds for a terminal: a choice in full, and the job's threshold against the best one in two lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ortbatch.report.choose import Judged, ThresholdChoice
from ortbatch.report.format import interval, name, number

_OPTIMISTIC = (
    "Chosen and judged on the same rows, it looks better than it is; the intervals allow for that. --confirm judges it "
    "on rows that had no part in choosing it."
)
_ARGMAX = (
    "A model of many classes predicts the class of largest score: a threshold is for whoever uses this class's scores."
)


def print_choice(choice: ThresholdChoice, console: Console) -> None:
    """Print a choice, and how to use it."""
    console.print(Text(f"class {name(choice.class_name)}: {choice.aim}", "bold"))
    console.print(Text(""))
    console.print(_table(choice))
    console.print(Text(""))
    judged = choice.confirmed or choice.picked
    for said in (choice.note, judged.recall.caution, judged.recall.reason):
        if said is not None:
            console.print(Text(said, "yellow"))
    if choice.confirmed is None:
        console.print(Text(_OPTIMISTIC, "dim"))
    used = f"use it: --set threshold={choice.picked.threshold!r}"
    console.print(Text(_ARGMAX if choice.current is None else used))


def threshold_lines(report: Mapping[str, Any]) -> Iterator[Text]:
    """The job's threshold against the best F1, of a binary report with scores."""
    section = report.get("thresholds")
    if section is None or section["threshold"] is None:
        return
    best = section["curves"][0]["recommended"]["best_f1"]
    yield Text(_line(f"threshold {_brief(section['threshold'])}", report["quality"]))
    if best["threshold"] is not None:
        yield Text(_line(f"best F1 at {_brief(best['threshold'])}", best))
    yield Text("")


def _line(head: str, estimates: Mapping[str, Any]) -> str:
    numbers = (f"{metric} {number(estimates[metric]['value'])}" for metric in ("precision", "recall", "f1"))
    return f"{head:<20} {', '.join(numbers)}"


def _brief(threshold: float) -> str:
    return f"{threshold:.6g}"


def _table(choice: ThresholdChoice) -> Table:
    columns = {"picked" if choice.confirmed is None else "chosen on a half": choice.picked}
    columns |= {"judged on the rest": choice.confirmed} if choice.confirmed is not None else {}
    current = "current" if choice.confirmed is None else "current, all"
    columns |= {current: choice.current} if choice.current is not None else {}
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(Text(""))
    for title in columns:
        table.add_column(Text(title), justify="right")
        if choice.confirmed is None or columns[title] is choice.confirmed:
            table.add_column(Text("95% interval"))
    for row in ("threshold", "precision", "recall", "f1", "tp", "fp", "fn", "tn"):
        cells: list[str] = []
        for judged in columns.values():
            with_interval = choice.confirmed is None or judged is choice.confirmed
            cells += _cells(judged, row)[: 2 if with_interval else 1]
        table.add_row(row, *map(Text, cells))
    return table


def _cells(judged: Judged, row: str) -> tuple[str, str]:
    """A number and its interval."""
    if row == "threshold":
        return _brief(judged.threshold), ""
    if row in ("tp", "fp", "fn", "tn"):
        return f"{getattr(judged.confusion, row):,}", ""
    estimate = getattr(judged, row)
    return number(estimate.value), interval(estimate.ci)
