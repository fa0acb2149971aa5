"""Which columns of a file are read, and what its footer says of them; found once for all files of a schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from ortbatch.data.footer import Footer
from ortbatch.data.pages import ROW_BYTES_AT_MOST, Leaf, leaves_of, places_of


@dataclass(frozen=True)
class Wanted:
    """Columns of a file that are needed, those of its folders aside.

    Args:
        schema: of the file.
        names: the columns.
        row_bytes: what the types say that a row of them takes.
        views: may some of them be views of text or bytes?
        leaves: those whose pages must be looked at.
        places: in the file, of all their leaves.
    """

    schema: pa.Schema
    names: list[str]
    row_bytes: int
    views: bool
    leaves: tuple[Leaf, ...]
    places: tuple[int, ...]

    @classmethod
    def of(cls, footer: Footer, columns: Sequence[str]) -> Wanted:
        """Some columns of a file; raises ArrowInvalid if a row of them is beyond what is read."""
        schema = footer.schema
        there = set(schema.names)
        names = [name for name in columns if name in there]
        kinds = [schema.field(name).type for name in names]
        # A footer's schema has the types behind views.
        views = any(pa.types.is_large_string(kind) or pa.types.is_large_binary(kind) for kind in kinds)
        if (row_bytes := sum(map(_row_bytes, kinds))) > ROW_BYTES_AT_MOST:
            raise pa.ArrowInvalid(f"a row takes {row_bytes:,} bytes; up to {ROW_BYTES_AT_MOST:,} are read")
        leaves, places = tuple(leaves_of(footer, set(names))), tuple(places_of(schema, set(names)))
        return cls(schema, names, row_bytes, views, leaves, places)


class WantedOf:
    """The same columns of one file after another; the schemas of most files are the same object."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._last: Wanted | None = None

    def __call__(self, footer: Footer) -> Wanted:
        """Of a file; raises as `Wanted.of`. Threads may ask at once."""
        found = self._last
        if found is None or found.schema is not footer.schema:
            self._last = found = Wanted.of(footer, self._columns)
        return found


def _row_bytes(kind: pa.DataType) -> int:
    """Bytes of a decoded value as far as its type says; 0 where it does not."""
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _row_bytes(kind.value_type)
    if pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        return _row_bytes(kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type)
    sized = pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind)
    return -(-int(kind.bit_width) // 8) if sized else 0
