"""Where the time of the pass went, summed over all streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ortbatch.report.format import name, number
from ortbatch.report.page.blocks import Block, Cell, Fragment, Section, Sentence, Table, figure

_STAGES = {
    "read": "reading and decoding Parquet",
    "prepare": "from columns to the model's inputs",
    "infer": "session.run",
    "tally": "counting predictions and scores",
    "wait": "waiting for work",
}
_WIDTH = 1_000


def time_spent(report: Mapping[str, Any]) -> Section:
    """Rows/s, and the stages as one bar."""
    throughput, engine = report["throughput"], report["provenance"]["engine"]
    seconds = throughput["seconds"]
    blocks: list[Block] = [Sentence(_opening(throughput, engine))]
    spent = sum(seconds.values()) > 0
    if spent:
        blocks.append(Fragment("stages.html", {"stages": list(_bar(seconds))}))
    blocks.append(Fragment("tables.html", {"tables": [*([_table(seconds)] if spent else []), _pace(report)]}))
    return Section("time", "Where the time went", blocks)


def _opening(throughput: Mapping[str, Any], engine: Mapping[str, Any]) -> str:
    rate = throughput["rows_per_s"]["value"]
    pace = "" if rate is None else f" at {rate:,.0f} rows/s"
    workers, streams = engine["workers"], engine["streams_per_worker"]
    return (
        f"The pass over the data took {throughput['pass_s']:.3g} s{pace}, on {workers:,} worker{'s' * (workers != 1)} "
        f"of {streams:,} stream{'s' * (streams != 1)} each ({name(engine['engine'])}). Below: what the streams did, "
        "all added up."
    )


def _pace(report: Mapping[str, Any]) -> Table:
    throughput, engine = report["throughput"], report["provenance"]["engine"]
    rate = throughput["rows_per_s"]
    rows = [
        (
            Cell("rows/s"),
            Cell("–" if rate["value"] is None else f"{rate['value']:,.0f}", rate["value"], "throughput.rows_per_s"),
        ),
        (Cell("seconds of the pass"), figure(throughput["pass_s"], "throughput.pass_s")),
        (Cell("seconds from start to report"), figure(report["run"]["duration_s"], "run.duration_s")),
        (Cell("workers"), Cell(f"{engine['workers']:,}", engine["workers"], "provenance.engine.workers")),
        (Cell("streams of each"), Cell(f"{engine['streams_per_worker']:,}", engine["streams_per_worker"])),
    ]
    return Table("Pace", ("what", "value"), rows)


def _bar(seconds: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """Each stage with its place in a bar of 1,000 units."""
    total, start = sum(seconds.values()), 0.0
    for place, (stage, spent) in enumerate(seconds.items()):
        width = _WIDTH * spent / total
        yield {
            "class": f"stage-{place % 6 + 1}", "name": name(stage), "x": round(start, 2), "width": round(width, 2),
            "share": f"{spent / total:.1%}",
        }  # fmt: skip
        start += width


def _table(seconds: Mapping[str, float]) -> Table:
    rows = [
        (Cell(name(stage)), Cell(number(spent), spent, f"throughput.seconds.{stage}"), Cell(_STAGES.get(stage, "")))
        for stage, spent in seconds.items()
    ]
    return Table("Stages", ("stage", "seconds", "what it is"), rows, ends=1)
