"""A latency curve for a terminal: a table of sizes, a bar for the rows a second of each, and which size to take.

Made to be read in 80 columns. Names are shown as they are, never as markup, and cannot move the cursor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.bar import Bar
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ortbatch.report.format import interval, name, number
from ortbatch.report.sheet import sheet

_BAR = 44
_TIMES = ("p50_ms", "p90_ms", "p99_ms")


def print_curve(data: Mapping[str, Any], console: Console) -> None:
    """Print what `LatencyCurve.data` holds."""
    for part in (*_head(data), _table(data), "", _bars(data), "", *_advice(data), *_notes(data)):
        console.print(part)


def _head(data: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield Text(f"{name(data['job'], 100)}: latency by batch size, session.run alone", "bold")
    host = data["host"]
    yield Text(
        f"model {name(data['model_sha256'][:12])}, {name(host['cpu'], 60)}, {_counted(host['cpus'], 'processor')}; "
        f"{data['took_s']:.3g} s, {_counted(data['rows'], 'row')}",
        "dim",
    )
    yield ""


def _table(data: Mapping[str, Any]) -> Table:
    table = sheet("batch", "threads", "runs", "p50 ms", "p90 ms", "p99 ms", "rows/s, and\nat p50", texts=0)
    for point in data["points"]:
        table.add_row(
            f"{point['batch_size']:,}",
            f"{point['threads']:,}",
            f"{point['count']:,}",
            *(_timed(point[key]) for key in _TIMES),
            Text(_rate(point["rows_per_s"])).append(f"\n{_rate(point['rows_per_s_at_p50'])}", "dim"),
        )
    return table


def _timed(estimate: Mapping[str, Any]) -> Text:
    """A time, and below it its interval, or that there are too few runs for one."""
    reason = estimate.get("reason")
    line = Text(number(estimate["value"]), "dim" if reason else "")
    return line.append(f"\n{interval(estimate['ci']) or name((reason or '').partition(':')[0])}", "dim")


def _rate(estimate: Mapping[str, Any]) -> str:
    return "–" if estimate["value"] is None else f"{estimate['value']:,.0f}"


def _bars(data: Mapping[str, Any]) -> Table:
    table = sheet("batch", "threads", "rows/s", "", texts=0)
    table.columns[3].justify = "left"
    rates = [point["rows_per_s"]["value"] or 0.0 for point in data["points"]]
    for point, rate in zip(data["points"], rates, strict=True):
        bar = Bar(size=max(rates) or 1.0, begin=0, end=rate, width=_BAR)
        table.add_row(f"{point['batch_size']:,}", f"{point['threads']:,}", f"{rate:,.0f}", bar)
    return table


def _advice(data: Mapping[str, Any]) -> Iterator[Text]:
    for knee in data["knees"]:
        share = "" if knee["share_of_best"] is None else f" (at the median {knee['share_of_best']:.0%} of the most)"
        yield Text(
            f"knee, {_counted(knee['threads'], 'thread')}: batches of {knee['batch_size']:,}: "
            f"{_rate(knee['rows_per_s'])} rows/s{share}; p99 {number(knee['p99_ms']['value'])} ms"
        )
    for pick in data["within"]:
        yield _kept(pick, data["max_p99_ms"])


def _kept(pick: Mapping[str, Any], limit: float) -> Text:
    said = f"p99 within {limit:g} ms, {_counted(pick['threads'], 'thread')}: "
    if pick["batch_size"] is None:
        line = Text(f"{said}no size of those that can be told", "yellow" if pick["undecided"] else "bold red")
    else:
        doubt = "" if pick["surely"] else ", though its interval reaches beyond"
        line = Text(
            f"{said}batches of up to {pick['batch_size']:,}: {_rate(pick['rows_per_s'])} rows/s; p99 "
            f"{number(pick['p99_ms']['value'])} ms{doubt}",
            "green",
        )
    if pick["undecided"]:
        sizes = ", ".join(f"{size:,}" for size in pick["undecided"])
        line.append(f"; too few runs to tell of {sizes}: p99 needs 368", "yellow")
    return line


def _notes(data: Mapping[str, Any]) -> Iterator[Text]:
    for note in data["notes"]:
        yield Text(f"note: {name(note, 300)}", "dim")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
