"""How long one prediction takes: batches of one, on real rows, in a session of their own, with nothing else running.

Only `session.run` is timed. This is not the latency of the pass divided by anything.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ortbatch.data.features import Feed, new_buffers
from ortbatch.data.plan import Piece, Plan, Shard
from ortbatch.data.reader import read_shard
from ortbatch.engine.evaluation import Evaluation, decode
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.model.session import OnnxModel

SAMPLES = 1_000
_ROW_GROUPS = 4
_WARM_UP_RUNS = 50
_WARM_UP_SHARE = 0.2
_FEEDING_SHARE = 0.4
_SEED = 0


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
        warm_up: predictions that were not counted.
        threads: intra-op threads.
    """

    histogram: LatencyHistogram
    rows: int
    warm_up: int
    threads: int


def pick_row_groups(plan: Plan, without: Iterable[int] = ()) -> Shard:
    """A few row groups of the plan, seeded, in order; none of the shards `without`."""
    gone = [piece for shard in without for piece in plan.shards[shard].pieces]
    left_out = {(piece.file, group) for piece in gone for group in range(piece.first_group, piece.end_group)}
    groups = [
        (index, group, sum(file.group_rows[:group]), rows)
        for index, file in enumerate(plan.files)
        for group, rows in enumerate(file.group_rows)
        if rows and (index, group) not in left_out
    ]
    chosen = sorted(random.Random(_SEED).sample(range(len(groups)), min(_ROW_GROUPS, len(groups))))
    pieces = [Piece(f, group, group + 1, first, rows) for f, group, first, rows in (groups[i] for i in chosen)]
    return plan.shard(-1, pieces)


def measure_single(model: OnnxModel, evaluation: Evaluation, setup: SingleSetup) -> SingleLatency:
    """Time predictions of one row each; rows repeat when there are fewer than samples."""
    started = time.perf_counter()
    deadline = started + setup.max_seconds
    feeds = _feeds(evaluation, setup, until=started + _FEEDING_SHARE * setup.max_seconds)
    outputs = evaluation.decision.output.reads
    warm_up, warm_until = 0, time.perf_counter() + _WARM_UP_SHARE * setup.max_seconds
    while feeds and warm_up < _WARM_UP_RUNS and time.perf_counter() < warm_until:
        model.run(outputs, feeds[warm_up % len(feeds)])
        warm_up += 1
    times: list[int] = []
    while feeds and len(times) < setup.samples and time.perf_counter() < deadline:
        feed = feeds[len(times) % len(feeds)]
        started = time.perf_counter_ns()
        model.run(outputs, feed)
        times.append(time.perf_counter_ns() - started)
    histogram = LatencyHistogram.of(np.array(times, np.int64))
    return SingleLatency(histogram, min(len(feeds), len(times)), warm_up, setup.threads)


def _feeds(evaluation: Evaluation, setup: SingleSetup, until: float) -> list[Feed]:
    """Inputs of up to `samples` rows, one row each, ready to run; an equal share of each row group, as time allows."""
    feeds: list[Feed] = []
    share = -(-setup.samples // max(1, len(setup.shard.pieces)))
    for block in read_shard(setup.shard, evaluation.columns):
        feeder = decode(evaluation, block.table.slice(0, share)).feeder
        for row in range(feeder.rows):
            feed, good = feeder.batch(row, row + 1, new_buffers(evaluation.inputs.bound, 1))
            if good is None or good.size:
                feeds.append(feed)
            if feeds and time.perf_counter() > until:
                return feeds
        if len(feeds) >= setup.samples:
            break
    return feeds
