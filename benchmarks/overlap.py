"""How much of a store's latency is hidden behind a model: python -m benchmarks.overlap [--rounds 3] [--out FILE]

The image workload's first 40 shards are read as a stream reads them, and for each 4,096 rows the model is a sleep: it
takes no core, so that a busy machine changes less than in `benchmarks.remote`. From the disk, at 30 ms a request, and
at 30 ms with nothing fetched before it is asked for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from benchmarks.data import make
from benchmarks.machine import machine
from benchmarks.remote import proxied
from benchmarks.workloads import WORKLOADS, scaled
from ortbatch.data.fetches import Fetches
from ortbatch.data.plan import make_plan
from ortbatch.data.reader import Reader
from tests.s3 import BUCKET, KEY, SECRET, running_s3, uri_at

_SHARDS = 40
_ROWS = 4_096


def main() -> int:
    """Print and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).with_name("data"))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pace", type=float, default=0.06, help="seconds of the model for 4,096 rows")
    parser.add_argument("--latency-ms", type=int, default=30)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    made = make(scaled(WORKLOADS["image"], options.scale), options.data.absolute())
    disk, rounds = str(made.files[0].parent), []
    with running_s3() as s3, proxied(s3.port, options.latency_ms / 1_000) as port:
        s3.upload(made.files[0].parent, "image")
        there = uri_at(port, "image", BUCKET, KEY, SECRET)
        for _ in range(options.rounds):
            found = {"disk": _seconds(disk, options.pace, foreseen=True)}
            found["store"] = _seconds(there, options.pace, foreseen=True)
            found["store, nothing foreseen"] = _seconds(there, options.pace, foreseen=False)
            rounds.append(found)
            print(", ".join(f"{name} {seconds:.2f} s" for name, seconds in found.items()), flush=True)
    for name in rounds[0]:
        ratio = statistics.median(each["disk"] / each[name] for each in rounds)
        print(f"{name}: {ratio:.2f} of the disk's rate")
    if options.out:
        options.out.write_text(json.dumps({"seconds": rounds, "machine": machine()}, indent=1) + "\n")
    return 0


def _seconds(uri: str, pace: float, *, foreseen: bool) -> float:
    started, columns = time.perf_counter(), ["image", "label"]
    shards = list(make_plan([uri], None, lambda *_: None).shards)[:_SHARDS]
    fetches = Fetches(columns)
    with fetches.expecting(shards if foreseen else ()), Reader(columns, fetches) as reader:
        for shard in shards:
            for block in reader.read(shard):
                time.sleep(pace * block.table.num_rows / _ROWS)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
