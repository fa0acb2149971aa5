"""Batches of many sizes, timed side by side: what a batch takes, alone in a session, at each number of threads.

Only `session.run` is timed, on real rows; all inputs are ready before. Sizes take turns in rounds, each round in an
order of its own, so that a slow spell of the machine hits all of them alike. Percentiles are not known here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ortbatch.data.features import Feed
from ortbatch.engine.host import free_memory
from ortbatch.engine.latency import TimedRuns, until_steady
from ortbatch.engine.prepared import Prepared
from ortbatch.engine.real_rows import RealRows, read_real_rows
from ortbatch.errors import ModelError
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.timed import TimedBatches, WarmUp
from ortbatch.model.session import OnnxModel
from ortbatch.model.source import load

LEAST_ROUNDS = 30
_TURN_SECONDS = 0.05
_READING_SHARE = 0.2
_WARM_UP_SHARE = 0.3
_ROWS = 1_024
_FEED_BYTES = 16 << 20
_FREE_RUNS = 10


@dataclass(frozen=True)
class SweepSetup:
    """What to measure.

    Args:
        sizes: rows of a batch, rising.
        threads: intra-op threads; a session for each.
        seconds: for warm-up and runs; every size is run 30 times, however long that takes.
    """

    sizes: tuple[int, ...]
    threads: tuple[int, ...]
    seconds: float


@dataclass(frozen=True)
class Swept:
    """What was measured.

    Args:
        timed: by threads, then by size.
        rows: distinct rows that there were to make batches of.
    """

    timed: tuple[TimedBatches, ...]
    rows: int


def sweep(prepared: Prepared, setup: SweepSetup, tell: Callable[[str], None] = lambda _: None) -> Swept:
    """Time batches of all sizes at all numbers of threads.

    Args:
        prepared: the job, checked.
        setup: what to measure.
        tell: told how long it takes, where that is longer than asked for.

    Raises:
        DataError: if there is no row to make batches of, or a file changed.
        ModelError: if the model refuses a batch, or there is too little memory for one.
        StorageError: if storage failed.
    """
    evaluation, largest = prepared.evaluation.by_rows(), max(setup.sizes)
    affordable = _FEED_BYTES // max(1, prepared.row_bytes)
    _require_memory(largest, prepared.row_bytes)
    reading_until = time.perf_counter() + _READING_SHARE * setup.seconds
    rows = read_real_rows(evaluation, prepared.plan, max(largest, min(_ROWS, affordable)), reading_until)
    feeds = [_feeds(rows, size, affordable) for size in setup.sizes]
    lanes: list[_Lane] = []
    for threads in setup.threads:
        model = load(prepared.model.source, prepared.job.model.providers, threads)
        reads = evaluation.decision.output.reads
        lanes += [_Lane(model, reads, each, size) for each, size in zip(feeds, setup.sizes, strict=True)]
    until = time.perf_counter() + setup.seconds
    for lane in lanes:
        lane.warm(_WARM_UP_SHARE * setup.seconds / len(lanes))
    _take_turns(lanes, until, tell)
    return Swept(tuple(lane.timed(len(rows)) for lane in lanes), len(rows))


class _Lane:
    """Runs of one size in one session."""

    def __init__(self, model: OnnxModel, outputs: Sequence[str], feeds: Sequence[Feed], size: int) -> None:
        self._model, self._size, self._batches = model, size, len(feeds)
        self._run = TimedRuns(model, outputs, feeds)
        self._warm_up = WarmUp(0, 0.0, stable=False)
        self._histogram = LatencyHistogram.empty()
        self.usual_s = 0.0

    def warm(self, seconds: float) -> None:
        """Run until it is steady, or time is up."""
        with _naming(self._size):
            self._warm_up, times = until_steady(self._run, seconds)
        self.usual_s = float(np.median(times)) / 1e9

    def turn(self, seconds: float) -> None:
        """Run for some time, and once in any case."""
        if self.usual_s * _FREE_RUNS < seconds:
            # What others left in the cache is not this size's time; where runs are long it is little of it.
            self._run()
        until = time.perf_counter() + seconds
        times = [self._run()]
        while time.perf_counter() < until:
            times.append(self._run())
        self._histogram = self._histogram.merge(LatencyHistogram.of(np.array(times, np.int64)))

    def timed(self, rows: int) -> TimedBatches:
        """What is known by now; `rows` is how many there were to make batches of."""
        model, distinct = self._model, min(rows, self._batches * self._size)
        return TimedBatches(self._size, model.threads, model.session_s, distinct, self._warm_up, self._histogram)


def _take_turns(lanes: Sequence[_Lane], until: float, tell: Callable[[str], None]) -> None:
    """Rounds in which each has a turn: 30, and more while there is time."""
    left = max(0.0, until - time.perf_counter())
    needed = LEAST_ROUNDS * sum(lane.usual_s for lane in lanes)
    if needed > left:
        tell(f"{LEAST_ROUNDS} runs of each take about {needed:.0f} s, which is longer than was asked for")
    turn = min(_TURN_SECONDS, left / (LEAST_ROUNDS * len(lanes)))
    done = 0
    while done < LEAST_ROUNDS or time.perf_counter() < until:
        for lane in random.Random(done).sample(lanes, len(lanes)):
            lane.turn(turn)
        done += 1


def _feeds(rows: RealRows, size: int, affordable: int) -> list[Feed]:
    with _naming(size):
        return list(rows.batches(size, min(len(rows), affordable)))


@contextmanager
def _naming(size: int) -> Iterator[None]:
    """Say of which size there was too little memory."""
    try:
        yield
    except MemoryError as error:
        raise ModelError(f"too little memory for a batch of {size:,} rows: {error}. Leave that size out.") from None


def _require_memory(size: int, row_bytes: int) -> None:
    """Refuse a batch whose inputs alone would not fit twice: the system ends a process that takes too much."""
    free = free_memory()
    if free is not None and 2 * size * row_bytes > free:
        raise ModelError(
            f"a batch of {size:,} rows takes {size * row_bytes:,} bytes of inputs, and {free:,} are free. Leave that "
            "size out."
        )
