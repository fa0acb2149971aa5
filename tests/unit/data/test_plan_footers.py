"""Schemas are made once for footers that say the same of them, and never for others; files are read in any number."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch.data import footer as footer_module
from ortbatch.data import footers as footers_module
from ortbatch.data.footer import Footer, read_footer
from ortbatch.data.footers import describe_all
from ortbatch.data.plan import make_plan
from ortbatch.errors import Complaints, DataError, OrtbatchError
from tests.tables import numbered, write_table


def plain_schema(path: Path) -> pa.Schema:
    return pq.read_metadata(path).schema.to_arrow_schema()


@pytest.fixture(autouse=True)
def _no_schemas_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footer_module, "_schemas", {})


TABLES = {
    "float": pa.table({"x": pa.array([1.0], pa.float32())}),
    "double": pa.table({"x": [1.0]}),
    "int8": pa.table({"x": pa.array([1], pa.int8())}),
    "int32": pa.table({"x": pa.array([1], pa.int32())}),
    "not null": pa.table([pa.array([1], pa.int32())], pa.schema([pa.field("x", pa.int32(), nullable=False)])),
    "dictionary": pa.table({"x": pa.array(["a"]).dictionary_encode()}),
    "text": pa.table({"x": ["a"]}),
    "bytes": pa.table({"x": [b"a"]}),
    "large text": pa.table({"x": pa.array(["a"], pa.large_string())}),
    "view": pa.table({"x": pa.array(["a"], pa.string_view())}),
    "list": pa.table({"x": [[1.0]]}),
    "fixed list": pa.table({"x": pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2))}),
    "time": pa.table({"x": pa.array([1], pa.timestamp("ms"))}),
    "time in UTC": pa.table({"x": pa.array([1], pa.timestamp("ms", "UTC"))}),
    "decimal": pa.table({"x": pa.array([1], pa.decimal128(10, 2))}),
    "finer decimal": pa.table({"x": pa.array([1], pa.decimal128(10, 3))}),
    "struct": pa.table({"x": [{"a": 1.0}]}),
    "other struct": pa.table({"x": [{"b": 1.0}]}),
    "two": pa.table({"x": [1.0], "y": [1.0]}),
    "two, turned": pa.table({"y": [1.0], "x": [1.0]}),
    "marked": pa.table([pa.array([1.0])], pa.schema([pa.field("x", pa.float64(), metadata={"a": "b"})])),
}


@pytest.mark.parametrize("store_schema", [True, False])
def test_no_file_gets_the_schema_of_another(tmp_path: Path, store_schema: bool) -> None:
    paths = [
        write_table(tmp_path / f"{n}.parquet", t, store_schema=store_schema) for n, t in enumerate(TABLES.values())
    ]
    for path in paths + paths[::-1]:
        schema = read_footer(str(path)).schema
        expected = footer_module.without_views(plain_schema(path)).remove_metadata()
        assert schema.equals(expected, check_metadata=True), path


def test_names_that_print_as_two_columns_are_not_taken_for_two(tmp_path: Path) -> None:
    """Only a line break in a name can do that."""
    two = write_table(tmp_path / "two.parquet", {"x": [1.0], "y": [1.0]}, store_schema=False)
    text = str(pq.read_metadata(two).schema)
    name = text[text.index("x;") : text.index("y;") + 1]
    one = write_table(tmp_path / "one.parquet", {name: [1.0]}, store_schema=False)
    assert str(pq.read_metadata(one).schema).partition("\n")[2] == text.partition("\n")[2]
    assert read_footer(str(two)).schema.names == ["x", "y"]
    assert read_footer(str(one)).schema.names == [name]
    assert read_footer(str(two)).schema.names == ["x", "y"]


def test_remarks_of_a_file_do_not_make_another_schema(tmp_path: Path) -> None:
    tables = [numbered(3).replace_schema_metadata({"written": str(n)}) for n in range(3)]
    paths = [write_table(tmp_path / f"{n}.parquet", table, store_schema=False) for n, table in enumerate(tables)]
    assert len({id(read_footer(str(path)).schema) for path in paths}) == 1


def test_schemas_that_are_kept_do_not_grow_without_end(tmp_path: Path) -> None:
    for number in range(2 * footer_module._SCHEMAS_KEPT + 3):
        path = write_table(tmp_path / "a.parquet", {f"x{number}": [1]})
        assert read_footer(str(path)).schema.names == [f"x{number}"]
    assert 0 < len(footer_module._schemas) <= footer_module._SCHEMAS_KEPT


@pytest.mark.parametrize("wait", [0.0, 0.003])
@pytest.mark.parametrize("files", [1, 15, 16, 17, 60])
def test_footers_come_in_the_order_of_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int, wait: float
) -> None:
    def slow(path: str) -> Footer:
        time.sleep(wait * np.random.default_rng(len(path)).random() + wait)
        return read_footer(path)

    monkeypatch.setattr(footers_module, "read_footer", slow)
    paths = [str(write_table(tmp_path / f"{n:03}.parquet", numbered(n + 1))) for n in range(files)]
    found = describe_all(paths, Complaints())
    assert [entry.group_rows for entry in found if entry is not None] == [(n + 1,) for n in range(files)]


@pytest.mark.parametrize("broken", [1, 5, 40])
def test_the_first_few_of_many_broken_files_are_told(tmp_path: Path, broken: int) -> None:
    for number in range(50):
        path = write_table(tmp_path / f"{number:03}.parquet", numbered(1))
        if number >= 50 - broken:
            path.write_bytes(b"no parquet")
    with pytest.raises(OrtbatchError) as caught:
        make_plan([str(tmp_path)], None, lambda where, schema: None)
    told = [line for line in str(caught.value).splitlines() if "not a readable Parquet file" in line]
    assert len(told) == min(broken, 5)
    assert f"{50 - broken:03}.parquet" in told[0]
    assert ("35 more of 50 files cannot be read." in str(caught.value)) is (broken == 40)


def test_a_defect_while_reading_is_raised_and_ends_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, asked = count(1), 0

    def broken(path: str) -> Footer:
        nonlocal asked
        asked = number = next(numbers)
        time.sleep(0.002)
        raise RuntimeError("a defect") if number == 25 else DataError("bad")

    monkeypatch.setattr(footers_module, "read_footer", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        describe_all(["a"] * 5_000, Complaints())
    assert asked < 1_000
