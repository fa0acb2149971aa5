"""How long one prediction takes: batches of one, on real rows, in a session of their own, with nothing else running.

Only `session.run` is timed, and the transform apart from it. This is not the latency of the pass divided by anything.
What the start costs (loading the session, its first run, runs until it is warm) is told apart, and in no percentile.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ortbatch.data.features import Feed, new_buffers
from ortbatch.data.plan import Piece, Plan, Shard
from ortbatch.data.reader import read_shard
from ortbatch.engine.evaluation import Evaluation, decode
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.timed import LEAST_RUNS, MOST_RUNS, WarmUp, is_steady
from ortbatch.model.session import Predictor

SAMPLES = 1_000
ROW_GROUPS = 4
_WARM_UP_SHARE = 0.2
_FEEDING_SHARE = 0.4
_TRANSFORM_WARM_UP = 50
SEED = 0

Clock = Callable[[], float]


@dataclass(frozen=True)
class SingleSetup:
    """What to measure.

    Args:
        shard: the row groups that give the rows.
        samples: predictions to time.
        threads: intra-op threads.
        max_seconds: most time to spend, warm-up included.
    """

    shard: Shard
    samples: int
    threads: int
    max_seconds: float


@dataclass(frozen=True)
class SingleLatency:
    """Times of single predictions.

    Args:
        histogram: one value a prediction.
        rows: distinct rows among them.
        threads: intra-op threads.
        session_s: seconds that it took to load the session.
        first_ns: the first prediction of the session; None if there was none.
        warm_up: predictions that were not counted, the first aside.
        transform: the job's function between columns and inputs, one value a row; None if the job has none.
    """

    histogram: LatencyHistogram
    rows: int
    threads: int
    session_s: float
    first_ns: int | None
    warm_up: WarmUp
    transform: LatencyHistogram | None = None


class TimedRuns:
    """A session and inputs that are ready. Each call runs the next of them and says how many nanoseconds that took."""

    def __init__(self, model: Predictor, outputs: Sequence[str], feeds: Sequence[Feed]) -> None:
        self._run, self._outputs = model.run, outputs
        self._feeds = itertools.cycle(feeds)

    def __call__(self) -> int:
        """Nanoseconds of the next run."""
        feed = next(self._feeds)
        began = time.perf_counter_ns()
        self._run(self._outputs, feed)
        return time.perf_counter_ns() - began


@dataclass
class _Inputs:
    """Inputs of one row each, ready to run, and how long the transform took for each."""

    feeds: list[Feed] = field(default_factory=list)
    transform_ns: list[int] = field(default_factory=list)


def row_groups(plan: Plan) -> list[tuple[int, int]]:
    """File and number of every row group with rows, in the order of the plan."""
    return [(f, group) for f, file in enumerate(plan.files) for group, rows in enumerate(file.group_rows) if rows]


def piece_of(plan: Plan, file: int, group: int) -> Piece:
    """One row group, whole."""
    rows = plan.files[file].group_rows
    return Piece(file, group, group + 1, sum(rows[:group]), rows[group])


def pick_row_groups(plan: Plan, without: Iterable[int] = ()) -> Shard:
    """A few row groups of the plan, seeded, in order; none of the shards `without`."""
    gone = [piece for shard in without for piece in plan.shards[shard].pieces]
    left_out = {(piece.file, group) for piece in gone for group in range(piece.first_group, piece.end_group)}
    groups = [place for place in row_groups(plan) if place not in left_out]
    chosen = sorted(random.Random(SEED).sample(range(len(groups)), min(ROW_GROUPS, len(groups))))
    return plan.shard(-1, [piece_of(plan, *groups[place]) for place in chosen])


def measure_single(model: Predictor, evaluation: Evaluation, setup: SingleSetup) -> SingleLatency:
    """Time predictions of one row each; rows repeat when there are fewer than samples.

    Args:
        model: a session that has run nothing yet.
        evaluation: how rows become its inputs.
        setup: what to measure.
    """
    began = time.perf_counter()
    made = _inputs(evaluation, setup, until=began + _FEEDING_SHARE * setup.max_seconds)
    transform = _warm(made.transform_ns) if evaluation.inputs.transform is not None else None
    if not made.feeds:
        nothing = WarmUp(0, 0.0, stable=False)
        return SingleLatency(LatencyHistogram.empty(), 0, setup.threads, model.session_s, None, nothing, transform)
    run = TimedRuns(model, evaluation.decision.output.reads, made.feeds)
    first = run()
    warm_up, _ = until_steady(run, _WARM_UP_SHARE * setup.max_seconds)
    times: list[int] = []
    while len(times) < setup.samples and time.perf_counter() < began + setup.max_seconds:
        times.append(run())
    histogram = LatencyHistogram.of(np.array(times, np.int64))
    rows = min(len(made.feeds), len(times))
    return SingleLatency(histogram, rows, setup.threads, model.session_s, first, warm_up, transform)


def nothing_timed(threads: int) -> SingleLatency:
    """Of what has no session that could be timed."""
    return SingleLatency(LatencyHistogram.empty(), 0, threads, 0.0, None, WarmUp(0, 0.0, stable=True))


def until_steady(
    run: Callable[[], int], seconds: float, clock: Clock = time.perf_counter
) -> tuple[WarmUp, list[int]]:  # fmt: skip
    """Run until it has become steady (`is_steady`), or 5,000 times, or until time is up; once in any case.

    Args:
        run: runs once and returns its nanoseconds.
        seconds: most time to spend.
        clock: seconds.

    Returns:
        What it took, and the nanoseconds of all runs.
    """
    began, times = clock(), [run()]
    # Ever more runs between two looks: looking costs little, and by chance alone not many of them come out well.
    look = LEAST_RUNS
    while len(times) < MOST_RUNS and clock() - began < seconds:
        times.append(run())
        if len(times) >= look:
            if is_steady(times):
                break
            look += look // 2
    return WarmUp(len(times), clock() - began, is_steady(times)), times


def _warm(transform_ns: Sequence[int]) -> LatencyHistogram:
    """All but the first runs of the transform: 50, or a fifth where there are few."""
    cold = min(_TRANSFORM_WARM_UP, len(transform_ns) // 5)
    return LatencyHistogram.of(np.array(transform_ns[cold:], np.int64))


def _inputs(evaluation: Evaluation, setup: SingleSetup, until: float) -> _Inputs:
    """Inputs of up to `samples` rows; an equal share of each row group, as time allows."""
    made = _Inputs()
    share = -(-setup.samples // max(1, len(setup.shard.pieces)))
    for block in read_shard(setup.shard, evaluation.columns):
        feeder = decode(evaluation, block.table.slice(0, share)).feeder
        for row in range(feeder.rows):
            buffers = new_buffers(evaluation.inputs.bound, 1)
            began = time.perf_counter_ns()
            feed, good = feeder.batch(row, row + 1, buffers)
            took = time.perf_counter_ns() - began
            if good is None or good.size:
                made.feeds.append(feed)
                made.transform_ns.append(took)
            if made.feeds and time.perf_counter() > until:
                return made
        if len(made.feeds) >= setup.samples:
            break
    return made
