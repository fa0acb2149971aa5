"""A footer may be as large as an honest one of 10,000 columns; beyond that it is refused with what it has too much."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ortbatch.data import footer as footer_module
from ortbatch.data.footer import read_footer
from ortbatch.errors import DataError
from tests.tables import MAGIC, numbered, write_table
from tests.thrift import BINARY, LISTS, STRUCT, content_of, part, taken_apart, together, written

MB = 1 << 20
Change = Callable[[list[list[Any]]], None]


def test_the_codec_of_these_tests_writes_what_arrow_wrote() -> None:
    mixed = pa.table({"x": [1.0, None] * 50, "text": ["a", "b"] * 50, "list": [[1], []] * 50})
    content = content_of(mixed, row_group_size=30)
    assert together(*taken_apart(content)) == content


def with_footer(path: Path, change: Change) -> Path:
    body, footer = taken_apart(content_of(numbered(3)))
    change(footer)
    path.write_bytes(together(body, footer))
    return path


def remarks(count: int, size: int) -> Change:
    entry = [[1, BINARY, b"k" * size]]
    return lambda footer: part(footer, 5).__setitem__(2, [STRUCT, [entry] * count])


def nested(depth: int) -> Change:
    group = [[3, 5, 0], [4, BINARY, b"g"], [5, 5, 1]]

    def change(footer: list[list[Any]]) -> None:
        part(footer, 2)[2][1] = [*[group] * depth, part(footer, 2)[2][1][1]]
        footer.remove(part(footer, 7))  # how each column is ordered

    return change


TOO_MUCH = {
    "items": (remarks(300_000, 0), "it holds a list of over 262,144 items, or a text of over 16,777,216 bytes"),
    "text": (remarks(1, 17 * MB), "it holds a list of over 262,144 items, or a text of over 16,777,216 bytes"),
    "depth": (nested(70), "its columns are nested more than 64 deep"),
    "endless depth": (nested(200_000), "its columns are nested more than 64 deep"),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_a_footer_of_too_much_is_refused_with_what_it_is(tmp_path: Path, what: str) -> None:
    change, message = TOO_MUCH[what]
    with pytest.raises(DataError, match=rf"a\.parquet: not a readable Parquet file: .*{message}\. Write it again"):
        read_footer(str(with_footer(tmp_path / "a.parquet", change)))


@pytest.mark.parametrize("change", [remarks(200_000, 0), remarks(1, 15 * MB), nested(60)])
def test_a_footer_of_much_is_read(tmp_path: Path, change: Change) -> None:
    read_footer(str(with_footer(tmp_path / "a.parquet", change)))


def sizes(kind: int, value: Any) -> Iterator[tuple[int, int]]:
    """Items of every list, and bytes of every text."""
    if kind == BINARY:
        yield 0, len(value)
    elif kind in LISTS:
        yield len(value[1]), 0
        for item in value[1]:
            yield from sizes(value[0], item)
    elif kind == STRUCT:
        for _, of, entry in value:
            yield from sizes(of, entry)


def test_an_honest_footer_of_10_000_columns_and_1_000_row_groups_is_within_all_limits() -> None:
    content = content_of(pa.table({f"feature_with_a_long_name_{i:05}": [[1.0]] for i in range(2_000)}))
    footer = taken_apart(content)[1]
    items, texts = (max(of) * 5 for of in zip(*sizes(STRUCT, footer), strict=True))
    assert max(items, 1_000) * 4 < footer_module._ITEMS_AT_MOST
    assert texts * 4 < footer_module._TEXT_BYTES_AT_MOST
    assert len(written(9, part(footer, 4)[2])) * 5 * 1_000 < footer_module._FOOTER_BYTES_AT_MOST


def test_a_footer_beyond_the_largest_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with path.open("wb") as file:
        file.truncate(3 << 30)
        file.seek(0, 2)
        file.write((2_500_000_000).to_bytes(4, "little") + MAGIC)
    with pytest.raises(DataError, match="its footer has 2,500,000,008 bytes, more than 2,147,483,648"):
        read_footer(str(path))


def test_schemas_of_giant_footers_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footer_module, "_schemas", {})
    fields = [pa.field(f"x{i}", pa.int64(), metadata={"m": "m" * 100_000}) for i in range(60)]
    giant = pa.table([pa.array([1])] * 60, schema=pa.schema(fields))
    assert read_footer(str(write_table(tmp_path / "a.parquet", giant))).schema.names[0] == "x0"
    assert footer_module._schemas == {}
