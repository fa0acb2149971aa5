"""Earlier runs that gates are held against: which ones were picked, and how far this run is from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ortbatch.report.compare_text import signed
from ortbatch.report.format import name
from ortbatch.report.page.blocks import Block, Cell, Section, Sentence, Table, Tone, figure, word
from ortbatch.report.page.doubts import between
from ortbatch.report.page.room import fitting, said

_TONES: dict[str, Tone] = {"passed": "good", "failed": "bad", "inconclusive": "doubt"}
_ROWS, _BYTES = 60, 40_000


def earlier(report: Mapping[str, Any]) -> Section | None:
    """What `versus` of the gates means in this run."""
    picked = report.get("baselines", {})
    if not picked:
        return None
    blocks: list[Block] = [
        Sentence(
            "Earlier runs that gates of this one are held against. A difference is this run's value less the earlier "
            "one's."
        ),
        *_runs(picked),
        *_missing(picked),
        *_differences(report, picked),
    ]
    return Section("earlier", "Against earlier runs", blocks)


def _runs(picked: Mapping[str, Any]) -> Iterator[Table]:
    rows = [
        (
            word(title),
            word(run["run_id"]),
            Cell(name(run["started_at"])),
            Cell(name(run["status"])),
            Cell(name(run["model_sha256"][:12])),
            word("; ".join(run.get("skipped", []))),
        )
        for title, run in picked.items()
        if "missing" not in run
    ]
    if rows:
        head = ("baseline", "run", "started", "status", "model", "newer runs that could not be read")
        yield Table("Runs that were picked", head, fitting(rows, _ROWS, _BYTES), texts=len(head))


def _missing(picked: Mapping[str, Any]) -> Iterator[Sentence]:
    for title, run in picked.items():
        if "missing" in run:
            yield Sentence(f"{name(title)}: {run['missing']}; gates on it {run['if_missing']} for that.", "doubt")


def _differences(report: Mapping[str, Any], picked: Mapping[str, Any]) -> Iterator[Table]:
    rows = [_row(gate) for gate in report["gates"] if gate.get("versus", {}).get("baseline") in picked]
    if rows:
        shown = fitting(rows, _ROWS, _BYTES)
        head = ("outcome", "metric", "baseline", "before", "now", "difference", "95% interval", "allowed", "why")
        yield Table("Gates against them", head, shown, texts=3, note=said(len(shown), len(rows), "gates"), ends=1)


def _row(gate: Mapping[str, Any]) -> tuple[Cell, ...]:
    versus = gate["versus"]
    return (
        Cell(gate["outcome"], tone=_TONES[gate["outcome"]], mark=True),
        word(gate["metric"]),
        word(versus["baseline"]),
        figure(versus["old"]),
        figure(versus["new"]),
        Cell(signed(gate["value"]), gate["value"]),
        Cell(between(gate["ci"])),
        Cell(f"{gate['op']} {gate['limit']:g}"),
        word(gate["why"]),
    )
