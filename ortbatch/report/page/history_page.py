"""The page of runs by time: each metric with its intervals, where the model changed or rows drifted, and all runs.

A pure function of what `History.data` holds. Reports are not held to their schema there: a value that is no number is
shown as it is, and a time that is none is left out of the pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ortbatch.report.format import interval, name, number
from ortbatch.report.page.blocks import Block, Cell, Figure, Section, Sentence, Table, Tone, count, word
from ortbatch.report.page.history_picture import Run, has_drifted, is_number, picture, points
from ortbatch.report.page.page import page
from ortbatch.report.page.room import fitting, said

_METRICS = 8
_DRAWN = 300
_ROWS, _BYTES = 400, 60_000
_SEARCH_ABOVE = 20
_TONES: dict[str, Tone] = {"passed": "good", "failed": "bad", "inconclusive": "doubt", "incomplete": "bad"}


def history_page(data: Mapping[str, Any]) -> str:
    """Runs by time, as HTML."""
    runs: Sequence[Run] = data["runs"]
    made = (_metrics(data), _list(runs), _drift(runs), _unreadable(data["unreadable"]))
    left = f"; {data['left_out']:,} older ones are left out" if data["left_out"] else ""
    span = f"{_date(runs[0])} to {_date(runs[-1])}" if runs else "no finished run"
    head = {"words": f"{len(runs):,} runs, {span}{left}.", "about": f"Finished runs below {name(data['folder'], 200)}."}
    titles = list(dict.fromkeys(run["name"] for run in runs))
    title = f"{name(', '.join(map(str, titles[:3])), 80) or 'Runs'} by time"
    return page("history.html", title, [section for section in made if section is not None], {"head": head})


def _date(run: Run) -> str:
    return name(run["started_at"][:16].replace("T", " "))


def _metrics(data: Mapping[str, Any]) -> Section | None:
    """A picture for each metric."""
    if not data["runs"]:
        return None
    intro = Sentence(
        "Each metric from run to run, with its 95% interval. Two runs whose intervals overlap widely may well be the "
        "same; a dashed line stands where the model is another than in the run before."
    )
    figures = [_figure(metric, data["runs"]) for metric in data["metrics"][:_METRICS]]
    blocks: list[Block] = [intro, *figures]
    if len(data["metrics"]) > _METRICS:
        blocks.append(
            Sentence(f"{len(data['metrics']) - _METRICS:,} more metrics stand in the table of runs only.", "dim")
        )
    return Section("metrics", "Metrics", blocks)


def _figure(metric: str, runs: Sequence[Run]) -> Block:
    rows = [(word(run["run"]), Cell(_date(run)), *_cells(run["metrics"][metric])) for run in runs]
    shown = fitting(reversed(rows), _ROWS, _BYTES)
    head = ("run", "started", "value", "95% interval")
    title = name(metric, 60)
    table = Table(
        f"{title} of each run, newest first",
        head,
        shown,
        texts=2,
        note=said(len(shown), len(rows), "runs"),
        folded=True,
    )
    drawn = list(points(metric, runs[-_DRAWN:]))
    if not drawn:
        return table
    alt = f"{title} of {len(drawn)} runs by time, with 95% intervals; the numbers stand in the table."
    return Figure(title, alt, picture(drawn, alt), table)


def _list(runs: Sequence[Run]) -> Section | None:
    """All runs, newest first."""
    if not runs:
        return None
    metrics = list(runs[0]["metrics"])
    rows = [
        (
            word(run["run"]),
            Cell(_date(run)),
            Cell(name(run["status"]), tone=_TONES.get(run["status"], "dim")),
            Cell(name(run["model_sha256"][:12])),
            Cell(name(run["data_digest"][:12])),
            count(run["rows"]) if is_number(run["rows"]) else word(str(run["rows"])),
            *(cell for metric in metrics for cell in _cells(run["metrics"][metric])),
        )
        for run in runs
    ]
    shown = fitting(reversed(rows), _ROWS, 4 * _BYTES)
    head = (
        "run",
        "started",
        "status",
        "model",
        "data",
        "rows",
        *(text for metric in metrics for text in (name(metric, 40), "95% interval")),
    )
    note = said(len(shown), len(rows), "runs")
    table = Table("Runs, newest first", head, shown, texts=5, note=note, search=len(rows) > _SEARCH_ABOVE)
    return Section(
        "runs",
        "Runs",
        [Sentence("Every finished run. Model and data are told apart by the beginning of their digests."), table],
    )


def _cells(found: Mapping[str, Any]) -> tuple[Cell, Cell]:
    if found["value"] is None:
        return Cell("–", tone="dim"), Cell("none", tone="dim", more=name(str(found.get("reason", "")), 300))
    if not is_number(found["value"]):
        return word(str(found["value"])), Cell("")
    return Cell(number(found["value"]), found["value"]), Cell(interval(found["ci"]))


def _drift(runs: Sequence[Run]) -> Section | None:
    """How far each run is from the one before."""
    rows = [_drifted(run) for run in reversed(runs) if run["drift"] is not None]
    if not rows:
        return None
    intro = Sentence(
        "How far the rows of each class, and the scores, of a run are from those of the run before. PSI is the "
        "population stability index: by custom 0.1 is a small shift and 0.25 a large one. JS is the Jensen-Shannon "
        "distance, 0 for the same and 1 for nothing in common. Neither is a test."
    )
    shown = fitting(rows, _ROWS, 2 * _BYTES)
    head = ("run", "since", "what is said", "classes: PSI", "classes: JS", "scores: PSI", "scores: JS")
    table = Table(
        "Drift since the run before, newest first", head, shown, texts=3, note=said(len(shown), len(rows), "runs")
    )
    return Section("drift", "Drift", [intro, table])


def _drifted(run: Run) -> tuple[Cell, ...]:
    drift = run["drift"]
    balance, scores = drift["class_balance"], drift["scores"]
    high: Tone = "doubt" if has_drifted(run) else ""
    told = (
        [f"drifted; scores are those of {name(scores['class'], 24)}" if scores.get("class") else "drifted"]
        if high
        else []
    )
    told += [
        f"{of}: {name(part['reason'], 100)}"
        for of, part in (("classes", balance), ("scores", scores))
        if "reason" in part
    ]
    numbers = [Cell(number(part[kind]), part[kind]) for part in (balance, scores) for kind in ("psi", "js")]
    return word(run["run"]), word(str(drift["from"])), Cell("; ".join(told), tone=high), *numbers


def _unreadable(found: Sequence[Mapping[str, str]]) -> Section | None:
    if not found:
        return None
    rows = [(word(one["path"]), word(one["why"])) for one in found]
    shown = fitting(rows, _ROWS, _BYTES)
    note = said(len(shown), len(rows), "reports")
    table = Table("Reports that cannot be read", ("path", "why"), shown, texts=2, note=note)
    return Section("unreadable", "Unreadable", [Sentence("Reports that lie there but cannot be read."), table])
