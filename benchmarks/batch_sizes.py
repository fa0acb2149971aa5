"""Is `auto` as fast as the best batch size? python -m benchmarks.batch_sizes [--workloads A B] [--out FILE]

Every size of the ladder and `auto`, each a process of its own, in turn; medians of the steady rate. Exits with 1 if
`auto` is below 0.95 of the best fixed size on a workload, or a confusion matrix differs from the others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import numpy as np

from benchmarks.contract import Settings
from benchmarks.machine import machine
from benchmarks.process import run_contender
from benchmarks.run import task_of
from benchmarks.workloads import WORKLOADS, Workload, scaled
from ortbatch.model.tuning import batch_size_for, ladder

LEAST = 0.95
_SCALES = {"heavy": 0.1}


def main() -> int:
    """Print and save the figures; 1 if one is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path(__file__).with_name("data"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found, missed = {}, 0
    for name in options.workloads:
        workload = scaled(WORKLOADS[name], _SCALES.get(name, 1.0))
        rates, matrices = _rates(workload, options.data, options.repeats)
        auto, best = rates.pop(0), max(rates, key=lambda size: rates[size])
        ratio = auto / rates[best]
        missed += ratio < LEAST or len(matrices) > 1
        found[name] = {"auto": auto, "fixed": rates, "best": best, "ratio": ratio, "matrices": len(matrices)}
        print(f"{name}: auto {auto:,.0f} rows/s, {ratio:.2f} of the best fixed size ({best:,}: {rates[best]:,.0f})")
        if len(matrices) > 1:
            print(f"WRONG {name}: {len(matrices)} different confusion matrices")
    if options.out:
        options.out.write_text(json.dumps({"workloads": found, "machine": machine()}, indent=1) + "\n")
    return int(missed > 0)


def _rates(workload: Workload, data: Path, repeats: int) -> tuple[dict[int, float], set[str]]:
    """Batch size (0: auto) → median of steady rows a second, and the confusion matrices that were seen."""
    row_bytes = int(np.prod(workload.row_shape)) * np.dtype(workload.dtype).itemsize
    sizes = [0, *ladder(row_bytes, workload.classes, batch_size_for(row_bytes))]
    rates: dict[int, list[float]] = {size: [] for size in sizes}
    matrices = set()
    for _ in range(repeats):
        for size in sizes:
            outcome = run_contender("ortbatch_batch", task_of(workload, data, Settings(1, size, 1)))
            rates[size].append(outcome.rows / outcome.steady_s)
            matrices.add(outcome.confusion)
    return {size: statistics.median(values) for size, values in rates.items()}, matrices


if __name__ == "__main__":
    sys.exit(main())
