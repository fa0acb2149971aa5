"""Lists of unlike lengths, kept as they lie, and made rectangular batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ortbatch.data.columns import NULL_FEATURE, TOO_LONG, Cast, one_chunk, take_scalars, to_numpy


@dataclass(frozen=True)
class Padding:
    """How lists become equally long.

    Args:
        value: what fills them up.
        length: of every row; None: of the longest in the batch, at least 1.
        limit: longest list that is taken whole; None for any.
        truncate: is a longer one cut to `limit`, rather than its row rejected?
    """

    value: float
    length: int | None = None
    limit: int | None = None
    truncate: bool = False


@dataclass(frozen=True)
class Ragged:
    """N lists in one array.

    Args:
        values: dtype[total].
        starts: int64[N], where each list begins in `values`.
        lengths: int64[N], at most the limit.
        padding: how they are made equally long.
    """

    values: NDArray[Any]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    padding: Padding

    def __getitem__(self, rows: NDArray[np.intp]) -> Ragged:
        return Ragged(self.values, self.starts[rows], self.lengths[rows], self.padding)

    def present(self, start: int, stop: int) -> NDArray[np.bool_]:
        """bool[stop - start, L]: where rows [start, stop) have a value of their own."""
        lengths = self.lengths[start:stop]
        width = self.padding.length or max(1, int(lengths.max(initial=0)))
        return np.asarray(np.arange(width) < lengths[:, None])

    def padded(self, start: int, stop: int) -> NDArray[Any]:
        """dtype[stop - start, L]: rows [start, stop), filled up at their ends."""
        present = self.present(start, stop)
        out = np.full(present.shape, self.padding.value, self.values.dtype)
        places = self.starts[start:stop, None] + np.arange(present.shape[1])
        out[present] = self.values[places[present]]
        return out


def take_ragged(column: pa.ChunkedArray, padding: Padding, cast: Cast) -> tuple[Ragged, dict[str, NDArray[np.bool_]]]:
    """A list column of numbers, and its bad rows by reason; what is cut off cannot make a row bad."""
    array = one_chunk(column)
    lengths = to_numpy(pc.fill_null(pc.list_value_length(array), 0)).astype(np.int64)
    # flatten() leaves out what lies below a null list, so the lengths above add up to its length.
    taken = take_scalars(pa.chunked_array([array.flatten()]), cast)
    starts = np.cumsum(lengths) - lengths
    limit = padding.limit
    kept = lengths if limit is None else np.minimum(lengths, limit)
    bad: dict[str, NDArray[np.bool_]] = {}
    for reason, flags in taken.bad.items():
        places = np.flatnonzero(flags)
        row = np.searchsorted(starts + lengths, places, side="right")
        bad[reason] = np.zeros(len(array), np.bool_)
        bad[reason][row[places - starts[row] < kept[row]]] = True
    if array.null_count:
        null = to_numpy(array.is_null())
        bad[NULL_FEATURE] = bad[NULL_FEATURE] | null if NULL_FEATURE in bad else null
    if limit is not None and not padding.truncate and (long := lengths > limit).any():
        bad[TOO_LONG] = long
    return Ragged(taken.values, starts, kept, padding), bad
