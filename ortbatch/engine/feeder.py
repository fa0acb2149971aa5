"""Batches for the model: columns as they are bound, and what the job's transform makes of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ortbatch.data.binding import InputBinding, TensorSpec
from ortbatch.data.features import Features, Feed
from ortbatch.data.transform import Transform
from ortbatch.errors import DataError
from ortbatch.model.stored import PLACE, StoredScores


@dataclass(frozen=True)
class Join:
    """Rows are fed to stored scores by id.

    Args:
        column: of the ids.
        scores: where ids are looked up; None on the way to a worker, which has its own.
    """

    column: str
    scores: StoredScores | None = None


@dataclass(frozen=True)
class Inputs:
    """How all inputs of the model are fed.

    Args:
        bound: inputs that columns feed.
        transform: what feeds the others; None if there are none.
        made: the inputs that it feeds.
        join: in place of all these, where scores are stored.
    """

    bound: tuple[InputBinding, ...]
    transform: Transform | None = None
    made: tuple[TensorSpec, ...] = ()
    join: Join | None = None

    @property
    def by_columns(self) -> tuple[str, ...]:
        """Inputs that the model takes column by column."""
        return tuple(binding.name for binding in self.bound if binding.by_columns)

    def fed_by_columns(self, names: Sequence[str]) -> Inputs:
        """The same, with exactly these inputs fed column by column."""
        return replace(self, bound=tuple(replace(b, by_columns=b.name in names) for b in self.bound))

    @property
    def columns(self) -> list[str]:
        """Columns that are read, each once."""
        bound = [name for binding in self.bound for name in binding.columns]
        joined = [self.join.column] if self.join else []
        return list(dict.fromkeys([*bound, *(self.transform.columns if self.transform else ()), *joined]))


class Feeder:
    """Inputs of N rows of a table; `bad` holds the rows that no batch may contain, by reason."""

    def __init__(self, inputs: Inputs, table: pa.Table) -> None:
        self._inputs = inputs
        self._features = Features(inputs.bound, table)
        self._table = table.select(inputs.transform.columns) if inputs.transform else None
        self.rows = table.num_rows
        self.bad = self._features.bad
        self._places: NDArray[np.int64] | None = None
        if inputs.join is not None:
            assert inputs.join.scores is not None
            self._places, self.bad = inputs.join.scores.find(table.column(inputs.join.column))

    def keep(self, rows: NDArray[np.intp]) -> None:
        """Keep only these rows, in this order."""
        self._features.keep(rows)
        self._table = self._table.take(pa.array(rows)) if self._table is not None else None
        self._places = self._places[rows] if self._places is not None else None
        self.rows = rows.size

    def select(self, rows: NDArray[np.intp]) -> Feeder:
        """Some rows, in this order, apart from these."""
        other = copy.copy(self)
        other._features = self._features.select(rows)
        other._table = self._table.take(pa.array(rows)) if self._table is not None else None
        other._places = self._places[rows] if self._places is not None else None
        other.rows = rows.size
        return other

    def batch(self, start: int, stop: int, buffers: Mapping[str, NDArray[Any]]) -> tuple[Feed, NDArray[np.intp] | None]:
        """Inputs of rows [start, stop), and which of them the transform could do; None for all.

        Raises:
            DataError: if the transform returns what is not asked for.
        """
        if self._places is not None:
            return {PLACE: self._places[start:stop]}, None
        feed = self._features.batch(start, stop, buffers)
        transform = self._inputs.transform
        if self._table is None or transform is None:
            return feed, None
        made, good = transform(_one_batch(self._table.slice(start, stop - start)))
        if good is not None:
            feed = {name: array[good] for name, array in feed.items()}
            if not good.size:
                return feed, good
        return feed | _fitted(transform.function, made, self._inputs.made), good


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches: list[pa.RecordBatch] = table.combine_chunks().to_batches()
    return batches[0] if len(batches) == 1 else pa.RecordBatch.from_pydict(table.to_pydict(), table.schema)


def _fitted(function: str, made: dict[str, NDArray[Any]], specs: Sequence[TensorSpec]) -> Feed:
    """What a transform made, held against the model's inputs; float64 is rounded to the model's float."""
    if list(made) == [""] and len(specs) == 1:
        made = {specs[0].name: made[""]}
    wanted = {spec.name: spec for spec in specs}
    if set(made) != set(wanted):
        raise DataError(
            f"model.transform {function} returned {', '.join(sorted(made)) or 'nothing'}; the model's inputs that no "
            f"column feeds are {', '.join(sorted(wanted))}. Make it return these."
        )
    return {name: _as(function, array, wanted[name]) for name, array in made.items()}


def _as(function: str, array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    shape_fits = len(array.shape) == len(spec.shape) and all(
        dim is None or dim == got for dim, got in zip(spec.shape[1:], array.shape[1:], strict=False)
    )
    if spec.dtype == "string":
        same_kind = array.dtype.kind in "OU"
        target: Any = np.object_
    else:
        target = np.dtype(spec.dtype)
        same_kind = np.can_cast(array.dtype, target, "same_kind")
    if not shape_fits or not same_kind:
        raise DataError(
            f"model.transform {function} returned {array.dtype}{list(array.shape)} for input `{spec}` of the model; "
            f"expected {spec.dtype} and that shape."
        )
    return array.astype(target, copy=False)
