"""Models that ran beside this one on the same rows: how often they agree, and whose quality is better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ortbatch.report.page.baseline import Entry, about
from ortbatch.report.page.blocks import Block, Cell, Section, Sentence, Table, Tone, count, figure, word
from ortbatch.report.page.doubts import difference, doubts, starred
from ortbatch.report.page.forest import Dot, beside, forest
from ortbatch.report.page.room import fitting, key, said

_TONES: dict[str, Tone] = {"error": "bad", "warning": "doubt", "info": ""}
_BASELINES, _BYTES = 8, 320_000
_ROWS = 60
_DRAWN = 30


def fidelity(report: Mapping[str, Any]) -> Section | None:
    """What is the same and what is not, a part a baseline."""
    section: Mapping[str, Entry] = report.get("fidelity", {})
    if not section:
        return None
    intro = Sentence(
        "Other models that saw the same rows in the same batches: is this model still the same as they are? A "
        "difference is this model's value less the other's, with an interval for the same rows seen twice."
    )
    shown = list(section.items())[:_BASELINES]
    ratios = report["latency"].get("baselines", {})
    blocks: list[Block] = [intro, *_causes(report), _overview(section, ratios), *_pictures(shown)]
    for title, entry in shown:
        blocks += about(title, entry, _BYTES // len(shown))
    if left := said(len(shown), len(section), "baselines"):
        blocks.append(Sentence(left, "dim"))
    return Section("fidelity", "Fidelity", blocks)


def _causes(report: Mapping[str, Any]) -> Iterator[Sentence]:
    """The usual cause that the numbers speak for, as the findings have it; each sentence once."""
    found = {item["text"]: item["severity"] for item in report["findings"] if item["code"].startswith("fidelity_")}
    for text, severity in found.items():
        yield Sentence(f"{severity}: {text}", _TONES[severity])


def _overview(section: Mapping[str, Entry], ratios: Mapping[str, Any]) -> Table:
    head = (
        "model beside",
        "kind",
        "rows of both",
        "agreement",
        "95% interval",
        "flips",
        "could not do",
        "time ×",
        "95% interval",
    )
    rows = []
    for title, entry in section.items():
        agreement = starred(entry["agreement"], key("fidelity.agreement", title))
        flips = count(entry["flips"], key("fidelity.flips", title))
        unusable = count(sum(entry["unusable"].values()), key("fidelity.unusable", title))
        ratio = ratios.get(title, {}).get("batch_ratio", {"value": None, "ci": None, "reason": "it was not timed"})
        time = starred(ratio, key("fidelity.latency_ratio", title))
        rows.append(
            (word(title), word(entry.get("kind", "")), count(entry["rows"]), *agreement, flips, unusable, *time)
        )
    note = "Flips: rows with another prediction. Time ×: median time of its batches, in times of this model's."
    return Table("Agreement", head, fitting(rows, _ROWS, 30_000), texts=2, note=note)


def _pictures(shown: Sequence[tuple[str, Entry]]) -> Iterator[Block]:
    """Differences of the metrics of all baselines, around 0."""
    found = [(title, metric, both) for title, entry in shown for metric, both in entry["metrics"].items()]
    drawn = [
        (title, metric, both["difference"]) for title, metric, both in found if both["difference"]["value"] is not None
    ]
    table = _gaps(found)
    if not drawn:
        yield table
        return
    dots = [
        Dot(line, f"{metric}, {title}", item["value"], item["ci"])
        for line, (title, metric, item) in enumerate(drawn[:_DRAWN])
    ]
    alt = f"Differences of {len(dots)} metrics, this model less others, with 95% intervals; the table has the numbers."
    yield beside(
        "Quality, this model less the other, 95% intervals; right of 0 this one is better",
        forest(dots, "difference", alt, 0.0),
        table,
    )
    yield from doubts((f"{metric}, {title}", item) for title, metric, item in drawn)


def _gaps(found: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Table:
    rows = [
        (
            word(title),
            Cell(metric),
            figure(both["model"]),
            figure(both["baseline"]),
            *difference(both["difference"], key(f"fidelity.{metric}_difference", title)),
        )
        for title, metric, both in found
    ]
    head = ("model beside", "metric", "this model", "the other", "difference", "95% interval")
    return Table("Quality on the rows that both could do", head, fitting(rows, _ROWS, 30_000), texts=2)
