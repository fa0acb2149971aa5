"""The batch size `auto`, tuned on real rows before the pass: packing and `session.run`, as the inner loop does them.

The rule's size stays unless another is more than 3% faster and gives every row that was tried the same bits.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.data.data_file import BUDGET_BYTES
from ortbatch.data.features import new_buffers
from ortbatch.data.plan import Plan, Shard
from ortbatch.data.reader import read_shard
from ortbatch.engine.evaluation import Evaluation, decode
from ortbatch.engine.feeder import Feeder
from ortbatch.engine.layout import READ_BYTES_PER_S
from ortbatch.errors import ModelError, OrtbatchError
from ortbatch.model.session import OnnxModel
from ortbatch.model.tuning import Rung, Tuning, chosen

TUNED_FROM_ROWS = 100_000
MOST_SECONDS = 2.0
MOST_SHARE = 0.01
_LONGEST_CALL = 0.05
_ROUNDS = (3, 12)
_ROWS_TRIED = 4

Clock = Callable[[], float]


def tune(
    model: OnnxModel,
    evaluation: Evaluation,
    plan: Plan,
    sizes: Sequence[int],
    first: Feeder,
    streams: int,
    clock: Clock = time.perf_counter,
) -> tuple[int, Tuning]:
    """Choose a batch size; the one of the evaluation is the rule's, and stays if there is no time to measure.

    Args:
        model: the session that a worker has.
        evaluation: what is evaluated, at the rule's size.
        plan: all rows.
        sizes: sizes to choose from, the rule's among them.
        first: inputs of the first rows, by which the run's length is estimated.
        streams: shards that a worker evaluates at once; as many threads are timed.
        clock: seconds.
    """
    began, rule = clock(), evaluation.batch_size
    if plan.rows < TUNED_FROM_ROWS:
        return rule, Tuning(f"fewer than {TUNED_FROM_ROWS:,} rows")
    try:
        return _Tuner(model, evaluation, plan, sizes, streams, clock, began).choose(first)
    except (OrtbatchError, MemoryError):
        # A row group or a batch that cannot be had is the run's to tell, with its place.
        return rule, Tuning("no row group could be tried", seconds=clock() - began)


class _Tuner:
    def __init__(
        self, model: OnnxModel, evaluation: Evaluation, plan: Plan, sizes: Sequence[int], streams: int, clock: Clock,
        began: float,
    ) -> None:  # fmt: skip
        self._model, self._evaluation, self._plan = model, evaluation, plan
        self._sizes, self._streams, self._began = sizes, streams, began
        self._clock: Clock = clock
        self._rule = evaluation.batch_size
        self._buffers = [new_buffers(evaluation.inputs.bound, max(sizes)) for _ in range(streams)]

    def choose(self, first: Feeder) -> tuple[int, Tuning]:
        read_bytes = self._plan.rows * _bytes_of_row(self._plan)
        per_row = min(self._seconds_a_row(first) for _ in range(2))
        budget = self._budget(per_row, read_bytes)
        shard, rows, size = _some_rows(self._plan)
        left = budget - self._spent() - size / READ_BYTES_PER_S
        if len(self._affordable(rows, per_row, left - per_row * min(rows, self._rule))) < 2:
            return self._rule, self._tuning(self._too_short(budget))
        feeder = self._rows(shard)
        if feeder.rows < min(self._sizes):
            return self._rule, self._tuning("row groups too small")
        per_row = self._seconds_a_row(feeder)
        budget = min(budget, self._budget(per_row, read_bytes))
        sizes = self._affordable(feeder.rows, per_row, budget - self._spent())
        if len(sizes) < 2:
            return self._rule, self._tuning(self._too_short(budget))
        same = self._same_scores(feeder, sizes)
        rates = self._rates(feeder, [rows for rows in sizes if rows in same], budget)
        rungs = [Rung(rows, rates.get(rows), rows in same) for rows in sizes]
        best = chosen(self._rule, rungs)
        if best == self._rule:
            return best, self._tuning("no size with the same scores is more than 3% faster", rungs)
        gain = rates[best] / rates[self._rule] - 1
        return best, self._tuning(f"{gain:.0%} faster than the rule's {self._rule:,}", rungs)

    def _tuning(self, why: str, rungs: Sequence[Rung] = ()) -> Tuning:
        return Tuning(why, tuple(rungs), self._spent(), self._streams)

    def _too_short(self, budget: float) -> str:
        return f"a run of about {budget / MOST_SHARE:.2g} s is too short to tune"

    def _spent(self) -> float:
        return self._clock() - self._began

    def _budget(self, per_row: float, read_bytes: float) -> float:
        """Seconds that may be spent: of one stream for a row, and the bytes of all, make the length of the run."""
        run = (self._plan.rows * per_row + read_bytes / READ_BYTES_PER_S) / self._streams
        return min(MOST_SECONDS, MOST_SHARE * run)

    def _rows(self, shard: Shard) -> Feeder:
        """Inputs of the first block of a shard, as many as the largest size needs several times over."""
        evaluation, most = self._evaluation, _ROWS_TRIED * max(self._sizes)
        for block in read_shard(shard, evaluation.columns):
            return decode(evaluation, block.table.slice(0, most)).feeder
        raise ModelError("no rows to tune the batch size with; give `model.batch_size`")

    def _affordable(self, rows: int, per_row: float, seconds: float) -> list[int]:
        """Sizes that there are rows and time for; those farthest from the rule's go first, the larger before."""
        sizes = [r for r in self._sizes if r == self._rule or (r <= rows and r * per_row <= _LONGEST_CALL)]
        while len(sizes) > 1 and _evaluated(sizes, self._rule, rows) * per_row > seconds:
            sizes.remove(max(sizes, key=lambda r: (abs(math.log2(r / self._rule)), r)))
        return sizes

    def _same_scores(self, feeder: Feeder, sizes: Sequence[int]) -> set[int]:
        """Sizes at which the rows get what they get at the rule's, to the last bit; warms all of them up."""
        stop = _tried(sizes, feeder.rows)
        expected = self._outputs(feeder, 0, stop, self._rule)
        same = {self._rule}
        for rows in sizes:
            try:
                if rows not in same and _equal(expected, self._outputs(feeder, 0, stop, rows)):
                    same.add(rows)
            except ModelError:
                continue
        return same

    def _rates(self, feeder: Feeder, sizes: Sequence[int], budget: float) -> dict[int, float]:
        """Rows/s of all streams together at each size: the best of several rounds in which each has its turn."""
        rates: dict[int, float] = dict.fromkeys(sizes, 0.0)
        with ThreadPoolExecutor(self._streams, thread_name_prefix="tune") as pool:
            began, done = self._clock(), 0
            while done < _ROUNDS[0] or (done < _ROUNDS[1] and self._fits(began, done, budget)):
                for rows in sizes:
                    rates[rows] = max(rates[rows], self._rate(pool, feeder, rows, done))
                done += 1
        return rates

    def _fits(self, began: float, done: int, budget: float) -> bool:
        """Is there time for another round like those before?"""
        return self._spent() + (self._clock() - began) / done <= budget

    def _rate(self, pool: ThreadPoolExecutor, feeder: Feeder, rows: int, turn: int) -> float:
        span = min(int(feeder.rows), max(rows, self._rule))
        barrier = threading.Barrier(self._streams)

        def timed(stream: int) -> float:
            start = (turn * self._streams + stream) * span % (feeder.rows - span + 1)
            barrier.wait()
            return span / self._timed(feeder, start, start + span, rows, stream)

        return sum(pool.map(timed, range(self._streams)))

    def _seconds_a_row(self, feeder: Feeder) -> float:
        """By one batch of the rule's size."""
        rows = min(int(feeder.rows), self._rule)
        return self._timed(feeder, 0, rows, self._rule, 0) / rows

    def _timed(self, feeder: Feeder, start: int, stop: int, rows: int, stream: int) -> float:
        began = self._clock()
        for _ in self._batches(feeder, start, stop, rows, stream):
            pass
        return max(self._clock() - began, 1e-9)

    def _outputs(self, feeder: Feeder, start: int, stop: int, rows: int) -> list[NDArray[Any]]:
        """What is read of the model, for rows [start, stop) in batches of a size."""
        batches = list(self._batches(feeder, start, stop, rows, 0))
        return [np.concatenate(parts) for parts in zip(*batches, strict=True)]

    def _batches(self, feeder: Feeder, start: int, stop: int, rows: int, stream: int) -> Iterator[list[NDArray[Any]]]:
        reads, buffers = self._evaluation.decision.output.reads, self._buffers[stream]
        for place in range(start, stop, rows):
            feed, good = feeder.batch(place, min(place + rows, stop), buffers)
            if good is None or good.size:
                yield self._model.run(reads, feed)


def _tried(sizes: Sequence[int], rows: int) -> int:
    """Rows whose scores are compared: a batch of the largest size and, as at the end of a row group, a part of one."""
    return min(rows, max(sizes) + max(1, max(sizes) // 3))


def _evaluated(sizes: Sequence[int], rule: int, rows: int) -> int:
    """Rows of one stream that a comparison and the fewest rounds take."""
    return len(sizes) * _tried(sizes, rows) + _ROUNDS[0] * sum(min(rows, max(size, rule)) for size in sizes)


def _some_rows(plan: Plan) -> tuple[Shard, int, int]:
    """The largest piece of the middle shard, and how many rows and uncompressed bytes its first block takes."""
    shard = plan.shards[len(plan.shards) // 2]
    piece = max(shard.pieces, key=lambda piece: piece.rows)
    file, group = plan.files[piece.file], piece.first_group
    rows, size = min(piece.rows, file.group_rows[group]), file.group_bytes[group]
    return replace(shard, pieces=(piece,)), rows, min(BUDGET_BYTES, size)


def _bytes_of_row(plan: Plan) -> float:
    rows = sum(file.rows for file in plan.files)
    return sum(sum(file.group_bytes) for file in plan.files) / max(1, rows)


def _equal(one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> bool:
    """The same bits throughout?"""
    return all(
        a.dtype == b.dtype
        and a.shape == b.shape
        and (np.array_equal(a, b) if a.dtype.kind == "O" else a.tobytes() == b.tobytes())
        for a, b in zip(one, other, strict=True)
    )
