"""A latency curve as a picture: latency by batch size, and latency against rows a second. Altair draws it, vl-convert
writes SVG: no browser, no network.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = {"p50_ms": "p50", "p90_ms": "p90", "p99_ms": "p99"}
_WIDTH, _HEIGHT = 420, 320


def curve_svg(data: Mapping[str, Any]) -> str:
    """What `LatencyCurve.data` holds, as SVG."""
    import altair

    values = _values(data["points"])
    series = altair.Scale(domain=list(dict.fromkeys(value["series"] for value in values)))
    base = altair.Chart(altair.Data(values=values)).encode(
        y=altair.Y("ms:Q", title="latency, ms", scale=altair.Scale(type="log")),
        color=altair.Color("series:N", title=None, scale=series),
        order=altair.Order("batch_size:Q"),
    )
    by_size = base.encode(
        x=altair.X("batch_size:Q", title="rows of a batch", scale=altair.Scale(type="log", base=2))
    )  # fmt: skip
    by_rate = base.encode(x=altair.X("rows_per_s:Q", title="rows a second", axis=altair.Axis(format="~s")))
    named = by_rate.transform_filter("datum.named").mark_text(dx=5, dy=9, fontSize=10, align="left")
    title = altair.TitleParams(f"{data['job']}: latency by batch size", subtitle=_below(data), anchor="start")
    left = altair.layer(*_marked(altair, by_size, series)).properties(width=_WIDTH, height=_HEIGHT)
    right = altair.layer(*_marked(altair, by_rate, series), named.encode(text="batch_size:Q"))
    right = right.properties(width=_WIDTH, height=_HEIGHT)
    text = io.StringIO()
    altair.hconcat(left, right, title=title).save(text, format="svg")
    return text.getvalue()


def _values(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A value a point and percentile; a number of threads and a percentile make a series."""
    return [
        {
            "series": f"{shown}, {point['threads']} {'thread' if point['threads'] == 1 else 'threads'}",
            "batch_size": point["batch_size"],
            "ms": point[key]["value"],
            "rows_per_s": point["rows_per_s"]["value"],
            "bounded": point[key]["ci"] is not None,
            "named": key == "p50_ms",
        }
        for point in points
        for key, shown in _SHOWN.items()
        if point[key]["value"] and point["rows_per_s"]["value"]
    ]


def _marked(altair: Any, chart: Any, series: Any) -> list[Any]:
    """Lines with points; hollow where too few runs bound the percentile."""
    inside = altair.Fill("series:N", title=None, scale=series)
    filling = altair.condition("datum.bounded", altair.value(1), altair.value(0))
    return [chart.mark_line(), chart.mark_point(size=40).encode(fill=inside, fillOpacity=filling)]


def _below(data: Mapping[str, Any]) -> str:
    hollow = "; hollow: too few runs to bound it" if _some_unbounded(data) else ""
    return f"{data['host']['cpu']}, {data['host']['cpus']} processors, {data['started_at'][:10]}{hollow}"


def _some_unbounded(data: Mapping[str, Any]) -> bool:
    return any(not value["bounded"] for value in _values(data["points"]))
