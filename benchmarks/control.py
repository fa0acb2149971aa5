"""What steering a run costs, without a model: schedule, plan, reducer, and what travels.

    python -m benchmarks.control [--parts schedule,planning,reducer,wire] [--out control.json]

The schedule runs in virtual time: workers are entries of a heap, a million shards over ten thousand of them are
steered by the product's own `Schedule`, and every shard must be done exactly once. Each part runs in a process of its
own, whose peak memory is its own. Exit code 1: fewer than 100,000 events a second or 1 GB and more at a million shards.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import pickle
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import machine, versions
from ortbatch.data.footer import read_footer
from ortbatch.data.plan import Piece, Plan, PlannedFile, Shard, Shards, make_plan
from ortbatch.data.storage import list_files
from ortbatch.engine.events import Decision, Event, Give, Joined, Lost, Returned, StartWorker
from ortbatch.engine.reducer import Reducer
from ortbatch.engine.schedule import Schedule
from ortbatch.engine.state import RunState, ShardSet
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.scores import ScoreHistogram
from ortbatch.metrics.sums import FixedSum
from ortbatch.metrics.tally import Tally

EVENTS_PER_SECOND = 100_000
PEAK_BYTES = 1 << 30
STEPS = ((1_000, 10), (10_000, 100), (100_000, 1_000), (1_000_000, 10_000))
_SEED = 0
_ROWS = (50_000, 150_000)  # of a shard
_SPEED = 100_000  # rows a second, the median of workers
_LOST = 0.002  # of workers, on the way
_START_SECONDS = 5.0
_FILES = 100_000
_DISTINCT = 4
_FEATURES = 32
_ROWS_OF_FILE = 200
_LEASE_ROWS = (1_000, 20_000, 200_000, 2_000_000)


def main() -> int:
    """Run the parts that are asked for, print them, save them."""
    parts: dict[str, Callable[..., dict[str, Any]]] = {
        "schedule": schedule_part, "planning": planning_part, "reducer": reducer_part, "wire": wire_part,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(parts), help="which, comma-separated")
    parser.add_argument("--files", type=int, default=_FILES, help="footers to plan")
    parser.add_argument("--out", type=Path, help="where to save the figures as JSON")
    asked = parser.parse_args()
    measured: dict[str, Any] = {"machine": machine(), "versions": versions()}
    missed: list[str] = []
    for name in asked.parts.split(","):
        steps = {"schedule": STEPS, "planning": ((asked.files,),)}.get(name, ((),))
        measured[name] = []
        for step in steps:
            figures = _alone(parts[name], *step)
            measured[name].append(figures)
            print(f"{name} {' '.join(f'{value:,}' for value in step)}".rstrip())
            print("\n".join(f"  {key:34} {_shown(value):>20}" for key, value in figures.items()), flush=True)
            if name == "schedule" and step == STEPS[-1]:
                missed = _missed(figures)
    for line in missed:
        print(f"MISSED: {line}")
    if asked.out is not None:
        asked.out.write_text(json.dumps(measured | {"missed": missed}, indent=1) + "\n")
    return 1 if missed else 0


def _missed(figures: dict[str, Any]) -> list[str]:
    missed = []
    if figures["events_per_s"] < EVENTS_PER_SECOND:
        missed.append(f"{figures['events_per_s']:,.0f} events a second, {EVENTS_PER_SECOND:,} wanted")
    if figures["peak_rss_bytes"] >= PEAK_BYTES:
        missed.append(f"{figures['peak_rss_bytes']:,} bytes at most, below {PEAK_BYTES:,} wanted")
    return missed


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"


def _alone(part: Callable[..., dict[str, Any]], *arguments: int) -> dict[str, Any]:
    """A part in a new process, with the peak of that process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        figures = pool.submit(part, *arguments).result()
        return figures | {"peak_rss_bytes": pool.submit(_peak_bytes).result()}


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class _Simulation:
    """Workers in virtual time; each does its leases one after the other, at its own speed."""

    def __init__(self, shards: int, workers: int) -> None:
        self._random = np.random.default_rng(_SEED)
        self.rows = self._random.integers(*_ROWS, shards)
        self._row_list = self.rows.tolist()
        self.counted = bytearray(shards)
        self.events = self.leases = self.lost = 0
        self.schedule_ns = self._pushed = 0
        self.now = 0.0
        self._queue: list[tuple[float, int, Event]] = []
        self._out: dict[int, tuple[int, ...]] = {}
        self._speed: list[float] = []
        self._free_at: list[float] = []
        self._dies_at: list[float] = []
        started = time.perf_counter_ns()
        self.schedule = Schedule(self.rows, workers=workers, streams=2)
        self.schedule_ns += time.perf_counter_ns() - started
        self._horizon = 1.5 * float(self.rows.sum()) / (_SPEED * workers)
        for _ in range(workers):
            self._start()
        self.total_speed = sum(self._speed)

    def _push(self, when: float, event: Event) -> None:
        self._pushed += 1
        heapq.heappush(self._queue, (when, self._pushed, event))

    def _start(self) -> None:
        worker, ready = len(self._speed), self.now + _START_SECONDS * self._random.random()
        self._speed.append(_SPEED * float(self._random.lognormal(0, 0.5)))
        self._free_at.append(ready)
        dies = self._random.random() < _LOST
        self._dies_at.append(ready + self._horizon * self._random.random() if dies else float("inf"))
        self._push(ready, Joined(worker))
        if dies:
            self._push(self._dies_at[worker], Lost(worker, "lost"))

    def run(self) -> None:
        clock, schedule, queue = time.perf_counter_ns, self.schedule, self._queue
        while not schedule.finished:
            self.now, _, event = heapq.heappop(queue)
            self.events += 1
            started = clock()
            held = isinstance(event, Returned) and schedule.holds(event.worker, event.lease)
            decisions = schedule.handle(event, self.now)
            self.schedule_ns += clock() - started
            if held:
                for shard in self._out.pop(event.lease):  # type: ignore[union-attr]
                    self.counted[shard] += 1
            self.lost += isinstance(event, Lost)
            for decision in decisions:
                self._do(decision)

    def _do(self, decision: Decision) -> None:
        if isinstance(decision, Give):
            worker, shards = decision.worker, decision.shards
            self.leases += 1
            self._out[decision.lease] = shards
            seconds = sum(map(self._row_list.__getitem__, shards)) / self._speed[worker]
            done = self._free_at[worker] = max(self.now, self._free_at[worker]) + seconds
            if done < self._dies_at[worker]:
                self._push(done, Returned(worker, decision.lease, seconds))
        elif isinstance(decision, StartWorker):
            self._start()
        else:
            raise AssertionError(f"the run stopped: {decision}")


def schedule_part(shards: int, workers: int) -> dict[str, Any]:
    """Steer a run in virtual time; events a second are those of the schedule, without the simulated workers."""
    before, started = _resident_bytes(), time.perf_counter()
    simulation = _Simulation(shards, workers)
    simulation.run()
    wall = time.perf_counter() - started
    if simulation.counted != b"\1" * shards:
        raise AssertionError(f"{sum(times != 1 for times in simulation.counted):,} shards were not counted once")
    seconds, bound = simulation.schedule_ns / 1e9, float(simulation.rows.sum()) / simulation.total_speed
    return {
        "events": simulation.events,
        "leases": simulation.leases,
        "workers_lost": simulation.lost,
        "shards_retried": simulation.schedule.retries,
        "schedule_s": seconds,
        "events_per_s": simulation.events / seconds,
        "schedule_us_per_shard": seconds / shards * 1e6,
        "wall_s": wall,
        "makespan_s": simulation.now,
        "lower_bound_s": bound,
        "makespan_over_bound": simulation.now / bound,
        "leases_per_virtual_s": simulation.leases / simulation.now,
        "resident_before_bytes": before,
    }


def planning_part(files: int) -> dict[str, Any]:
    """Plan many small files of 33 columns, hard links of a few; all are in the page cache."""
    with tempfile.TemporaryDirectory(prefix="ob-control-") as folder:
        _make_files(Path(folder), files)
        before = _resident_bytes()
        listing = _seconds(lambda: list_files([folder]))
        one = str(Path(folder) / "part-000000.parquet")
        read_footer(one)
        footer = _seconds(lambda: _times(2_000, lambda: read_footer(one))) / 2_000
        tail = Path(one).read_bytes()
        tail = tail[-int.from_bytes(tail[-8:-4], "little") - 8 :]
        buffer = pa.py_buffer(b"PAR1" + tail)
        parsing = _seconds(lambda: _times(2_000, lambda: pq.read_metadata(pa.BufferReader(buffer)))) / 2_000
        plans: list[Plan] = []
        cpu = time.process_time()
        wall = _seconds(lambda: plans.append(make_plan([folder], None, _accept_any)))
        cpu = time.process_time() - cpu
        plan, after = plans[0], _resident_bytes()
        digesting, writing = _seconds(plan.digest), _seconds(plan.to_json)
        return {
            "files": files,
            "footer_bytes": len(tail),
            "shards": len(plan.shards),
            "make_plan_s": wall,
            "make_plan_cpu_ms_per_file": cpu / files * 1e3,
            "list_files_s": listing,
            "one_footer_ms": footer * 1e3,
            "its_parsing_ms": parsing * 1e3,
            "digest_s": digesting,
            "to_json_s": writing,
            "plan_json_bytes": sum(map(len, plan.json_parts())),
            "plan_resident_bytes": after - before,
            "pickled_files_bytes": len(pickle.dumps(plan.files)),
        }


def _accept_any(_where: str, _schema: pa.Schema) -> None:
    pass


def _make_files(folder: Path, files: int) -> None:
    rng = np.random.default_rng(_SEED)
    (folder / "_distinct").mkdir()
    for number in range(_DISTINCT):
        columns = {f"f{i:02}": rng.normal(size=_ROWS_OF_FILE).astype(np.float32) for i in range(_FEATURES)}
        table = pa.table({**columns, "label": rng.integers(0, 2, _ROWS_OF_FILE)})
        pq.write_table(table, folder / "_distinct" / f"{number}.parquet")
    for number in range(files):
        os.link(folder / "_distinct" / f"{number % _DISTINCT}.parquet", folder / f"part-{number:06}.parquet")


def _times(times: int, action: Callable[[], object]) -> None:
    """Do something often, and keep nothing of it."""
    for _ in range(times):
        action()


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def reducer_part() -> dict[str, Any]:
    """Merge binary leases of some rows each, 65,536 bins, as many as an event may bring; sizes as pickled for Ray."""
    rng = np.random.default_rng(_SEED)
    figures: dict[str, Any] = {}
    for rows in _LEASE_ROWS:
        figures |= _leases_of(rng, rows)
    million = Reducer(Tally.empty(("a", "b"), ()))
    order = rng.permutation(100_000).tolist()
    nothing = Tally.empty(("a", "b"), ())
    scattered = [RunState(ShardSet.of(range(10 * n, 10 * n + 10)), nothing) for n in order]
    merging = _seconds(lambda: _accept(million, scattered))
    assert million.state.shards.ranges == ((0, 1_000_000),)
    return figures | {"shard set of 10^6, out of order: us_per_lease": merging / 100_000 * 1e6}


def _leases_of(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    leases, tallies = 200 if rows > 100_000 else 1_000, [_tally(rng, rows) for _ in range(4)]
    states = [RunState(ShardSet.of(range(2 * n, 2 * n + 2)), tallies[n % 4]) for n in rng.permutation(leases)]
    reducer, first = Reducer(Tally.empty(("a", "b"), ("b",))), leases // 4
    # The first leases meet a run that is still nearly empty.
    _accept(reducer, states[:first])
    merging = _seconds(lambda: (_accept(reducer, states[first:]), reducer.state))
    sent = pickle.dumps(states[-1])
    return {
        f"{rows} rows: state_bytes": len(sent),
        f"{rows} rows: unpickle_ms": _seconds(lambda: [pickle.loads(sent) for _ in range(50)]) / 50 * 1e3,
        f"{rows} rows: merge_ms": merging / (leases - first) * 1e3,
    }


def _accept(reducer: Reducer, states: list[RunState]) -> None:
    for state in states:
        reducer.accept(state)


def _tally(rng: np.random.Generator, rows: int) -> Tally:
    empty = Tally.empty(("a", "b"), ("b",))
    truth = rng.integers(0, 2, rows)
    log_odds = rng.normal(2.0 * truth - 1, 2.0)
    half = rng.integers(0, 2, rows).astype(np.uint8)
    scores = ScoreHistogram.of(("b",), empty.scores.bins, log_odds[:, None], (truth == 1)[:, None], half)
    confusion = ConfusionMatrix.of(("a", "b"), truth, (log_odds > 0).astype(np.int64))
    loss = FixedSum.of(np.abs(log_odds) / 10)
    return Tally(Coverage(rows, rows), confusion, scores, loss, loss, empty.latency, empty.stages)


def wire_part() -> dict[str, Any]:
    """A plan of 100,000 files with ten row groups each, a shard a row group: columns, JSON, leases as pickled."""
    groups = 10
    files = tuple(
        PlannedFile(
            f"s3://bucket/data/table/day=2026-11-25/part-{n:06}.parquet", f"part-{n:06}.parquet", 40_000_000 + n,
            f"{n:064x}", (100_000,) * groups, (13_000_000 + n,) * groups,
        )
        for n in range(_FILES)
    )  # fmt: skip
    before = _resident_bytes()
    made: list[Shards] = []
    cutting = _seconds(lambda: made.append(Shards.of(files, _every_group(groups))))
    after = _resident_bytes()
    plan = Plan(files, made[0])
    columns = sum(value.nbytes for value in vars(plan.shards).values() if isinstance(value, np.ndarray))
    asking = _seconds(lambda: [plan.shards[number] for number in range(0, len(plan.shards), 100)])
    digesting = _seconds(plan.digest)
    size = 0

    def write() -> None:
        nonlocal size
        size = sum(map(len, plan.json_parts()))

    writing = _seconds(write)
    leases: dict[str, list[Shard]] = {f"{n} shards": list(plan.shards[500_000 : 500_000 + n]) for n in (2, 20, 200)}
    return {
        "shards": len(plan.shards),
        "columns_bytes": columns,
        "resident_of_shards_bytes": after - before,
        "shards_of_s": cutting,
        "one_shard_us": asking / (len(plan.shards) / 100) * 1e6,
        "digest_s": digesting,
        "plan_json_s": writing,
        "plan_json_bytes": size,
        **{f"lease of {name}: bytes": len(pickle.dumps(lease)) for name, lease in leases.items()},
        "all files, as once sent: bytes": len(pickle.dumps(files)),
    }


def _every_group(groups: int) -> Iterator[list[Piece]]:
    for file in range(_FILES):
        for group in range(groups):
            yield [Piece(file, group, group + 1, group * 100_000, 100_000)]


if __name__ == "__main__":
    sys.exit(main())
