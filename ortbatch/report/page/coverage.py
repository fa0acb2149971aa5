"""Coverage: what became of every planned row, as a sum, and what was left out, with the reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ortbatch.report.format import name
from ortbatch.report.page.blocks import Block, Cell, Fragment, Section, Sentence, Table, count, estimate, word

_REASON_CHARACTERS = 400


def coverage(report: Mapping[str, Any]) -> Section:
    """The sum of rows; bad rows by file and class; shards that were left out."""
    section = report["coverage"]
    bad, quarantined = section["bad_rows"], section["shards"]["quarantined"]
    blocks: list[Block] = [Sentence(_opening(section), "" if bad["count"] <= bad["allowed"] else "bad")]
    blocks.append(Fragment("tables.html", {"tables": [_sum(section), _parts(section)]}))
    if bad["worst_files"]:
        files = [(word(entry["file"]), count(entry["rows"])) for entry in bad["worst_files"]]
        title = f"Files with the most rejected rows, of {bad['files']:,} that have any"
        blocks.append(Table(title, ("file", "rejected rows"), files))
    if bad["by_class"]:
        rows = [(word(one["class"]), count(one["rejected"]), count(one["evaluated"])) for one in bad["by_class"]]
        blocks.append(
            Table("Rejected rows whose label is known", ("class", "rejected", "evaluated"), rows, search=len(rows) > 20)
        )
    if quarantined:
        blocks.append(_left_out(quarantined))
    return Section("coverage", "Coverage", blocks)


def _opening(section: Mapping[str, Any]) -> str:
    rows, bad = section["rows"], section["bad_rows"]
    if rows["evaluated"] == rows["planned"]:
        return f"Every planned row was evaluated: {rows['planned']:,} of {rows['planned']:,}."
    return (
        f"Of {rows['planned']:,} planned rows {rows['evaluated']:,} were evaluated; what became of the others is "
        f"counted below, and adds up. {bad['count']:,} are bad rows, {bad['allowed']:,} allowed."
    )


def _sum(section: Mapping[str, Any]) -> Table:
    """Rows planned = evaluated + unlabelled + filtered + rejected, by reason."""
    return Table("Rows", ("planned = sum of the others", "rows"), list(_summands(section["rows"])))


def _summands(rows: Mapping[str, Any]) -> Iterator[tuple[Cell, Cell]]:
    yield Cell("planned"), count(rows["planned"], "coverage.rows.planned")
    yield Cell("= evaluated"), count(rows["evaluated"], "coverage.rows.evaluated")
    for kind in ("unlabelled", "filtered"):
        yield Cell(f"+ {kind}"), count(rows[kind], f"coverage.rows.{kind}")
    for reason, number in rows["rejected"].items():
        yield Cell(f"+ rejected: {name(reason)}"), count(number, f"coverage.rows.rejected.{name(reason)}", "doubt")


def _parts(section: Mapping[str, Any]) -> Table:
    files, shards, fraction = section["files"], section["shards"], section["fraction"]
    return Table(
        "Files and shards",
        ("what", "number"),
        [
            (Cell("coverage: share of the wanted rows"), estimate(fraction, "coverage")[0]),
            (Cell("files planned"), count(files["planned"], "coverage.files.planned")),
            (Cell("files rejected"), count(files["rejected"], "coverage.files.rejected")),
            (Cell("shards planned"), count(shards["planned"], "coverage.shards.planned")),
            (Cell("shards done"), count(shards["done"], "coverage.shards.done")),
            (Cell("shards left out"), count(len(shards["quarantined"]))),
        ],
    )


def _left_out(shards: Any) -> Table:
    rows = [
        (
            Cell(f"{shard['shard']:,}", shard["shard"]),
            Cell(name(shard["reason"], _REASON_CHARACTERS)),
            word(", ".join(shard["files"])),
            count(shard["rows"]),
        )
        for shard in shards
    ]
    return Table("Shards that were left out", ("shard", "reason", "files", "rows"), rows, texts=3)
