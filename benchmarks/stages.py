"""Ways from Parquet files to the input of a model, with nothing around them: what a limit is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.contract import Task
from benchmarks.scoring import Array
from ortbatch.model.columns import by_columns, inputs_for_columns


class Stages(Protocol):
    """One way from files to the input of a model; used by one process."""

    def __init__(self, task: Task, batch: int) -> None:
        """Args: task: what is read. batch: most rows of one `feed`."""

    def decode(self, path: str, group: int) -> Any:
        """The columns of a row group, in the form that `feed` takes."""

    def feed(self, columns: Any, start: int, stop: int) -> Array:
        """The model's input for rows [start, stop); it may be overwritten by the next call."""

    def model(self) -> str | bytes:
        """Path or bytes of the model that takes what `feed` gives."""


class Naive:
    """pyarrow on one thread, then one copy a column into a reused row-major buffer; lists are used as they lie."""

    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, task: Task, batch: int) -> None:
        self._task = task
        self._buffer = np.empty((batch, len(task.columns)), task.dtype)
        self._open: tuple[str, pq.ParquetFile] | None = None

    def decode(self, path: str, group: int) -> list[Array]:
        """One array a column, or one [N, width] array."""
        if self._open is None or self._open[0] != path:
            self._open = path, pq.ParquetFile(path, **self.options)
        table = self._open[1].read_row_group(group, columns=[*self._task.columns, "label"], use_threads=False)
        return [_numpy(table[name]) for name in self._task.columns]

    def feed(self, columns: Sequence[Array], start: int, stop: int) -> Array:
        """[N, *row_shape]."""
        if self._task.listed:
            return columns[0][start:stop].reshape(stop - start, *self._task.row_shape)
        packed = self._buffer[: stop - start]
        for place, column in enumerate(columns):
            packed[:, place] = column[start:stop]
        return packed

    def model(self) -> str | bytes:
        """The workload's own."""
        return self._task.model


class Own(Naive):
    """What a worker of ortbatch uses: read by the decoding thread itself, checksums verified, fed by columns."""

    options: ClassVar[Mapping[str, Any]] = {"pre_buffer": False, "page_checksum_verification": True}

    def __init__(self, task: Task, batch: int) -> None:
        super().__init__(task, batch)
        content = Path(task.model).read_bytes()
        inputs = () if task.listed else inputs_for_columns(content)
        self._model: str | bytes = by_columns(content, inputs) if inputs else task.model
        self._flat = np.empty(batch * len(task.columns), task.dtype) if inputs else None

    def feed(self, columns: Sequence[Array], start: int, stop: int) -> Array:
        """[F, N] where the model takes that, else [N, *row_shape]."""
        if self._flat is None:
            return super().feed(columns, start, stop)
        packed = self._flat[: (stop - start) * len(columns)]
        np.concatenate([column[start:stop] for column in columns], out=packed)
        return packed.reshape(len(columns), stop - start)

    def model(self) -> str | bytes:
        """The workload's own, or the one by columns."""
        return self._model


def _numpy(column: pa.ChunkedArray) -> Array:
    """[N], or [N, width] of a list column."""
    joined = column.combine_chunks()
    if not pa.types.is_fixed_size_list(joined.type):
        return np.asarray(joined)
    return np.asarray(joined.flatten()).reshape(len(joined), joined.type.list_size)
