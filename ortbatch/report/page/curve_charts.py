"""Pictures of thresholds: precision against recall, ROC, and how the scores of the two kinds of rows lie.

Both axes of a curve go from 0 to 1 over the whole frame, so that a script can put a marker anywhere by its values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ortbatch.report.format import name
from ortbatch.report.page import draw
from ortbatch.report.page.blocks import Cell, Figure, Table, count, figure

if TYPE_CHECKING:
    import altair

WIDTH, HEIGHT = 240, 195
"""Of a plot: with their axes three of them stand side by side."""

_GROUPS = 40
_LABELLED = (1e-6, 1e-4, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1 - 1e-6)


@dataclass(frozen=True)
class Picture:
    """A curve.

    Args:
        kind: `pr` or `roc`. title: caption. svg: the picture.
    """

    kind: str
    title: str
    svg: Markup


def pictures(curves: Sequence[Mapping[str, Any]], own: Mapping[str, Any] | None) -> Iterator[Picture]:
    """Precision-recall and ROC, as far as the rows define them.

    Args:
        curves: of the report.
        own: rates at the job's threshold; None if it has none.
    """
    whose = f"of {name(curves[0]['class'])}" if len(curves) == 1 else f"of {len(curves)} classes"
    for kind, x, y, title in (
        ("pr", "recall", "precision", "Precision and recall"),
        ("roc", "fpr", "recall", "ROC"),
    ):
        rows = [row for place, curve in enumerate(curves) for row in _rows(place, curve["points"], x, y)]
        if rows:
            marked = own if own is not None and own[x] is not None and own[y] is not None else None
            svg = draw.svg(
                _curve(kind, rows, (x, y), marked), f"{title}, {whose}; the table of thresholds has the numbers"
            )
            yield Picture(kind, title, svg)


def _rows(place: int, points: Mapping[str, Sequence[float | None]], x: str, y: str) -> Iterator[dict[str, Any]]:
    """From the highest threshold to the lowest, which is from left to right."""
    values = [(a, b) for a, b in zip(points[x], points[y], strict=True) if a is not None and b is not None][::-1]
    start = [(0.0, 0.0)] if x == "fpr" and values else []
    for order, (a, b) in enumerate([*start, *values]):
        yield {"curve": place, "order": order, "x": a, "y": b}


def _curve(
    kind: str, rows: Sequence[Mapping[str, Any]], names: tuple[str, str], own: Mapping[str, Any] | None
) -> altair.LayerChart:  # fmt: skip
    """Steps for precision, as average precision counts its area; straight lines for ROC."""
    import altair as alt

    words = {"fpr": "false positive rate"}
    several = len({row["curve"] for row in rows}) > 1
    across, up = (
        axis(field, scale=alt.Scale(domain=[0, 1]), title=words.get(field_name, field_name), axis=alt.Axis(tickCount=5))
        for axis, field, field_name in ((alt.X, "x:Q", names[0]), (alt.Y, "y:Q", names[1]))
    )
    line = alt.Chart(alt.Data(values=list(rows))).mark_line(
        interpolate="step-before" if kind == "pr" else "linear", opacity=0.45 if several else 1, clip=True
    )
    layers = [line.encode(x=across, y=up, detail="curve:N", order="order:Q")]
    if kind == "roc":
        ends = alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}])
        layers.insert(
            0, alt.Chart(ends).mark_line(color=draw.INK, strokeDash=[3, 3], opacity=0.6).encode(x="x:Q", y="y:Q")
        )
    if own is not None:
        at = alt.Data(values=[{"x": own[names[0]], "y": own[names[1]]}])
        mark = alt.Chart(at).mark_point(shape="diamond", size=110, color=draw.INK, strokeWidth=1.5)
        layers.append(mark.encode(x="x:Q", y="y:Q"))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


@dataclass(frozen=True)
class _Groups:
    """Rows by log-odds.

    Args:
        edges: n + 1 log-odds, rising. rest, own: rows of each of n groups.
    """

    edges: Sequence[float]
    rest: Sequence[int]
    own: Sequence[int]


def scores_figure(curve: Mapping[str, Any]) -> tuple[Figure, tuple[float, float]] | None:
    """How many rows of the class and of the rest have which score, and the log-odds at the picture's two ends."""
    groups = _grouped(curve)
    if not any(groups.own) or not any(groups.rest):
        return None
    called = name(curve["class"])
    ends = groups.edges[0], groups.edges[-1]
    svg = draw.svg(
        _scores(groups, called), f"Scores of rows of {called} and of the rest, each as shares of their own rows"
    )
    title = "Scores by true class"
    return Figure(title, title, svg, _scores_table(groups, called)), ends


def _grouped(curve: Mapping[str, Any]) -> _Groups:
    """Up to 40 groups of equal width in log-odds; p = 0 and p = 1 are in the outermost."""
    import numpy as np

    from ortbatch.metrics.scores import LIMIT, edges

    stored = curve["histogram"]
    lowest = np.clip(edges(curve["bins"])[stored["cell"]], -LIMIT, LIMIT)
    width = 2 * LIMIT / curve["bins"]
    start, stop = float(lowest.min()), float(lowest.max()) + width
    size = max(width, math.ceil((stop - start) / width / _GROUPS) * width)
    number = math.ceil((stop - start) / size)
    place = np.minimum(((lowest - start) / size).astype(np.int64), number - 1)
    rest, own = (
        np.bincount(place, np.add(stored[f"{kind}_0"], stored[f"{kind}_1"]), number).astype(np.int64).tolist()
        for kind in ("negative", "positive")
    )
    return _Groups([start + size * at for at in range(number + 1)], rest, own)


def _scores(groups: _Groups, called: str) -> altair.Chart:
    import altair as alt

    kinds = ("the rest", groups.rest), (called, groups.own)
    rows = [
        {"kind": kind, "x": edge, "share": rows_of / sum(counts)}
        for kind, counts in kinds
        for edge, rows_of in zip(groups.edges, [*counts, counts[-1]], strict=True)
    ]
    ticks = [tick for p in _LABELLED if groups.edges[0] <= (tick := math.log(p / (1 - p))) <= groups.edges[-1]]
    axis = alt.Axis(values=ticks, labelExpr="format(1 / (1 + exp(-datum.value)), '.7~r')", labelOverlap=True)
    scale = alt.Scale(domain=[groups.edges[0], groups.edges[-1]], nice=False)
    colours = alt.Scale(domain=[kind for kind, _ in kinds], range=[draw.SERIES[0], draw.SERIES[1]])
    return (
        alt.Chart(alt.Data(values=rows), width=WIDTH, height=HEIGHT)
        .mark_area(interpolate="step-after", line=True, fillOpacity=0.15)
        .encode(
            x=alt.X("x:Q", scale=scale, axis=axis, title="score (log-odds scale)"),
            y=alt.Y("share:Q", title="share of its rows", stack=None),
            color=alt.Color("kind:N", scale=colours),
            strokeDash=alt.StrokeDash("kind:N", scale=alt.Scale(domain=colours.domain, range=[[1, 0], [5, 2]])),
        )
    )


def _scores_table(groups: _Groups, called: str) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (figure(_probability(low)), figure(_probability(high)), count(rest), count(own))
        for low, high, rest, own in zip(groups.edges, groups.edges[1:], groups.rest, groups.own, strict=False)
    ]
    return Table("Scores", ("score from", "to below", "rest", called), rows, texts=0)


def _probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
