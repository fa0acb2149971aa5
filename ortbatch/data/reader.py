"""From a shard to blocks of decoded rows, in order, with bounded memory.

A row group is decoded whole on the calling thread; one beyond the byte budget is streamed in parts. A file that is no
longer the one that was planned is an error of the shard, not a different count. Pages with checksums are verified.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ortbatch.data.footer import Footer, footer_of, parquet_file, without_views
from ortbatch.data.pages import ROW_BYTES_AT_MOST, Leaf, leaves_of, spelt_out, taken_by
from ortbatch.data.partitions import FolderColumn
from ortbatch.data.plan import Piece, PlannedFile, Shard
from ortbatch.data.retry import of_store
from ortbatch.data.storage import is_remote, locate, storage_error
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


class Reader:
    """Decodes shards one after another; a context manager. The last file stays open: the next shard is often of it.

    Args:
        columns: the columns that are needed.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._open: _OpenFile | None = None
        self._wanted: _Wanted | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file that is open."""
        if self._open is not None:
            self._open.raw.close()
            self._open = None

    def read(self, shard: Shard) -> Iterator[Block]:
        """Decode the rows of a shard, in order.

        Raises:
            DataError: if a file changed since it was planned, or its pages are corrupt.
            StorageError: if storage failed.
            MemoryError: if there is too little for a row group.
        """
        for piece in shard.pieces:
            yield from self._read_piece(shard.files[piece.file], piece)

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

    def _read_piece(self, planned: PlannedFile, piece: Piece) -> Iterator[Block]:
        group = piece.first_group
        try:
            file = self._opened(planned)
            wanted = self._of(file.footer)
            added = [c for c in planned.folders if c.name in self._columns and c.name not in wanted.names]
            first_row = piece.first_row
            for group in range(piece.first_group, piece.end_group):
                if not _holds_picked(piece, first_row, planned.group_rows[group]):
                    first_row += planned.group_rows[group]
                    continue
                for table in file.decode(group, wanted):
                    rows = table.num_rows
                    table = _completed(table, wanted, added)
                    yield _block(piece, first_row, table, wanted)
                    first_row += rows
                    del table
                expected = piece.first_row + sum(planned.group_rows[piece.first_group : group + 1])
                if first_row != expected:
                    raise DataError(
                        f"{redact(planned.uri)}: row group {group} holds {planned.group_rows[group]:,} rows by its "
                        f"footer, {first_row - expected:+,} were decoded. The file is corrupt: write it again."
                    )
        except MemoryError as error:
            # Arrow's is an ArrowException too, and says nothing of the file.
            raise MemoryError(f"{redact(planned.uri)}: row group {group}: {error}") from None
        except OSError as error:
            raise _read_error(planned.uri, group, error) from None
        except pa.ArrowException as error:
            raise _corrupt(planned.uri, group, error) from None

    def _of(self, footer: Footer) -> _Wanted:
        """What is wanted of a file; the schemas of most files are the same object."""
        if self._wanted is None or self._wanted.schema is not footer.schema:
            self._wanted = _Wanted.of(footer, self._columns)
        return self._wanted

    def _opened(self, planned: PlannedFile) -> _OpenFile:
        """A file, still the one that was planned: its footer is looked at for every piece."""
        held = self._open
        if held is not None and held.uri == planned.uri:
            footer = footer_of(planned.uri, held.raw, held.footer)
        else:
            self.close()
            held, footer = _open(planned.uri)
            self._open = held
        if (footer.size, footer.sha256) != (planned.size, planned.footer_sha256):
            raise DataError(
                f"{redact(planned.uri)}: changed since the run was planned: {footer.size:,} bytes, footer "
                f"{footer.sha256[:12]}; expected {planned.size:,} bytes, footer {planned.footer_sha256[:12]}. Run "
                "again."
            )
        return held


@dataclass(frozen=True)
class _Wanted:
    """Columns of a file that are needed, those of its folders aside.

    Args:
        schema: of the file.
        names: the columns.
        row_bytes: what the types say that a row of them takes.
        views: may some of them be views of text or bytes?
        leaves: those whose pages must be looked at.
    """

    schema: pa.Schema
    names: list[str]
    row_bytes: int
    views: bool
    leaves: tuple[Leaf, ...]

    @classmethod
    def of(cls, footer: Footer, columns: Sequence[str]) -> _Wanted:
        schema = footer.schema
        there = set(schema.names)
        names = [name for name in columns if name in there]
        kinds = [schema.field(name).type for name in names]
        # A footer's schema has the types behind views.
        views = any(pa.types.is_large_string(kind) or pa.types.is_large_binary(kind) for kind in kinds)
        if (row_bytes := sum(map(_row_bytes, kinds))) > ROW_BYTES_AT_MOST:
            raise pa.ArrowInvalid(f"a row takes {row_bytes:,} bytes; up to {ROW_BYTES_AT_MOST:,} are read")
        return cls(schema, names, row_bytes, views, tuple(leaves_of(footer, set(names))))


def _open(uri: str) -> tuple[_OpenFile, Footer]:
    filesystem, path = locate(uri)
    try:
        raw = filesystem.open_input_file(path)
        if (size := raw.size()) <= _SMALL_BYTES:
            with raw:
                return _in_memory(uri, pa.BufferReader(raw.read_buffer(size)))
        footer = footer_of(uri, raw)
    except OSError as error:
        raise storage_error(uri, error) from None
    # Bytes of remote files are fetched side by side; a local file is read by the thread that decodes it.
    whole = parquet_file(raw, footer.metadata, pre_buffer=is_remote(uri))
    return _OpenFile(uri, raw, footer, whole, near=not is_remote(uri)), footer


def _in_memory(uri: str, raw: pa.BufferReader) -> tuple[_OpenFile, Footer]:
    """A small file: what is hashed is what is parsed, once, and decoded."""
    opened: list[pq.ParquetFile] = []

    def parse(_: bytes) -> pq.FileMetaData:
        opened.append(parquet_file(raw))
        return opened[0].metadata

    footer = footer_of(uri, raw, parse=parse)
    return _OpenFile(uri, raw, footer, opened[0], near=True), footer


class _OpenFile:
    """A Parquet file that is open, or all of a small one in memory, with its footer.

    Args:
        uri: of the file.
        raw: its bytes.
        footer: its footer.
        whole: decodes row groups whole.
        near: can some bytes anywhere in it be looked at in no time?
    """

    def __init__(self, uri: str, raw: pa.NativeFile, footer: Footer, whole: pq.ParquetFile, *, near: bool) -> None:
        self.uri, self.raw, self.footer, self._whole, self._near = uri, raw, footer, whole, near

    def decode(self, group: int, wanted: _Wanted) -> Iterator[pa.Table]:
        """A row group whole, or in parts that stay within the budget."""
        columns, metadata = wanted.names, self.footer.metadata
        size, encoded = 0, list[Leaf]()
        if wanted.leaves:
            near = self.raw if self._near else None
            size, encoded = taken_by(wanted.leaves, self.footer, group, near, BUDGET_BYTES)
        paths = [leaf.path for leaf in encoded]
        rows, step = self.footer.group_rows[group], _rows_of_part(self.footer, group, wanted.row_bytes, size)
        if step >= rows:
            whole = self._whole
            if encoded:
                whole = parquet_file(self.raw, metadata, pre_buffer=not self._near, read_dictionary=paths)
            table = whole.read_row_group(group, columns=columns, use_threads=False)
            yield from spelt_out(table, encoded, wanted.schema, BUDGET_BYTES) if encoded else (table,)
            return
        # Without a buffer all bytes of the columns are read before the first part comes.
        file = parquet_file(self.raw, metadata, buffer_size=_STREAM_BYTES, read_dictionary=paths)
        for batch in file.iter_batches(step, row_groups=[group], columns=columns, use_threads=False):
            part = pa.Table.from_batches([batch])
            yield from spelt_out(part, encoded, wanted.schema, BUDGET_BYTES) if encoded else (part,)


def _completed(table: pa.Table, wanted: _Wanted, added: Sequence[FolderColumn]) -> pa.Table:
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


def _row_bytes(kind: pa.DataType) -> int:
    """Bytes of a decoded value as far as its type says; 0 where it does not."""
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _row_bytes(kind.value_type)
    if pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        return _row_bytes(kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type)
    sized = pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind)
    return -(-int(kind.bit_width) // 8) if sized else 0


def _read_error(uri: str, group: int, error: OSError) -> Exception:
    """Corrupt pages raise OSError too, as the network does; a local file that is there does not fail otherwise."""
    if isinstance(error, FileNotFoundError | PermissionError) or of_store(error):
        return storage_error(uri, error)
    return _corrupt(uri, group, error)


def _corrupt(uri: str, group: int, error: Exception) -> DataError:
    return DataError(f"{redact(uri)}: row group {group} cannot be decoded: {redact(str(error))}. Write the file again.")
