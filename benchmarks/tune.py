"""Find the settings that are best for each peer, one knob after another: framework batch, rows of a run, workers.

A peer that is tuned badly proves nothing. On a scaled-down workload; best of `--repeats` runs, steady rows a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from benchmarks.contract import Settings
from benchmarks.limit import batch_ladder
from benchmarks.process import ContenderError
from benchmarks.workloads import Workload

_BATCH_STEP, _BATCHES = 4, 3


def tune(
    name: str, workload: Workload, rate: Callable[[Settings], float], say: Callable[[str], None]
) -> tuple[Settings, float]:
    """The best settings of a contender and their rate.

    Args:
        name: of the contender.
        workload: scaled down.
        rate: rows a second with some settings.
        say: told of every rate.
    """
    ladder = batch_ladder(workload)
    best = Settings(ladder[-1], ladder[len(ladder) // 2], 1 if name == "loop" else 2)
    fastest = 0.0
    for candidates in _sweeps(name, ladder):
        for settings in dict.fromkeys(candidates(best)):
            try:
                found = rate(settings)
            except ContenderError as error:
                say(f"  {name} {settings}: {error}")
                continue
            say(f"  {name} {settings}: {found:,.0f} rows/s")
            if found > fastest:
                best, fastest = settings, found
    return best, fastest


def _sweeps(name: str, ladder: list[int]) -> Iterable[Callable[[Settings], list[Settings]]]:
    """Settings to try, given the best so far; the plain loop has nothing but the rows of a run."""
    rungs = [*ladder[::2], ladder[-1]]
    if name == "loop":
        more = [ladder[-1] * _BATCH_STEP]
        yield lambda best: [replace(best, batch=rung, run_rows=rung) for rung in rungs + more]
        return
    batches = [ladder[-1] * _BATCH_STEP**power for power in range(_BATCHES)]
    yield lambda best: [replace(best, batch=batch) for batch in batches]
    yield lambda best: [replace(best, run_rows=rung) for rung in [*rungs, best.batch]]
    yield lambda best: [replace(best, workers=workers) for workers in (1, 2)]
