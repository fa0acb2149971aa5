"""The footer of a Parquet file, read with one request for most files.

What a footer of 33 columns costs is its parsing by Arrow, 0.1 ms; Arrow's schema is made once for all footers that say
the same of it. A file may come from anywhere, so what it says has limits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.parquet as pq

from ortbatch.data.storage import OpenFile, asked, open_file
from ortbatch.errors import DataError
from ortbatch.job.redaction import redact

_MAGIC = b"PAR1"
TAIL_BYTES = 64 << 10
_FOOTER_BYTES_AT_MOST = 2 << 30
_SCHEMAS_KEPT = 64
_SCHEMA_BYTES_KEPT = 4 << 20
# A file of 10,000 columns of lists and 1,000 row groups has lists of 30,001 items and texts of 2 MB.
_ITEMS_AT_MOST = 1 << 18
_TEXT_BYTES_AT_MOST = 16 << 20
_DEPTH_AT_MOST = 64
_schemas: dict[tuple[str, bytes | None], pa.Schema] = {}


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
        return self._groups[0]

    @property
    def group_bytes(self) -> tuple[int, ...]:
        """Uncompressed bytes of each row group."""
        return self._groups[1]

    @cached_property
    def _groups(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        groups = [self.metadata.row_group(i) for i in range(self.metadata.num_row_groups)]
        return tuple(group.num_rows for group in groups), tuple(group.total_byte_size for group in groups)


def without_views(schema: pa.Schema) -> pa.Schema:
    """The schema with views of text and bytes as what they view: few of Arrow's kernels take views."""
    kinds = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    for place, field in enumerate(schema):
        if field.type in kinds:
            schema = schema.set(place, field.with_type(kinds[field.type]))
    return schema


def parquet_file(
    source: pa.NativeFile,
    metadata: pq.FileMetaData | None = None,
    *,
    buffer_size: int = 0,
    read_dictionary: Sequence[str] = (),
) -> pq.ParquetFile:
    """A Parquet file whose pages are verified where they have checksums, read within the limits of this module.

    Args:
        source: what holds it.
        metadata: its footer, if that is known.
        buffer_size: bytes that are read of a column at a time; 0: all of them.
        read_dictionary: paths of columns of text whose dictionaries are not spelt out.
    """
    return pq.ParquetFile(
        source, metadata=metadata, pre_buffer=False, buffer_size=buffer_size,
        read_dictionary=list(read_dictionary), page_checksum_verification=True,
        thrift_string_size_limit=_TEXT_BYTES_AT_MOST, thrift_container_size_limit=_ITEMS_AT_MOST,
        schema_depth_limit=_DEPTH_AT_MOST,
    )  # fmt: skip


def read_footer(uri: str) -> Footer:
    """Read and parse a footer.

    Raises:
        DataError: if there is no such file, or it is not a Parquet file.
        StorageError: if storage failed.
    """

    def read() -> Footer:
        with open_file(uri) as file:
            return footer_of(uri, file)

    return asked(uri, read)


def footer_of(
    uri: str,
    file: OpenFile,
    known: Footer | None = None,
    parse: Callable[[bytes], pq.FileMetaData] = lambda footer: parquet_file(pa.BufferReader(_MAGIC + footer)).metadata,
) -> Footer:
    """As `read_footer`, of a file that is open; one that is known and still there is not parsed again.

    Args:
        uri: of the file.
        file: what lies there.
        known: what was found before.
        parse: makes the metadata of the bytes of a footer, length and magic with it.

    Raises:
        DataError: if it is not a Parquet file.
        OSError: if storage failed.
    """
    size, footer = _footer_bytes(uri, file)
    sha256 = hashlib.sha256(footer).hexdigest()
    if known is not None and (known.size, known.sha256) == (size, sha256):
        return known
    try:
        metadata = parse(footer)
        schema = _arrow_schema(metadata)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _not_parquet(uri, f"its footer cannot be read: {_beyond_limits(str(error)) or error}") from None
    found = Footer(size, sha256, metadata, schema)
    _check_groups(uri, found)
    return found


def _arrow_schema(metadata: pq.FileMetaData) -> pa.Schema:
    """Columns as Arrow has them, without the file's own remarks; the same object for footers that say the same."""
    text = str(metadata.schema).partition("\n")[2]
    key = (text, (metadata.metadata or {}).get(b"ARROW:schema"))
    # A leaf takes one line: only a name with a line break could make the texts of two schemas alike.
    usual = text.count(";\n") == metadata.num_columns and len(text) + len(key[1] or b"") <= _SCHEMA_BYTES_KEPT
    if usual and (known := _schemas.get(key)) is not None:
        return known
    schema = without_views(metadata.schema.to_arrow_schema()).remove_metadata()
    # Names are decoded when they are first asked for; a name that is no UTF-8 must not surface later.
    _ = schema.names, [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    if usual:
        if len(_schemas) >= _SCHEMAS_KEPT:
            _schemas.clear()
        _schemas[key] = schema
    return schema


def _check_groups(uri: str, footer: Footer) -> None:
    """Refuse row groups that cannot be: the decoder believes them, and leaves rows out in silence."""
    rows = footer.group_rows
    if min(rows, default=0) < 0 or min(footer.group_bytes, default=0) < 0:
        raise _not_parquet(uri, "a row group has a negative size")
    if sum(rows) != footer.metadata.num_rows:
        raise _not_parquet(uri, f"its footer claims {footer.metadata.num_rows:,} rows, its row groups {sum(rows):,}")


def _footer_bytes(uri: str, file: OpenFile) -> tuple[int, bytes]:
    """Size of the file, and its footer with length and magic."""
    size = file.size()
    tail = file.read_at(min(size, TAIL_BYTES), max(0, size - TAIL_BYTES))
    if size < 12 or tail[-4:] != _MAGIC:
        hint = "encrypted Parquet is not supported" if tail[-4:] == b"PARE" else f"it ends with {tail[-4:]!r}"
        raise _not_parquet(uri, f"{size:,} bytes, {hint}; a Parquet file ends with {_MAGIC!r}")
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if length > size - 4:
        raise _not_parquet(uri, f"its footer claims {length:,} bytes, the file has {size:,}")
    if length > _FOOTER_BYTES_AT_MOST:
        raise _not_parquet(uri, f"its footer has {length:,} bytes, more than {_FOOTER_BYTES_AT_MOST:,}")
    return size, tail[-length:] if length <= len(tail) else file.read_at(length, size - length)


def _beyond_limits(error: str) -> str:
    """What a footer has too much of; empty if that is not what is wrong with it."""
    if "Exceeded size limit" in error:
        return f"it holds a list of over {_ITEMS_AT_MOST:,} items, or a text of over {_TEXT_BYTES_AT_MOST:,} bytes"
    return f"its columns are nested more than {_DEPTH_AT_MOST} deep" if "too deeply nested" in error else ""


def _not_parquet(uri: str, why: str) -> DataError:
    return DataError(
        f"{redact(uri)}: not a readable Parquet file: {why}. Write it again, or leave it out of `data.path`."
    )
