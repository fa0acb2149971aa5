"""Altair charts as SVG that stands in a page: no script, no fonts of its own, light and dark by the page's colours.

vl-convert draws without a browser. The live library (Vega, 0.9 MB in every page, seconds to pack) is not sent along:
what moves on the page is moved by a few lines of our own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    import altair

WIDTH, HEIGHT = 300, 220  # of the plot; with its axes it fits a telephone of 360 pixels
INK, LINE, GRID = "currentColor", "var(--accent)", "var(--grid)"
GOOD, BAD, DOUBT = "var(--good)", "var(--bad)", "var(--doubt)"
SERIES = tuple(f"var(--series-{place})" for place in range(1, 7))
_IDS = re.compile(r'(\bid="|url\(#|href="#)([\w-]+)')
_AXIS = {
    "labelColor": INK, "titleColor": INK, "tickColor": GRID, "domainColor": GRID, "gridColor": GRID,
    "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "titlePadding": 8, "labelPadding": 4,
    "gridOpacity": 0.6,
}  # fmt: skip
_CONFIG: dict[str, Any] = {
    # A picture is read by its name; what stands in it is no picture of its own, and a layer may be empty.
    "aria": False,
    "mark": {"aria": False},
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": _AXIS,
    "legend": {"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "orient": "bottom", "title": None},
    "title": {"color": INK, "fontSize": 12},
    "range": {"category": list(SERIES)},
    "line": {"color": LINE, "strokeWidth": 1.5},
    "area": {"color": LINE},
    "point": {"color": LINE},
    "rule": {"color": INK},
    "text": {"color": INK},
}


def svg(chart: altair.TopLevelMixin, alt: str) -> Markup:
    """The picture of a chart, to be put into a page as it is.

    Args:
        chart: its data inline; colours by the names of this module; `WIDTH` by `HEIGHT` unless it says otherwise.
        alt: what it shows; becomes its accessible name.

    Returns:
        `<svg role="img">` without a size of its own; its ids are unlike those of any other picture.
    """
    import vl_convert

    spec = chart.to_dict(validate=False)
    spec.setdefault("width", WIDTH)
    spec.setdefault("height", HEIGHT)
    spec["config"] = _CONFIG
    return _standing(vl_convert.vegalite_to_svg(spec), alt)


@contextmanager
def unchecked() -> Iterator[None]:
    """Charts made within are not held to Vega-Lite's schema, which takes a fifth of the time of a page."""
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):
        yield


def _standing(text: str, alt: str) -> Markup:
    """One `<svg>` among others in a page: ids that count on from chart to chart become its own, and stay the same."""
    start = text.index(">")
    size = dict(re.findall(r'\b(width|height)="([\d.]+)"', text[:start]))
    places: dict[str, int] = {}
    numbered = _IDS.sub(lambda found: f"{found[1]}\0{places.setdefault(found[2], len(places))}", text[start + 1 :])
    mark = hashlib.sha256(f"{alt}\0{numbered}".encode()).hexdigest()[:8]
    head = Markup('<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}">')
    return head.format(alt, size["width"], size["height"], size["width"]) + Markup(numbered.replace("\0", f"c{mark}-"))
