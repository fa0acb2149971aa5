"""What the pages of a row group take in memory, where neither the footer nor the types say it.

A page that is packed to a few bytes can hold a gigabyte, a dictionary of one long text and some bits stand for any
number of such texts, and a footer may say anything. So the headers of pages are looked at before they are unpacked, and
text whose dictionary could grow beyond the budget is read as dictionary, and spelt out in parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ortbatch.data.columns import as_stored
from ortbatch.data.footer import Footer, parquet_file
from ortbatch.data.lists import is_list, leaf

ROW_BYTES_AT_MOST = 512 << 20
_PROBE_BYTES = 64 << 10
_DICTIONARY_BYTES_AT_MOST = 256 << 20
_HEADER_BYTES = (1 << 10, 1 << 16, 16 << 20)  # read at first, and where that is too little
_DICTIONARY_PAGE = 2
_DATA_PAGES = {0: (5 << 16 | 1, 5 << 16 | 2), 3: (8 << 16 | 1, 8 << 16 | 4)}  # kind → fields of values and encoding
_BY_DICTIONARY = (2, 8)  # encodings whose values are places in the dictionary
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_TEXT = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


class Leaf(NamedTuple):
    """A column of values as Parquet has it, of which rows and types do not say how large it is decoded.

    Args:
        place, path: in the file.
        name: of the column that it is, or is part of.
        width: bytes of a value; 0 for text and bytes.
        flat: is there one value for each row?
        spelt: can it be read as a dictionary first, and spelt out afterwards?
    """

    place: int
    path: str
    name: str
    width: int
    flat: bool
    spelt: bool


def leaves_of(footer: Footer, names: set[str]) -> Iterator[Leaf]:
    """Those of some columns that hold text or bytes, or are in lists; they stand in the order of the columns."""
    columns, place = footer.metadata.schema, 0
    for field in footer.schema:
        count = _leaf_count(field.type)
        for each in range(place, place + count) if field.name in names else ():
            column = columns.column(each)
            width, flat = _WIDTHS.get(column.physical_type, column.length or 0), not column.max_repetition_level
            if not (width and flat):
                text = leaf(field.type)
                text = text.value_type if pa.types.is_dictionary(text) else text
                spelt = count == 1 and text in _TEXT and _is_only(columns, column.path)
                yield Leaf(each, column.path, field.name, width, flat, spelt)
        place += count


def places_of(schema: pa.Schema, names: set[str]) -> Iterator[int]:
    """Places in the file of all leaves of some columns."""
    place = 0
    for field in schema:
        count = _leaf_count(field.type)
        yield from range(place, place + count) if field.name in names else ()
        place += count


def _is_only(columns: pq.ParquetSchema, path: str) -> bool:
    """Does a path name one column? A column `a.b` has the path of `b` in a column `a`."""
    return "." not in path or sum(columns.column(place).path == path for place in range(len(columns))) == 1


def _leaf_count(kind: pa.DataType) -> int:
    """Columns of Parquet that hold a column of Arrow."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return sum(_leaf_count(kind.field(place).type) for place in range(kind.num_fields)) if kind.num_fields else 1


def taken_by(
    leaves: Sequence[Leaf], footer: Footer, group: int, near: pa.NativeFile | None, budget: int
) -> tuple[int, list[Leaf]]:
    """Bytes that leaves of a row group take decoded, and those of them that are to be read as dictionaries.

    Args:
        leaves: of wanted columns.
        footer: of the file.
        group: place of the row group.
        near: the file; None where each look at a page is a request: then text is read as dictionaries in any case, and
            of lists the footer is believed.
        budget: bytes from which on it matters.

    Raises:
        ArrowInvalid: if the pages are none, or a row of them is beyond what is read.
        OSError: if storage failed, or Arrow refuses the footer.
    """
    rows, size = footer.group_rows[group], 0
    if not rows:
        return 0, []  # there need be no pages
    if near is None:
        return 0, [each for each in leaves if each.spelt]
    encoded: list[Leaf] = []
    places = [each.place for each in leaves]
    for each, (start, length) in zip(leaves, chunks_of(footer, group, places), strict=True):
        pages = pages_of(near, start, length)
        if each.flat and pages.values != rows:
            raise pa.ArrowInvalid(f"its pages hold {pages.values:,} values of {each.path}, its footer says {rows:,}")
        size += pages.values * each.width if each.width else pages.size
        if not each.width and (most := pages.encoded * pages.dictionary) > budget:
            if not each.spelt:
                size += most
            elif not pages.mixed or pages.encoded * _longest(footer, group, each, near) > budget:
                encoded.append(each)
    if size > ROW_BYTES_AT_MOST * rows:
        raise pa.ArrowInvalid(f"{rows:,} rows take {size:,} bytes; up to {ROW_BYTES_AT_MOST:,} a row are read")
    return size, encoded


class _Asking:
    """A file that holds nothing and remembers what was last asked of it."""

    closed = False

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0
        self.asked: tuple[int, int] | None = None

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place; of the other ways to name one only the end is asked for, to learn the size."""
        self._at = self._size if whence else offset
        return self._at

    def tell(self) -> int:
        """Where the next read would begin."""
        return self._at

    def read(self, size: int) -> bytes:
        """Nothing."""
        self.asked = (self._at, size)
        return b""

    def close(self) -> None:
        """There is nothing to close."""


def chunks_of(footer: Footer, group: int, places: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Where the pages of leaves of a row group begin, and their bytes: what Arrow asks for when it is to read them.

    Its own words for that, `RowGroupMetaData.column`, end the process on some footers that its reader refuses.
    """
    asking = _Asking(footer.size)
    reader = parquet_file(pa.PythonFile(asking, mode="r"), footer.metadata).reader
    for place in places:
        asking.asked = None
        try:
            reader.read_row_group(group, column_indices=[place], use_threads=False)
        except OSError:
            if asking.asked is None:
                raise
        yield asking.asked or (0, 0)


def _longest(footer: Footer, group: int, text: Leaf, file: pa.NativeFile) -> float:
    """Bytes of the longest text of a dictionary, by reading it and one row; infinite if that row does not show it.

    Worth it for what most writers make of texts that differ, a dictionary of a megabyte and then plain text: to read
    that as a dictionary takes twice the time.
    """
    reader = parquet_file(file, footer.metadata, buffer_size=_PROBE_BYTES, read_dictionary=[text.path])
    for batch in reader.iter_batches(1, row_groups=[group], columns=[text.name], use_threads=False):
        held = batch.column(0)
        if pa.types.is_dictionary(held.type) and len(held.dictionary):
            return float(pc.max(pc.binary_length(held.dictionary)).as_py() or 0)
        break
    return math.inf


def spelt_out(table: pa.Table, leaves: Sequence[Leaf], schema: pa.Schema, budget: int) -> Iterator[pa.Table]:
    """The same rows with text in place of its dictionaries, as many at a time as are within the budget.

    Args:
        table: decoded rows.
        leaves: that were read as dictionaries.
        schema: types that columns are to have; those that are dictionaries there stay so, and are cut all the same.
        budget: most bytes at a time, of more than one row.
    """
    rows, most = table.num_rows, sum(_most_spelt(table.column(each.name)) for each in leaves)
    step = rows if most <= budget else rows * (budget // 2) // most
    for start in range(0, rows, max(1, step)):
        part = table.slice(start, max(1, step))
        for each in leaves:
            place, field = part.schema.get_field_index(each.name), schema.field(each.name)
            if (column := part.column(place)).type != field.type:
                if not each.flat and step < rows:
                    # A slice of lists has the items of all of them, and all would be spelt out.
                    column = column.take(pa.array(np.arange(len(column))))
                part = part.set_column(place, field, column.cast(field.type))
        yield part


def _most_spelt(column: pa.ChunkedArray) -> int:
    """Bytes of a column of dictionaries, or of lists of them, if every value were the longest."""
    most = 0
    for chunk in column.chunks:
        while is_list(chunk.type):
            chunk = as_stored(chunk).flatten()
        if pa.types.is_dictionary(chunk.type):
            most += len(chunk) * (pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0)
    return most


class Pages(NamedTuple):
    """What the pages of a column chunk hold, by their own headers: what is decoded, whatever the footer says.

    values: of all rows, those in lists too; nulls count.
    size: bytes of the pages, unpacked.
    dictionary: bytes of the dictionary, unpacked.
    encoded: values that are places in the dictionary; a small page can hold any number of them.
    mixed: do such values come first, and others behind them?
    """

    values: int
    size: int
    dictionary: int
    encoded: int
    mixed: bool


def pages_of(file: pa.NativeFile, start: int, length: int) -> Pages:
    """Look through the headers of the pages of a column, some microseconds each; nothing is unpacked.

    Args:
        file: that holds them.
        start: where the first lies.
        length: bytes of all of them.

    Raises:
        ArrowInvalid: if they are none, or none that can be read.
        OSError: if storage failed.
    """
    at, end = start, start + length
    values = size = dictionary = encoded = 0
    leading = False
    while at < end:
        header, length = _page_header(file, at, end)
        kind, unpacked, packed = header.get(1, -1), header.get(2, -1), header.get(3, -1)
        if unpacked < 0 or packed < 0:
            raise pa.ArrowInvalid(f"a page of {packed:,} bytes, {unpacked:,} unpacked")
        if kind == _DICTIONARY_PAGE:
            if at > start:
                raise pa.ArrowInvalid("a dictionary stands behind values; it is the first page of its column")
            if (dictionary := unpacked) > _DICTIONARY_BYTES_AT_MOST:
                most = _DICTIONARY_BYTES_AT_MOST
                raise pa.ArrowInvalid(f"a dictionary of {unpacked:,} bytes; up to {most:,} are read")
        elif kind in _DATA_PAGES:
            of_values, of_encoding = _DATA_PAGES[kind]
            if (count := header.get(of_values, -1)) < 0:
                raise pa.ArrowInvalid(f"a page of {count} values")
            by_dictionary = header.get(of_encoding) in _BY_DICTIONARY
            leading = leading if values else by_dictionary
            values, size, encoded = values + count, size + unpacked, encoded + count * by_dictionary
        at += length + packed
    return Pages(values, size, dictionary, encoded, leading and encoded < values)


def _page_header(file: pa.NativeFile, at: int, end: int) -> tuple[dict[int, int], int]:
    """Numbers of the header of a page, and its length."""
    for most in _HEADER_BYTES:
        content = file.read_at(min(most, end - at), at)
        try:
            found: dict[int, int] = {}
            return found, _fields(content, 0, 0, found)
        except IndexError:
            if len(content) < most:
                break
        except ValueError:
            break
    raise pa.ArrowInvalid(f"there is no page where one should begin, at byte {at:,}")


def _fields(content: bytes, at: int, within: int, found: dict[int, int]) -> int:
    """Collect the 32-bit numbers of a struct in Thrift's compact protocol; returns where it ends.

    As Arrow takes them: fields have 16 bits, numbers 32, what is above is cut off; a field of another kind than its
    own is passed over, and of two the last counts.

    Raises:
        IndexError: if there are too few bytes.
        ValueError: if it is no such struct, or holds what no header of a page does.
    """
    field = 0
    while head := content[at]:
        at, kind = at + 1, head & 15
        if head > 15:
            field += head >> 4
        else:
            field, at = _unsigned(content, at)
            field = field >> 1 ^ -(field & 1)
        if 4 <= kind <= 6:
            number, at = _unsigned(content, at)
            if kind == 5:
                number &= 0xFFFFFFFF
                found[within << 16 | field & 0xFFFF] = number >> 1 ^ -(number & 1)
        elif kind == 8:
            length, at = _unsigned(content, at)
            at += length
        elif kind == 12 and within < 1 << 32:
            at = _fields(content, at, within << 16 | field & 0xFFFF, found)
        elif kind in (3, 7):
            at += 1 if kind == 3 else 8
        elif kind not in (1, 2):
            raise ValueError(kind)
    return at + 1


def _unsigned(content: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    number = shift = 0
    while (byte := content[at]) > 127:
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if shift > 63:
            raise ValueError(shift)
    return number | byte << shift, at + 1
