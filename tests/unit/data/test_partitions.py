"""Folder names are columns: of one type in all files, decoded as their writers encoded them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from ortbatch.data.partitions import folder_columns, is_of_folders, with_folders
from ortbatch.data.plan import Plan, make_plan
from ortbatch.data.reader import read_shard
from tests.tables import write_table

AWKWARD = ["DE", "a b", "a/b", "ä", "50%", "x=y", ""]


def planned(path: Path) -> Plan:
    return make_plan([str(path)], None, lambda where, schema: None)


def read(path: Path, *columns: str) -> list[dict[str, Any]]:
    plan = planned(path)
    blocks = [block for shard in plan.shards for block in read_shard(shard, columns)]
    return [row for block in blocks for row in block.table.to_pylist()]


def values(*folders: str) -> list[Any]:
    return [columns[0].value for columns in folder_columns([(folder,) for folder in folders])]


def test_whole_numbers_are_numbers_if_all_are() -> None:
    assert values("d=1", "d=-20", "d=0", "d=__HIVE_DEFAULT_PARTITION__") == [1, -20, 0, None]


@pytest.mark.parametrize("other", ["x", "01", "1.0", "+1", "-0", "", "9" * 19, "1_0", "\u0661"])
def test_a_value_that_is_no_number_in_its_shortest_form_keeps_all_as_text(other: str) -> None:
    assert values("d=1", f"d={other}") == ["1", other]


def test_folders_that_are_no_columns_are_passed_over_and_the_innermost_of_a_name_counts() -> None:
    (columns,) = folder_columns([("v1", "=x", "a=1", "b=", "a=2")])
    assert {column.name: column.value for column in columns} == {"a": 2, "b": ""}


def test_a_column_of_the_file_wins_and_those_of_folders_are_marked() -> None:
    (columns,) = folder_columns([("a=1", "b=x")])
    schema = with_folders(pa.schema({"a": pa.float32()}), columns)
    assert [(f.name, f.type, is_of_folders(f)) for f in schema] == [
        ("a", pa.float32(), False), ("b", pa.string(), True),
    ]  # fmt: skip


def test_what_arrow_wrote_in_folders_comes_back_as_arrow_reads_it(tmp_path: Path) -> None:
    table = pa.table({"country": [*AWKWARD[:-1], None], "n": list(range(len(AWKWARD)))})
    hive = ds.partitioning(pa.schema({"country": pa.string()}), flavor="hive")
    ds.write_dataset(table, tmp_path, format="parquet", partitioning=hive)
    expected = ds.dataset(tmp_path, partitioning=hive, format="parquet").to_table().select(["n", "country"]).to_pylist()
    assert sorted(read(tmp_path, "n", "country"), key=str) == sorted(expected, key=str)


@pytest.mark.parametrize("columns", [("day",), ("day", "x"), ("x", "day", "hour"), ("x",)])
def test_only_columns_asked_for_are_added(tmp_path: Path, columns: tuple[str, ...]) -> None:
    write_table(tmp_path / "day=2026-11-25" / "hour=7" / "a.parquet", {"x": [1, 2, 3]}, [2, 1])
    full = [{"x": x, "day": "2026-11-25", "hour": 7} for x in (1, 2, 3)]
    assert read(tmp_path, *columns) == [{name: row[name] for name in columns} for row in full]


def test_a_column_of_the_file_is_read_and_not_that_of_its_folder(tmp_path: Path) -> None:
    write_table(tmp_path / "x=9" / "a.parquet", {"x": [1, 2]})
    assert read(tmp_path, "x") == [{"x": 1}, {"x": 2}]


def test_the_plan_of_another_value_is_another_plan(tmp_path: Path) -> None:
    digests = set()
    for folder in ("a/d=1", "b/d=2", "c/d=1"):
        write_table(tmp_path / folder / "a.parquet", {"x": [1, 2]})
        digests.add(planned(tmp_path / folder[0]).digest())
    assert len(digests) == 2


def test_each_schema_is_checked_with_the_columns_of_its_folders(tmp_path: Path) -> None:
    for folder in ("d=1", "d=2", "e=1"):
        write_table(tmp_path / folder / "a.parquet", {"x": [1]})
    seen: list[list[str]] = []
    make_plan([str(tmp_path)], None, lambda where, schema: seen.append(schema.names))
    assert seen == [["x", "d"], ["x", "e"]]
