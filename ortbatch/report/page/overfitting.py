"""How much better the model is on rows that it was trained on than on those it is judged by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ortbatch.report.page.blocks import Block, Cell, Section, Sentence, Table
from ortbatch.report.page.doubts import difference, doubts, starred
from ortbatch.report.page.forest import Dot, beside, forest


def overfitting(report: Mapping[str, Any]) -> Section | None:
    """How much better the model is on rows that it was trained on."""
    found = report.get("overfitting")
    if found is None:
        return None
    drawn = "all of them" if found["sampled"] is None else f"a sample of {found['sampled']:,}, seed {found['seed']}"
    intro = Sentence(
        f"Quality on {found['rows']:,} training rows ({drawn}) beside that on the evaluated rows. The gap is training "
        "less evaluated: a large one says that the model knows its training rows rather than what they have in common."
    )
    gaps = [(gap.removesuffix("_gap"), item) for gap, item in found["gaps"].items()]
    blocks = [intro, *_gaps(gaps, found.get("quality", {}), report["quality"])]
    if found["left_out"] or found["rejected"]:
        rejected = "; ".join(f"{rows:,} {reason}" for reason, rows in found["rejected"].items())
        blocks.append(
            Sentence(f"Training rows that are not in it: {found['left_out']:,} could not be read. {rejected}", "doubt")
        )
    return Section("overfitting", "Overfitting", blocks)


def _gaps(
    gaps: Sequence[tuple[str, Mapping[str, Any]]], there: Mapping[str, Any], here: Mapping[str, Any]
) -> Iterator[Block]:
    rows = []
    for metric, item in gaps:
        of_training = starred(there[metric])[0] if metric in there else Cell("–", tone="dim")
        rows.append(
            (
                Cell(metric),
                of_training,
                starred(here[metric], metric)[0],
                *difference(item, f"overfitting.{metric}_gap"),
            )
        )
    head = ("metric", "training rows", "evaluated rows", "gap", "95% interval")
    table = Table("Training rows and evaluated rows", head, rows)
    dots = [
        Dot(line, metric, item["value"], item["ci"])
        for line, (metric, item) in enumerate(g for g in gaps if g[1]["value"] is not None)
    ]
    alt = f"Gaps of {len(dots)} metrics, training less evaluated, with 95% intervals; the table has the numbers."
    yield beside("Gap: training less evaluated, 95% intervals", forest(dots, "gap", alt, 0.0), table) if dots else table
    yield from doubts(gaps)
