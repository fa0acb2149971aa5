"""The model's inputs for a block of rows: decoded once, handed out in batches through reused buffers."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ortbatch.data.binding import InputBinding
from ortbatch.data.columns import BAD_FEATURES, take_scalars
from ortbatch.data.lists import take_lists
from ortbatch.data.ragged import Ragged, take_ragged

Feed = dict[str, NDArray[Any]]


class Features:
    """Inputs of N rows.

    `bad` maps a reason to bool[N]: rows that no batch may contain, reasons in the order of `BAD_FEATURES`, so that the
    first reason against a row does not depend on other rows. `keep` then narrows the block to the good rows.
    """

    def __init__(self, bindings: Sequence[InputBinding], table: pa.Table) -> None:
        self.rows = table.num_rows
        self.bad: dict[str, NDArray[np.bool_]] = {}
        self._inputs = [(b, self._take(b, table)) for b in bindings if b.columns and b.padding is None]
        self._ragged = {b.name: self._pad(b, table) for b in bindings if b.padding is not None}
        self._made = [binding for binding in bindings if not binding.columns]
        self.bad = {reason: self.bad[reason] for reason in BAD_FEATURES if reason in self.bad}

    def _take(self, binding: InputBinding, table: pa.Table) -> list[NDArray[Any]]:
        """One [N, width] array of a list column, or one [N] array a column."""
        arrays = []
        for name in binding.columns:
            column = table.column(name)
            taken = (
                take_lists(column, binding.row_shape, binding.cast)
                if binding.is_list
                else take_scalars(column, binding.cast)
            )
            arrays.append(taken.values)
            self._mark(taken.bad)
        return arrays

    def _pad(self, binding: InputBinding, table: pa.Table) -> Ragged:
        assert binding.padding is not None
        ragged, bad = take_ragged(table.column(binding.columns[0]), binding.padding, binding.cast)
        self._mark(bad)
        return ragged

    def _mark(self, bad: Mapping[str, NDArray[np.bool_]]) -> None:
        for reason, mask in bad.items():
            self.bad[reason] = self.bad[reason] | mask if reason in self.bad else mask

    def select(self, rows: NDArray[np.intp]) -> Features:
        """Some rows, in this order, apart from these."""
        other = copy.copy(self)
        other.keep(rows)
        return other

    def keep(self, rows: NDArray[np.intp]) -> None:
        """Keep only these rows, in this order."""
        self._inputs = [(binding, [array[rows] for array in arrays]) for binding, arrays in self._inputs]
        self._ragged = {name: ragged[rows] for name, ragged in self._ragged.items()}
        self.rows = rows.size

    def batch(self, start: int, stop: int, buffers: Mapping[str, NDArray[Any]]) -> Feed:
        """Inputs of rows [start, stop), each of its dtype and shape [stop - start, *row_shape], or its transpose.

        An input padded to the longest list has that of these rows as its length, and so have those made beside it.

        Args:
            start: first row.
            stop: end of the rows.
            buffers: input name → values of at least stop - start rows, from `new_buffers`; overwritten.
        """
        feed = {name: ragged.padded(start, stop) for name, ragged in self._ragged.items()}
        for binding in self._made:
            feed[binding.name] = self._make(binding, start, stop)
        for binding, arrays in self._inputs:
            if binding.is_list:
                feed[binding.name] = arrays[0][start:stop].reshape(stop - start, *binding.row_shape)
                continue
            buffer = buffers[binding.name][: (stop - start) * len(arrays)]
            if binding.by_columns:
                np.concatenate([array[start:stop] for array in arrays], out=buffer)
                feed[binding.name] = buffer.reshape(len(arrays), stop - start)
                continue
            packed = buffer.reshape(stop - start, len(arrays))
            for place, array in enumerate(arrays):
                packed[:, place] = array[start:stop]
            feed[binding.name] = packed.reshape(stop - start, *binding.row_shape)
        return feed

    def _make(self, binding: InputBinding, start: int, stop: int) -> NDArray[Any]:
        """A mask of the input that it is like, or one value throughout."""
        if binding.like is None:
            return np.full((stop - start, *binding.row_shape), binding.fill, binding.cast.element)
        present = self._ragged[binding.like].present(start, stop)
        if binding.fill is None:
            return present.astype(binding.cast.element)
        return np.full(present.shape, binding.fill, binding.cast.element)


def new_buffers(bindings: Sequence[InputBinding], batch_size: int) -> dict[str, NDArray[Any]]:
    """Buffers for `Features.batch`, one a stream."""
    return {
        binding.name: np.empty(batch_size * len(binding.columns), binding.cast.element)
        for binding in bindings
        if binding.columns and not binding.is_list and binding.padding is None
    }
