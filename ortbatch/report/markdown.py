"""The report as a page of Markdown, for the summary of a CI job or a comment on a change.

Names of classes, slices and files are data: whatever they hold, they are shown as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ortbatch.report import checks_text
from ortbatch.report.fidelity_text import COLUMNS, markdown_rows
from ortbatch.report.format import interval, name, number

_SPECIAL = re.compile(r"[\\`*_{}\[\]<#!|~&@:$]")
_ICONS = {"passed": "✅", "failed": "❌", "inconclusive": "❔", "incomplete": "⚠️", "ungated": "➖"}
_URGENCY = ("failed", "inconclusive", "passed")
_QUALITY = (
    "accuracy", "balanced_accuracy", "precision", "recall", "f1", "precision_macro", "recall_macro", "f1_macro",
    "matthews_corrcoef", "roc_auc", "average_precision", "log_loss", "brier", "ece", "majority_class_accuracy",
)  # fmt: skip
_CLASSES_SHOWN = 20
_WIDTH = 200


def markdown_summary(report: Mapping[str, Any]) -> str:
    """Verdict, gates, findings, metrics with their intervals, classes and speed of a decoded report."""
    parts = (_head, _gates, _findings, _quality, _fidelity, _checks, _speed)
    return "\n".join(line for part in parts for line in part(report)) + "\n"


def text(raw: str) -> str:
    """Text that Markdown and HTML show as it is.

    >>> text("<b>|*x*")
    '&#60;b>&#124;&#42;x&#42;'
    """
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", name(raw, _WIDTH))


def _head(report: Mapping[str, Any]) -> Iterator[str]:
    status, quality = report["status"], report["quality"]
    yield f"## {_ICONS[status]} {text(report['run']['name'])}: {status}"
    yield ""
    rows, planned = quality["rows"], report["coverage"]["rows"]["planned"]
    yield f"{rows:,} of {planned:,} rows evaluated, {len(quality['classes']):,} classes"
    yield ""


def _table(columns: Sequence[str], numbers: int, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table whose last `numbers` columns are aligned to the right."""
    texts = len(columns) - numbers
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * texts}{'---:|' * numbers}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _gates(report: Mapping[str, Any]) -> Iterator[str]:
    gates = sorted(report["gates"], key=lambda gate: _URGENCY.index(gate["outcome"]))
    if not gates:
        yield "The job has no gates: nothing was judged."
        yield ""
        return
    rows = [
        (
            f"{_ICONS[gate['outcome']]} {gate['outcome']}",
            text(gate["gate"]),
            text(gate["why"]),
            number(gate["value"], apart_from=gate["limit"]),
            interval(gate["ci"]),
            f"{gate['rows']:,}",
        )
        for gate in gates
    ]
    yield from _table(("outcome", "gate", "why", "value", "95% interval", "n"), 3, rows)


def _findings(report: Mapping[str, Any]) -> Iterator[str]:
    for finding in report["findings"]:
        yield f"- **{finding['severity']}**: {text(finding['text'])}"
    if report["findings"]:
        yield ""


def _quality(report: Mapping[str, Any]) -> Iterator[str]:
    quality = report["quality"]
    known = [(metric, quality[metric]) for metric in _QUALITY if metric in quality]
    defined = [(metric, item) for metric, item in known if item["value"] is not None]
    rows = [(metric, number(item["value"]), interval(item["ci"])) for metric, item in defined]
    yield from _table(("metric", "value", "95% interval"), 2, rows)
    classes = quality["per_class"]
    if len(classes) > _CLASSES_SHOWN:
        return
    rows_of = [
        (
            text(row["class"]),
            f"{row['support']:,}",
            *(f"{number(row[m]['value'])} {_aside(row[m]['ci'])}".rstrip() for m in ("precision", "recall", "f1")),
        )
        for row in classes
    ]
    yield from _table(("class", "rows", "precision", "recall", "f1"), 4, rows_of)


def _aside(ci: Sequence[float] | None) -> str:
    return f"({interval(ci)})" if ci is not None else ""


def _fidelity(report: Mapping[str, Any]) -> Iterator[str]:
    rows = [(text(title), *cells) for title, cells in markdown_rows(report)]
    if rows:
        yield from _table(COLUMNS, len(COLUMNS) - 1, rows)


def _checks(report: Mapping[str, Any]) -> Iterator[str]:
    """Leakage and overfitting, where the job asks for them."""
    for columns, rows in checks_text.tables(report):
        yield from _table(columns, len(columns) - 1, rows)


def _speed(report: Mapping[str, Any]) -> Iterator[str]:
    single, rate = report["latency"]["single"], report["throughput"]["rows_per_s"]["value"]
    if single["p99_ms"]["value"] is not None:
        yield f"One prediction: p50 {number(single['p50_ms']['value'])} ms, p99 {number(single['p99_ms']['value'])} ms."
    if rate is not None:
        yield f"The pass: {rate:,.0f} rows/s."
    yield ""
    yield f"Run `{report['run']['id']}`, model `{report['provenance']['model']['sha256'][:12]}`."
