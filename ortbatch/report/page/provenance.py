"""Provenance: which model, which data, which versions, which machine; and the job as it was resolved.

The report holds no secrets: they were redacted when it was written. What it holds is shown as text.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ortbatch.report.format import name
from ortbatch.report.page.blocks import Block, Cell, Fragment, Section, Sentence, Table, count, figure, word

_LINES, _LINE_CHARACTERS = 1_000, 400
_FAULTS = 50


def provenance(report: Mapping[str, Any]) -> Section:
    """Where the numbers come from."""
    of = report["provenance"]
    blocks: list[Block] = [
        Sentence(
            "Where these numbers come from: the same model, data and job on one kind of processor give the same counts."
        ),
        Fragment("tables.html", {"tables": _tables(report)}),
    ]
    if of["faults"]:
        rows = [(Cell(name(fault, _LINE_CHARACTERS)),) for fault in of["faults"][:_FAULTS]]
        note = f"The first {_FAULTS:,} of {len(of['faults']):,}." if len(of["faults"]) > _FAULTS else ""
        blocks.append(Table(f"What went wrong on the way: {len(of['faults']):,}", ("fault",), rows, note=note))
    blocks.append(_facts("What a shard's counts are a function of", of["identity"], folded=True))
    blocks += [_text("Which column feeds what", of["binding"]), _text("The job, with all its keys", report["job"])]
    return Section("provenance", "Provenance", blocks)


def _tables(report: Mapping[str, Any]) -> list[Table]:
    of = report["provenance"]
    tables = [
        _facts("Model", of["model"]),
        _facts("Run", _run(report)),
        _facts("Engine and machine", {**of["engine"], **of["host"], **_kept(of, "retries", "restored_shards")}),
        _facts("Versions", of["versions"]),
        *_batch_size(of.get("batch_size")),
    ]
    if "predictions" in report:
        tables.append(_facts("Predictions that were written", report["predictions"]))
    # Earlier runs that gates are held against.
    for called, run in report.get("baselines", {}).items():
        told = {key: value for key, value in run.items() if key != "metrics"}
        tables.append(_facts(f"Earlier run {name(called)}", told))
    return tables


def _kept(of: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: of[key] for key in keys if key in of}


def _run(report: Mapping[str, Any]) -> dict[str, Any]:
    run, data = report["run"], report["provenance"]["data"]
    variables = {f"variable {key}": value for key, value in run["vars"].items()}
    return {
        "id": run["id"],
        "started at": run["started_at"],
        **{f"data {key}": value for key, value in data.items()},
        **variables,
    }


def _facts(title: str, facts: Mapping[str, Any], *, folded: bool = False) -> Table:
    rows = [(word(key.replace("_", " ")), _fact(value)) for key, value in facts.items()]
    return Table(title, ("what", "is"), rows, texts=2, folded=folded)


def _fact(value: Any) -> Cell:
    """Any JSON value on one line."""
    if isinstance(value, bool) or value is None:
        return Cell({True: "yes", False: "no", None: "–"}[value])
    if isinstance(value, int | float):
        return count(value) if isinstance(value, int) else figure(value)
    if isinstance(value, str):
        return word(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return word(", ".join(value))
    return word(json.dumps(value, ensure_ascii=False))


def _batch_size(found: Mapping[str, Any] | None) -> list[Table]:
    """How it was found, and the sizes that were timed; reports of earlier versions do not tell."""
    if found is None:
        return []
    told = {key: found[key] for key in ("rows", "how", "why", "seconds", "streams")}
    tables = [_facts("Batch size", told)]
    if found["ladder"]:
        rows = [
            (count(rung["rows"]), _rate(rung["rows_per_s"]), Cell("yes" if rung["same_scores"] else "no"))
            for rung in found["ladder"]
        ]
        tables.append(Table("Batch sizes tried", ("rows of a batch", "rows/s", "same scores"), rows, texts=0, ends=1))
    return tables


def _rate(value: float | None) -> Cell:
    return Cell("–" if value is None else f"{value:,.0f}", value)


def _text(title: str, value: Any) -> Fragment:
    """JSON values as YAML, folded; lines are inert and there are not too many of them."""
    lines = list(_lines(value))
    more = [f"… and {len(lines) - _LINES:,} lines more, in report.json"] if len(lines) > _LINES else []
    return Fragment("text.html", {"title": title, "text": "\n".join([*lines[:_LINES], *more])})


def _lines(value: Any) -> Iterator[str]:
    from ruamel.yaml import YAML

    yaml, text = YAML(), io.StringIO()
    yaml.width = _LINE_CHARACTERS
    yaml.dump(value, text)
    # A line separator inside a name must not begin a line.
    lines: Sequence[str] = text.getvalue().rstrip("\n").split("\n")
    return (name(line, _LINE_CHARACTERS) for line in lines)
