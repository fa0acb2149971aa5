"""Shards as columns: a million of them take the bytes of a few arrays; a `Shard` is made when it is asked for."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ortbatch.data.partitions import FolderColumn

_AT_ONCE = 4_096


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One data file as its footer describes it.

    Args:
        uri: where it is.
        name: its path below the folder that all files share; with size and footer it is the file's identity.
        size: bytes.
        footer_sha256: hex digest of the footer.
        group_rows: rows of each row group.
        group_bytes: uncompressed bytes of each row group.
        folders: columns that stand in the names of its folders.
    """

    uri: str
    name: str
    size: int
    footer_sha256: str
    group_rows: tuple[int, ...]
    group_bytes: tuple[int, ...]
    folders: tuple[FolderColumn, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return sum(self.group_rows)


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of row groups [first_group, end_group) of one file, whose first row is row `first_row` of that file.

    `picked` holds, as int64 bytes, the row numbers within the file that a sample picked, rising; None for all. `rows`
    are the rows that are looked at.
    """

    file: int
    first_group: int
    end_group: int
    first_row: int
    rows: int
    picked: bytes | None = None


@dataclass(frozen=True, slots=True)
class Shard:
    """The unit of work, of retry and of counting: a run of row groups of one file, or several small files.

    Args:
        id: its number in the plan.
        pieces: what it reads.
        files: index in the plan → file, of its pieces; a worker knows no others.
    """

    id: int
    pieces: tuple[Piece, ...]
    files: Mapping[int, PlannedFile] = field(default_factory=dict, compare=False, repr=False)

    @property
    def rows(self) -> int:
        """Rows of all pieces."""
        return sum(piece.rows for piece in self.pieces)


@dataclass(frozen=True, eq=False)
class Shards(Sequence[Shard]):
    """S shards of P pieces; shard i has id i.

    Args:
        files: the plan's files.
        starts: int64[S + 1]; pieces [starts[i], starts[i + 1]) are those of shard i.
        file, first_group, end_group: int32[P], as in `Piece`.
        first_row, rows: int64[P], as in `Piece`.
        picked: int64[R], picked rows of all pieces, one piece after the other; None where all rows are looked at.
        picked_up_to: int64[P + 1]; [picked_up_to[p], picked_up_to[p + 1]) are those of piece p, none if it is whole.
    """

    files: Sequence[PlannedFile]
    starts: NDArray[np.int64]
    file: NDArray[np.int32]
    first_group: NDArray[np.int32]
    end_group: NDArray[np.int32]
    first_row: NDArray[np.int64]
    rows: NDArray[np.int64]
    picked: NDArray[np.int64] | None = None
    picked_up_to: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, files: Sequence[PlannedFile], groups: Iterable[Iterable[Piece]]) -> Shards:
        """Columns of some pieces, grouped by shard."""
        starts, columns = array("q", [0]), [array(code) for code in "iiiqq"]
        picked, picked_up_to = array("q"), array("q", [0])
        for group in groups:
            for piece in group:
                values = (piece.file, piece.first_group, piece.end_group, piece.first_row, piece.rows)
                for column, value in zip(columns, values, strict=True):
                    column.append(value)
                picked.frombytes(piece.picked or b"")
                picked_up_to.append(len(picked))
            starts.append(len(columns[0]))
        arrays: list[NDArray[Any]] = [np.array(column) for column in columns]
        file, first_group, end_group, first_row, rows = arrays
        shards = cls(files, np.array(starts), file, first_group, end_group, first_row, rows)
        return replace(shards, picked=np.array(picked), picked_up_to=np.array(picked_up_to)) if picked else shards

    def of_files(self, files: Sequence[PlannedFile]) -> Shards:
        """The same shards, of files that are somewhere else."""
        return self if files is self.files else replace(self, files=files)

    def of_rows(self, picked: NDArray[np.int64]) -> Shards:
        """The same shards for some of their rows; shards without any are left out.

        Args:
            picked: int64[R], rising numbers of rows as they follow each other in the shards; all of these are whole.
        """
        up_to = picked.searchsorted(np.concatenate([[0], np.cumsum(self.rows)]))
        counts = np.diff(up_to)
        # From numbers among all rows to numbers within each file.
        shift = self.first_row - (np.cumsum(self.rows) - self.rows)
        kept = np.flatnonzero(counts)
        shard = np.repeat(np.arange(len(self)), np.diff(self.starts))[kept]
        firsts = np.flatnonzero(np.diff(shard, prepend=-1))
        rows, up_to = counts[kept], np.append(0, np.cumsum(counts[kept]))
        return Shards(
            self.files, np.append(firsts, kept.size), self.file[kept], self.first_group[kept], self.end_group[kept],
            self.first_row[kept], rows, picked + np.repeat(shift, counts), up_to,
        )  # fmt: skip

    @cached_property
    def rows_of_shards(self) -> NDArray[np.int64]:
        """int64[S], rows of each shard."""
        up_to = np.concatenate([[0], np.cumsum(self.rows)])[self.starts]
        return np.diff(up_to)

    def __len__(self) -> int:
        return self.starts.size - 1

    @overload
    def __getitem__(self, index: int) -> Shard: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Shard]: ...
    def __getitem__(self, index: int | slice) -> Shard | Sequence[Shard]:
        places = range(len(self))[index]
        return self._shard(places) if isinstance(places, int) else _Some(self, places)

    def __iter__(self) -> Iterator[Shard]:
        return (self._shard(place) for place in range(len(self)))

    def _shard(self, place: int) -> Shard:
        start, stop = self.starts[place : place + 2].tolist()
        pieces = tuple(self._pieces(start, stop))
        return Shard(place, pieces, {piece.file: self.files[piece.file] for piece in pieces})

    def _pieces(self, start: int, stop: int) -> Iterator[Piece]:
        part = slice(start, stop)
        columns: list[NDArray[Any]] = [self.file, self.first_group, self.end_group, self.first_row, self.rows]
        picked: list[bytes | None] = [None] * (stop - start)
        if self.picked is not None and self.picked_up_to is not None:
            cuts = self.picked_up_to[start : stop + 1].tolist()
            picked = [self.picked[a:b].tobytes() or None for a, b in pairwise(cuts)]
        return map(Piece, *(column[part].tolist() for column in columns), picked)

    def pieces_of_shards(self) -> Iterator[list[Piece]]:
        """Pieces of each shard, some thousands of shards at a time; knows no files."""
        for first in range(0, len(self), _AT_ONCE):
            starts = self.starts[first : first + _AT_ONCE + 1].tolist()
            pieces = list(self._pieces(starts[0], starts[-1]))
            yield from (pieces[a - starts[0] : b - starts[0]] for a, b in pairwise(starts))


@dataclass(frozen=True, eq=False)
class _Some(Sequence[Shard]):
    """Some shards of many, made when they are asked for."""

    all: Shards
    places: range

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Shard: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Shard]: ...
    def __getitem__(self, index: int | slice) -> Shard | Sequence[Shard]:
        places = self.places[index]
        return self.all[places] if isinstance(places, int) else _Some(self.all, places)
