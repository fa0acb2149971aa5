"""Rows come back once, in order and numbered; a file that is not what was planned is an error, never another count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.data import data_file
from ortbatch.data.plan import Plan, make_plan
from ortbatch.data.reader import Block, Reader, read_shard
from ortbatch.data.storage import open_file
from ortbatch.errors import DataError
from tests.tables import corrupt, flip, numbered, write_table


def planned(path: Path, shard_rows: int | None = None) -> Plan:
    return make_plan([str(path)], shard_rows, lambda where, schema: None)


def blocks_of(plan: Plan, *columns: str) -> list[Block]:
    return [block for shard in plan.shards for block in read_shard(shard, columns or ["y"])]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lambda: tmp_path_factory.mktemp("rows")


@settings(max_examples=25)
@given(layout=st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=4), shard_rows=st.integers(1, 20))
def test_every_row_is_read_once_with_its_file_and_number(place: Any, layout: list[list[int]], shard_rows: int) -> None:
    if not sum(map(sum, layout)):
        return
    folder = place()
    for index, groups in enumerate(layout):
        write_table(folder / f"{index}.parquet", numbered(sum(groups), first=100 * index), groups)
    seen = [
        (block.file, int(block.numbers[place]), value)
        for block in blocks_of(planned(folder, shard_rows))
        for place, value in enumerate(block.table.column("y").to_pylist())
    ]
    assert seen == [(f, row, 100 * f + row) for f, groups in enumerate(layout) for row in range(sum(groups))]


MIXED = {
    "x": [1.0, None, 3.0, 4.0, 5.0, 6.0, 7.0],
    "fixed": pa.array([[1, 2], None, [5, 6], [7, 8], [9, None], None, [3, 4]], pa.list_(pa.float32(), 2)),
    "list": [[1], [], None, [4, 4], [None], [6], [7]],
    "text": pa.array(["a", "b", None, "a", "c", "a", "b"]).dictionary_encode(),
    "flag": [True, None, False, True, True, False, False],
}  # fmt: skip


@pytest.mark.parametrize("part", [1, 2, 3, 100])
def test_a_row_group_beyond_the_budget_is_read_in_parts_with_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    table = pa.table(MIXED)
    plan = planned(write_table(tmp_path / "a.parquet", table, [5, 2]))
    monkeypatch.setattr(data_file, "_rows_of_part", lambda *_: part)
    blocks = blocks_of(plan, *MIXED)
    assert [row for block in blocks for row in block.table.to_pylist()] == table.to_pylist()
    starts = np.cumsum([0, *(block.table.num_rows for block in blocks)])
    assert [int(block.numbers[0]) for block in blocks] == starts[:-1].tolist()
    assert all(block.table.num_rows <= part for block in blocks)


@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize(("kind", "row_bytes"), [(pa.list_(pa.float32(), 250), 1_000), (pa.binary(), 0)], ids=str)
def test_parts_of_a_large_row_group_stay_within_half_of_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType, row_bytes: int, dictionary: bool
) -> None:
    value = [1.0] * 250 if row_bytes else b"x" * 1_000
    table = pa.table({"a": pa.array([value] * 1_000, kind)})
    plan = planned(write_table(tmp_path / "a.parquet", table, use_dictionary=dictionary, compression="none"))
    monkeypatch.setattr(data_file, "BUDGET_BYTES", 100_000)
    blocks = blocks_of(plan, "a")
    assert sum(block.table.num_rows for block in blocks) == 1_000
    if row_bytes or not dictionary:
        assert max(block.table.nbytes for block in blocks) <= 55_000
        assert len(blocks) < 30


def test_a_row_group_read_in_parts_is_never_in_memory_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = pa.table({"a": pa.array([bytes([i % 256]) * 100_000 for i in range(500)])})
    path = write_table(tmp_path / "a.parquet", blobs, use_dictionary=False, compression="none", write_batch_size=10)
    plan = planned(path)
    del blobs
    monkeypatch.setattr(data_file, "BUDGET_BYTES", 4 << 20)
    monkeypatch.setattr(data_file, "_STREAM_BYTES", 1 << 20)
    before, most = pa.total_allocated_bytes(), 0
    for _ in read_shard(plan.shards[0], ["a"]):
        most = max(most, pa.total_allocated_bytes() - before)
    assert path.stat().st_size > 50_000_000
    assert most < 16 << 20


def test_a_row_group_within_the_budget_is_one_block(tmp_path: Path) -> None:
    plan = planned(write_table(tmp_path / "a.parquet", numbered(20_000), [20_000]))
    assert [block.table.num_rows for block in blocks_of(plan)] == [20_000]


def test_only_the_columns_asked_for_are_decoded(tmp_path: Path) -> None:
    plan = planned(write_table(tmp_path / "a.parquet", MIXED))
    assert set(blocks_of(plan, "list", "x")[0].table.column_names) == {"list", "x"}


def test_a_name_with_a_dot_is_a_name(tmp_path: Path) -> None:
    plan = planned(write_table(tmp_path / "a.parquet", {"a.b": [1, 2], "a": [3, 4], "c d%": [5, 6]}))
    table = blocks_of(plan, "a.b", "a", "c d%")[0].table
    assert [table.column(name).to_pylist() for name in ("a.b", "a", "c d%")] == [[1, 2], [3, 4], [5, 6]]


def checked(path: Path, **options: Any) -> Path:
    """200 rows in two row groups, values as they are, page checksums."""
    return write_table(
        path, numbered(200), [100, 100], write_page_checksum=True, compression="none", use_dictionary=False, **options
    )


@pytest.mark.parametrize("mask", [1, 128])
@pytest.mark.parametrize("budget", [0, 1 << 30])
def test_one_flipped_bit_of_a_page_is_an_error_and_not_another_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: int, budget: int
) -> None:
    plan = planned(checked(tmp_path / "a.parquet"))
    corrupt(tmp_path / "a.parquet", column=1, group=1, mask=mask)
    monkeypatch.setattr(data_file, "BUDGET_BYTES", budget)
    with pytest.raises(DataError, match=r"a\.parquet: row group 1 cannot be decoded: .*CRC.*Write the file again"):
        blocks_of(plan, "x", "y")


def test_a_column_that_is_not_read_may_be_broken(tmp_path: Path) -> None:
    plan = planned(checked(tmp_path / "a.parquet"))
    corrupt(tmp_path / "a.parquet", column=0, group=0, mask=1)
    assert len(blocks_of(plan, "y")) == 2


def test_a_page_that_cannot_be_unpacked_is_an_error(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.parquet", numbered(5_000), compression="zstd", use_dictionary=False)
    plan = planned(path)
    for at in range(60, 400, 7):
        flip(path, at)
    with pytest.raises(DataError, match="row group 0 cannot be decoded"):
        blocks_of(plan, "x")


REPLACED = {
    "other values": lambda path: write_table(path, numbered(200, first=1), [100, 100]),
    "other row groups": lambda path: write_table(path, numbered(200), [150, 50]),
    "fewer rows": lambda path: write_table(path, numbered(150), [100, 50]),
    "no rows": lambda path: write_table(path, numbered(0), []),
}


@pytest.mark.parametrize("how", REPLACED)
def test_a_file_replaced_after_the_plan_is_an_error(tmp_path: Path, how: str) -> None:
    plan = planned(write_table(tmp_path / "a.parquet", numbered(200), [100, 100]))
    REPLACED[how](tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: changed since the run was planned: .*; expected .*Run again\."):
        blocks_of(plan)


@pytest.mark.parametrize(("how", "message"), [("gone", "no such file"), ("cut", "not a readable Parquet file")])
def test_a_file_gone_or_cut_after_the_plan_is_an_error(tmp_path: Path, how: str, message: str) -> None:
    path = write_table(tmp_path / "a.parquet", numbered(200))
    plan = planned(path)
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=rf"a\.parquet: {message}"):
        blocks_of(plan)


def test_a_row_group_that_gives_fewer_rows_than_its_footer_says_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(write_table(tmp_path / "a.parquet", numbered(200), [100, 100]))
    monkeypatch.setattr(data_file.DataFile, "decode", lambda self, group, wanted, spans: iter([numbered(99)]))
    with pytest.raises(DataError, match="row group 0 holds 100 rows by its footer, -1 were decoded"):
        blocks_of(plan)


def test_blocks_are_read_one_after_the_other(tmp_path: Path) -> None:
    plan = planned(checked(tmp_path / "a.parquet"), shard_rows=200)
    corrupt(tmp_path / "a.parquet", column=1, group=1, mask=1)
    blocks = read_shard(plan.shards[0], ["y"])
    assert next(blocks).table.num_rows == 100
    with pytest.raises(DataError, match="row group 1"):
        next(blocks)


@pytest.mark.parametrize("in_memory", [True, False])
def test_shards_of_one_file_are_read_from_one_handle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    monkeypatch.setattr(data_file, "_SMALL_BYTES", 1 << 20 if in_memory else 0)
    plan = planned(write_table(tmp_path / "a.parquet", numbered(100), [25] * 4), shard_rows=25)
    opened: list[str] = []
    monkeypatch.setattr(data_file, "open_file", lambda uri: (opened.append(uri), open_file(uri))[1])
    with Reader(["y"]) as rows:
        values = [value for shard in plan.shards for b in rows.read(shard) for value in b.table["y"].to_pylist()]
    assert values == list(range(100))
    assert len(opened) == 1


def test_a_file_that_changes_in_place_while_it_is_open_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_file, "_SMALL_BYTES", 0)
    path = write_table(tmp_path / "a.parquet", numbered(100), [50, 50])
    first, second = planned(path, shard_rows=50).shards
    with Reader(["y"]) as rows:
        assert len(list(rows.read(first))) == 1
        other = write_table(tmp_path / "b.parquet", numbered(100, first=7), [50, 50]).read_bytes()
        with path.open("r+b") as handle:
            handle.write(other)
            handle.truncate()
        # A file of another length no longer ends where its handle says.
        with pytest.raises(DataError, match=r"a\.parquet: (changed since the run was planned|not a readable Parquet)"):
            list(rows.read(second))


def test_a_small_file_is_read_as_it_was_when_it_was_opened(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.parquet", numbered(100), [50, 50])
    first, second = planned(path, shard_rows=50).shards
    with Reader(["y"]) as rows:
        assert len(list(rows.read(first))) == 1
        path.write_bytes(b"something else")
        assert [value for b in rows.read(second) for value in b.table["y"].to_pylist()] == list(range(50, 100))


def test_blocks_of_equal_schemas_are_of_one_kind(tmp_path: Path) -> None:
    for name in "ab":
        write_table(tmp_path / f"{name}.parquet", numbered(10))
    write_table(tmp_path / "c.parquet", {"y": pa.array(range(10), pa.int32())})
    plan = planned(tmp_path)
    with Reader(["y"]) as rows:
        kinds = [block.kind for shard in plan.shards for block in rows.read(shard)]
    assert kinds[0] is kinds[1]
    assert kinds[0] is not kinds[2]
