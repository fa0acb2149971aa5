"""Which slices there are: the values of the columns that cut the rows, found before work starts.

All planned rows are looked at (of a sample, its rows), whatever the job's filter says of them; only these columns are
read, one row group a thread at a time. Where statistics in a footer, or the names of folders, prove what a row group
holds, it is not read. The most frequent values get a slice each, and so the choice is a function of the plan alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event, Lock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ortbatch.data.columns import decoded, one_chunk, to_numpy
from ortbatch.data.footer import Footer
from ortbatch.data.plan import Piece, Plan, PlannedFile, Shard
from ortbatch.data.reader import Block, Reader
from ortbatch.data.slices import NULL, bin_codes, bin_names, comparable, edge_text, slice_family, texts_of
from ortbatch.data.storage import is_remote
from ortbatch.errors import DataError
from ortbatch.job import SliceSpec
from ortbatch.metrics.slices import Cut

VALUES_KEPT = 100
VALUES_AT_MOST = 100_000
_REMOTE_THREADS = 16
_LOCAL_THREADS = 8
_TABLE_SIZE = 1 << 20
_PROVEN = ("text", "true and false", "whole numbers", "dates")

Texts = tuple[str, ...]
Found = Counter[Texts]


def survey(plan: Plan, specs: Sequence[SliceSpec], threads: int) -> tuple[Cut, ...]:
    """The slices of each spec, most frequent first (equals by text): at most 100, the rest together.

    Args:
        plan: what is read.
        specs: by which columns; every file has them, as `check_sliceable` allows.
        threads: to read a local file with.

    Raises:
        DataError: if a column holds too many values, or one that cannot name a slice.
        StorageError: if storage failed.
    """
    if not specs:
        return ()
    asked = list(map(_asked, specs))
    found = _search(plan, asked, threads)
    return tuple(_cut(spec, values) for spec, values in zip(asked, found, strict=True))


def are_cuts_of(cuts: Sequence[Cut], specs: Sequence[SliceSpec]) -> bool:
    """Are these by the columns and bins of these specs, in their order?"""
    return [_Asked(cut.by, cut.bins) for cut in cuts] == list(map(_asked, specs))


def _asked(spec: SliceSpec) -> _Asked:
    return _Asked(spec.column, tuple(map(edge_text, spec.bins or ())))


@dataclass(frozen=True)
class _Asked:
    """Columns, and the edges of bins of the only one."""

    by: Texts
    bins: Texts

    def names(self, column: str, values: pa.Array) -> list[str]:
        """Names of values that are not null."""
        if not self.bins:
            return texts_of(column, values)
        names = bin_names(self.bins)
        return [names[code] for code in bin_codes(values, self.bins).tolist()]

    def check_number(self, values: int) -> None:
        """Raises DataError if there are too many."""
        if values <= VALUES_AT_MOST:
            return
        columns = ", ".join(f"`{column}`" for column in self.by)
        held = f"column {columns} holds" if len(self.by) == 1 else f"columns {columns} hold together"
        todo = "take out the one that has most" if len(self.by) > 1 else "cut numbers by `bins: [0, 10, 100]`"
        raise DataError(
            f"slices: {held} more than {VALUES_AT_MOST:,} different values; slices are for few. Name another column, "
            f"or {todo}."
        )


def _cut(spec: _Asked, found: Found) -> Cut:
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return Cut(spec.by, tuple(texts for texts, _ in ordered[:VALUES_KEPT]), len(ordered[VALUES_KEPT:]), spec.bins)


def _search(plan: Plan, asked: Sequence[_Asked], threads: int) -> list[Found]:
    """Rows of each value, in threads that take shards in turn."""
    shards, lock, ended = iter(plan.shards), Lock(), Event()
    total = [Found() for _ in asked]

    def following() -> Shard | None:
        with lock:
            return None if ended.is_set() else next(shards, None)

    def work() -> None:
        with _Surveyor(asked) as surveyor:
            while (shard := following()) is not None:
                surveyor.look_at(shard)
        with lock:
            for spec, sums, found in zip(asked, total, surveyor.found, strict=True):
                sums.update(found)
                spec.check_number(len(sums))

    most = _REMOTE_THREADS if is_remote(plan.files[0].uri) else min(threads, _LOCAL_THREADS)
    with ThreadPoolExecutor(max(1, min(most, len(plan.shards)))) as pool:
        working = [pool.submit(work) for _ in range(max(1, min(most, len(plan.shards))))]
        try:
            wait(working, return_when=FIRST_EXCEPTION)
        finally:
            ended.set()
        for worker in working:
            worker.result()
    return total


class _Surveyor:
    """One thread's reader, and what it found for each spec."""

    def __init__(self, asked: Sequence[_Asked]) -> None:
        self._asked = asked
        self._reader = Reader(list(dict.fromkeys(column for spec in asked for column in spec.by)))
        self.found = [Found() for _ in asked]

    def __enter__(self) -> _Surveyor:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def look_at(self, shard: Shard) -> None:
        """Count the values of a shard."""
        for piece in shard.pieces:
            for part in self._unproven(piece, shard.files[piece.file]):
                for block in self._blocks(Shard(shard.id, (part,), shard.files)):
                    for spec, found in zip(self._asked, self.found, strict=True):
                        found.update(_values_of(spec, block.table))
                        spec.check_number(len(found))
                    del block

    def _blocks(self, part: Shard) -> Iterator[Block]:
        """Decoded rows up to the first that cannot be decoded: the run will say so, or leave their shard out."""
        blocks = self._reader.read(part)
        while True:
            try:
                block = next(blocks, None)
            except DataError:
                return
            if block is None:
                return
            yield block
            del block

    def _unproven(self, piece: Piece, planned: PlannedFile) -> Iterator[Piece]:
        """Runs of row groups that must be read; those that need not be are counted."""
        try:
            known = _Known(self._reader.footer(planned), planned) if piece.picked is None else None
        except DataError:
            known = None
        if known is None:
            yield piece
            return
        first, first_row, row = piece.first_group, piece.first_row, piece.first_row
        for group in range(piece.first_group, piece.end_group):
            rows = planned.group_rows[group]
            if rows and self._prove(known, group):
                if row > first_row:
                    yield Piece(piece.file, first, group, first_row, row - first_row)
                first, first_row = group + 1, row + rows
            row += rows
        if row > first_row:
            yield Piece(piece.file, first, piece.end_group, first_row, row - first_row)

    def _prove(self, known: _Known, group: int) -> bool:
        """Count a row group without reading it, if that can be done for every spec."""
        proven = list[Mapping[Texts, int]]()
        for spec in self._asked:
            if (values := _together([known.values(spec, column, group) for column in spec.by])) is None:
                return False
            proven.append(values)
        for found, sums in zip(self.found, proven, strict=True):
            found.update(sums)
        return True


def _values_of(spec: _Asked, table: pa.Table) -> dict[Texts, int]:
    """Rows of each value, or combination of values, in a table."""
    names, parts, code = list[list[str]](), list[NDArray[np.int64]](), np.zeros(table.num_rows, np.int64)
    for column in spec.by:
        texts, of_row = _coded(spec, column, one_chunk(table.column(column)))
        unique, code = _distinct(code * len(texts) + of_row, (parts[0].size if parts else 1) * len(texts))
        spec.check_number(unique.size)
        names.append(texts)
        parts = [*(part[unique // len(texts)] for part in parts), unique % len(texts)]
    rows = np.bincount(code, minlength=parts[0].size).tolist()
    columns = [[texts[place] for place in part.tolist()] for texts, part in zip(names, parts, strict=True)]
    return dict(zip(zip(*columns, strict=True), rows, strict=True))


def _coded(spec: _Asked, column: str, array: pa.Array) -> tuple[list[str], NDArray[np.int64]]:
    """Texts, and the place of each row's among them, int64[N]."""
    if spec.bins:
        return list(bin_names(spec.bins)), bin_codes(array, spec.bins)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    encoded = comparable(array).dictionary_encode(null_encoding="mask")
    spec.check_number(len(encoded.dictionary))
    texts = [*spec.names(column, encoded.dictionary), NULL]
    indices = encoded.indices.cast(pa.int64()).fill_null(len(texts) - 1)
    return texts, to_numpy(indices)


def _distinct(code: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct codes of [0, size), rising, and the place of each row's among them."""
    if size > _TABLE_SIZE:
        unique, places = np.unique(code, return_inverse=True)
        return unique, places
    present = np.bincount(code, minlength=size) > 0
    return np.flatnonzero(present), (np.cumsum(present) - 1)[code]


def _together(columns: Sequence[Mapping[str, int] | None]) -> dict[Texts, int] | None:
    """Rows of each combination, from those of each column; None where they do not tell."""
    known = [values for values in columns if values is not None]
    if len(known) < len(columns) or sum(len(values) > 1 for values in known) > 1:
        return None
    rows = max(known, key=len)
    return {
        tuple(text if values is rows else next(iter(values)) for values in known): count
        for text, count in rows.items()
    }  # fmt: skip


class _Known:
    """What a file's footer and folders say of its values."""

    def __init__(self, footer: Footer, planned: PlannedFile) -> None:
        self._footer, self._planned = footer, planned
        self._places: dict[str, int | None] = {}

    def values(self, spec: _Asked, column: str, group: int) -> dict[str, int] | None:
        """Rows of each value of a column in a row group, if they are known without reading it."""
        rows = self._planned.group_rows[group]
        if column not in self._footer.schema.names:
            folder = next(of for of in self._planned.folders if of.name == column)
            if folder.value is None:
                return {NULL: rows}
            return {spec.names(column, pa.array([folder.value], folder.field.type))[0]: rows}
        if (place := self._place(column)) is None:
            return None
        statistics = self._footer.metadata.row_group(group).column(place).statistics
        if statistics is None or not statistics.has_null_count or not 0 <= statistics.null_count <= rows:
            return None
        nulls, kind = statistics.null_count, decoded(self._footer.schema.field(column).type)
        if nulls == rows:
            return {NULL: nulls}
        if slice_family(kind) not in _PROVEN or (only := _only_value(statistics)) is None:
            return None
        try:
            name = spec.names(column, pa.array([only], kind))[0]
        except (pa.ArrowException, OverflowError, TypeError):
            return None
        return {name: rows - nulls} | ({NULL: nulls} if nulls else {})

    def _place(self, column: str) -> int | None:
        """Where a flat column stands among those of Parquet; None if its name does not say."""
        if column not in self._places:
            columns = self._footer.metadata.schema
            paths = [columns.column(place).path for place in range(len(columns))]
            # A column `a.b` has the path of `b` in a column `a`.
            self._places[column] = paths.index(column) if paths.count(column) == 1 else None
        return self._places[column]


def _only_value(statistics: pq.Statistics) -> object:
    """The value of all rows that are not null, if there is but one; None if that is not known."""
    try:
        low, high = statistics.min, statistics.max
    except (ValueError, OverflowError):  # text that is no UTF-8; a date that Python does not know
        return None
    # Limits may be shortened, but stay limits: what lies between two that are equal is equal to them.
    return low if statistics.has_min_max and low == high else None
