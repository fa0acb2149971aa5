"""A Parquet file of a plan that is open: still the one that was planned, its row groups fetched and decoded.

A row group is decoded whole on the calling thread; one beyond the byte budget is streamed in parts. Pages with
checksums are verified. A file of up to 1 MiB is read whole: what is hashed is what is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from ortbatch.data.footer import TAIL_BYTES, Footer, footer_of, parquet_file
from ortbatch.data.pages import Leaf, chunks_of, spelt_out, taken_by
from ortbatch.data.remote import RemoteFile, Span
from ortbatch.data.shards import PlannedFile
from ortbatch.data.storage import OpenFile, open_file, storage_error
from ortbatch.data.wanted import Wanted
from ortbatch.errors import DataError
from ortbatch.job.redaction import redact

BUDGET_BYTES = 512 << 20
_SMALL_BYTES = 1 << 20
_STREAM_BYTES = 8 << 20


def is_small(size: int) -> bool:
    """Is a file of so many bytes read whole?"""
    return size <= _SMALL_BYTES


class DataFile:
    """One that is open. In a store, threads may decode and fetch at once; on a disk, and in memory, one at a time.

    Args:
        uri: of the file.
        raw: its bytes.
        footer: its footer.
        whole: decodes row groups whole, if `raw` is no file of a store.
    """

    def __init__(self, uri: str, raw: OpenFile, footer: Footer, whole: pq.ParquetFile | None) -> None:
        self.uri, self.footer = uri, footer
        self._raw, self._whole = raw, whole

    @classmethod
    def open(cls, planned: PlannedFile) -> DataFile:
        """Open a file.

        Raises:
            DataError: if it is not the one that was planned.
            StorageError: if storage failed.
        """
        try:
            raw = open_file(planned.uri)
            found = _read(planned.uri, raw) if is_small(raw.size()) else _in_place(planned.uri, raw)
        except OSError as error:
            raise storage_error(planned.uri, error) from None
        _compare(planned, found.footer)
        return found

    def check(self, planned: PlannedFile, spans: Sequence[Span] = ()) -> None:
        """Look at the footer again, in bytes that were fetched if it is among them.

        Raises:
            DataError: if the file is no longer the one that was planned.
            OSError: if storage failed.
        """
        raw = self._raw.seen(spans) if isinstance(self._raw, RemoteFile) else self._raw
        _compare(planned, footer_of(self.uri, raw, self.footer))

    def fetch(self, group: int, wanted: Wanted, *, footer: bool) -> list[Span]:
        """Bytes of a row group that `decode` is to be given: of a store, if it is decoded whole; and of the footer."""
        rows = self.footer.group_rows[group]
        if not isinstance(self._raw, RemoteFile) or _rows_of_part(self.footer, group, wanted.row_bytes, 0) < rows:
            return []
        ends = [(max(0, self.footer.size - TAIL_BYTES), TAIL_BYTES)] if footer else []
        return self._raw.fetch([*chunks_of(self.footer, group, wanted.places), *ends])

    def decode(self, group: int, wanted: Wanted, spans: list[Span]) -> Iterator[pa.Table]:
        """A row group whole, or in parts that stay within the budget.

        Args:
            group: its place in the file.
            wanted: the columns.
            spans: what `fetch` gave; emptied as soon as it is no longer needed.
        """
        columns, metadata = wanted.names, self.footer.metadata
        raw = self._raw.seen(spans) if isinstance(self._raw, RemoteFile) else self._raw
        size, encoded = 0, list[Leaf]()
        if wanted.leaves:
            # In a store each look at a page would be a request.
            near = None if isinstance(raw, RemoteFile) else raw
            size, encoded = taken_by(wanted.leaves, self.footer, group, near, BUDGET_BYTES)
        paths = [leaf.path for leaf in encoded]
        rows, step = self.footer.group_rows[group], _rows_of_part(self.footer, group, wanted.row_bytes, size)
        if step >= rows:
            whole = None if encoded else self._whole
            whole = whole or parquet_file(_as_arrow(raw), metadata, read_dictionary=paths)
            table = whole.read_row_group(group, columns=columns, use_threads=False)
            del whole, raw
            spans.clear()
            yield from spelt_out(table, encoded, wanted.schema, BUDGET_BYTES) if encoded else (table,)
            return
        # Without a buffer all bytes of the columns are read before the first part comes.
        file = parquet_file(_as_arrow(raw), metadata, buffer_size=_STREAM_BYTES, read_dictionary=paths)
        for batch in file.iter_batches(step, row_groups=[group], columns=columns, use_threads=False):
            part = pa.Table.from_batches([batch])
            yield from spelt_out(part, encoded, wanted.schema, BUDGET_BYTES) if encoded else (part,)

    def close(self) -> None:
        """Let it go; nobody decodes any more."""
        self._raw.close()


def _read(uri: str, raw: OpenFile) -> DataFile:
    """A small file, all of it: parsed once."""
    with raw:
        content = pa.BufferReader(raw.read_at(raw.size(), 0))
    opened: list[pq.ParquetFile] = []

    def parse(_: bytes) -> pq.FileMetaData:
        opened.append(parquet_file(content))
        return opened[0].metadata

    footer = footer_of(uri, content, parse=parse)
    return DataFile(uri, content, footer, opened[0])


def _in_place(uri: str, raw: OpenFile) -> DataFile:
    footer = footer_of(uri, raw)
    return DataFile(uri, raw, footer, None if isinstance(raw, RemoteFile) else parquet_file(raw, footer.metadata))


def _compare(planned: PlannedFile, footer: Footer) -> None:
    if (footer.size, footer.sha256) != (planned.size, planned.footer_sha256):
        raise DataError(
            f"{redact(planned.uri)}: changed since the run was planned: {footer.size:,} bytes, footer "
            f"{footer.sha256[:12]}; expected {planned.size:,} bytes, footer {planned.footer_sha256[:12]}. Run "
            "again."
        )


def _as_arrow(raw: OpenFile) -> pa.NativeFile:
    return raw.as_arrow() if isinstance(raw, RemoteFile) else raw


def _rows_of_part(footer: Footer, group: int, row_bytes: int, size: int) -> int:
    """Rows to decode at once: all of a row group within the budget, else as many as take half of it.

    A footer knows the bytes before compression, in which a dictionary may stand for many equal values: what the types
    say that a row takes, and what the pages say that they hold, is looked at too.
    """
    rows = footer.group_rows[group]
    size = max(footer.group_bytes[group], rows * row_bytes, size)
    return rows if size <= BUDGET_BYTES else max(1, rows * (BUDGET_BYTES // 2) // size)
