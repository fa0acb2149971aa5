"""The row groups of a shard, one after another: the unit of fetching and of decoding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ortbatch.data.shards import Piece, PlannedFile, Shard


@dataclass(frozen=True, eq=False)
class Step:
    """A row group that is read.

    Args:
        shard: id of the shard that it is of.
        file: that it is of.
        piece: of the shard.
        group: its place in the file.
        first_row: its first row.
        begins: is it the first of its piece that is read?
    """

    shard: int
    file: PlannedFile
    piece: Piece
    group: int
    first_row: int
    begins: bool

    @property
    def key(self) -> tuple[int, str, int]:
        """By which it is told from all others of a plan: no shard holds a row group twice."""
        return self.shard, self.file.uri, self.group


def steps_of(shard: Shard) -> Iterator[Step]:
    """Row groups of which a row is looked at, in order."""
    for piece in shard.pieces:
        file, first_row, begins = shard.files[piece.file], piece.first_row, True
        for group in range(piece.first_group, piece.end_group):
            if _holds_picked(piece, first_row, file.group_rows[group]):
                yield Step(shard.id, file, piece, group, first_row, begins)
                begins = False
            first_row += file.group_rows[group]


def _holds_picked(piece: Piece, first_row: int, rows: int) -> bool:
    """Is a row of this row group looked at?"""
    if piece.picked is None:
        return True
    first, last = np.searchsorted(np.frombuffer(piece.picked, np.int64), [first_row, first_row + rows])
    return bool(last > first)
