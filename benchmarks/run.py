"""All workloads, all contenders, one table: python -m benchmarks.run [--workloads A B] [--contenders A B] [--scale 0.1]

Every contender is a process of its own. They run in turn (A B C A B C ...), so that a slow spell of the machine hits
all; figures are medians. Exits with 1 if a confusion matrix differs from the plain loop's, a contender failed, or, at
scale 1, a gate is missed.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.contract import Settings, Task
from benchmarks.data import make
from benchmarks.limit import LIMITS, measure
from benchmarks.machine import cores, machine, versions
from benchmarks.peers import PEERS, keep, missing, settings_of, version
from benchmarks.process import ContenderError, run_contender
from benchmarks.results import Measured, as_json, verdicts_of
from benchmarks.table import table
from benchmarks.tune import tune
from benchmarks.workloads import WORKLOADS, Workload, scaled

# A table that is wider than the terminal is of no use in a log.
_WIDTH = 118
_say = Console(stderr=True, highlight=False, markup=False, width=_WIDTH).print


def main() -> int:
    """0 if all is well, else 1."""
    options = _options()
    # Ended from outside, the contender that runs is ended too, on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Absolute, links kept: a virtual environment's python is one.
    pythons = {name: str(Path(path).absolute()) for name, path in (pair.split("=", 1) for pair in options.python)}
    absent = missing(options.contenders, pythons)
    for name, pip in absent.items():
        _say(f"skipped {name}: it is not installed; {pip}")
    contenders = [name for name in options.contenders if name not in absent]
    workloads = [scaled(WORKLOADS[name], options.scale) for name in options.workloads]
    if options.tune:
        for workload in workloads:
            _tune(workload, contenders, options, pythons)
        return 0
    about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "scale": options.scale, "repeats": options.repeats}
    peers = {PEERS[name].package: version(name, pythons) for name in contenders}
    about |= {"machine": machine(), "versions": versions() | peers, "skipped": absent}
    if peers.get("daft", "").startswith("0.6"):
        _say("daft is 0.6: later ones want pyarrow below 26 and are faster; see README.md for --python")
    measured: dict[str, Measured] = {}
    for workload in workloads:
        measured[workload.name] = _measure(workload, contenders, options, pythons)
        if options.out:
            options.out.write_text(json.dumps({**about, **as_json(measured)}, indent=1) + "\n")
    Console(width=_WIDTH).print(table(measured))
    return _verdict(measured, options.scale)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="NAME")
    parser.add_argument("--contenders", nargs="+", choices=PEERS, default=list(PEERS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows; gates are judged at 1 only")
    parser.add_argument("--data", type=Path, default=Path(__file__).with_name("data"), help="where tables are kept")
    parser.add_argument("--out", type=Path, help="write all figures there, JSON")
    parser.add_argument("--no-limit", action="store_true", help="do not measure the limits")
    parser.add_argument("--tune", action="store_true", help="sweep the peers' settings instead, into tuned.json")
    parser.add_argument("--python", nargs="*", default=[], metavar="NAME=PATH", help="a contender's own interpreter")
    return parser.parse_args()


def task_of(workload: Workload, data: Path, settings: Settings) -> Task:
    made = make(workload, data.absolute(), _say)
    return Task(
        workload.name, tuple(map(str, made.files)), workload.columns, str(made.model), workload.row_shape,
        workload.dtype, workload.classes, workload.rows, cores(), "", settings,
    )  # fmt: skip


def _measure(
    workload: Workload, contenders: list[str], options: argparse.Namespace, pythons: Mapping[str, str]
) -> Measured:
    found = Measured(workload.rows)
    found.settings = {name: settings_of(name, workload) for name in contenders if PEERS[name].tuned}
    defaults = Settings(1, 1, 1)  # ortbatch and the limit choose for themselves
    tasks = {name: task_of(workload, options.data, found.settings.get(name, defaults)) for name in contenders}
    for number in range(options.repeats):
        for name, task in tasks.items():
            try:
                outcome = run_contender(PEERS[name].module, task, pythons.get(name, sys.executable))
            except ContenderError as error:
                found.failed[name] = str(error)
                _say(f"{workload.name} {error}")
                continue
            found.outcomes.setdefault(name, []).append(outcome)
            rate = outcome.rows / outcome.steady_s
            _say(f"{workload.name} {number + 1}/{options.repeats} {name}: {rate:,.0f} rows/s, {outcome.total_s:.1f} s")
        for limit in () if options.no_limit else LIMITS:
            one = measure(limit, task_of(workload, options.data, defaults), workload)
            found.limits.setdefault(limit, []).append(one)
            _say(f"{workload.name} {number + 1}/{options.repeats} limit {limit}: {one.rows_per_s:,.0f} rows/s")
    return found


def _tune(
    workload: Workload, contenders: list[str], options: argparse.Namespace, pythons: Mapping[str, str]
) -> None:  # fmt: skip
    for name in contenders:
        if not PEERS[name].tuned:
            continue

        def rate(settings: Settings, name: str = name) -> float:
            task = task_of(workload, options.data, settings)
            python = pythons.get(name, sys.executable)
            outcomes = [run_contender(PEERS[name].module, task, python) for _ in range(options.repeats)]
            return max(outcome.rows / outcome.steady_s for outcome in outcomes)

        best, rows_per_s = tune(name, workload, rate, _say)
        _say(f"{workload.name} {name}: {best}, {rows_per_s:,.0f} rows/s")
        keep(name, workload, best, rows_per_s)


def _verdict(measured: Mapping[str, Measured], scale: float) -> int:
    """Say what is wrong; 1 if anything is."""
    wrong = 0
    for name, found in measured.items():
        for line in [*found.mismatches(), *(f"{who} failed" for who in found.failed)]:
            _say(f"WRONG {name}: {line}")
            wrong += 1
    verdicts = verdicts_of(measured)
    for verdict in verdicts:
        if verdict.out_of_reach and scale == 1:
            _say(f"OUT OF REACH {verdict}")
        elif verdict.missed:
            _say(f"{'MISSED' if scale == 1 else 'at this scale below'} {verdict}")
        elif verdict.ratio is None and scale == 1 and verdict.gate.workload in measured:
            _say(f"not judged {verdict}")
    missed = sum(verdict.missed for verdict in verdicts) if scale == 1 else 0
    return int(wrong + missed > 0)


if __name__ == "__main__":
    sys.exit(main())
