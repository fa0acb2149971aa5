"""The report for a terminal: verdict first, then how good, how fast, how complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

_MATRIX_UP_TO = 12
_CLASSES_UP_TO = 20
_COLOURS = {"passed": "green", "failed": "red", "inconclusive": "yellow", "incomplete": "red", "ungated": "blue"}
_QUALITY = [
    "accuracy", "precision", "recall", "f1", "specificity", "balanced_accuracy", "f1_macro", "matthews_corrcoef",
    "cohen_kappa", "log_loss", "brier", "roc_auc", "average_precision", "majority_class_accuracy",
]  # fmt: skip


def print_summary(report: Mapping[str, Any], console: Console) -> None:
    """Print a report; class names and paths are shown as they are, never as markup."""
    for part in (
        _verdict(report), _gates(report), _findings(report), _quality(report), _per_class(report), _matrix(report),
        _latency(report), _coverage(report),
    ):  # fmt: skip
        if part is not None:
            console.print(part)


def print_verdict(report: Mapping[str, Any], console: Console) -> None:
    """Print the verdict and the gates only."""
    for part in (_verdict(report), _gates(report)):
        if part is not None:
            console.print(part)


def _verdict(report: Mapping[str, Any]) -> RenderableType:
    status, quality = report["status"], report["quality"]
    line = Text()
    line.append(f" {status.upper()} ", f"bold reverse {_COLOURS[status]}")
    line.append(f"  {report['run']['name']}", "bold")
    line.append(f"  {_sentence(report)}")
    task = f"{quality['task']}, {len(quality['classes'])} classes"
    if "positive" in quality:
        task += f", positive class {quality['positive']}, threshold {report['job']['threshold']:g}"
    return Group(line, Text(f"{task}; {quality['rows']:,} rows evaluated", "dim"))


def _sentence(report: Mapping[str, Any]) -> str:
    gates = report["gates"]
    if report["status"] == "incomplete":
        bad = report["coverage"]["bad_rows"]
        if bad["count"] > bad["allowed"]:
            worst = ", ".join(f"{entry['file']}: {entry['rows']:,}" for entry in bad["worst_files"][:3])
            files = f"{bad['files']} file{'s' if bad['files'] != 1 else ''}"
            return f"{bad['count']:,} bad rows in {files}, {bad['allowed']:,} allowed ({worst})"
        return "coverage is below its gate"
    if not gates:
        return "the job has no gates: nothing was judged"
    passed = sum(gate["outcome"] == "passed" for gate in gates)
    return f"{passed} of {len(gates)} gates passed"


def _table(*columns: str, title: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right", overflow="fold")
    return table


def _gates(report: Mapping[str, Any]) -> RenderableType | None:
    if not report["gates"]:
        return None
    table = _table("gate", "value", "95% interval", "n", "outcome", title="Gates")
    for gate in report["gates"]:
        outcome = Text(gate["outcome"], _COLOURS[gate["outcome"]])
        table.add_row(Text(gate["gate"]), _number(gate["value"]), _interval(gate["ci"]), f"{gate['rows']:,}", outcome)
    reasons = [g for g in report["gates"] if g["outcome"] == "inconclusive" or g["value"] is None]
    return Group(table, *(Text(f"  {gate['gate']}: {gate['why']}", "yellow") for gate in reasons))


def _findings(report: Mapping[str, Any]) -> RenderableType | None:
    if not report["findings"]:
        return None
    return Group(*(Text(f"{finding['severity']}: {finding['text']}", "yellow") for finding in report["findings"]))


def _quality(report: Mapping[str, Any]) -> RenderableType:
    table = _table("metric", "value", "95% interval", title="Quality")
    for name in _QUALITY:
        if (item := report["quality"].get(name)) is not None:
            why = Text(item["reason"], "dim") if item["value"] is None else _interval(item["ci"])
            table.add_row(name, _number(item["value"]), why)
    return table


def _per_class(report: Mapping[str, Any]) -> RenderableType | None:
    rows = report["quality"]["per_class"]
    shown = sorted(rows, key=lambda row: (_or_one(row["f1"]), row["class"]))[:_CLASSES_UP_TO]
    title = "Classes, worst F1 first" if len(rows) <= _CLASSES_UP_TO else f"The {_CLASSES_UP_TO} classes of worst F1"
    table = _table("class", "rows", "precision", "recall", "f1", "roc_auc", title=title)
    for row in shown:
        numbers = [_number(row[name]["value"]) for name in ("precision", "recall", "f1", "roc_auc")]
        table.add_row(Text(row["class"]), f"{row['support']:,}", *numbers)
    return table


def _or_one(estimate: Mapping[str, Any]) -> float:
    return 1.0 if estimate["value"] is None else float(estimate["value"])


def _matrix(report: Mapping[str, Any]) -> RenderableType | None:
    matrix = report["confusion_matrix"]
    if len(matrix["classes"]) > _MATRIX_UP_TO:
        return None
    table = _table("true \\ predicted", *(_escaped(name) for name in matrix["classes"]), title="Confusion matrix")
    for place, (name, counts) in enumerate(zip(matrix["classes"], matrix["counts"], strict=True)):
        cells = [Text(f"{n:,}", "bold" if p == place else "" if n else "dim") for p, n in enumerate(counts)]
        table.add_row(Text(name), *cells)
    return table


def _escaped(name: str) -> str:
    from rich.markup import escape

    return escape(name)


def _latency(report: Mapping[str, Any]) -> RenderableType:
    names = ["p50_ms", "p90_ms", "p99_ms", "p99_9_ms", "max_ms"]
    table = _table("latency, ms", "n", "batch", *(n.removesuffix("_ms") for n in names), "p99, 95%", title="Speed")
    for kind in ("single", "batch"):
        section = report["latency"][kind]
        values = [_number(section[name]["value"]) for name in names]
        p99 = section["p99_ms"]
        interval = "insufficient" if p99["ci"] is None else _interval(p99["ci"])
        table.add_row(kind, f"{section['count']:,}", f"{section['batch_size']:,}", *values, interval)
    throughput = report["throughput"]
    engine = report["provenance"]["engine"]
    where = f"{engine['engine']}, {engine['workers']} × {engine['streams_per_worker']} streams"
    rate = throughput["rows_per_s"]["value"]
    speed = "" if rate is None else f"{rate:,.0f} rows/s, "
    times = ", ".join(f"{stage} {seconds:.3g} s" for stage, seconds in throughput["seconds"].items())
    return Group(table, Text(f"{speed}pass {throughput['pass_s']:.3g} s on {where}; {times}", "dim"))


def _coverage(report: Mapping[str, Any]) -> RenderableType:
    coverage = report["coverage"]
    rows, shards = coverage["rows"], coverage["shards"]
    line = f"Coverage: {rows['planned']:,} rows planned = {rows['evaluated']:,} evaluated"
    line += "".join(f" + {rows[kind]:,} {kind}" for kind in ("unlabelled", "filtered") if rows[kind])
    line += "".join(f" + {count:,} {reason}" for reason, count in rows["rejected"].items())
    return Text(f"{line}; {shards['done']} of {shards['planned']} shards, {coverage['files']['planned']} files")


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def _interval(ci: list[float] | None) -> str:
    return "" if ci is None else f"{_number(ci[0])} to {_number(ci[1])}"
