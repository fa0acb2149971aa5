"""The one table of a run, a section a workload."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from benchmarks.gates import LIMIT
from benchmarks.results import Measured

_OURS = ("ortbatch-inline", "ortbatch-ray")


def table(measured: Mapping[str, Measured]) -> Table:
    """Rates, ratios and memory; the ratios are ours to each peer's, on the steady rate."""
    shown = Table(title="rows a second: medians; × = ortbatch against the contender of the line")
    shown.add_column("workload")
    shown.add_column("contender")
    for head in ("steady", "whole command", "inline ×", "ray ×", "of limit", "peak MB"):
        shown.add_column(head, justify="right")
    for name, found in measured.items():
        rates = found.rates()
        for contender in rates:
            shown.add_row(name, contender, *_figures(found, rates, contender))
            name = ""
        for contender, why in found.failed.items():
            shown.add_row(name, contender, f"failed: {why.splitlines()[0]}"[:60])
            name = ""
        shown.add_section()
    return shown


def _figures(found: Measured, rates: Mapping[str, float], contender: str) -> list[str]:
    whole, peaks = found.whole(), found.peaks()
    ratios = [_ratio(rates.get(ours), rates[contender]) if ours != contender else "" for ours in _OURS]
    limits = [rate for name, rate in rates.items() if name.startswith(LIMIT)]
    share = f"{rates[contender] / limits[0]:.0%}" if limits and not contender.startswith(LIMIT) else ""
    peak = f"{peaks[contender] / 1e6:,.0f}" if contender in peaks else ""
    return [_rate(rates[contender]), _rate(whole.get(contender)), *ratios, share, peak]


def _rate(rows_per_s: float | None) -> str:
    if rows_per_s is None:
        return ""
    return f"{rows_per_s:,.0f}" if rows_per_s >= 1_000 else f"{rows_per_s:.1f}"


def _ratio(ours: float | None, other: float) -> str:
    return "" if ours is None else f"{ours / other:.2f}"
