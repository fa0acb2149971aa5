"""Leakage and overfitting as a terminal and a page of Markdown show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ortbatch.report.format import interval, name, number
from ortbatch.report.sheet import sheet

_EXAMPLES_SHOWN = 3
_SHOWN = ("accuracy", "f1", "f1_macro", "roc_auc", "log_loss")
Rows = list[list[str]]


def checks_lines(report: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What was found in the training data, tables of it, and the first leaked rows; nothing without checks."""
    section = report.get("leakage")
    if section is not None:
        yield Text(_found(section))
        for row in section["examples"][:_EXAMPLES_SHOWN]:
            here, there = f"{name(row['file'], 60)} row {row['row']:,}", name(row["training_file"], 60)
            yield Text(f"{here} is row {row['training_row']:,} of {there}", "dim")
    for columns, rows in tables(report):
        table = sheet(*columns)
        for first, *others in rows:
            table.add_row(Text(first), *others)
        yield table
    if section is not None or "overfitting" in report:
        yield ""


def tables(report: Mapping[str, Any]) -> Iterator[tuple[Sequence[str], Rows]]:
    """(columns, rows) of each table; the first column is text."""
    section = report.get("leakage")
    if section is not None and "leaked" in section:
        all_rows, names = report["quality"], [metric for metric in _SHOWN if metric in section["without"]]
        yield (
            ("metric", "all rows", "without leaked", "leaked"),
            [[metric, *(_value(part[metric]) for part in (all_rows, *_parts(section)))] for metric in names],
        )
    overfitting = report.get("overfitting")
    if overfitting is not None and "quality" in overfitting:
        of_training, gaps = overfitting["quality"], overfitting["gaps"]
        names = [gap.removesuffix("_gap") for gap in gaps]
        yield (
            ("metric", "training rows", "evaluated", "gap", "95% interval"),
            [
                [
                    metric,
                    _value(of_training[metric]),
                    _value(report["quality"][metric]),
                    _value(gaps[f"{metric}_gap"]),
                    interval(gaps[f"{metric}_gap"]["ci"]),
                ]
                for metric in names
            ],
        )


def _parts(section: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return section["without"], section["leaked"]


def _value(estimate: Mapping[str, Any]) -> str:
    return number(estimate["value"])


def _found(section: Mapping[str, Any]) -> str:
    """The counts on a line."""
    told = [
        f"leakage: {section['rows']:,} of {section['compared']:,} rows stand in the training data "
        f"({section['training']['looked_at']:,} rows)",
        f"{section['duplicates']:,} repeat another one",
        f"{section['conflicts']:,} have another label elsewhere",
    ]
    if section["training_conflicts"]:
        told.append(f"{section['training_conflicts']:,} have another label in the training data")
    return "; ".join(told)
