"""The footer of a Parquet file, read with one request for most files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from ortbatch.data.storage import locate, storage_error
from ortbatch.errors import DataError
from ortbatch.job.redaction import redact

_MAGIC = b"PAR1"
_TAIL_BYTES = 64 << 10
_FOOTER_BYTES_AT_MOST = 512 << 20


@dataclass(frozen=True)
class Footer:
    """What a footer says, and its fingerprint."""

    size: int
    sha256: str
    metadata: pq.FileMetaData
    schema: pa.Schema

    @property
    def group_rows(self) -> tuple[int, ...]:
        """Rows of each row group."""
        return tuple(self.metadata.row_group(i).num_rows for i in range(self.metadata.num_row_groups))

    @property
    def group_bytes(self) -> tuple[int, ...]:
        """Uncompressed bytes of each row group."""
        return tuple(self.metadata.row_group(i).total_byte_size for i in range(self.metadata.num_row_groups))


def without_views(schema: pa.Schema) -> pa.Schema:
    """The schema with views of text and bytes as what they view: few of Arrow's kernels take views."""
    kinds = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    for place, field in enumerate(schema):
        if field.type in kinds:
            schema = schema.set(place, field.with_type(kinds[field.type]))
    return schema


def read_footer(uri: str) -> Footer:
    """Read and parse a footer.

    Raises:
        DataError: if there is no such file, or it is not a Parquet file.
        StorageError: if storage failed.
    """
    filesystem, path = locate(uri)
    try:
        with filesystem.open_input_file(path) as file:
            size, footer = _footer_bytes(uri, file)
    except OSError as error:
        raise storage_error(uri, error) from None
    try:
        metadata = pq.read_metadata(pa.BufferReader(_MAGIC + footer))
        schema = without_views(metadata.schema.to_arrow_schema())
        # Names are decoded when they are first asked for; a name that is no UTF-8 must not surface later.
        _ = schema.names, [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _not_parquet(uri, f"its footer cannot be read: {error}") from None
    found = Footer(size, hashlib.sha256(footer).hexdigest(), metadata, schema)
    _check_groups(uri, found)
    return found


def _check_groups(uri: str, footer: Footer) -> None:
    """Refuse row groups that cannot be: the decoder believes them, and leaves rows out in silence."""
    rows = footer.group_rows
    if min(rows, default=0) < 0 or min(footer.group_bytes, default=0) < 0:
        raise _not_parquet(uri, "a row group has a negative size")
    if sum(rows) != footer.metadata.num_rows:
        raise _not_parquet(uri, f"its footer claims {footer.metadata.num_rows:,} rows, its row groups {sum(rows):,}")


def _footer_bytes(uri: str, file: pa.NativeFile) -> tuple[int, bytes]:
    """Size of the file, and its footer with length and magic."""
    size = file.size()
    tail = file.read_at(min(size, _TAIL_BYTES), max(0, size - _TAIL_BYTES))
    if size < 12 or tail[-4:] != _MAGIC:
        hint = "encrypted Parquet is not supported" if tail[-4:] == b"PARE" else f"it ends with {tail[-4:]!r}"
        raise _not_parquet(uri, f"{size:,} bytes, {hint}; a Parquet file ends with {_MAGIC!r}")
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if length > min(size - 4, _FOOTER_BYTES_AT_MOST):
        raise _not_parquet(uri, f"its footer claims {length:,} bytes, the file has {size:,}")
    return size, tail[-length:] if length <= len(tail) else file.read_at(length, size - length)


def _not_parquet(uri: str, why: str) -> DataError:
    return DataError(
        f"{redact(uri)}: not a readable Parquet file: {why}. Write it again, or leave it out of `data.path`."
    )
