"""Scores by id, in files that are mapped into memory: written once, read by every worker of a machine.

    scores.npy   [rows, K] as the model put them out, in the order in which they were read
    own.npy      int32[rows], the model's own labels by place; only where it has some
    keys.npy     uint64[ids], rising: the key of each id
    rows.npy     int64[ids]: where its scores are
    states.npy   uint8[ids]: USABLE, DUPLICATE or WITHOUT_SCORES
    ends.npy, texts.bin   texts of the ids by row, as a key may stand for several; only where ids are text

Writing takes some 35 bytes of memory an id, whatever scores and texts take; looking up takes none but the pages that
are looked at. Which ids are asked for is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ortbatch.data.columns import to_numpy
from ortbatch.model.ids import TEXT, Hash, Ids, Keys, keys_of_texts, take_ids

USABLE, DUPLICATE, WITHOUT_SCORES = range(3)
SCORES, OWN, KEYS, ROWS, STATES = "scores.npy", "own.npy", "keys.npy", "rows.npy", "states.npy"
ENDS, TEXTS = "ends.npy", "texts.bin"


@dataclass(frozen=True)
class Layout:
    """What the scores are.

    Args:
        ids: `integer` or `text`.
        rows: of scores.
        columns: scores of a row.
        dtype: NumPy's name of their type.
        own: are there own labels of the model?
    """

    ids: str
    rows: int
    columns: int
    dtype: str
    own: bool


@dataclass(frozen=True)
class Scores:
    """Of N rows: [N, K], own labels int64[N] by place, and bool[N], which of them have any."""

    values: NDArray[Any]
    own: NDArray[np.int64] | None
    there: NDArray[np.bool_]


class IndexWriter:
    """Takes rows in turn, then sorts their ids.

    Args:
        folder: that is there; for these files alone.
        layout: of the scores.
        again: ids that stand twice where they will be asked for, each once.
        hashed: makes keys of texts.
    """

    def __init__(self, folder: Path, layout: Layout, again: pa.ChunkedArray, hashed: Hash = keys_of_texts) -> None:
        self._folder, self._layout, self._again, self._hashed = folder, layout, again, hashed
        shape, ids = (layout.rows, layout.columns), layout.rows + len(again)
        self._scores = np.lib.format.open_memmap(folder / SCORES, "w+", layout.dtype, shape)
        self._own = np.lib.format.open_memmap(folder / OWN, "w+", np.int32, (layout.rows,)) if layout.own else None
        self._there = np.zeros(ids, np.bool_)
        self._keys, self._null = np.empty(ids, np.uint64), np.zeros(ids, np.bool_)
        self._texts = _TextsWriter(folder, ids) if layout.ids == TEXT else None
        self._at = 0

    def add(self, column: pa.ChunkedArray, scores: Scores) -> None:
        """The next rows: their ids and scores."""
        rows = slice(self._at, self._at + len(column))
        self._scores[rows], self._there[rows] = scores.values, scores.there
        if self._own is not None and scores.own is not None:
            self._own[rows] = scores.own
        self._note(column)

    def finish(self) -> int:
        """Sort the ids. How many of them stand twice, here or where they will be asked for?"""
        self._note(self._again)
        if self._texts is not None:
            self._texts.finish()
        order = np.argsort(self._keys, kind="stable")
        if self._null.any():
            order = order[~self._null[order]]
        keys, same = self._told_apart(order)
        rows, several = order, np.zeros(order.size, np.bool_)
        if same.any():
            starts = np.flatnonzero(~same)
            several = np.diff(starts, append=order.size) > 1
            keys, rows = keys[starts], order[starts]
        # Where an id stands here and twice there, its row here comes first: the sort is stable.
        states = np.full(rows.size, USABLE, np.uint8)
        states[~self._there[rows]] = WITHOUT_SCORES
        states[several] = DUPLICATE
        states[rows >= self._layout.rows] = DUPLICATE
        for name, values in ((KEYS, keys), (ROWS, rows), (STATES, states)):
            np.save(self._folder / name, values)
        for mapped in (self._scores, self._own):
            if mapped is not None:
                mapped.flush()
        return int(np.count_nonzero(states == DUPLICATE))

    def close(self) -> None:
        """Leave no file open, also where something failed."""
        if self._texts is not None:
            self._texts.close()

    def _note(self, column: pa.ChunkedArray) -> None:
        ids, rows = take_ids(column, self._hashed), slice(self._at, self._at + len(column))
        self._keys[rows], self._null[rows] = ids.keys, ids.null
        if self._texts is not None:
            assert ids.texts is not None
            self._texts.add(ids.texts)
        self._at = rows.stop

    def _told_apart(self, order: NDArray[np.int64]) -> tuple[Keys, NDArray[np.bool_]]:
        """Keys in order, and which ids are that of the place before; equal keys of unlike texts are put in order."""
        keys = self._keys[order]
        same = np.zeros(order.size, np.bool_)
        same[1:] = keys[1:] == keys[:-1]
        if self._texts is None or not same.any():
            return keys, same
        texts = read_texts(self._folder)
        pairs = np.flatnonzero(same)
        alike = to_numpy(pc.equal(texts.take(pa.array(order[pairs])), texts.take(pa.array(order[pairs - 1]))))
        for start, stop in _runs(same, pairs[~alike]):
            group = order[start:stop]
            values = texts.take(pa.array(group)).to_pylist()
            sort = sorted(range(group.size), key=values.__getitem__)
            order[start:stop] = group[sort]
            same[start + 1 : stop] = [values[a] == values[b] for a, b in zip(sort[1:], sort, strict=False)]
        return keys, same


def _runs(same: NDArray[np.bool_], places: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The runs of equal keys in which some places are, each once."""
    firsts = np.flatnonzero(~same)
    starts = np.unique(np.searchsorted(firsts, places, "right")) - 1
    ends = np.append(firsts, same.size)[starts + 1]
    return list(zip(firsts[starts].tolist(), ends.tolist(), strict=True))


class _TextsWriter:
    """Texts one after the other, in a file, and their ends in another."""

    def __init__(self, folder: Path, count: int) -> None:
        self._file = (folder / TEXTS).open("wb")
        self._ends = np.lib.format.open_memmap(folder / ENDS, "w+", np.int64, (count + 1,))
        self._at = 0

    def add(self, texts: pa.Array) -> None:
        """The next texts."""
        if not len(texts):
            return
        _, offsets, data = texts.buffers()
        ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
        if data is not None:
            self._file.write(memoryview(data)[int(ends[0]) : int(ends[-1])])
        stop = self._at + len(texts)
        self._ends[self._at + 1 : stop + 1] = ends[1:] - ends[0] + self._ends[self._at]
        self._at = stop

    def finish(self) -> None:
        """All were added."""
        # A file of nothing cannot be mapped.
        self._file.write(b"\0")
        self._file.flush()
        self._ends.flush()

    def close(self) -> None:
        """Leave no file open."""
        self._file.close()


def read_texts(folder: Path) -> pa.Array:
    """Texts of all rows, as bytes, where they lie."""
    ends = np.load(folder / ENDS, mmap_mode="r")
    data = np.memmap(folder / TEXTS, np.uint8, "r")
    return pa.Array.from_buffers(pa.large_binary(), ends.size - 1, [None, pa.py_buffer(ends), pa.py_buffer(data)])


class ScoreIndex:
    """The files, mapped into memory.

    Args:
        folder: where they are.
        hashed: what made keys of texts.
    """

    def __init__(self, folder: Path, hashed: Hash = keys_of_texts) -> None:
        self._hashed = hashed
        self.scores = np.load(folder / SCORES, mmap_mode="r")
        self.own = np.load(folder / OWN, mmap_mode="r") if (folder / OWN).exists() else None
        self._keys = np.load(folder / KEYS, mmap_mode="r")
        self._rows = np.load(folder / ROWS, mmap_mode="r")
        self._states = np.load(folder / STATES, mmap_mode="r")
        self._texts = read_texts(folder) if (folder / ENDS).exists() else None

    @property
    def usable(self) -> int:
        """Ids that stand once and have scores."""
        return int(np.count_nonzero(self._states == USABLE))

    def find(self, column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.bool_]]:
        """Look ids up: int64[N] rows of scores, uint8[N] their states (WITHOUT_SCORES if unknown), bool[N] nulls."""
        ids = take_ids(column, self._hashed)
        rows, states = np.zeros(ids.keys.size, np.int64), np.full(ids.keys.size, WITHOUT_SCORES, np.uint8)
        asked = np.flatnonzero(~ids.null)
        places = np.searchsorted(self._keys, ids.keys[asked])
        while asked.size:
            there = places < self._keys.size
            there[there] = self._keys[places[there]] == ids.keys[asked[there]]
            asked, places = asked[there], places[there]
            found = self._are(places, ids, asked)
            rows[asked[found]] = self._rows[places[found]]
            states[asked[found]] = self._states[places[found]]
            # Another text may have the same key.
            asked, places = asked[~found], places[~found] + 1
        return rows, states, ids.null

    def _are(self, places: NDArray[np.int64], ids: Ids, asked: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Is the id at a place the one that is asked for? Their keys are the same."""
        if self._texts is None or ids.texts is None or not asked.size:
            return np.ones(asked.size, np.bool_)
        here = self._texts.take(pa.array(self._rows[places]))
        return np.asarray(to_numpy(pc.equal(here, ids.texts.take(pa.array(asked)))))
