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

from ortbatch.data.footer import Footer, read_footer, without_views
from ortbatch.data.partitions import FolderColumn
from ortbatch.data.plan import Piece, PlannedFile, Shard
from ortbatch.data.storage import locate, storage_error
from ortbatch.errors import DataError
from ortbatch.job.redaction import redact

BUDGET_BYTES = 512 << 20
_STREAM_BYTES = 8 << 20


@dataclass(frozen=True)
class Block:
    """Rows of one file, decoded.

    Args:
        file: index of the file in the plan.
        numbers: int64[N], their row numbers within the file, rising.
        table: their columns.
    """

    file: int
    numbers: NDArray[np.int64]
    table: pa.Table


def read_shard(files: Sequence[PlannedFile], shard: Shard, columns: Sequence[str]) -> Iterator[Block]:
    """Decode the rows of a shard, in order.

    Args:
        files: the plan's files.
        shard: what to read.
        columns: the columns that are needed.

    Raises:
        DataError: if a file changed since it was planned, or its pages are corrupt.
        StorageError: if storage failed.
    """
    for piece in shard.pieces:
        yield from _read_piece(files[piece.file], piece, list(columns))


def _read_piece(planned: PlannedFile, piece: Piece, columns: list[str]) -> Iterator[Block]:
    footer = read_footer(planned.uri)
    if (footer.size, footer.sha256) != (planned.size, planned.footer_sha256):
        raise DataError(
            f"{redact(planned.uri)}: changed since the run was planned: {footer.size:,} bytes, footer "
            f"{footer.sha256[:12]}; expected {planned.size:,} bytes, footer {planned.footer_sha256[:12]}. Run again."
        )
    filesystem, path = locate(planned.uri)
    own = [name for name in columns if name in footer.schema.names]
    added = [column for column in planned.folders if column.name in columns and column.name not in own]
    group = piece.first_group
    try:
        with filesystem.open_input_file(path) as raw:
            first_row = piece.first_row
            for group in range(piece.first_group, piece.end_group):
                if not _holds_picked(piece, first_row, planned.group_rows[group]):
                    first_row += planned.group_rows[group]
                    continue
                for table in _decode(raw, footer, group, own):
                    yield _block(piece, first_row, _completed(table, added))
                    first_row += table.num_rows
                expected = piece.first_row + sum(planned.group_rows[piece.first_group : group + 1])
                if first_row != expected:
                    raise DataError(
                        f"{redact(planned.uri)}: row group {group} holds {planned.group_rows[group]:,} rows by its "
                        f"footer, {first_row - expected:+,} were decoded. The file is corrupt: write it again."
                    )
    except OSError as error:
        raise _read_error(planned.uri, group, error) from None
    except pa.ArrowException as error:
        raise _corrupt(planned.uri, group, error) from None


def _completed(table: pa.Table, added: Sequence[FolderColumn]) -> pa.Table:
    """Decoded rows with views as what they view, and with the columns of their folders."""
    schema = table.schema
    if (plain := without_views(schema)) is not schema:
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


def _block(piece: Piece, first_row: int, table: pa.Table) -> Block:
    """Decoded rows, or the picked ones of them."""
    if piece.picked is None:
        return Block(piece.file, np.arange(first_row, first_row + table.num_rows), table)
    picked = np.frombuffer(piece.picked, np.int64)
    numbers = picked[slice(*np.searchsorted(picked, [first_row, first_row + table.num_rows]))]
    return Block(piece.file, numbers, table.take(pa.array(numbers - first_row)))


def _decode(raw: pa.NativeFile, footer: Footer, group: int, columns: list[str]) -> Iterator[pa.Table]:
    """A row group whole, or in parts that stay within the budget."""
    rows, step = footer.group_rows[group], _rows_of_part(footer, group, columns)
    if step >= rows:
        file = pq.ParquetFile(raw, metadata=footer.metadata, page_checksum_verification=True)
        yield file.read_row_group(group, columns=columns, use_threads=False)
        return
    # Without both of these settings all bytes of the columns are read before the first part comes.
    file = pq.ParquetFile(
        raw, metadata=footer.metadata, page_checksum_verification=True, pre_buffer=False, buffer_size=_STREAM_BYTES
    )
    for batch in file.iter_batches(step, row_groups=[group], columns=columns, use_threads=False):
        yield pa.Table.from_batches([batch])


def _rows_of_part(footer: Footer, group: int, columns: list[str]) -> int:
    """Rows to decode at once: all of a row group within the budget, else as many as take half of it.

    A footer knows the bytes before compression, in which a dictionary may stand for many equal values: what the types
    say that the columns take is looked at too.
    """
    rows, size = footer.group_rows[group], footer.group_bytes[group]
    size = max(size, rows * sum(_row_bytes(footer.schema.field(name).type) for name in columns))
    return rows if size <= BUDGET_BYTES else max(1, rows * (BUDGET_BYTES // 2) // size)


def _row_bytes(kind: pa.DataType) -> int:
    """Bytes of a decoded value as far as its type says; 0 where it does not."""
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _row_bytes(kind.value_type)
    if pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        return _row_bytes(kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type)
    return -(-int(kind.bit_width) // 8) if pa.types.is_primitive(kind) else 0


def _read_error(uri: str, group: int, error: OSError) -> Exception:
    """Corrupt pages raise OSError too, as the network does; a local file that is there does not fail otherwise."""
    text = str(error)
    if isinstance(error, FileNotFoundError | PermissionError) or "AWS Error" in text:
        return storage_error(uri, error)
    return _corrupt(uri, group, error)


def _corrupt(uri: str, group: int, error: Exception) -> DataError:
    return DataError(f"{redact(uri)}: row group {group} cannot be decoded: {redact(str(error))}. Write the file again.")
