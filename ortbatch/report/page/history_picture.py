"""A metric from run to run as a picture: values with intervals, where rows drifted, where the model changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ortbatch.report.page.draw import DOUBT, LINE, svg

if TYPE_CHECKING:
    from markupsafe import Markup

DRIFTED = 0.1  # what is called a small shift by custom
_PLAIN, _DRIFT = "run", "run that drifted (PSI 0.1 or more)"
Run = Mapping[str, Any]


def points(metric: str, runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    """What is drawn of a run: when, value and interval, whether it drifted, whether the model is a new one."""
    before: str | None = None
    for run in runs:
        found, when = run["metrics"][metric], _milliseconds(run["started_at"])
        fresh = before is not None and run["model_sha256"] != before
        before = run["model_sha256"]
        if when is None or not is_number(found["value"]):
            continue
        low, high = found["ci"] or (found["value"], found["value"])
        series = _DRIFT if has_drifted(run) else _PLAIN
        yield {"when": when, "value": found["value"], "low": low, "high": high, "series": series, "fresh": fresh}


def _milliseconds(when: str) -> float | None:
    """Since 1970; None for what is no time with a zone."""
    try:
        moment = datetime.fromisoformat(when)
    except ValueError:
        return None
    return moment.timestamp() * 1_000 if moment.tzinfo else None


def has_drifted(run: Run) -> bool:
    drift = run["drift"] or {}
    return any((drift.get(of, {}).get("psi") or 0.0) >= DRIFTED for of in ("class_balance", "scores"))


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def picture(points: Sequence[Mapping[str, Any]], alt: str) -> Markup:
    import altair

    used = [series for series in (_PLAIN, _DRIFT) if any(point["series"] == series for point in points)]
    colours = {_PLAIN: LINE, _DRIFT: DOUBT}
    colour = altair.Scale(domain=used, range=[colours[series] for series in used])
    shape = altair.Scale(domain=used, range=[{_PLAIN: "circle", _DRIFT: "diamond"}[series] for series in used])
    legend = altair.Legend(columns=1, labelLimit=300) if len(used) > 1 else None
    x = altair.X("when:T", title=None, scale=altair.Scale(type="utc"), axis=altair.Axis(tickCount=4, labelOverlap=True))
    y = altair.Y("value:Q", title=None, scale=altair.Scale(zero=False))
    base = altair.Chart(altair.Data(values=list(points))).encode(x=x)
    changes = [{"when": point["when"]} for point in points if point["fresh"]]
    layers = [
        base.mark_rule().encode(
            y=altair.Y("low:Q", title=None), y2="high:Q", color=altair.Color("series:N", scale=colour, legend=legend)
        ),
        base.mark_line(opacity=0.5).encode(y=y),
        base.mark_point(filled=True, size=50, opacity=1).encode(
            y=y,
            color=altair.Color("series:N", scale=colour, legend=legend),
            shape=altair.Shape("series:N", scale=shape, legend=legend),
        ),
    ]
    if changes:
        layers.insert(0, altair.Chart(altair.Data(values=changes)).mark_rule(strokeDash=[4, 3]).encode(x=x))
    return svg(altair.layer(*layers), alt)
