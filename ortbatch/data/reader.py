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

from ortbatch.data.footer import read_footer
from ortbatch.data.plan import Piece, PlannedFile, Shard
from ortbatch.data.storage import locate, storage_error
from ortbatch.errors import DataError
from ortbatch.job.redaction import redact

BUDGET_BYTES = 512 << 20
_PART_ROWS = 8_192


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
    group = piece.first_group
    try:
        with filesystem.open_input_file(path) as raw:
            file = pq.ParquetFile(raw, metadata=footer.metadata, page_checksum_verification=True)
            first_row = piece.first_row
            for group in range(piece.first_group, piece.end_group):
                if not _holds_picked(piece, first_row, planned.group_rows[group]):
                    first_row += planned.group_rows[group]
                    continue
                for table in _decode(file, group, columns):
                    yield _block(piece, first_row, table)
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


def _decode(file: pq.ParquetFile, group: int, columns: list[str]) -> Iterator[pa.Table]:
    if file.metadata.row_group(group).total_byte_size <= BUDGET_BYTES:
        yield file.read_row_group(group, columns=columns, use_threads=False)
        return
    for batch in file.iter_batches(_PART_ROWS, row_groups=[group], columns=columns, use_threads=False):
        yield pa.Table.from_batches([batch])


def _read_error(uri: str, group: int, error: OSError) -> Exception:
    """Corrupt pages raise OSError too, as the network does; a local file that is there does not fail otherwise."""
    text = str(error)
    if isinstance(error, FileNotFoundError | PermissionError) or "AWS Error" in text:
        return storage_error(uri, error)
    return _corrupt(uri, group, error)


def _corrupt(uri: str, group: int, error: Exception) -> DataError:
    return DataError(f"{redact(uri)}: row group {group} cannot be decoded: {redact(str(error))}. Write the file again.")
