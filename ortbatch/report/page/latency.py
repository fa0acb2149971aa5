"""Latency: percentiles of single predictions and of batches, with what was timed, and what the start costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ortbatch.metrics.intervals import rows_for_quantile
from ortbatch.report.format import interval, name, number
from ortbatch.report.latency import PERCENTILES
from ortbatch.report.page import draw
from ortbatch.report.page.blocks import Block, Cell, Fragment, Section, Sentence, Table, Tone, estimate, figure, word
from ortbatch.report.page.percentiles import percentiles_chart

_STATISTICS = ("mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99_9_ms", "max_ms")
_LINES = 6
_TITLES = {"single": "One row at a time", "batch": "Batches of the pass"}


def latency(report: Mapping[str, Any]) -> Section | None:
    """Both measurements, where anything was timed."""
    section = report["latency"]
    kinds = [kind for kind in _TITLES if section[kind]["count"]]
    if not kinds:
        return None
    pictures = [_picture(section, kind) for kind in kinds]
    blocks: list[Block] = [
        Sentence(_opening(section)),
        Fragment("pictures.html", {"pictures": pictures}),
        _table(section, kinds),
    ]
    blocks += [table for table in (_others(section),) if table is not None]
    if aside := [table for table in (_start(section), _ratios(section)) if table is not None]:
        blocks.append(Fragment("tables.html", {"tables": aside}))
    return Section("latency", "Latency", blocks)


def _opening(section: Mapping[str, Any]) -> str:
    """What was timed, and how to read the pictures."""
    single, batch = section["single"], section["batch"]
    said = []
    if single["count"]:
        said.append(
            f"{single['count']:,} predictions of one row with nothing else running, after {single['warm_up']:,} to "
            f"warm up, {_counted(single['threads'], 'thread')}"
        )
    if batch["count"]:
        said.append(f"{_counted(batch['count'], 'run')} of up to {_counted(batch['batch_size'], 'row')} under load")
    return (
        f"How long `session.run` alone takes: {'; and '.join(said)}. To the right lie the slowest: each further nine "
        "of the percentile takes the same width. Points with lines are percentiles with 95% intervals."
    )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _picture(section: Mapping[str, Any], kind: str) -> dict[str, Any]:
    timed = {called: part for called, part in _parts(section, kind) if part.get("histogram") is not None}
    title = f"{_TITLES[kind]}: ms by percentile"
    shown = dict(list(timed.items())[:_LINES])
    svg = draw.svg(percentiles_chart(shown), f"{title}, of {', '.join(shown)}; the table has the numbers")
    return {"title": title, "svg": svg}


def _parts(section: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The model and whatever else was timed so, by the name that is shown."""
    yield "model", section[kind]
    if kind == "single" and "transform" in section["single"]:
        yield "transform", section["single"]["transform"]
    for called, part in section.get("baselines", {}).items():
        if part.get(kind, {"count": 0})["count"]:
            yield f"baseline {name(called, 24)}", part[kind]


def _table(section: Mapping[str, Any], kinds: Sequence[str]) -> Table:
    """A line a statistic, both measurements beside one another."""
    rows = [
        (
            Cell(_word(statistic)),
            *(cell for kind in kinds for cell in _timed(section[kind][statistic], f"latency.{kind}.{statistic}")),
        )
        for statistic in _STATISTICS
    ]
    head = [text for kind in kinds for text in (f"{kind}, ms", "95% interval")]
    return Table("Latency of the model", ("statistic", *head), rows, note=_note([section[kind] for kind in kinds]))


def _note(parts: Sequence[Mapping[str, Any]]) -> str:
    """What `insufficient` means, if it stands there, and how many values the percentiles need."""
    short = [key for key in PERCENTILES if any("reason" in part[key] for part in parts)]
    if not short:
        return ""
    needed = ", ".join(f"{_word(key)} {rows_for_quantile(PERCENTILES[key]):,}" for key in short)
    return (
        f"insufficient: too few values to bound the percentile, and no gate on it can be decided. Needed are: {needed}."
    )


def _others(section: Mapping[str, Any]) -> Table | None:
    """The same of the transform and of baselines."""
    rows = [
        (Cell(called), Cell(kind), Cell(_word(statistic)), *_timed(part[statistic], ""))
        for kind in _TITLES
        for called, part in _parts(section, kind)
        if called != "model"
        for statistic in _STATISTICS
    ]
    title = "Latency of the transform and of baselines"
    return Table(title, ("of", "measured", "statistic", "ms", "95% interval"), rows, 3, folded=True) if rows else None


def _word(statistic: str) -> str:
    return statistic.removesuffix("_ms").replace("_", ".")


def _timed(item: Mapping[str, Any], key: str) -> tuple[Cell, Cell]:
    """A value that too few values bound is marked in words."""
    if item["value"] is None or "reason" not in item:
        return estimate(item, key)
    first, _, rest = item["reason"].partition(": ")
    return figure(item["value"], key, "doubt"), Cell(name(first, 40), tone="doubt", more=name(rest, 200))


def _start(section: Mapping[str, Any]) -> Table | None:
    """What is in no percentile; reports of earlier versions do not tell it."""
    single = section["single"]
    rows: list[tuple[Cell, Cell, Cell]] = []
    for key, what, unit in (
        ("session_s", "loading the session", "s"),
        ("first_ms", "first prediction", "ms"),
        ("warm_up_s", "warm-up", "s"),
    ):
        if single.get(key) is not None:
            rows.append((Cell(what), figure(single[key], f"latency.single.{key}"), Cell(unit)))
    if "stable" in single:
        tone: Tone = "" if single["stable"] else "doubt"
        rows.append((Cell("steady after warm-up"), Cell("yes" if single["stable"] else "no", tone=tone), Cell("")))
    return Table("What the start costs, in no percentile", ("what", "value", "unit"), rows, ends=1) if rows else None


def _ratios(section: Mapping[str, Any]) -> Table | None:
    """How many times as long baselines take."""
    rows = []
    for called, part in section.get("baselines", {}).items():
        for kind in _TITLES:
            item = part[f"{kind}_ratio"]
            if item["value"] is not None:
                rows.append(
                    (
                        word(called),
                        Cell(kind),
                        Cell(f"{number(item['value'])} ×", item["value"]),
                        Cell(interval(item["ci"])),
                    )
                )
    title = "Median of a baseline over the model's; above 1 the model is faster"
    return Table(title, ("baseline", "measured", "ratio", "95% interval"), rows, 2) if rows else None
