"""Calibration: do scores happen as often as they say? And what accuracy has whoever keeps only the surest rows?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ortbatch.report.format import name, number
from ortbatch.report.page import draw
from ortbatch.report.page.blocks import Block, Cell, Figure, Fragment, Section, Sentence, Table, count, estimate, figure

if TYPE_CHECKING:
    import altair

_KEPT_SHOWN = 10
_BRIER = {
    "reliability": "distance of scores from shares; 0 is best",
    "resolution": "how far the bins differ from the share of all; more is better",
    "uncertainty": "of the data alone: share · (1 − share)",
    "within_bins": "what differs inside the bins",
}


def calibration(report: Mapping[str, Any]) -> Section | None:
    """The reliability curve and its numbers; for more than two classes accuracy by how sure the model is, too."""
    section = report.get("calibration")
    if section is None:
        return None
    blocks: list[Block] = [Sentence(_opening(section, report["quality"])), _reliability(section, report["quality"])]
    if "risk_coverage" in section:
        blocks.append(_risk_coverage(section["risk_coverage"]))
    tables = [
        _numbers(section),
        *([_brier(section["brier"], report["quality"]["brier"])] if "brier" in section else []),
    ]
    blocks.append(Fragment("tables.html", {"tables": tables}))
    return Section("calibration", "Calibration", blocks)


def _opening(section: Mapping[str, Any], quality: Mapping[str, Any]) -> str:
    """How to read the picture."""
    what = (
        f"rows are {name(quality['positive'])}" if section["of"] == "positive class" else "predictions are right"
    )  # fmt: skip
    return (
        f"Where the score is 0.8, do 80 of 100 {what}? Points on the dotted line say yes; below it the scores are too "
        "high, above it too low. Lines through the points are 95% intervals, bars the share of all rows that have such "
        "a score."
    )


def _reliability(section: Mapping[str, Any], quality: Mapping[str, Any]) -> Figure:
    happened = f"share that is {name(quality['positive'], 24)}" if section["of"] == "positive class" else "share right"
    title = f"Reliability, by score of the {section['of']}"
    rows = [
        (
            figure(one["low"]),
            figure(one["high"]),
            count(one["rows"]),
            figure(one["mean_score"]),
            *estimate(one["share"]),
        )
        for one in section["bins"]
    ]
    head = ("score from", "to below", "rows", "mean score", happened, "95% interval")
    alt = f"{title}: {len(rows)} points against the line on which they should lie; the table has the numbers"
    return Figure(
        title, alt, draw.svg(_reliability_chart(section["bins"], happened), alt), Table("Bins", head, rows, texts=0)
    )


def _reliability_chart(bins: Sequence[Mapping[str, Any]], happened: str) -> altair.LayerChart:
    import altair as alt

    total = sum(one["rows"] for one in bins)
    points = [
        {"low": one["low"], "high": one["high"], "of_all": one["rows"] / total, "score": one["mean_score"],
         "share": one["share"]["value"], "from": one["share"]["ci"][0], "to": one["share"]["ci"][1]}
        for one in bins
        if one["share"]["ci"] is not None
    ]  # fmt: skip
    base = alt.Chart(alt.Data(values=points))
    ends = alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}])
    unit = alt.Scale(domain=[0, 1])
    up = alt.Y("y:Q", scale=unit, title=happened, axis=alt.Axis(tickCount=5))
    across = alt.X("x:Q", scale=unit, title="mean score", axis=alt.Axis(tickCount=5))
    bars = base.mark_bar(color=draw.GRID, opacity=0.7).encode(
        x="low:Q", x2="high:Q", y=alt.Y("of_all:Q"), y2=alt.datum(0)
    )
    return alt.layer(
        alt.Chart(ends).mark_line(color=draw.INK, strokeDash=[3, 3], opacity=0.6).encode(x=across, y=up),
        bars,
        base.mark_rule(color=draw.LINE, strokeWidth=1.5).encode(x="score:Q", y="from:Q", y2="to:Q"),
        base.mark_line(color=draw.LINE, opacity=0.5, strokeWidth=1).encode(x="score:Q", y="share:Q"),
        base.mark_point(color=draw.LINE, filled=True, size=45, opacity=1).encode(x="score:Q", y="share:Q"),
    )


def _risk_coverage(points: Sequence[Mapping[str, Any]]) -> Figure:
    title = "Accuracy of the surest rows"
    alt = f"{title}, from the fewest rows to all of them; the table has the numbers"
    step = max(1, len(points) // _KEPT_SHOWN)
    shown = [one for at, one in enumerate(reversed(points)) if at % step == 0][::-1]
    rows = [(figure(one["coverage"]), figure(one["confidence"]), *estimate(one["accuracy"])) for one in shown]
    table = Table(
        "Some of the points", ("share of rows kept", "score at least", "accuracy", "95% interval"), rows, texts=0
    )
    return Figure(title, alt, draw.svg(_risk_chart(points), alt), table)


def _risk_chart(points: Sequence[Mapping[str, Any]]) -> altair.LayerChart:
    import altair as alt

    values = [
        {"coverage": one["coverage"], "accuracy": one["accuracy"]["value"], "from": one["accuracy"]["ci"][0],
         "to": one["accuracy"]["ci"][1]}
        for one in points
        if one["accuracy"]["ci"] is not None
    ]  # fmt: skip
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X(
            "coverage:Q",
            scale=alt.Scale(domain=[0, 1]),
            title="share of rows kept, surest first",
            axis=alt.Axis(tickCount=5),
        )
    )
    up = alt.Scale(zero=False, nice=True)
    return alt.layer(
        base.mark_area(color=draw.LINE, opacity=0.2).encode(y=alt.Y("from:Q", scale=up, title="accuracy"), y2="to:Q"),
        base.mark_line(color=draw.LINE).encode(y=alt.Y("accuracy:Q", scale=up)),
    )


def _numbers(section: Mapping[str, Any]) -> Table:
    happened = section["share"]
    rows = [
        (Cell("expected calibration error (ece)"), figure(section["ece"]["value"], "ece"), _by_chance(section)),
        _said(section, "largest_gap", "largest gap", "of a bin, between mean score and share"),
        _said(section, "overconfidence", "overconfidence", "above 0: scores lie farther out than they should"),
        _said(section, "mean_score", "mean score", "of all rows"),
        (Cell("share in which it happened"), figure(happened["value"], "calibration.share"), Cell(_between(happened))),
    ]  # fmt: skip
    return Table("Calibration in numbers", ("what", "value", "beside it"), rows, ends=1)


def _said(section: Mapping[str, Any], key: str, what: str, beside: str) -> tuple[Cell, Cell, Cell]:
    return Cell(what), figure(section[key], f"calibration.{key}"), Cell(beside)


def _by_chance(section: Mapping[str, Any]) -> Cell:
    return Cell(f"a calibrated model would show about {number(section['ece_if_calibrated'])} on these rows")


def _between(item: Mapping[str, Any]) -> str:
    return "" if item["ci"] is None else f"95%: {number(item['ci'][0])}–{number(item['ci'][1])}"


def _brier(parts: Mapping[str, float], brier: Mapping[str, Any]) -> Table:
    rows = list(_brier_rows(parts, brier))
    return Table("Brier score and its parts", ("part", "value", "what it is"), rows, ends=1)


def _brier_rows(parts: Mapping[str, float], brier: Mapping[str, Any]) -> Iterator[tuple[Cell, Cell, Cell]]:
    yield (
        Cell("Brier score"),
        figure(brier["value"], "brier"),
        Cell("reliability − resolution + uncertainty + within bins"),
    )
    for key, what in _BRIER.items():
        yield Cell(key.replace("_", " ")), figure(parts[key], f"calibration.brier.{key}"), Cell(what)
