"""Some rows of a run, timed before it: one row group through the inner loop of a worker, with one stream.

What comes of it is an estimate and says so: other streams share caches and memory, other row groups hold other values,
and a file that was just read lies in the system's memory. Nothing is written, and nothing counts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from ortbatch.data.data_file import BUDGET_BYTES
from ortbatch.data.fetches import AHEAD_BYTES
from ortbatch.data.plan import Shard, Shards
from ortbatch.data.reader import read_shard
from ortbatch.data.storage import is_remote
from ortbatch.engine.evaluate import Stream
from ortbatch.engine.latency import piece_of, row_groups
from ortbatch.engine.layout import RAY_SECONDS, SESSION_OF_MODEL, WORKER_BYTES, Layout
from ortbatch.engine.prepared import THREADS, Prepared
from ortbatch.engine.sessions import predictors
from ortbatch.model.stored import load_predictor

_SECONDS = 0.5
_FIRST_ROWS = 256
_TRIES = 9
_SCORE_BYTES = 8
_SCORES_OF_A_ROW = 4  # raw, float64, probabilities, log-odds


@dataclass(frozen=True)
class Rehearsal:
    """What one stream took.

    Args:
        rows: rows that were evaluated.
        group_rows: rows of the row group that was read for them.
        read_s: seconds of reading and decoding the group.
        other_s: seconds of all else for the rows: labels, packing, sessions of model and baselines, counting.
        row_bytes: decoded bytes of a row, of the columns that are read.
    """

    rows: int
    group_rows: int
    read_s: float
    other_s: float
    row_bytes: float

    @property
    def seconds_a_row(self) -> float:
        """Seconds of a stream for a row."""
        return self.read_s / self.group_rows + self.other_s / self.rows


@dataclass(frozen=True)
class Forecast:
    """What a run is expected to take; estimates.

    Args:
        pass_s: seconds of the pass over all rows.
        start_s: seconds until workers are there.
        rows_per_s: of all streams together.
        session_bytes: of one worker's sessions.
        groups_bytes: of the row groups that its streams hold at once.
        batch_bytes: of their batches and scores.
        base_bytes: of a process with its libraries.
    """

    pass_s: float
    start_s: float
    rows_per_s: float
    session_bytes: int
    groups_bytes: int
    batch_bytes: int
    base_bytes: int = WORKER_BYTES

    @property
    def worker_bytes(self) -> int:
        """Memory of a worker."""
        return self.base_bytes + self.session_bytes + self.groups_bytes + self.batch_bytes


def rehearse(prepared: Prepared) -> Rehearsal:
    """Evaluate some rows of the row group in the middle, for about half a second.

    Raises:
        DataError: if it cannot be read.
        ModelError: if the model refuses a batch.
        StorageError: if storage failed.
    """
    plan = prepared.plan
    groups = row_groups(plan)
    file, group = groups[len(groups) // 2]
    # The sink is the run's: a rehearsal leaves nothing behind.
    evaluation, rows = replace(prepared.evaluation, sink=None), plan.files[file].group_rows[group]
    whole = Shards.of(plan.files, [[piece_of(plan, file, group)]])
    model = load_predictor(prepared.model.source, prepared.job.model.providers, THREADS, evaluation.inputs.by_columns)
    beside = predictors(evaluation.baselines, [baseline.model for baseline in prepared.baselines])
    stream = Stream(evaluation, model, beside)
    few = min(rows, _FIRST_ROWS)
    _timed(stream, whole, few)
    first = _timed(stream, whole, few)
    enough = int(few * _SECONDS / max(first[1], 1e-9))
    many = max(few, min(rows, enough))
    if many > few:
        first = _timed(stream, whole, many)
    # The best of some: what made one slower was other work on the machine.
    tries = [first, *(_timed(stream, whole, many) for _ in range(min(_TRIES, int(_SECONDS / sum(first)))))]
    read_s, other_s = min(tries, key=sum)
    return Rehearsal(many, rows, read_s, other_s, _row_bytes(whole[0], evaluation.columns))


def _timed(stream: Stream, whole: Shards, rows: int) -> tuple[float, float]:
    """Seconds of reading a row group, and of all else for its first rows."""
    began = time.perf_counter()
    stages = stream.evaluate([whole.of_rows(np.arange(rows))[0]]).stages
    took, read = time.perf_counter() - began, stages.read / 1e9
    return float(read), max(took - read, 1e-9)


def _row_bytes(shard: Shard, columns: list[str]) -> float:
    for block in read_shard(shard, columns):
        if rows := int(block.table.num_rows):
            return int(block.table.nbytes) / rows
    return 0.0


def forecast(prepared: Prepared, rehearsal: Rehearsal, layout: Layout, *, ray: bool) -> Forecast:
    """What the run will take, if its rows are like those of the rehearsal.

    Args:
        prepared: the job.
        rehearsal: what some of its rows took.
        layout: workers and streams.
        ray: does an embedded Ray have to start?
    """
    evaluation, plan = prepared.evaluation, prepared.plan
    streams = min(layout.workers * layout.streams, len(plan.shards))
    rows_per_s = streams / rehearsal.seconds_a_row
    largest: int = max(rows for file in plan.files for rows in file.group_rows)
    block = min(BUDGET_BYTES, int(rehearsal.row_bytes * largest))
    ahead = AHEAD_BYTES if is_remote(plan.files[0].uri) else 0
    classes = len(evaluation.decision.classes)
    row = prepared.row_bytes + _SCORES_OF_A_ROW * _SCORE_BYTES * classes
    return Forecast(
        plan.rows / rows_per_s, RAY_SECONDS if ray else 0.0, rows_per_s,
        SESSION_OF_MODEL * prepared.model_bytes, layout.streams * block + ahead,
        layout.streams * evaluation.batch_size * row,
    )  # fmt: skip
