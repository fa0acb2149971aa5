"""The report for a terminal: the verdict and its gates first, then how good, how fast, how complete.

Made to be read in 80 columns. Class names and paths are shown as they are, never as markup, and cannot move the cursor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ortbatch.report.checks_text import checks_lines
from ortbatch.report.fidelity_text import fidelity_lines
from ortbatch.report.format import interval, margin, name, number
from ortbatch.report.join import join_line
from ortbatch.report.sheet import sheet as _table
from ortbatch.report.threshold_text import threshold_lines

_MATRIX_UP_TO = 20
_CLASSES_UP_TO = 20
_CONFUSIONS_UP_TO = 10
_SENTENCE_CHARACTERS = 300
_SHARDS_SHOWN = 3
_SLICES_SHOWN = 20
_COLOURS = {"passed": "green", "failed": "red", "inconclusive": "yellow", "incomplete": "red", "ungated": "blue"}
_URGENCY = ("failed", "inconclusive", "passed")
_STATISTICS = ("mean", "p50", "p90", "p95", "p99", "p99_9", "max")
_QUALITY = [
    "accuracy", "precision", "recall", "f1", "specificity", "balanced_accuracy", "precision_macro", "recall_macro",
    "f1_macro", "matthews_corrcoef", "cohen_kappa", "log_loss", "brier", "ece", "roc_auc", "average_precision",
    "top_2_accuracy", "top_3_accuracy", "top_5_accuracy", "top_10_accuracy",
    "majority_class_accuracy",
]  # fmt: skip


def print_summary(report: Mapping[str, Any], console: Console) -> None:
    """Print a report."""
    print_verdict(report, console)
    _print(console, _findings(report))
    for table in (_quality(report), _per_class(report)):
        _print(console, [table, ""])
    _print(console, [_matrix(report, console), ""])
    _print(console, threshold_lines(report))
    if report.get("slices"):
        _print(console, [*_slices(report), ""])
    _print(console, fidelity_lines(report))
    _print(console, checks_lines(report))
    timed = [] if "join" in report else _latency(report)
    _print(console, [*timed, *_throughput(report), _coverage(report), *_joined(report), *_quarantined(report)])


def print_verdict(report: Mapping[str, Any], console: Console) -> None:
    """Print the verdict and the gates only."""
    _print(console, [*_verdict(report), ""])
    if report["gates"]:
        _print(console, [_gates(report), *_reasons(report), ""])


def _print(console: Console, parts: Iterable[RenderableType]) -> None:
    for part in parts:
        console.print(part)


def _verdict(report: Mapping[str, Any]) -> Iterator[Text]:
    status, quality = report["status"], report["quality"]
    line = Text()
    line.append(f" {status.upper()} ", f"bold reverse {_COLOURS[status]}")
    line.append(f"  {name(report['run']['name'], 100)}", "bold")
    line.append(f": {_sentence(report)}")
    yield line
    task = f"{quality['task']}, {len(quality['classes']):,} classes"
    if "positive" in quality:
        task += f", positive class {name(quality['positive'])}, threshold {report['job']['threshold']:g}"
    yield Text(f"{task}; {quality['rows']:,} rows evaluated", "dim")


def _sentence(report: Mapping[str, Any]) -> str:
    said = _judgement(report["gates"])
    if report["status"] != "incomplete":
        return said
    bad = report["coverage"]["bad_rows"]
    if bad["count"] <= bad["allowed"]:
        return f"coverage fails its gate; {said}"
    worst = ", ".join(f"{name(entry['file'], 80)}: {entry['rows']:,}" for entry in bad["worst_files"][:3])
    return (
        f"{bad['count']:,} bad rows in {_counted(bad['files'], 'file')}, {bad['allowed']:,} allowed ({worst}); {said}"
    )


def _judgement(gates: list[Mapping[str, Any]]) -> str:
    if not gates:
        return "the job has no gates, nothing was judged"
    outcomes = [gate["outcome"] for gate in gates]
    parts = [f"{outcomes.count(word)} {word}" for word in _URGENCY if word in outcomes]
    return f"{', '.join(parts)} of {_counted(len(gates), 'gate')}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _gates(report: Mapping[str, Any]) -> Table:
    """What failed stands first."""
    table = _table("outcome", "gate", "value", "margin", "95% interval", "n", texts=2)
    for gate in sorted(report["gates"], key=lambda gate: _URGENCY.index(gate["outcome"])):
        failed = gate["outcome"] == "failed"
        style = "bold red" if failed else _COLOURS[gate["outcome"]]
        table.add_row(
            Text(gate["outcome"].upper() if failed else gate["outcome"], style),
            Text(name(gate["gate"], 60)),
            number(gate["value"], apart_from=gate["limit"]),
            Text(margin(gate), style),
            interval(gate["ci"]),
            f"{gate['rows']:,}",
        )
    return table


def _reasons(report: Mapping[str, Any]) -> Iterator[Text]:
    """Why a gate could not be decided by its number."""
    for gate in report["gates"]:
        if gate["outcome"] == "inconclusive" or gate["value"] is None:
            yield Text(f"{name(gate['gate'], 60)}: {name(gate['why'], _SENTENCE_CHARACTERS)}", "yellow")


def _findings(report: Mapping[str, Any]) -> list[RenderableType]:
    findings = report["findings"]
    texts = [Text(f"{f['severity']}: {name(f['text'], _SENTENCE_CHARACTERS)}", "yellow") for f in findings]
    return [*texts, ""] if texts else []


def _quality(report: Mapping[str, Any]) -> RenderableType:
    table = _table("quality", "value", "95% interval")
    table.columns[2].justify = "left"
    for metric in _QUALITY:
        if (item := report["quality"].get(metric)) is not None:
            why = Text(name(item["reason"], 80), "dim") if item["value"] is None else interval(item["ci"])
            table.add_row(metric, number(item["value"]), why)
    return table


def _per_class(report: Mapping[str, Any]) -> Table:
    rows = report["quality"]["per_class"]
    shown = sorted(rows, key=lambda row: (_or_one(row["f1"]), row["class"]))[:_CLASSES_UP_TO]
    title = "class, worst f1 first" if len(rows) <= _CLASSES_UP_TO else f"the {_CLASSES_UP_TO} classes of worst f1"
    table = _table(title, "rows", "predicted", "precision", "recall", "f1", "roc_auc")
    for row in shown:
        numbers = [number(row[metric]["value"]) for metric in ("precision", "recall", "f1", "roc_auc")]
        table.add_row(Text(name(row["class"], 24)), f"{row['support']:,}", f"{row['predicted']:,}", *numbers)
    return table


def _or_one(estimate: Mapping[str, Any]) -> float:
    return 1.0 if estimate["value"] is None else float(estimate["value"])


def _matrix(report: Mapping[str, Any], console: Console) -> RenderableType:
    """The confusion matrix if it fits, else the most frequent confusions."""
    matrix = report["confusion_matrix"]
    if len(matrix["classes"]) > _MATRIX_UP_TO:
        return _confusions(matrix)
    table = _table("true \\ predicted", *(name(text, 12) for text in matrix["classes"]))
    for place, (text, counts) in enumerate(zip(matrix["classes"], matrix["counts"], strict=True)):
        cells = [Text(f"{n:,}", "bold" if p == place else "" if n else "dim") for p, n in enumerate(counts)]
        table.add_row(Text(name(text, 24)), *cells)
    wanted = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    return table if wanted <= console.width else _confusions(matrix)


def _confusions(matrix: Mapping[str, Any]) -> RenderableType:
    dense = (
        (true, predicted, count)
        for true, counts in enumerate(matrix.get("counts", []))
        for predicted, count in enumerate(counts)
        if count
    )
    cells = matrix["cells"] if matrix["format"] == "coo" else dense
    wrong = sorted((-count, true, predicted) for true, predicted, count in cells if true != predicted)
    if not wrong:
        return Text("No row is confused with another class.")
    table = _table("most confused: true class", "predicted class", "rows", texts=2)
    for count, true, predicted in wrong[:_CONFUSIONS_UP_TO]:
        table.add_row(*(Text(name(matrix["classes"][index])) for index in (true, predicted)), f"{-count:,}")
    return table


def _slices(report: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The first slices of the report, which are the worse ones."""
    slices = report["slices"]
    shown = slices[:_SLICES_SHOWN]
    metrics = [metric for metric in ("accuracy", "recall", "precision") if metric in slices[0]]
    table = _table("slice, worse first", "rows", *(f"{metric}, 95%" for metric in metrics))
    for column in table.columns[1:]:
        column.no_wrap = True
    for entry in shown:
        worse = {item["metric"] for item in entry["worse"]}
        cells = [Text(_tight(entry[metric]), "bold red" if metric in worse else "") for metric in metrics]
        table.add_row(Text(name(entry["name"], 60), "bold red" if worse else ""), f"{entry['rows']:,}", *cells)
    yield table
    worse_ones = sum(bool(entry["worse"]) for entry in slices)
    more = f"; {len(slices) - len(shown):,} more in the report" if len(slices) > len(shown) else ""
    yield Text(
        f"{_counted(worse_ones, 'slice')} of {len(slices):,} worse by more than chance (Holm, 0.05){more}", "dim"
    )


def _tight(estimate: Mapping[str, Any]) -> str:
    """A share and its interval, rounded outward to two digits."""
    if estimate["ci"] is None:
        return number(estimate["value"])
    low, high = math.floor(estimate["ci"][0] * 100), math.ceil(estimate["ci"][1] * 100)
    return f"{number(estimate['value'])} {low / 100:.2f}–{high / 100:.2f}"


def _latency(report: Mapping[str, Any]) -> Iterator[RenderableType]:
    single, batch = report["latency"]["single"], report["latency"]["batch"]
    table = _table("latency, ms", "single", "95% interval", "batch", "95% interval")
    for statistic in _STATISTICS:
        cells = (_timed(section[f"{statistic}_ms"]) for section in (single, batch))
        table.add_row(statistic.replace("_", "."), *(cell for pair in cells for cell in pair))
    yield table
    yield Text(
        f"single: {single['count']:,} predictions of one row, {_counted(single['threads'], 'thread')}; batch: "
        f"{_counted(batch['count'], 'run')} of up to {_counted(batch['batch_size'], 'row')} under load",
        "dim",
    )
    yield from _start(single)
    yield ""


def _start(single: Mapping[str, Any]) -> Iterator[Text]:
    """What is in no percentile; reports of earlier versions do not tell it."""
    parts = []
    if "session_s" in single:
        parts.append(f"session loaded in {single['session_s']:.2g} s")
    if single.get("first_ms") is not None:
        parts.append(f"first prediction {number(single['first_ms'])} ms")
    if "transform" in single:
        parts.append(f"transform of a row: median {number(single['transform']['p50_ms']['value'])} ms")
    if parts:
        yield Text(f"apart: {', '.join(parts)}", "dim")


def _timed(estimate: Mapping[str, Any]) -> tuple[Text, Text]:
    """A value and its interval; one that too few values bound is faint."""
    reason = estimate.get("reason")
    if reason is None:
        return Text(number(estimate["value"])), Text(interval(estimate["ci"]))
    return Text(number(estimate["value"]), "dim"), Text(name(reason.partition(":")[0]), "dim")


def _throughput(report: Mapping[str, Any]) -> Iterator[Text]:
    throughput, engine = report["throughput"], report["provenance"]["engine"]
    rate, seconds = throughput["rows_per_s"]["value"], throughput["seconds"]
    workers = f"{_counted(engine['workers'], 'worker')} × {_counted(engine['streams_per_worker'], 'stream')}"
    pace = "" if rate is None else f"{rate:,.0f} rows/s: "
    yield Text(f"{pace}{throughput['pass_s']:.3g} s on {workers} ({name(engine['engine'])})")
    if total := sum(seconds.values()):
        shares = ", ".join(f"{name(stage)} {time / total:.0%}" for stage, time in seconds.items())
        yield Text(f"time of the streams: {shares}", "dim")


def _quarantined(report: Mapping[str, Any]) -> Iterator[Text]:
    """Shards that were left out, the first few with the reason."""
    shards = report["coverage"]["shards"]["quarantined"]
    for shard in shards[:_SHARDS_SHOWN]:
        yield Text(
            f"left out: shard {shard['shard']:,}, {_counted(shard['rows'], 'row')}: {name(shard['reason'], 400)}"
        )
    if len(shards) > _SHARDS_SHOWN:
        yield Text(f"left out: {len(shards) - _SHARDS_SHOWN:,} more")


def _joined(report: Mapping[str, Any]) -> list[Text]:
    line = join_line(report)
    return [] if line is None else [Text(name(line, _SENTENCE_CHARACTERS))]


def _coverage(report: Mapping[str, Any]) -> Text:
    coverage = report["coverage"]
    rows, shards = coverage["rows"], coverage["shards"]
    line = f"{rows['planned']:,} rows planned = {rows['evaluated']:,} evaluated"
    line += "".join(f" + {rows[kind]:,} {kind}" for kind in ("unlabelled", "filtered") if rows[kind])
    line += "".join(f" + {count:,} {name(reason)}" for reason, count in rows["rejected"].items())
    files = _counted(coverage["files"]["planned"], "file")
    return Text(f"{line}; {shards['done']:,} of {_counted(shards['planned'], 'shard')}, {files}")
