"""What a notebook shows of a report: the verdict, its gates, findings, and how good the model is.

A fragment of HTML without script, link or image. Colours are those of the notebook, light or dark; only the verdict has
its own. Names of classes, gates and files are data: they are escaped, and shown on one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from ortbatch.report.format import interval, name, number

_COLOURS = {
    "passed": "#1a7f37", "failed": "#b3261e", "incomplete": "#b3261e", "inconclusive": "#8a5a00", "ungated": "#3b5b92"
}  # fmt: skip
_URGENCY = ("failed", "inconclusive", "passed")
_QUALITY = (
    "accuracy", "balanced_accuracy", "precision", "recall", "f1", "precision_macro", "recall_macro", "f1_macro",
    "matthews_corrcoef", "roc_auc", "average_precision", "log_loss", "brier", "ece", "majority_class_accuracy",
)  # fmt: skip
_GATES_SHOWN = 20
_FINDINGS_SHOWN = 10
_CELL = "padding:.15em .8em .15em 0;text-align:{};border:0;background:none;color:inherit"
_HEAD = "font-weight:600;opacity:.75"


def notebook_html(report: Mapping[str, Any]) -> str:
    """Verdict, gates, findings and quality of a decoded report, and where the whole of it is."""
    parts = (*_verdict(report), *_gates(report), *_findings(report), *_quality(report), *_foot(report))
    style = "font-family:system-ui,sans-serif;color:inherit;line-height:1.4;max-width:60em"
    return f'<div class="ortbatch-report" style="{style}">{"".join(parts)}</div>'


def _text(raw: str, width: int = 200) -> str:
    return escape(name(str(raw), width))


def _verdict(report: Mapping[str, Any]) -> Iterator[str]:
    status, quality, planned = report["status"], report["quality"], report["coverage"]["rows"]["planned"]
    badge = f"background:{_COLOURS[status]};color:#fff;padding:.1em .5em;border-radius:.25em;font-weight:700"
    yield f'<p><strong style="{badge}">{status.upper()}</strong> <strong>{_text(report["run"]["name"])}</strong>'
    task = f"{_text(quality['task'])}, {len(quality['classes']):,} classes"
    if "positive" in quality:
        task += f", positive class {_text(quality['positive'], 60)}"
    yield f"<br>{task}; {quality['rows']:,} of {planned:,} rows evaluated</p>"


def _table(caption: str, columns: Sequence[str], texts: int, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table whose first `texts` columns are text, the others numbers; cells are escaped already."""
    aligned = ["left" if place < texts else "right" for place in range(len(columns))]
    yield '<table style="border-collapse:collapse;margin:.5em 0;background:none;color:inherit">'
    yield f'<caption style="text-align:left;{_HEAD}">{caption}</caption><thead><tr>'
    for column, side in zip(columns, aligned, strict=True):
        yield f'<th scope="col" style="{_CELL.format(side)};{_HEAD}">{column}</th>'
    yield "</tr></thead><tbody>"
    for row in rows:
        styled = [(_CELL.format(side), cell) for cell, side in zip(row, aligned, strict=True)]
        cells = (f'<td style="{style}">{cell}</td>' for style, cell in styled)
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table>"


def _gates(report: Mapping[str, Any]) -> Iterator[str]:
    gates = sorted(report["gates"], key=lambda gate: _URGENCY.index(gate["outcome"]))
    if not gates:
        yield "<p>The job has no gates: nothing was judged.</p>"
        return
    rows = [
        (
            f"<strong>{gate['outcome'].upper()}</strong>" if gate["outcome"] == "failed" else _text(gate["outcome"]),
            _text(gate["gate"], 80),
            number(gate["value"], apart_from=gate["limit"]),
            interval(gate["ci"]),
            f"{gate['rows']:,}",
        )
        for gate in gates[:_GATES_SHOWN]
    ]
    yield from _table("Gates", ("outcome", "gate", "value", "95% interval", "n"), 2, rows)
    if len(gates) > _GATES_SHOWN:
        yield f"<p>{len(gates) - _GATES_SHOWN:,} more gates in the report.</p>"


def _findings(report: Mapping[str, Any]) -> Iterator[str]:
    findings = report["findings"]
    if not findings:
        return
    yield "<ul>"
    for finding in findings[:_FINDINGS_SHOWN]:
        yield f"<li><strong>{_text(finding['severity'])}</strong>: {_text(finding['text'], 400)}</li>"
    if len(findings) > _FINDINGS_SHOWN:
        yield f"<li>{len(findings) - _FINDINGS_SHOWN:,} more in the report</li>"
    yield "</ul>"


def _quality(report: Mapping[str, Any]) -> Iterator[str]:
    quality = report["quality"]
    known = [(metric, quality[metric]) for metric in _QUALITY if metric in quality]
    defined = [(metric, item) for metric, item in known if item["value"] is not None]
    rows = [(metric, number(item["value"]), interval(item["ci"])) for metric, item in defined]
    yield from _table("Quality", ("metric", "value", "95% interval"), 1, rows)


def _foot(report: Mapping[str, Any]) -> Iterator[str]:
    model = report["provenance"]["model"]["sha256"][:12]
    yield f'<p style="opacity:.75">run {_text(report["run"]["id"])}, model {_text(model)}</p>'
