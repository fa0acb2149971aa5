"""Rows/s a core of the search for leaked rows: decoding, fingerprints, looking up; in one thread.

    python -m benchmarks.leakage [--rows 4000000] [--columns 32] [--known 1000000]

Prints what each step takes by itself and all of them together, the best of several rounds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ortbatch.data.binding import InputBinding
from ortbatch.data.columns import Cast
from ortbatch.data.fingerprints import Fingerprinter
from ortbatch.data.known import Known
from ortbatch.data.plan import Plan, make_plan
from ortbatch.data.reader import Block, Reader
from ortbatch.engine.leakage import Search
from ortbatch.engine.twins import Places

ROUNDS = 5
ROW_GROUP = 1 << 18


def main() -> None:
    """Make the data, and time the steps."""
    parser = argparse.ArgumentParser(description="Speed of the search for leaked rows.")
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--columns", type=int, default=32)
    parser.add_argument("--known", type=int, default=1_000_000)
    asked = parser.parse_args()
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory(prefix="leakage-") as folder:
        path = Path(folder) / "train.parquet"
        names = write(path, asked.rows, asked.columns)
        show(asked.rows, times(path, names, asked.known))


def write(path: Path, rows: int, columns: int) -> list[str]:
    """Float32 columns, uncompressed as benchmarks elsewhere have them; names of the columns."""
    rng = np.random.default_rng(0)
    names = [f"f{number}" for number in range(columns)]
    schema = pa.schema([(name, pa.float32()) for name in names])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, rows, ROW_GROUP):
            some = min(ROW_GROUP, rows - start)
            values = rng.standard_normal((columns, some), np.float32)
            writer.write_table(pa.table(dict(zip(names, values, strict=True)), schema), ROW_GROUP)
    return names


def times(path: Path, names: list[str], known: int) -> dict[str, float]:
    """Seconds of each step over all rows."""
    binding = InputBinding("x", tuple(names), (len(names),), Cast("float32"), False, "job")
    prints = Fingerprinter((binding,))
    plan = make_plan([str(path)], None, lambda _, __: None)
    drawn = np.random.default_rng(1).integers(0, 2**64, (known, 2), np.uint64)
    known_prints = Known.of(drawn[np.lexsort((drawn[:, 1], drawn[:, 0]))])
    task = Search("leakage", prints, None, Places.of(plan.files), known_prints)
    tables = [block.table for block in read(plan, names)]
    made = [prints(table).values for table in tables]
    steps: dict[str, Callable[[], object]] = {
        "decode": lambda: [block.table.num_rows for block in read(plan, names)],
        "fingerprint": lambda: [prints(table) for table in tables],
        "look up": lambda: [task.known.find(values) for values in made],
        "together": lambda: search(task, plan, names),
    }
    return {name: min(timed(step) for _ in range(ROUNDS)) for name, step in steps.items()}


def read(plan: Plan, names: list[str]) -> Iterator[Block]:
    """Blocks of all shards."""
    with Reader(names) as reader:
        for shard in plan.shards:
            yield from reader.read(shard)


def search(task: Search, plan: Plan, names: list[str]) -> int:
    """What a worker does with all shards; rows looked at."""
    with Reader(names) as reader:
        return sum(task.look(shard, reader.read(shard)).looked_at for shard in plan.shards)


def timed(step: Callable[[], object]) -> float:
    """Seconds of the processor that it takes: other work on the machine counts for little."""
    started = time.thread_time()
    step()
    return time.thread_time() - started


def show(rows: int, seconds: dict[str, float]) -> None:
    """A line a step."""
    for name, took in seconds.items():
        print(f"{name:12} {rows / took / 1e6:7.2f} M rows/s  {took / rows * 1e9:6.0f} ns a row")


if __name__ == "__main__":
    main()
