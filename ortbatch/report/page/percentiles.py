"""Percentiles of latency as HdrHistogram draws them: each further nine takes the same width.

All values come from the counts that the report holds in HdrHistogram's encoding; a percentile is the value at rank
⌈q·n⌉. How it was timed is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ortbatch.metrics.latency import highest_of
from ortbatch.report.latency import PERCENTILES
from ortbatch.report.page import draw

if TYPE_CHECKING:
    import altair

_STEPS = 160
_NINES = ("0%", "90%", "99%", "99.9%", "99.99%", "99.999%", "99.9999%", "99.99999%", "99.999999%")


def curve_of(encoded: str) -> list[tuple[float, float]]:
    """(nines, ms) from the fastest value to the slowest, up to half a rank beyond the last: rising in both.

    Args:
        encoded: as the report has it. Nines are -log10(1 - q): 1 is 90%, 2 is 99%.
    """
    from hdrh.histogram import HdrHistogram

    # Its cells are those of `LatencyHistogram`; its own iterator walks all of them in plain Python.
    counts = np.array(HdrHistogram.decode(encoded).counts, np.int64)
    highest = np.cumsum(counts)
    values = int(highest[-1])
    nines = np.linspace(0, math.log10(2 * values), _STEPS)
    ranks = np.clip(np.ceil(values - values * 10**-nines - 1e-9), 1, values)
    places = np.searchsorted(highest, ranks)
    return [(float(x), highest_of(place) / 1e6) for x, place in zip(nines, places.tolist(), strict=True)]


def percentiles_chart(series: Mapping[str, Mapping[str, Any]]) -> altair.LayerChart:
    """Lines, and at the percentiles of the report their intervals.

    Args:
        series: name → a part of the latency section that holds values; the first is the model.
    """
    import altair as alt

    names = list(series)
    curves = {name: curve_of(part["histogram"]) for name, part in series.items()}
    most = max(curve[-1][0] for curve in curves.values())
    rows = [{"of": name, "x": x, "ms": ms} for name, curve in curves.items() for x, ms in curve]
    ticks = [nines for nines in range(len(_NINES)) if nines <= most]
    labels = f"{list(_NINES)}[datum.value]"
    across = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[0, most], nice=False),
        title="percentile",
        axis=alt.Axis(values=ticks, labelExpr=labels),
    )
    up = alt.Y("ms:Q", title="ms", scale=alt.Scale(zero=True))
    legend = alt.Legend() if len(names) > 1 else None
    colour = alt.Color("of:N", scale=alt.Scale(domain=names, range=list(draw.SERIES[: len(names)])), legend=legend)
    dash = alt.StrokeDash("of:N", scale=alt.Scale(domain=names, range=_DASHES[: len(names)]), legend=legend)
    known = alt.Chart(alt.Data(values=list(_intervals(series))))
    return alt.layer(
        alt.Chart(alt.Data(values=rows))
        .mark_line(interpolate="step-after")
        .encode(x=across, y=up, color=colour, strokeDash=dash),
        known.mark_rule(strokeWidth=2).encode(x="x:Q", y="low:Q", y2="high:Q", color=colour),
        known.mark_point(filled=True, size=30, opacity=1).encode(x="x:Q", y="ms:Q", color=colour),
    )


_DASHES = [[1, 0], [6, 3], [2, 2], [8, 2, 2, 2], [4, 4], [1, 3]]


def _intervals(series: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Percentiles that the values bound."""
    for name, part in series.items():
        for metric, quantile in PERCENTILES.items():
            if (ci := part[metric]["ci"]) is not None:
                x = -math.log10(1 - quantile)
                yield {"of": name, "x": x, "ms": part[metric]["value"], "low": ci[0], "high": ci[1]}
