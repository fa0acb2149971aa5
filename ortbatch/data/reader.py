"""From a shard to blocks of decoded rows, in order, with bounded memory.

A file that is no longer the one that was planned is an error of the shard, not a different count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ortbatch.data.data_file import DataFile
from ortbatch.data.fetches import Fetches
from ortbatch.data.footer import Footer, without_views
from ortbatch.data.partitions import FolderColumn
from ortbatch.data.plan import Piece, PlannedFile, Shard
from ortbatch.data.retry import of_store
from ortbatch.data.steps import Step, steps_of
from ortbatch.data.storage import is_remote, storage_error
from ortbatch.data.wanted import Wanted, WantedOf
from ortbatch.errors import DataError
from ortbatch.job.redaction import redact


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
        fetches: of the same columns, where it is told by others which shards are read; None: this one tells it.
    """

    def __init__(self, columns: Sequence[str], fetches: Fetches | None = None) -> None:
        self._columns = list(columns)
        self._open: DataFile | None = None
        self._wanted_of = WantedOf(columns)
        self._tells = fetches is None
        self._fetches = fetches or Fetches(columns)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file that is open."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def read(self, shard: Shard) -> Iterator[Block]:
        """Decode the rows of a shard, in order.

        Raises:
            DataError: if a file changed since it was planned, or its pages are corrupt.
            StorageError: if storage failed.
            MemoryError: if there is too little for a row group.
        """
        with self._fetches.expecting([shard]) if self._tells else nullcontext():
            for step in steps_of(shard):
                try:
                    yield from self._read_group(step)
                except Exception:
                    self._fetches.forget(step)
                    raise

    def footer(self, planned: PlannedFile) -> Footer:
        """The footer of a file, still the one that was planned.

        Raises:
            DataError: if the file changed since it was planned.
            StorageError: if storage failed.
        """
        try:
            file = self._fetches.file(planned) if is_remote(planned.uri) else self._opened(planned)
        except OSError as error:
            raise storage_error(planned.uri, error) from None
        return file.footer

    def _read_group(self, step: Step) -> Iterator[Block]:
        planned, group, first_row = step.file, step.group, step.first_row
        try:
            file, spans = self._fetches.take(step) if is_remote(planned.uri) else (self._near(step), [])
            wanted = self._wanted_of(file.footer)
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

    def _near(self, step: Step) -> DataFile:
        """The file of a row group on a disk; its footer is looked at for every piece."""
        if self._open is not None and self._open.uri == step.file.uri and not step.begins:
            return self._open
        return self._opened(step.file)

    def _opened(self, planned: PlannedFile) -> DataFile:
        """A file, still the one that was planned, and from now on the one that is open."""
        if self._open is not None and self._open.uri == planned.uri:
            self._open.check(planned)
            return self._open
        opened = DataFile.open(planned)
        self.close()
        self._open = opened
        return opened


def _completed(table: pa.Table, wanted: Wanted, added: Sequence[FolderColumn]) -> pa.Table:
    """Decoded rows with views as what they view, and with the columns of their folders."""
    if wanted.views and (plain := without_views(schema := table.schema)) is not schema:
        table = table.cast(plain)
    for column in added:
        table = table.append_column(column.field, column.repeated(table.num_rows))
    return table


def _block(piece: Piece, first_row: int, table: pa.Table, kind: object) -> Block:
    """Decoded rows, or the picked ones of them."""
    if piece.picked is None:
        return Block(piece.file, np.arange(first_row, first_row + table.num_rows), table, kind)
    picked = np.frombuffer(piece.picked, np.int64)
    numbers = picked[slice(*np.searchsorted(picked, [first_row, first_row + table.num_rows]))]
    return Block(piece.file, numbers, table.take(pa.array(numbers - first_row)), kind)


def _read_error(uri: str, group: int, error: OSError) -> Exception:
    """Corrupt pages raise OSError too, as the network does; a local file that is there does not fail otherwise."""
    if isinstance(error, FileNotFoundError | PermissionError) or of_store(error):
        return storage_error(uri, error)
    return _corrupt(uri, group, error)


def _corrupt(uri: str, group: int, error: Exception) -> DataError:
    return DataError(f"{redact(uri)}: row group {group} cannot be decoded: {redact(str(error))}. Write the file again.")
