"""Models that ran beside the one that is evaluated, as a terminal and a page of Markdown show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ortbatch.report.format import interval, name, number
from ortbatch.report.sheet import sheet

COLUMNS = ("baseline", "agreement", "flips", "accuracy, differs by", "largest Δp", "time ×")
_ROWS_SHOWN = 3
_NAME_CHARACTERS = 24


def fidelity_lines(report: Mapping[str, Any]) -> Iterator[RenderableType]:
    """A table with a line a baseline, who is right where, and the first rows that differ; nothing without baselines."""
    section = report.get("fidelity", {})
    if not section:
        return
    table = sheet(*COLUMNS)
    for title, entry in section.items():
        table.add_row(Text(name(title, _NAME_CHARACTERS)), *cells(title, entry, report["latency"]))
    yield table
    for title, entry in section.items():
        yield from _about(name(title, _NAME_CHARACTERS), entry)
    yield ""


def cells(title: str, entry: Mapping[str, Any], latency: Mapping[str, Any]) -> list[str]:
    """Numbers of a baseline behind its name, one a column."""
    difference = entry["metrics"]["accuracy"]["difference"]
    ratio = latency.get("baselines", {}).get(title, {}).get("batch_ratio", {"value": None, "ci": None})
    return [
        _with_interval(entry["agreement"]),
        f"{entry['flips']:,}",
        _signed(difference),
        f"{entry['scores']['max']['value']:.2g}" if "scores" in entry else "–",
        "–" if ratio["value"] is None else f"{ratio['value']:.2f}",
    ]


def _about(title: str, entry: Mapping[str, Any]) -> Iterator[Text]:
    joint = entry["joint"]
    yield Text(
        f"{title}: of {entry['rows']:,} rows both have {joint['both_right']:,} right, "
        f"{joint['only_model_right']:,} only the model, {joint['only_baseline_right']:,} only {title}, "
        f"{joint['both_wrong']:,} neither "
        f"(McNemar p = {joint['mcnemar_p']:.2g})",
        "dim",
    )
    for row in (entry["flipped"] or entry["worst"])[:_ROWS_SHOWN]:
        yield Text(f"{title}: {row_text(row)}", "dim")


def row_text(row: Mapping[str, Any]) -> str:
    """A row that differs, on a line."""
    said = (
        f"{name(row['file'], 60)} row {row['row']:,}: {name(row['predicted'])}, by the baseline "
        f"{name(row['baseline'])} (label {name(row['label'])})"
    )
    if "difference" not in row:
        return said
    scores = f"{number(row['score'])} and {number(row['baseline_score'])}"
    return f"{said}; p of {name(row['class'])}: {scores}"


def markdown_rows(report: Mapping[str, Any]) -> Sequence[tuple[str, list[str]]]:
    """Name and cells of each baseline."""
    section, latency = report.get("fidelity", {}), report["latency"]
    return [(title, cells(title, entry, latency)) for title, entry in section.items()]


def _with_interval(estimate: Mapping[str, Any]) -> str:
    return f"{number(estimate['value'])} ({interval(estimate['ci'])})" if estimate["ci"] else number(estimate["value"])


def _signed(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "–"
    ends = "" if estimate["ci"] is None else f" ({estimate['ci'][0]:+.3f} to {estimate['ci'][1]:+.3f})"
    return f"{estimate['value']:+.4f}{ends}"
