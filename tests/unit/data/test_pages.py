"""What pages take in memory is read off their headers, and columns come back the same however they are read."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch.data import data_file, pages
from ortbatch.data.footer import read_footer
from ortbatch.data.plan import make_plan
from ortbatch.data.reader import Reader
from ortbatch.errors import DataError
from tests.tables import write_table
from tests.thrift import STRUCT, Thrift, content_of, part, taken_apart, together, written


def tables_of(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    with Reader(columns) as rows:
        for shard in make_plan([str(path)], None, lambda where, schema: None).shards:
            for block in rows.read(shard):
                yield block.table


def chunk_of(column: pa.Array, **options: Any) -> tuple[bytes, Any]:
    """The bytes of a column chunk, and what Arrow says of it."""
    content = content_of(pa.table({"x": column}), **options)
    said = pq.read_metadata(io.BytesIO(content)).row_group(0).column(0)
    start = said.dictionary_page_offset if said.has_dictionary_page else said.data_page_offset
    return content[start : start + said.total_compressed_size], said


def looked(chunk: bytes) -> pages.Pages:
    return pages.pages_of(pa.BufferReader(chunk), 0, len(chunk))


UNLIKE = pa.array([f"{i:0100}" for i in range(30_000)])


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("codec", ["none", "zstd"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_headers_of_pages_say_what_arrow_says_of_their_column(version: str, codec: str, dictionary: bool) -> None:
    values = pa.array([f"word {i % 700}" for i in range(50_000)])
    chunk, said = chunk_of(values, use_dictionary=dictionary, compression=codec, data_page_version=version)
    found = looked(chunk)
    assert (found.values, found.encoded, found.mixed) == (said.num_values, 50_000 if dictionary else 0, False)
    assert said.total_uncompressed_size - 2_000 < found.size + found.dictionary <= said.total_uncompressed_size
    assert found.dictionary == (sum(4 + len(f"word {i}") for i in range(700)) if dictionary else 0)


def test_a_dictionary_that_was_given_up_is_seen() -> None:
    found = looked(chunk_of(UNLIKE)[0])
    assert (found.values, found.mixed) == (30_000, True)
    assert 0 < found.encoded < 30_000
    assert 1_000_000 < found.dictionary < 1_200_000


def headers(chunk: bytes) -> Iterator[tuple[list[list[Any]], bytes]]:
    at = 0
    while at < len(chunk):
        header = Thrift(chunk, at)
        fields = header.struct()
        at = header.at + part(fields, 3)[2]
        yield fields, chunk[header.at : at]


def swapped(chunk: bytes) -> bytes:
    whole = [written(STRUCT, fields) + page for fields, page in headers(chunk)]
    return b"".join(whole[1:] + whole[:1])


def changed(*path: int, to: int) -> Callable[[bytes], bytes]:
    def change(chunk: bytes) -> bytes:
        pairs = list(headers(chunk))
        part(pairs[0][0], *path)[2] = to
        return b"".join(written(STRUCT, fields) + page for fields, page in pairs)

    return change


WRONG: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a dictionary at the end": (swapped, "a dictionary stands behind values"),
    "a giant dictionary": (changed(2, to=2**31 - 1), "a dictionary of 2,147,483,647 bytes; up to 268,435,456 are read"),
    "a negative size": (changed(2, to=-1), "a page of .* -1 unpacked"),
    "a negative length": (changed(3, to=-5), "a page of -5 bytes"),
    "zeros": (lambda chunk: bytes(len(chunk)), "a page of -1 bytes"),
    "cut in a header": (lambda chunk: chunk[:7], "there is no page where one should begin, at byte 0"),
    "structs without end": (lambda chunk: b"\x1c" * 100_000, "there is no page where one should begin"),
    "a list in a header": (lambda chunk: b"\x19\x05" + chunk, "there is no page where one should begin"),
    "a number without end": (lambda chunk: b"\x15" + b"\x80" * 100_000, "there is no page where one should begin"),
    "noise": (lambda chunk: b"\xff" * len(chunk), "there is no page where one should begin"),
}


@pytest.mark.parametrize("what", WRONG)
def test_pages_that_are_none_are_refused(what: str) -> None:
    change, message = WRONG[what]
    with pytest.raises(pa.ArrowInvalid, match=message):
        looked(change(chunk_of(pa.array(["a", "b"] * 50))[0]))


def disguised(how: str) -> Callable[[list[list[Any]]], None]:
    """Ways to write the header of a page that Arrow reads as before: its number of values and its encoding."""

    def change(page: list[list[Any]]) -> None:
        for number in (1, 2):
            value = part(page, number)[2]
            if how == "beyond 32 bits":
                part(page, number)[2] = value + (5 << 32)
            elif how == "a field beyond 16 bits":
                page.remove(part(page, number))
                page.append([(2 << 16) + number, 5, value])
            elif how == "another kind behind it":
                page.append([number, 6, 0])
            else:
                page.insert(0, [number, 5, 0])

    return change


DISGUISES = ("beyond 32 bits", "a field beyond 16 bits", "another kind behind it", "twice")


@pytest.mark.parametrize("how", DISGUISES)
def test_a_header_is_read_as_arrow_reads_it_however_it_is_written(tmp_path: Path, how: str) -> None:
    table = pa.table({"x": ["a", "b"] * 500})
    body, footer = taken_apart(content_of(table, compression="none", store_schema=False))
    chunk = part(footer, 4, 1, 3)[2]
    (first, dictionary), (header, values) = headers(body[4:])
    before = written(STRUCT, header)
    disguised(how)(part(header, 5)[2])
    for total in (part(chunk, 6), part(chunk, 7)):
        total[2] += len(written(STRUCT, header)) - len(before)
    pages_ = written(STRUCT, first) + dictionary + written(STRUCT, header) + values
    path = tmp_path / "a.parquet"
    path.write_bytes(together(body[:4] + pages_, footer))
    assert pq.read_table(path) == table
    assert looked(pages_)[:1] + looked(pages_)[3:] == (1_000, 1_000, False)


def test_a_header_longer_than_the_first_look_is_read_whole() -> None:
    chunk, said = chunk_of(pa.array(["a" * 3_000, "b" * 3_000]), use_dictionary=False)
    assert len(written(STRUCT, next(headers(chunk))[0])) > 1_024
    assert looked(chunk).values == said.num_values


def test_what_arrow_says_of_a_footer_is_told(tmp_path: Path) -> None:
    body, footer = taken_apart(content_of(pa.table({"x": ["a", "b"] * 50})))
    part(footer, 4, 1, 3, 16)[2] = [[3, 9, [6, [1] * 9]]]
    path = tmp_path / "a.parquet"
    path.write_bytes(together(body, footer))
    with pytest.raises(DataError, match=r"a\.parquet: row group 0 .*level histogram size mismatch"):
        list(tables_of(path, ["x"]))


def test_text_of_fewer_or_more_values_than_rows_is_refused(tmp_path: Path) -> None:
    body, footer = taken_apart(content_of(pa.table({"x": ["a", "b"] * 50})))
    part(footer, 3)[2] = part(footer, 4, 3)[2] = part(footer, 4, 1, 3, 5)[2] = 60
    path = tmp_path / "a.parquet"
    path.write_bytes(together(body, footer))
    with pytest.raises(DataError, match="its pages hold 100 values of x, its footer says 60"):
        list(tables_of(path, ["x"]))


KINDS = {
    "map": pa.array([[("a", 1), ("b", 2)], [], None], pa.map_(pa.string(), pa.int32())),
    "struct": pa.array([{"x": "t", "y": [1.0]}, {"x": None, "y": None}, None]),
    "list of structs": pa.array([[{"q": "z"}], [], None]),
    "lists of lists": pa.array([[["a"], []], None, [["b", None]]]),
    "a.b": pa.array(["1", "2", "3"]), "a": pa.array([{"b": "u"}, {"b": "v"}, None]),
    "bytes of one length": pa.array([b"ab", b"cd", None], pa.binary(2)), "nothing": pa.nulls(3),
    "view": pa.array(["a", None, "b"], pa.string_view()),
    "views": pa.array([["a"], None, []], pa.list_(pa.string_view())),
    "dictionary": pa.array(["x", None, "x"]).dictionary_encode(),
    "large": pa.array([b"q", None, b""], pa.large_binary()), "decimal": pa.array([1, None, 2], pa.decimal128(30, 2)),
    "uuid": pa.array([b"0" * 16, None, b"1" * 16], pa.uuid()), "json": pa.array(["{}", None, "1"], pa.json_()),
    "fixed": pa.array([["a", "b"], None, ["c", None]], pa.list_(pa.string(), 2)),
}  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False, "data_page_version": "2.0"}], ids=str)
@pytest.mark.parametrize("budget", [0, 64, 1 << 29])
def test_columns_of_every_kind_are_read_as_arrow_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: int, options: dict[str, Any]
) -> None:
    table = pa.table(KINDS)
    path = write_table(tmp_path / "a.parquet", table, **options)
    schema = read_footer(str(path)).schema
    monkeypatch.setattr(data_file, "BUDGET_BYTES", budget)
    for columns in (table.column_names, *([name] for name in table.column_names)):
        found = [part.select(columns) for part in tables_of(path, columns)]
        assert [row for part in found for row in part.to_pylist()] == table.select(columns).to_pylist()
        assert all(part.schema == pa.schema([schema.field(name) for name in columns]) for part in found)


@pytest.mark.parametrize("budget", [100_000, 3_000_000, 1 << 29])
def test_text_is_the_same_whether_its_dictionary_is_spelt_out_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    table = pa.table({"unlike": UNLIKE, "word": [f"word {i % 5_000}" for i in range(30_000)], "y": range(30_000)})
    path = write_table(tmp_path / "a.parquet", table, [20_000, 10_000])
    monkeypatch.setattr(data_file, "BUDGET_BYTES", budget)
    assert pa.concat_tables(part.select(table.column_names) for part in tables_of(path, table.column_names)) == table


def test_texts_that_differ_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their dictionary is large and its texts are short: nothing that could grow."""
    path = write_table(tmp_path / "a.parquet", {"x": UNLIKE})
    taken: list[Any] = []
    look = pages.taken_by
    monkeypatch.setattr(data_file, "taken_by", lambda *a: (taken.append(look(*a)), taken[-1])[1])
    assert [table.num_rows for table in tables_of(path, ["x"])] == [30_000]
    assert [encoded for _, encoded in taken] == [[]]
