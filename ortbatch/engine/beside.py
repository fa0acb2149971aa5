"""A baseline in a stream: it answers the batches of the model right after the model did, while their rows are warm.

A row that a baseline cannot do is a matter between the two: it changes nothing in what is counted of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ortbatch.data.columns import one_chunk
from ortbatch.data.features import Feed, new_buffers
from ortbatch.data.transform import TRANSFORM_ERROR
from ortbatch.engine.baselines import Baseline, Beheld
from ortbatch.engine.clock import Span
from ortbatch.engine.feeder import Feeder
from ortbatch.errors import ModelError
from ortbatch.model.session import Predictor

_NONE = -1
_Part = tuple[NDArray[Any], NDArray[np.uint8] | None]


class Stored:
    """Scores that stand in the data, in place of a session: they are what they are fed."""

    fixed_batch = None
    session_s = 0.0

    def run(self, outputs: Sequence[str], feed: Feed) -> list[NDArray[Any]]:
        """The only input; a copy, as feeds are made in buffers that are used again."""
        del outputs
        return [np.array(next(iter(feed.values())))]


class Beside:
    """Told of a block, it runs batch by batch, and says what it saw."""

    def __init__(
        self, baseline: Baseline, model: Predictor | None, batch_size: int, by_columns: Sequence[str] = ()
    ) -> None:
        """Make one.

        Args:
            baseline: which.
            model: its session; None of a function, and of predictions that stand in the data.
            batch_size: most rows of a batch.
            by_columns: inputs that the model's feed holds column by column.
        """
        self._baseline, self._model = baseline, model
        self._turned = [name for name in by_columns if name not in baseline.turned]
        self._buffers = new_buffers(baseline.inputs.bound, batch_size) if baseline.inputs is not None else {}
        self._reasons: list[str] = []
        self._feeder: Feeder | None = None
        self._table: pa.Table | None = None
        self._why: NDArray[np.uint8] | None = None
        self._parts: list[_Part] = []
        self._latencies: list[int] = []

    def block(self, table: pa.Table, kept: NDArray[np.int64] | slice) -> None:
        """Take up the rows of a block that the model is asked about."""
        if self._baseline.takes_the_models_feed:
            return
        own = table.select(self._baseline.columns)
        own = own if isinstance(kept, slice) else own.take(pa.array(kept))
        if self._baseline.inputs is None:
            self._table = own
            return
        self._feeder = Feeder(self._baseline.inputs, own)
        self._why = self._codes(self._feeder.bad, self._feeder.rows)

    def run(self, first: int, last: int, feed: Feed, good: NDArray[np.intp] | None) -> None:
        """Answer rows [first, last) of the block, or those of them that the model had.

        Args:
            first: of the batch.
            last: its end.
            feed: what the model was fed.
            good: places in the batch of the rows that the model had; None: all.
        """
        rows = np.arange(first, last) if good is None else first + good
        if self._baseline.takes_the_models_feed:
            self._parts.append((self._answers(self._by_rows(feed), rows.size), None))
        elif self._feeder is not None:
            self._parts.append(self._fed(self._feeder, rows))
        else:
            assert self._table is not None
            table = self._table.slice(first, last - first)
            self._parts.append(self._told(table if good is None else table.take(pa.array(good))))

    def seen(self) -> Beheld:
        """What it said since the last time."""
        parts, latencies = self._parts, self._latencies
        self._parts, self._latencies = [], []
        raw = np.concatenate([raw for raw, _ in parts]) if parts else self._nothing(0)
        if all(why is None for _, why in parts):
            return Beheld(raw, None, self._reasons, latencies)
        why = [np.zeros(len(raw), np.uint8) if why is None else why for raw, why in parts]
        return Beheld(raw, np.concatenate(why), self._reasons, latencies)

    def _by_rows(self, feed: Feed) -> Feed:
        """The model's feed, row by row where this one does not take columns."""
        return {n: np.ascontiguousarray(a.T) if n in self._turned else a for n, a in feed.items()}

    def _fed(self, feeder: Feeder, rows: NDArray[np.intp]) -> _Part:
        """From a feed of its own."""
        why = None if self._why is None or not self._why[rows].any() else self._why[rows]
        asked = rows if why is None else rows[why == 0]
        if not asked.size:
            return self._nothing(rows.size), why
        start, stop = int(asked[0]), int(asked[-1]) + 1
        if stop - start > asked.size:
            feeder, start, stop = feeder.select(asked), 0, asked.size
        feed, good = feeder.batch(start, stop, self._buffers)
        if good is not None:
            why = np.zeros(rows.size, np.uint8) if why is None else why.copy()
            why[np.delete(np.flatnonzero(why == 0), good)] = self._code(TRANSFORM_ERROR)
            if not good.size:
                return self._nothing(rows.size), why
        return self._spread(self._answers(feed, asked.size if good is None else good.size), why, rows.size), why

    def _told(self, table: pa.Table) -> _Part:
        """From columns: what a function makes of them, or the predictions that they hold."""
        rows = table.num_rows
        if (stored := self._baseline.stored) is not None:
            places, bad = stored.take(table.column(stored.column))
            why = self._codes(bad, rows)
            return (places if why is None else np.where(why == 0, places, _NONE)), why
        assert self._baseline.function is not None
        batch = pa.RecordBatch.from_struct_array(one_chunk(pa.chunked_array(table.to_struct_array())))
        with Span({}, "") as span:
            made, good = self._baseline.function(batch)
        self._latencies.append(span.elapsed)
        if good is None:
            return self._baseline.in_order(made[self._baseline.decision.output.name]), None
        why = np.full(rows, self._code(TRANSFORM_ERROR), np.uint8)
        why[good] = 0
        if not good.size:
            return self._nothing(rows), why
        return self._spread(self._baseline.in_order(made[self._baseline.decision.output.name]), why, rows), why

    def _answers(self, feed: Feed, rows: int) -> NDArray[Any]:
        """Its output for a feed of some rows, in runs of as many as it takes."""
        assert self._model is not None
        output, step = self._baseline.decision.output, self._model.fixed_batch or rows
        parts = []
        for start in range(0, rows, step):
            part = feed if step >= rows else {name: array[start : start + step] for name, array in feed.items()}
            with Span({}, "") as span:
                parts.append(self._model.run([output.name], part)[0])
            self._latencies.append(span.elapsed)
        if (found := sum(map(len, parts))) != rows:
            raise ModelError(
                f"baseline {self._baseline.name}: {found} rows of `{output.name}` for {rows} rows; expected as many"
            )
        return self._baseline.in_order(parts[0] if len(parts) == 1 else np.concatenate(parts))

    def _nothing(self, rows: int) -> NDArray[Any]:
        output = self._baseline.decision.output
        if output.kind == "label":
            return np.full(rows, _NONE, np.int64)
        return np.full((rows, output.columns or 1), np.nan)

    def _spread(self, raw: NDArray[Any], why: NDArray[np.uint8] | None, rows: int) -> NDArray[Any]:
        """Answers at the rows that it was asked about, among all."""
        if why is None:
            return raw
        spread = self._nothing(rows)
        spread[why == 0] = raw
        return spread

    def _codes(self, bad: Mapping[str, NDArray[np.bool_]], rows: int) -> NDArray[np.uint8] | None:
        """The first reason against each row; None where there is none against any."""
        if not any(mask.any() for mask in bad.values()):
            return None
        why = np.zeros(rows, np.uint8)
        for reason, mask in bad.items():
            why[mask & (why == 0)] = self._code(reason)
        return why

    def _code(self, reason: str) -> int:
        if reason not in self._reasons:
            self._reasons.append(reason)
        return 1 + self._reasons.index(reason)
