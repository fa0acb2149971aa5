"""Numbers with their intervals under each other, as a picture: a dot and a line for each, worst first.

One Altair chart a picture. Names stand beside their line as text marks: two that read the same stay two lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ortbatch.report.format import name
from ortbatch.report.page.blocks import Fragment, Table
from ortbatch.report.page.draw import BAD, LINE, SERIES, svg

if TYPE_CHECKING:
    from markupsafe import Markup

_WIDTH = 200  # with names of up to _NAMES pixels it fits a telephone
_NAMES = 130
_SLACK = 20  # a browser's letters may be wider than those that were measured
_NAME_CHARACTERS = 40
_LINE, _LINES_OF_TWO = 17, 24


@dataclass(frozen=True)
class Look:
    """How the dots of a series look: never by colour alone."""

    colour: str
    shape: str


PLAIN: Mapping[str, Look] = {"": Look(LINE, "circle")}
PAIR = (Look(SERIES[0], "circle"), Look(SERIES[1], "diamond"))
WORSE = Look(BAD, "triangle-down")


@dataclass(frozen=True)
class Dot:
    """A number of a line.

    Args:
        line: number of the line, from 0.
        label: what stands beside the line.
        value: where the dot is.
        ci: ends of its interval, or None.
        series: key of the looks.
    """

    line: int
    label: str
    value: float
    ci: Sequence[float] | None
    series: str = ""

    @property
    def ends(self) -> tuple[float, float]:
        """Of the interval; the value itself without one."""
        return (self.value, self.value) if self.ci is None else (self.ci[0], self.ci[1])


def forest(
    dots: Sequence[Dot], axis: str, alt: str, rule: float | None = None, looks: Mapping[str, Look] = PLAIN
) -> Markup:
    """The picture.

    Args:
        dots: at least one.
        axis: title of the horizontal axis.
        alt: what it shows, in a sentence.
        rule: where a dashed line stands, such as the value of all rows.
        looks: series → look, in the order of the legend.
    """
    import altair

    lines = 1 + max(dot.line for dot in dots)
    used = [series for series in looks if any(dot.series == series for dot in dots)]
    low, high = _domain(dots, rule)
    x = altair.X(
        "value:Q",
        title=axis,
        scale=altair.Scale(domain=[low, high], zero=False),
        axis=altair.Axis(tickCount=4, labelFlush=False, labelOverlap=True),
    )
    y = altair.Y("y:Q", axis=None, scale=altair.Scale(domain=[lines - 0.5, -0.5], nice=False, zero=False))
    crowded = len(dots) > len({dot.line for dot in dots})
    data = altair.Data(
        values=[_value(dot, used.index(dot.series) - (len(used) - 1) / 2 if crowded else 0) for dot in dots]
    )
    base = altair.Chart(data).encode(x=x, y=y, color=_colour(altair, used, looks))
    names = altair.Chart(altair.Data(values=_labels(dots))).encode(y=y)
    layers = [
        base.mark_rule(strokeWidth=1.5).encode(x2="high:Q", x=altair.X("low:Q", title=axis)),
        base.mark_point(filled=True, size=45, opacity=1).encode(shape=_shape(altair, used, looks)),
        names.mark_text(align="right", limit=_NAMES, fontSize=11).encode(text="label:N", x=altair.value(-6)),
    ]
    if rule is not None:
        at = altair.Chart(altair.Data(values=[{"at": rule}])).encode(x=altair.X("at:Q", title=axis))
        layers.insert(0, at.mark_rule(strokeDash=[4, 3]))
    height = lines * (_LINES_OF_TWO if crowded else _LINE)
    padding = {"left": _SLACK, "right": 8, "top": 5, "bottom": 5}
    return svg(altair.layer(*layers).properties(width=_WIDTH, height=height, padding=padding), alt)


def beside(title: str, picture: Markup, table: Table) -> Fragment:
    """A picture with its table beside it, or below it where there is no room; the table is not folded away."""
    return Fragment("beside.html", {"title": title, "svg": picture, "tables": [table]})


def _domain(dots: Sequence[Dot], rule: float | None) -> tuple[float, float]:
    """What the axis must hold: all intervals, and the rule."""
    ends = [end for dot in dots for end in dot.ends] + ([] if rule is None else [rule])
    low, high = min(ends), max(ends)
    return (low, high) if low < high else (low - 0.05, high + 0.05)


def _value(dot: Dot, place: float) -> dict[str, Any]:
    """What is drawn of a dot; `place` keeps those of one line from hiding each other."""
    low, high = dot.ends
    return {"y": dot.line + 0.36 * place, "value": dot.value, "low": low, "high": high, "series": dot.series}


def _labels(dots: Sequence[Dot]) -> list[dict[str, Any]]:
    labels = {dot.line: dot.label for dot in dots}
    return [{"y": line, "label": name(label, _NAME_CHARACTERS)} for line, label in labels.items()]


def _colour(altair: Any, used: Sequence[str], looks: Mapping[str, Look]) -> Any:
    scale = altair.Scale(domain=list(used), range=[looks[series].colour for series in used])
    return altair.Color("series:N", scale=scale, legend=altair.Legend(columns=1) if len(used) > 1 else None)


def _shape(altair: Any, used: Sequence[str], looks: Mapping[str, Look]) -> Any:
    scale = altair.Scale(domain=list(used), range=[looks[series].shape for series in used])
    return altair.Shape("series:N", scale=scale, legend=altair.Legend(columns=1) if len(used) > 1 else None)
