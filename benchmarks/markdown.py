"""A saved run as Markdown tables, for docs/performance.md: python -m benchmarks.markdown RUN.json"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gates import LIMIT, Verdict, judge


def main() -> None:
    """Print a table a workload, the limits' stages and the gates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    run = json.loads(parser.parse_args().run.read_text())
    for name, workload in run["workloads"].items():
        print(f"\n### {name}: {workload['rows']:,} rows\n")
        print("\n".join(_contenders(workload)))
        print()
        print("\n".join(_limits(workload)))
    print("\n### Gates\n")
    workloads = run["workloads"]
    steady = {name: workload["rows_per_s"] for name, workload in workloads.items()}
    whole = {name: workload["whole_rows_per_s"] for name, workload in workloads.items()}
    print("\n".join(_gates(judge(steady, whole))))


def _contenders(workload: dict[str, Any]) -> list[str]:
    rates, whole, peaks = workload["rows_per_s"], workload["whole_rows_per_s"], workload["peak_rss_bytes"]
    ours = rates.get("ortbatch-inline")
    lines = [
        "| contender | steady rows/s | whole command rows/s | inline × | of naive limit | of own limit | peak MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for who, rate in rates.items():
        if who.startswith(LIMIT):
            continue
        shares = [f"{rate / rates[key]:.2f}" if (key := f"{LIMIT}{of}") in rates else "" for of in ("naive", "own")]
        times = "" if who == "ortbatch-inline" or ours is None else f"{ours / rate:.2f}"
        cells = [who, _number(rate), _number(whole[who]), times, *shares, f"{peaks[who] / 1e6:,.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _limits(workload: dict[str, Any]) -> list[str]:
    lines = ["| limit | batch | decode ns/row | pack | infer | rows/s of all cores |", "|---|---|---|---|---|---|"]
    for name, runs in workload["limits"].items():
        stages = [
            f"{statistics.median(1e9 / one[stage] for one in runs):,.0f}" for stage in ("decode", "pack", "infer")
        ]
        rate = statistics.median(one["rows_per_s"] for one in runs)
        lines.append(f"| {name} | {runs[0]['batch']:,} | {' | '.join(stages)} | {_number(rate)} |")
    return lines


def _gates(verdicts: Sequence[Verdict]) -> list[str]:
    lines = ["| workload | what | goal | measured | the limit | |", "|---|---|---|---|---|---|"]
    for verdict in verdicts:
        if verdict.ratio is None:
            continue
        gate = verdict.gate
        word = "out of reach" if verdict.out_of_reach else "missed" if verdict.missed else "met"
        limit = "" if verdict.limit is None else f"{verdict.limit:.2f}"
        what = f"{gate.contender} / {gate.versus}{', whole command' if gate.whole else ''}"
        lines.append(f"| {gate.workload} | {what} | {gate.least:g} | {verdict.ratio:.2f} | {limit} | {word} |")
    return lines


def _number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 1_000 else f"{rate:.1f}"


if __name__ == "__main__":
    main()
