"""The plan: every row in exactly one shard, and the same plan wherever the data lie."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.data import plan as plan_module
from ortbatch.data.atomic import write_bytes
from ortbatch.data.plan import Plan, make_plan
from ortbatch.data.storage import locate
from ortbatch.errors import DataError
from tests.tables import flip, numbered, write_table

LAYOUTS = st.lists(st.lists(st.integers(0, 9), max_size=7), min_size=1, max_size=6)


def planned(*paths: Any, shard_rows: int | None = None) -> Plan:
    return make_plan([str(path) for path in paths], shard_rows, lambda where, schema: None)


def write(folder: Path, layout: list[list[int]]) -> Path:
    for index, groups in enumerate(layout):
        write_table(folder / f"{index}.parquet", numbered(sum(groups)), groups)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lambda: tmp_path_factory.mktemp("layout")


@settings(max_examples=40)
@given(layout=LAYOUTS, shard_rows=st.none() | st.integers(1, 30), shard_bytes=st.sampled_from([1, 300, 10**9]))
def test_every_row_group_with_rows_is_in_exactly_one_shard(
    place: Any, layout: list[list[int]], shard_rows: int | None, shard_bytes: int
) -> None:
    folder = write(place(), layout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "_SHARD_BYTES", shard_bytes)
        patch.setattr(plan_module, "_SHARDS_AT_LEAST", 1)
        if not any(sum(groups) for groups in layout):
            with pytest.raises(DataError, match="but no row in them"):
                planned(folder, shard_rows=shard_rows)
            return
        plan = planned(folder, shard_rows=shard_rows)
    pieces = [piece for shard in plan.shards for piece in shard.pieces]
    times = Counter((piece.file, group) for piece in pieces for group in range(piece.first_group, piece.end_group))
    filled = {(f, g) for f, groups in enumerate(layout) for g, rows in enumerate(groups) if rows}
    assert filled <= set(times)
    assert set(times.values()) == {1}
    assert [shard.id for shard in plan.shards] == list(range(len(plan.shards)))
    for piece in pieces:
        groups = layout[piece.file]
        assert piece.first_row == sum(groups[: piece.first_group])
        assert piece.rows == sum(groups[piece.first_group : piece.end_group]) > 0
    assert plan.rows == sum(map(sum, layout)) == sum(shard.rows for shard in plan.shards)
    if shard_rows is not None:
        assert all(shard.rows <= shard_rows or len(full_groups(layout, shard)) == 1 for shard in plan.shards)


def full_groups(layout: list[list[int]], shard: Any) -> list[int]:
    return [g for p in shard.pieces for g in layout[p.file][p.first_group : p.end_group] if g]


def shape(plan: Plan) -> list[list[tuple[int, int, int]]]:
    return [[(p.file, p.first_group, p.end_group) for p in shard.pieces] for shard in plan.shards]


def test_a_large_file_is_split_between_row_groups(tmp_path: Path) -> None:
    plan = planned(write(tmp_path, [[10, 10, 10, 10]]), shard_rows=20)
    assert shape(plan) == [[(0, 0, 2)], [(0, 2, 4)]]


def test_small_files_share_a_shard(tmp_path: Path) -> None:
    plan = planned(write(tmp_path, [[10], [10], [10]]), shard_rows=20)
    assert shape(plan) == [[(0, 0, 1), (1, 0, 1)], [(2, 0, 1)]]


def test_a_row_group_beyond_the_limit_is_a_shard_of_its_own(tmp_path: Path) -> None:
    plan = planned(write(tmp_path, [[5, 50, 5]]), shard_rows=20)
    assert shape(plan) == [[(0, 0, 1)], [(0, 1, 2)], [(0, 2, 3)]]


def test_files_without_rows_do_not_part_small_files(tmp_path: Path) -> None:
    plan = planned(write(tmp_path, [[5], [], [0], [5]]), shard_rows=20)
    assert shape(plan) == [[(0, 0, 1), (3, 0, 1)]]


def test_shards_keep_the_order_of_files(tmp_path: Path) -> None:
    plan = planned(write(tmp_path, [[5], [15, 15], [5]]), shard_rows=20)
    assert shape(plan) == [[(0, 0, 1)], [(1, 0, 1)], [(1, 1, 2)], [(2, 0, 1)]]


def test_small_data_still_make_many_shards(tmp_path: Path) -> None:
    assert len(planned(write(tmp_path, [[100] * 64])).shards) >= 32


def test_the_order_in_which_the_disk_lists_files_does_not_matter(tmp_path: Path) -> None:
    layout, order = [[n] for n in range(1, 21)], random.Random(0).sample(range(20), 20)
    plans = []
    for name, indexes in (("a", range(20)), ("b", order)):
        for index in indexes:
            write_table(tmp_path / name / f"{index:02}.parquet", numbered(layout[index][0]))
        plans.append(planned(tmp_path / name))
    assert plans[0].digest() == plans[1].digest()
    assert [file.rows for file in plans[1].files] == list(range(1, 21))


MOVED = ["other", "other [1] ä%20", "deep/er/place"]


@pytest.mark.parametrize("target", MOVED)
@pytest.mark.parametrize("pattern", ["", "x/*.parquet", "**/*.parquet", "x/1.parquet"])
def test_moving_the_data_keeps_the_digest(tmp_path: Path, target: str, pattern: str) -> None:
    write(tmp_path / "here" / "x", [[3], [4, 2]])
    before = planned(tmp_path / "here" / pattern)
    (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "here").rename(tmp_path / target)
    assert planned(tmp_path / target / pattern).digest() == before.digest()


def test_a_file_uri_has_the_digest_of_its_path(tmp_path: Path) -> None:
    write(tmp_path, [[3], [4]])
    assert planned(f"file://{tmp_path}").digest() == planned(tmp_path).digest()


CHANGES = {
    "a value": lambda folder: write_table(folder / "0.parquet", numbered(10, first=1)),
    "row groups": lambda folder: write_table(folder / "0.parquet", numbered(10), [5, 5]),
    "a name": lambda folder: (folder / "0.parquet").rename(folder / "5.parquet"),
    "another file": lambda folder: write_table(folder / "2.parquet", numbered(1)),
    "a file less": lambda folder: (folder / "1.parquet").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_data_have_another_digest(tmp_path: Path, change: str) -> None:
    before = planned(write(tmp_path, [[10], [3]])).digest()
    CHANGES[change](tmp_path)
    assert planned(tmp_path).digest() != before


@pytest.mark.parametrize("part", ["name", "size", "footer_sha256", "group_rows"])
def test_each_part_of_a_file_s_identity_is_in_the_digest(tmp_path: Path, part: str) -> None:
    plan = planned(write(tmp_path, [[5]]))
    other = {"name": "other", "size": 1, "footer_sha256": "0" * 64, "group_rows": (2, 3)}[part]
    assert Plan((replace(plan.files[0], **{part: other}),), plan.shards).digest() != plan.digest()


def test_other_shards_have_another_digest(tmp_path: Path) -> None:
    write(tmp_path, [[5, 5]])
    assert planned(tmp_path, shard_rows=5).digest() != planned(tmp_path, shard_rows=10).digest()


def test_times_of_files_are_not_in_the_digest(tmp_path: Path) -> None:
    before = planned(write(tmp_path, [[5]])).digest()
    os.utime(tmp_path / "0.parquet", (0, 0))
    assert planned(tmp_path).digest() == before


def test_a_file_named_twice_is_planned_once(tmp_path: Path) -> None:
    write(tmp_path, [[5], [6]])
    assert planned(tmp_path, tmp_path / "1.parquet", tmp_path / "*", f"file://{tmp_path}/0.parquet").rows == 11


def test_names_are_below_the_deepest_folder_that_all_files_share(tmp_path: Path) -> None:
    for name in ("x/a.parquet", "x/y/b.parquet", "x/y/c.parquet"):
        write_table(tmp_path / name, numbered(1))
    assert [file.name for file in planned(tmp_path).files] == ["a.parquet", "y/b.parquet", "y/c.parquet"]
    assert [file.name for file in planned(tmp_path / "x/y/b.parquet").files] == ["b.parquet"]


def remote(bucket: str, name: str) -> str:
    """A small table in a file system in memory; its URI with a key and a secret."""
    uri = f"mock://key:secret@{bucket}/plans/{name}"
    locate(uri)[0].create_dir(str(Path(locate(uri)[1]).parent), recursive=True)
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(numbered(3), sink)
    write_bytes(uri, sink.getvalue().to_pybytes())
    return uri


def test_a_frozen_plan_has_no_secret_even_when_files_share_no_bucket() -> None:
    plan = planned(remote("one", "a.parquet"), remote("two", "b.parquet"))
    assert "secret" not in plan.to_json()
    assert [file.name for file in plan.files] == ["one/plans/a.parquet", "two/plans/b.parquet"]


def test_another_key_does_not_change_the_digest() -> None:
    uris = [remote("one", "a.parquet"), remote("two", "b.parquet")]
    others = [uri.replace("key:secret", "other:words") for uri in uris]
    for uri, other in zip(uris, others, strict=True):
        locate(other)[0].create_dir("/plans")
        with locate(uri)[0].open_input_stream(locate(uri)[1]) as stream:
            write_bytes(other, stream.read())
    assert planned(*uris).digest() == planned(*others).digest()


def test_the_frozen_plan_says_where_every_row_group_is_read(tmp_path: Path) -> None:
    plan = planned(write(tmp_path, [[3], [4, 2]]), shard_rows=4)
    frozen = json.loads(plan.to_json())
    assert [file["uri"] for file in frozen["files"]] == [str(tmp_path / f"{n}.parquet") for n in range(2)]
    assert frozen["shards"][1]["pieces"][0] == {"file": 1, "first_group": 0, "end_group": 1, "first_row": 0, "rows": 4}


def test_one_broken_file_among_many_is_named(tmp_path: Path) -> None:
    write(tmp_path, [[5], [6], [7]])
    flip(tmp_path / "1.parquet", -1)
    with pytest.raises(DataError, match=r"1\.parquet: not a readable Parquet file"):
        planned(tmp_path)


@pytest.mark.parametrize("layout", [[[]], [[0, 0]], [[], [0]]])
def test_data_without_rows_are_refused(tmp_path: Path, layout: list[list[int]]) -> None:
    with pytest.raises(DataError, match=rf"{tmp_path}: {len(layout)} file.*, but no row in "):
        planned(write(tmp_path, layout))


def test_each_schema_is_checked_once_with_a_file_that_has_it(tmp_path: Path) -> None:
    for index, column in enumerate(["x", "y", "x", "y"]):
        write_table(tmp_path / f"{index}.parquet", {column: [1]})
    seen: list[tuple[str, list[str]]] = []
    make_plan([str(tmp_path)], None, lambda where, schema: seen.append((Path(where).name, schema.names)))
    assert seen == [("0.parquet", ["x"]), ("1.parquet", ["y"])]


def test_the_digest_does_not_depend_on_where_the_files_are(tmp_path: Path) -> None:
    plan = planned(write(tmp_path, [[3]]))
    elsewhere = tuple(replace(file, uri="s3://bucket/data/0.parquet") for file in plan.files)
    assert Plan(elsewhere, plan.shards).digest() == plan.digest()
