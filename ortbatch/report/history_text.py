"""Runs in order of time, for a terminal: a table of metrics and one of drift.

Names are shown as they are, never as markup, and cannot move the cursor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from ortbatch.report.format import interval, name, number
from ortbatch.report.sheet import sheet

_UNREADABLE_UP_TO = 10
_METRICS_ACROSS = 4
_COLOURS = {"passed": "green", "failed": "red", "inconclusive": "yellow", "incomplete": "red", "ungated": "blue"}


def print_history(data: Mapping[str, Any], console: Console) -> None:
    """Print what `History.data` holds."""
    for part in (*_table_of_runs(data), *_drift(data), *_notes(data)):
        console.print(part)


def _table_of_runs(data: Mapping[str, Any]) -> Iterator[RenderableType]:
    if not data["runs"]:
        yield Text(f"No finished run below {name(data['folder'], 200)}.")
        return
    shown = sheet("run", "date", "status", "model", "rows", texts=4)
    for run in data["runs"]:
        status = Text(name(run["status"]), _COLOURS.get(run["status"], ""))
        model = Text(name(run["model_sha256"][:8]))
        shown.add_row(Text(name(run["run"])), _date(run), status, model, f"{run['rows']:,}")
    yield shown
    yield ""
    for start in range(0, len(data["metrics"]), _METRICS_ACROSS):
        metrics = data["metrics"][start : start + _METRICS_ACROSS]
        shown = sheet("date", *(name(metric, 30) for metric in metrics))
        for run in data["runs"]:
            shown.add_row(_date(run), *(_cell(run["metrics"][metric]) for metric in metrics))
        yield shown
        yield ""


def _date(run: Mapping[str, Any]) -> Text:
    return Text(name(run["started_at"][:16].replace("T", " ")), no_wrap=True)


def _cell(metric: Mapping[str, Any]) -> Text:
    line = Text(number(metric["value"]))
    return line if metric["ci"] is None else line.append(f"\n{interval(metric['ci'])}", "dim")


def _drift(data: Mapping[str, Any]) -> Iterator[RenderableType]:
    drifted = [run for run in data["runs"] if run["drift"] is not None]
    if not drifted:
        return
    shown = sheet("drift since the run before", "classes: PSI", "JS", "scores: PSI", "JS", "class")
    shown.columns[5].justify = "left"
    for run in drifted:
        balance, scores = run["drift"]["class_balance"], run["drift"]["scores"]
        numbers = [number(each[kind]) for each in (balance, scores) for kind in ("psi", "js")]
        shown.add_row(Text(name(run["run"], 40)), *numbers, Text(name(scores.get("class", ""), 24)))
    yield shown
    yield ""


def _notes(data: Mapping[str, Any]) -> Iterator[RenderableType]:
    if data["left_out"]:
        yield Text(f"{data['left_out']:,} older runs are not shown (--limit).", "dim")
    for one in data["unreadable"][:_UNREADABLE_UP_TO]:
        yield Text(f"unreadable: {name(one['path'], 200)}: {name(one['why'], 300)}", "yellow")
    if len(data["unreadable"]) > _UNREADABLE_UP_TO:
        yield Text(f"unreadable: {len(data['unreadable']) - _UNREADABLE_UP_TO:,} more", "yellow")
