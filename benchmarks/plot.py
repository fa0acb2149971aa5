"""A picture of a run: python -m benchmarks.plot RUN.json PICTURE.svg

Steady rows a second of every contender, a panel a workload, each with its own scale; the rules are the limits.
Altair draws it and vl-convert writes it: no browser.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import altair

_ORDER = ["ortbatch-inline", "ortbatch-ray", "loop", "daft", "raydata", "pyspark"]
_OURS, _PEERS, _LIMIT = "#1f6f8b", "#b8c4cc", "#c1440e"
_WIDTH, _COLUMNS, _BAR = 260, 3, 18


def _table(values: list[dict[str, Any]]) -> Any:
    data: Any = altair.Data
    return data(values=values)


def panel(name: str, workload: dict[str, Any]) -> Any:
    """Bars of one workload."""
    rates: dict[str, float] = workload["rows_per_s"]
    bars = [
        {"contender": who, "rate": rates[who], "ours": who.startswith("ortbatch")} for who in _ORDER if who in rates
    ]
    rule = [{"rate": rate} for who, rate in rates.items() if who.startswith("limit:")]
    y = altair.Y("contender:N", sort=_ORDER, title=None)
    x = altair.X("rate:Q", title="rows a second", axis=altair.Axis(format="~s", tickCount=4))
    colour = altair.condition("datum.ours", altair.value(_OURS), altair.value(_PEERS))
    drawn = altair.Chart(_table(bars)).mark_bar().encode(x=x, y=y, color=colour)
    text = drawn.mark_text(align="left", dx=3, fontSize=10).encode(
        text=altair.Text("rate:Q", format=".3~s"), color=altair.value("black")
    )
    limit = altair.Chart(_table(rule)).mark_rule(color=_LIMIT, strokeDash=[4, 3]).encode(x="rate:Q")
    title = f"{name}: {workload['rows']:,} rows"
    return altair.layer(drawn, limit, text).properties(title=title, width=_WIDTH, height=altair.Step(_BAR))


def picture(run: dict[str, Any]) -> Any:
    """All panels; said below: where, when, of what size."""
    panels = [panel(name, workload) for name, workload in run["workloads"].items() if workload["rows_per_s"]]
    machine = run["machine"]
    scale = "" if run["scale"] == 1 else f", scale {run['scale']:g}: not to be judged"
    below = f"{machine['cpu']}, {machine['cores']} cores, {run['date']}, median of {run['repeats']}{scale}"
    title = altair.TitleParams(
        "Steady throughput; dashed: what the machine could do (limits)", subtitle=below, anchor="start"
    )
    return altair.concat(*panels, columns=_COLUMNS, title=title).resolve_scale(x="independent", y="independent")


def main() -> None:
    """Read JSON, write SVG (or PNG, by the name)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    picture(json.loads(options.run.read_text())).save(options.picture)


if __name__ == "__main__":
    main()
