"""Shards kept as columns are the same shards; a sample of them is the sample of a plain loop."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.data.plan import Piece, Plan, PlannedFile, Shard, Shards, sampled
from ortbatch.errors import DataError

GROUPS = st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=4), max_size=12)
FILES = tuple(PlannedFile(f"/{n}", f"{n}", n, f"{n:064}", (n,), (n,)) for n in range(6))


def pieces_of(groups: list[list[tuple[int, int]]]) -> list[list[Piece]]:
    """Pieces that follow each other in each file."""
    after: dict[int, tuple[int, int]] = {}
    made = []
    for group in groups:
        made.append([])
        for file, rows in group:
            number, first = after.get(file, (0, 0))
            made[-1].append(Piece(file, number, number + 1, first, rows))
            after[file] = (number + 1, first + rows)
    return made


@given(GROUPS)
def test_columns_give_back_the_shards_that_they_were_made_of(groups: list[list[tuple[int, int]]]) -> None:
    pieces = pieces_of(groups)
    plain = [Shard(number, tuple(group)) for number, group in enumerate(pieces)]
    shards = Shards.of(FILES, pieces)
    assert list(shards) == plain
    assert [shards[number] for number in range(len(shards))] == plain
    assert len(shards) == len(plain)
    assert list(shards.pieces_of_shards()) == pieces
    assert shards.rows_of_shards.tolist() == [shard.rows for shard in plain]
    for cut in (slice(None, None, 3), slice(1, -1), slice(None, None, -1)):
        assert list(shards[cut]) == plain[cut]
    if plain:
        assert shards[-1] == plain[-1]
        assert list(shards[1:][:1]) == plain[1:2]
    with pytest.raises(IndexError):
        shards[len(plain)]


@given(GROUPS)
def test_a_shard_knows_the_files_that_it_reads_and_no_others(groups: list[list[tuple[int, int]]]) -> None:
    for shard in Shards.of(FILES, pieces_of(groups)):
        assert dict(shard.files) == {piece.file: FILES[piece.file] for piece in shard.pieces}


def test_a_plan_s_shards_read_the_plan_s_own_files() -> None:
    elsewhere = tuple(replace(file, uri=f"s3://bucket{file.uri}") for file in FILES)
    plan = Plan(elsewhere, Shards.of(FILES, pieces_of([[(0, 1)], [(1, 2), (2, 3)]])))
    assert [file.uri for shard in plan.shards for file in shard.files.values()] == [
        "s3://bucket/0", "s3://bucket/1", "s3://bucket/2",
    ]  # fmt: skip


def test_shards_travel_and_a_file_of_several_travels_once() -> None:
    shards = list(Shards.of(FILES, pieces_of([[(5, 1)]] * 200)))
    sent = pickle.dumps(shards)
    arrived = pickle.loads(sent)
    assert arrived == shards
    assert [shard.files for shard in arrived] == [shard.files for shard in shards]
    assert sent.count(FILES[5].footer_sha256.encode()) == 1
    assert b"/4" not in sent


def plainly_sampled(plan: Plan, rows: int, seed: int) -> list[Shard]:
    """The sample, piece after piece."""
    picked = set(np.random.default_rng(seed).choice(plan.rows, rows, replace=False, shuffle=False).tolist())
    shards: list[Shard] = []
    before = 0
    for shard in plan.shards:
        pieces = []
        for piece in shard.pieces:
            numbers = [piece.first_row + n for n in range(piece.rows) if before + n in picked]
            if numbers:
                pieces.append(replace(piece, rows=len(numbers), picked=np.array(numbers, np.int64).tobytes()))
            before += piece.rows
        if pieces:
            shards.append(Shard(len(shards), tuple(pieces)))
    return shards


@given(GROUPS.filter(bool), st.data())
def test_a_sample_is_that_of_a_plain_loop(groups: list[list[tuple[int, int]]], data: st.DataObject) -> None:
    plan = Plan(FILES, Shards.of(FILES, pieces_of(groups)))
    rows, seed = data.draw(st.integers(1, plan.rows)), data.draw(st.integers(0, 9))
    some = sampled(plan, rows, seed)
    assert list(some.shards) == plainly_sampled(plan, rows, seed)
    assert some.rows == rows
    assert some.shards.rows_of_shards.tolist() == [shard.rows for shard in some.shards]
    with pytest.raises(DataError, match="asked for, the data have"):
        sampled(plan, plan.rows + 1, seed)


def test_shards_take_36_bytes_each() -> None:
    shards = Shards.of(FILES, ([Piece(n % 6, n, n + 1, n, 1)] for n in range(20_000)))
    columns = [value for value in vars(shards).values() if isinstance(value, np.ndarray)]
    assert sum(column.nbytes for column in columns) <= 36 * 20_001
    assert not any(isinstance(value, list | tuple | dict) for value in vars(shards).values() if value is not FILES)
