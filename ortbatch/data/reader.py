"""From a shard to blocks of decoded rows, in order, with bounded memory.

A row group is decoded whole on the calling thread; one beyond the byte budget is streamed in parts. A file that is no
longer the one that was planned is an error of the shard, not a different count. Pages with checksums are verified.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from operator import length_hint

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ortbatch.data.ahead import Next
from ortbatch.data.footer import TAIL_BYTES, Footer, footer_of, parquet_file, without_views
from ortbatch.data.pages import Leaf, chunks_of, spelt_out, taken_by
from ortbatch.data.partitions import FolderColumn
from ortbatch.data.plan import Piece, PlannedFile, Shard
from ortbatch.data.remote import RemoteFile, Span
from ortbatch.data.retry import of_store
from ortbatch.data.storage import OpenFile, is_remote, open_file, storage_error
from ortbatch.data.wanted import Wanted
from ortbatch.errors import DataError
from ortbatch.job.redaction import redact

BUDGET_BYTES = 512 << 20
_STREAM_BYTES = 8 << 20
_SMALL_BYTES = 1 << 20


@dataclass(frozen=True)
class Block:
    """Rows of one file, decoded.

    Args:
        file: index of the file in the plan.
        numbers: int64[N], their row numbers within the file, rising.
        table: their columns.
        kind: the same object for blocks whose tables have one schema; others may have it too.
    """

    file: int
    numbers: NDArray[np.int64]
    table: pa.Table
    kind: object = None


def read_shard(shard: Shard, columns: Sequence[str]) -> Iterator[Block]:
    """Decode the rows of one shard, as `Reader.read`."""
    with Reader(columns) as reader:
        yield from reader.read(shard)


@dataclass(frozen=True)
class _Step:
    """A row group that is read.

    Args:
        file: that it is of.
        piece: of the shard.
        group: its place in the file.
        first_row: its first row.
    """

    file: PlannedFile
    piece: Piece
    group: int
    first_row: int


class Reader:
    """Decodes shards one after another; a context manager. The last file stays open: the next shard is often of it.

    Args:
        columns: the columns that are needed.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._open: _OpenFile | None = None
        self._wanted: Wanted | None = None
        self._next: Next[_Step, tuple[_OpenFile, list[Span]]] = Next()
        self._following: Shard | None = None
        self._foresees = False

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file that is open."""
        if (found := self._next.end()) is not None and found[0] is not self._open:
            found[0].raw.close()
        if self._open is not None:
            self._open.raw.close()
            self._open = None

    def foreseen(self, shards: Iterable[Shard]) -> Iterator[Shard]:
        """The same shards, to be read in turn: what lies in a store is fetched while what comes before is decoded.

        Where others take of the same shards, their iterator is asked first whether there is one more to be had.
        """
        rest = iter(shards)
        shard = next(rest, None)
        while shard is not None:
            self._foresees = is_remote(shard.files[shard.pieces[0].file].uri)
            self._following = next(rest, None) if self._foresees and length_hint(rest, 1) else None
            yield shard
            shard = self._following if self._following is not None else next(rest, None)

    def read(self, shard: Shard) -> Iterator[Block]:
        """Decode the rows of a shard, in order.

        Raises:
            DataError: if a file changed since it was planned, or its pages are corrupt.
            StorageError: if storage failed.
            MemoryError: if there is too little for a row group.
        """
        steps = [*_steps(shard)]
        after = next(_steps(self._following), None) if self._following is not None else None
        for step, following in zip(steps, [*steps[1:], after], strict=False):
            yield from self._read_group(step, following)

    def footer(self, planned: PlannedFile) -> Footer:
        """The footer of a file, still the one that was planned.

        Raises:
            DataError: if the file changed since it was planned.
            StorageError: if storage failed.
        """
        try:
            return self._opened(planned).footer
        except OSError as error:
            raise storage_error(planned.uri, error) from None

    def _read_group(self, step: _Step, following: _Step | None) -> Iterator[Block]:
        planned, group, first_row = step.file, step.group, step.first_row
        try:
            file, spans = self._fetched(step)
            self._foresee(following)
            wanted = self._of(file.footer)
            added = [c for c in planned.folders if c.name in self._columns and c.name not in wanted.names]
            for table in file.decode(group, wanted, spans):
                rows = table.num_rows
                table = _completed(table, wanted, added)
                yield _block(step.piece, first_row, table, wanted)
                first_row += rows
                del table
            if (more := first_row - step.first_row - planned.group_rows[group]) != 0:
                raise DataError(
                    f"{redact(planned.uri)}: row group {group} holds {planned.group_rows[group]:,} rows by its "
                    f"footer, {more:+,} were decoded. The file is corrupt: write it again."
                )
        except MemoryError as error:
            # Arrow's is an ArrowException too, and says nothing of the file.
            raise MemoryError(f"{redact(planned.uri)}: row group {group}: {error}") from None
        except OSError as error:
            raise _read_error(planned.uri, group, error) from None
        except pa.ArrowException as error:
            raise _corrupt(planned.uri, group, error) from None

    def _fetched(self, step: _Step) -> tuple[_OpenFile, list[Span]]:
        """The file of a row group, still the one that was planned, and the bytes of it that had to be fetched."""
        file, spans = self._next.take(step) or self._fetch(step, self._open)
        if file is not self._open and self._open is not None:
            self._open.raw.close()
        self._open = file
        return file, spans

    def _foresee(self, step: _Step | None) -> None:
        held = self._open
        if self._foresees and step is not None and is_remote(step.file.uri):
            self._next.begin(step, lambda: self._fetch(step, held))

    def _fetch(self, step: _Step, held: _OpenFile | None) -> tuple[_OpenFile, list[Span]]:
        if held is None or held.uri != step.file.uri:
            held = self._still(step.file, None)
            return held, held.fetch(step.group, self._of(held.footer), footer=False)
        begins = step.group == step.piece.first_group
        spans = held.fetch(step.group, self._of(held.footer), footer=begins)
        return self._still(step.file, held, spans) if begins else held, spans

    def _of(self, footer: Footer) -> Wanted:
        """What is wanted of a file; the schemas of most files are the same object."""
        if self._wanted is None or self._wanted.schema is not footer.schema:
            self._wanted = Wanted.of(footer, self._columns)
        return self._wanted

    def _opened(self, planned: PlannedFile) -> _OpenFile:
        """A file, still the one that was planned, and from now on the one that is open."""
        file = self._still(planned, self._open)
        if file is not self._open:
            self.close()
            self._open = file
        return file

    def _still(self, planned: PlannedFile, held: _OpenFile | None, spans: Sequence[Span] = ()) -> _OpenFile:
        """A file, still the one that was planned: its footer is looked at for every piece."""
        if held is not None and held.uri == planned.uri:
            raw = held.raw.seen(spans) if isinstance(held.raw, RemoteFile) else held.raw
            footer = footer_of(planned.uri, raw, held.footer)
        else:
            held, footer = _open(planned.uri)
        if (footer.size, footer.sha256) != (planned.size, planned.footer_sha256):
            raise DataError(
                f"{redact(planned.uri)}: changed since the run was planned: {footer.size:,} bytes, footer "
                f"{footer.sha256[:12]}; expected {planned.size:,} bytes, footer {planned.footer_sha256[:12]}. Run "
                "again."
            )
        return held


def _steps(shard: Shard) -> Iterator[_Step]:
    """Row groups of which a row is looked at, in order."""
    for piece in shard.pieces:
        file, first_row = shard.files[piece.file], piece.first_row
        for group in range(piece.first_group, piece.end_group):
            if _holds_picked(piece, first_row, file.group_rows[group]):
                yield _Step(file, piece, group, first_row)
            first_row += file.group_rows[group]


def _open(uri: str) -> tuple[_OpenFile, Footer]:
    try:
        raw = open_file(uri)
        if (size := raw.size()) <= _SMALL_BYTES:
            with raw:
                return _in_memory(uri, pa.BufferReader(raw.read_at(size, 0)))
        footer = footer_of(uri, raw)
    except OSError as error:
        raise storage_error(uri, error) from None
    return _OpenFile(uri, raw, footer, parquet_file(_as_arrow(raw), footer.metadata)), footer


def _in_memory(uri: str, raw: pa.BufferReader) -> tuple[_OpenFile, Footer]:
    """A small file: what is hashed is what is parsed, once, and decoded."""
    opened: list[pq.ParquetFile] = []

    def parse(_: bytes) -> pq.FileMetaData:
        opened.append(parquet_file(raw))
        return opened[0].metadata

    footer = footer_of(uri, raw, parse=parse)
    return _OpenFile(uri, raw, footer, opened[0]), footer


def _as_arrow(raw: OpenFile) -> pa.NativeFile:
    return raw.as_arrow() if isinstance(raw, RemoteFile) else raw


class _OpenFile:
    """A Parquet file that is open, or all of a small one in memory, with its footer.

    Args:
        uri: of the file.
        raw: its bytes.
        footer: its footer.
        whole: decodes row groups whole.
    """

    def __init__(self, uri: str, raw: OpenFile, footer: Footer, whole: pq.ParquetFile) -> None:
        self.uri, self.raw, self.footer, self._whole = uri, raw, footer, whole

    def fetch(self, group: int, wanted: Wanted, *, footer: bool) -> list[Span]:
        """Bytes of a row group that `decode` is to be given: of a store, if it is decoded whole; and of the footer."""
        rows = self.footer.group_rows[group]
        if not isinstance(self.raw, RemoteFile) or _rows_of_part(self.footer, group, wanted.row_bytes, 0) < rows:
            return []
        ends = [(max(0, self.footer.size - TAIL_BYTES), TAIL_BYTES)] if footer else []
        return self.raw.fetch([*chunks_of(self.footer, group, wanted.places), *ends])

    def decode(self, group: int, wanted: Wanted, spans: list[Span]) -> Iterator[pa.Table]:
        """A row group whole, or in parts that stay within the budget."""
        columns, metadata, raw = wanted.names, self.footer.metadata, self.raw
        size, encoded = 0, list[Leaf]()
        if wanted.leaves:
            # In a store each look at a page would be a request.
            near = None if isinstance(raw, RemoteFile) else raw
            size, encoded = taken_by(wanted.leaves, self.footer, group, near, BUDGET_BYTES)
        paths = [leaf.path for leaf in encoded]
        rows, step = self.footer.group_rows[group], _rows_of_part(self.footer, group, wanted.row_bytes, size)
        if step >= rows:
            whole = parquet_file(_as_arrow(raw), metadata, read_dictionary=paths) if encoded else self._whole
            with raw.holding(spans) if isinstance(raw, RemoteFile) else nullcontext():
                table = whole.read_row_group(group, columns=columns, use_threads=False)
            spans.clear()
            yield from spelt_out(table, encoded, wanted.schema, BUDGET_BYTES) if encoded else (table,)
            return
        # Without a buffer all bytes of the columns are read before the first part comes.
        file = parquet_file(_as_arrow(raw), metadata, buffer_size=_STREAM_BYTES, read_dictionary=paths)
        for batch in file.iter_batches(step, row_groups=[group], columns=columns, use_threads=False):
            part = pa.Table.from_batches([batch])
            yield from spelt_out(part, encoded, wanted.schema, BUDGET_BYTES) if encoded else (part,)


def _completed(table: pa.Table, wanted: Wanted, added: Sequence[FolderColumn]) -> pa.Table:
    """Decoded rows with views as what they view, and with the columns of their folders."""
    if wanted.views and (plain := without_views(schema := table.schema)) is not schema:
        table = table.cast(plain)
    for column in added:
        table = table.append_column(column.field, column.repeated(table.num_rows))
    return table


def _holds_picked(piece: Piece, first_row: int, rows: int) -> bool:
    """Is a row of this row group looked at?"""
    if piece.picked is None:
        return True
    first, last = np.searchsorted(np.frombuffer(piece.picked, np.int64), [first_row, first_row + rows])
    return bool(last > first)


def _block(piece: Piece, first_row: int, table: pa.Table, kind: object) -> Block:
    """Decoded rows, or the picked ones of them."""
    if piece.picked is None:
        return Block(piece.file, np.arange(first_row, first_row + table.num_rows), table, kind)
    picked = np.frombuffer(piece.picked, np.int64)
    numbers = picked[slice(*np.searchsorted(picked, [first_row, first_row + table.num_rows]))]
    return Block(piece.file, numbers, table.take(pa.array(numbers - first_row)), kind)


def _rows_of_part(footer: Footer, group: int, row_bytes: int, size: int) -> int:
    """Rows to decode at once: all of a row group within the budget, else as many as take half of it.

    A footer knows the bytes before compression, in which a dictionary may stand for many equal values: what the types
    say that a row takes, and what the pages say that they hold, is looked at too.
    """
    rows = footer.group_rows[group]
    size = max(footer.group_bytes[group], rows * row_bytes, size)
    return rows if size <= BUDGET_BYTES else max(1, rows * (BUDGET_BYTES // 2) // size)


def _read_error(uri: str, group: int, error: OSError) -> Exception:
    """Corrupt pages raise OSError too, as the network does; a local file that is there does not fail otherwise."""
    if isinstance(error, FileNotFoundError | PermissionError) or of_store(error):
        return storage_error(uri, error)
    return _corrupt(uri, group, error)


def _corrupt(uri: str, group: int, error: Exception) -> DataError:
    return DataError(f"{redact(uri)}: row group {group} cannot be decoded: {redact(str(error))}. Write the file again.")
