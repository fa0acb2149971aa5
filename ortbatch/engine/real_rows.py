"""Real rows to make batches of: some of the job's data, usable by the model, in batches of any size, ready to run."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ortbatch.data.features import Feed, new_buffers
from ortbatch.data.plan import Plan, Shard
from ortbatch.data.reader import Reader
from ortbatch.engine.evaluation import Evaluation, decode
from ortbatch.engine.feeder import Feeder
from ortbatch.engine.latency import ROW_GROUPS, SEED, piece_of, row_groups
from ortbatch.errors import DataError

_AT_ONCE = 256


class RealRows:
    """Rows that the model can be asked about.

    Args:
        evaluation: how they become its inputs.
        table: their columns.
    """

    def __init__(self, evaluation: Evaluation, table: pa.Table) -> None:
        self._bound = evaluation.inputs.bound
        self._feeder = Feeder(evaluation.inputs, table)
        if evaluation.inputs.transform is not None:
            self._feeder = self._feeder.select(self._transformable())
        if not self._feeder.rows:
            raise DataError(
                f"model.transform can do none of the {table.num_rows:,} rows that were read; `ortbatch check` says why."
            )

    def __len__(self) -> int:
        return int(self._feeder.rows)

    def _transformable(self) -> NDArray[np.intp]:
        """Places of the rows that the transform can do."""
        buffers, done = new_buffers(self._bound, _AT_ONCE), []
        for start in range(0, self._feeder.rows, _AT_ONCE):
            stop = min(start + _AT_ONCE, self._feeder.rows)
            _, good = self._feeder.batch(start, stop, buffers)
            done.append(start + (np.arange(stop - start, dtype=np.intp) if good is None else good))
        return np.concatenate(done)

    def batches(self, size: int, rows: int) -> Iterator[Feed]:
        """Batches of a size, each with memory of its own, of distinct rows; one with repeated rows if there are fewer.

        Args:
            size: rows of a batch.
            rows: most rows of all batches together; one batch there is in any case.

        Raises:
            DataError: if the transform does not do again what it did.
        """
        feeder = self._feeder
        if size > len(self):
            feeder = feeder.select(np.arange(size) % len(self))
        for start in range(0, max(1, min(feeder.rows, rows) // size) * size, size):
            feed, good = feeder.batch(start, start + size, new_buffers(self._bound, size))
            if good is not None:
                raise DataError(
                    f"model.transform did {size:,} rows before, and now {good.size:,} of them. Make a row's result "
                    "depend on that row only."
                )
            yield feed


def read_real_rows(evaluation: Evaluation, plan: Plan, wanted: int, until: float) -> RealRows:
    """Rows of a few row groups, seeded, spread evenly over them; of more where these have too few.

    Args:
        evaluation: which rows are asked about, and how.
        plan: all rows.
        wanted: so many, if the data have them.
        until: when to stop reading, by `time.perf_counter`; some rows are read in any case.

    Raises:
        DataError: if no row can be used, or a file changed.
        StorageError: if storage failed.
    """
    tables: list[pa.Table] = []
    have = 0
    with Reader(evaluation.columns) as reader:
        for done, shard in enumerate(_in_any_order(plan), 1):
            for table in _usable(evaluation, reader, shard, wanted):
                # Files may differ in integer width and the like: those like the first are enough.
                if not tables or table.schema == tables[0].schema:
                    tables.append(table)
                    have += table.num_rows
            if have and (time.perf_counter() > until or (have >= wanted and done >= ROW_GROUPS)):
                break
    if not have:
        raise DataError(f"none of {plan.rows:,} rows can be given to the model; `ortbatch check` says why.")
    return RealRows(evaluation, _evenly(pa.concat_tables(tables), wanted))


def _in_any_order(plan: Plan) -> Iterator[Shard]:
    """Every row group by itself, in a seeded order."""
    groups = row_groups(plan)
    random.Random(SEED).shuffle(groups)
    for place in groups:
        yield plan.shard(-1, [piece_of(plan, *place)])


def _usable(evaluation: Evaluation, reader: Reader, shard: Shard, most: int) -> Iterator[pa.Table]:
    """Rows of a row group that are evaluated, at most so many of a block; what feeds the model only."""
    for block in reader.read(shard):
        kept = np.arange(block.table.num_rows)[decode(evaluation, block.table).kept]
        table = block.table.select(evaluation.inputs.columns).take(pa.array(kept))
        if kept.size:
            yield _evenly(table, most)


def _evenly(table: pa.Table, most: int) -> pa.Table:
    """At most so many rows, from all over the table."""
    rows = table.num_rows
    return table if rows <= most else table.take(pa.array(np.arange(most) * rows // most))
