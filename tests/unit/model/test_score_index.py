"""Ids find their scores whatever their keys: hashes that are the same for unlike texts change nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ortbatch.model.ids import INTEGER, TEXT, Hash, keys_of_texts
from ortbatch.model.score_index import (
    DUPLICATE,
    USABLE,
    WITHOUT_SCORES,
    IndexWriter,
    Layout,
    ScoreIndex,
    Scores,
)


def poor(bits: int) -> Hash:
    """A hash of few values: nearly all texts share theirs with others."""
    return lambda texts: np.array([len(each.as_py()) % (1 << bits) for each in texts], np.uint64)


HASHES: dict[str, Hash] = {"good": keys_of_texts, "2 bits": poor(2), "none": poor(0)}
Column = Callable[[Sequence[str | int | None]], pa.ChunkedArray]


def texts(values: Sequence[str | int | None]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.string())])


def integers(values: Sequence[str | int | None]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.int64())])


def index_of(
    folder: Path, stored: Sequence[str | int | None], again: Sequence[str | int] = (), hashed: Hash = keys_of_texts,
    blocks: int = 2,
) -> ScoreIndex:  # fmt: skip
    """Row n has the score n; written in blocks."""
    folder.mkdir(parents=True, exist_ok=True)
    column = integers if any(isinstance(each, int) for each in stored) else texts
    kind = INTEGER if column is integers else TEXT
    writer = IndexWriter(folder, Layout(kind, len(stored), 1, "float32", own=False), column(list(again)), hashed)
    for rows in np.array_split(np.arange(len(stored)), blocks):
        scores = Scores(rows[:, None].astype(np.float32), None, np.ones(rows.size, np.bool_))
        writer.add(column([stored[row] for row in rows]), scores)
    writer.finish()
    writer.close()
    return ScoreIndex(folder, hashed)


def found(index: ScoreIndex, ids: pa.ChunkedArray) -> list[tuple[int, int] | None]:
    """State and row of each id; None of a null."""
    rows, states, null = index.find(ids)
    answers = zip(rows.tolist(), states.tolist(), null.tolist(), strict=True)
    return [None if no_id else (state, row) for row, state, no_id in answers]


def by_hand(
    stored: Sequence[str | int | None], again: Sequence[str | int], asked: Sequence[str | int | None]
) -> list[int | None]:
    """States by a dictionary."""
    there = Counter(each for each in stored if each is not None)
    twice = {each for each, count in there.items() if count > 1} | set(again)
    states = {each: DUPLICATE if each in twice else USABLE for each in {*there, *again}}
    return [None if each is None else states.get(each, WITHOUT_SCORES) for each in asked]


IDS = st.lists(st.none() | st.text("ab", max_size=4), min_size=1, max_size=30)


@pytest.mark.parametrize("name", HASHES)
@given(stored=IDS, asked=IDS, again=st.lists(st.text("ab", max_size=4), max_size=4, unique=True))
def test_states_are_those_of_a_dictionary_under_any_hash(
    tmp_path_factory: pytest.TempPathFactory, name: str, stored: list[str], asked: list[str], again: list[str]
) -> None:
    index = index_of(tmp_path_factory.mktemp("index"), stored, again, HASHES[name])
    answers = found(index, texts(asked))
    assert [answer and answer[0] for answer in answers] == by_hand(stored, again, asked)


@given(stored=st.lists(st.none() | st.integers(-3, 3), min_size=1), asked=st.lists(st.none() | st.integers(-4, 4)))
def test_states_of_integers_are_those_of_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, stored: list[int | None], asked: list[int | None]
) -> None:
    if all(each is None for each in stored):
        stored = [*stored, 0]
    answers = found(index_of(tmp_path_factory.mktemp("index"), stored), integers(asked))
    assert [answer and answer[0] for answer in answers] == by_hand(stored, (), asked)


@pytest.mark.parametrize("name", HASHES)
def test_scores_are_those_of_the_id(tmp_path: Path, name: str) -> None:
    ids = [f"{'x' * (n % 7)}{n}" for n in range(200)]
    index = index_of(tmp_path, ids, (), HASHES[name], blocks=5)
    rows, _, _ = index.find(texts(ids[::-1]))
    assert index.scores[rows][:, 0].tolist() == list(range(200))[::-1]


@pytest.mark.parametrize("extreme", [-(2**63), 2**63 - 1, 0, -1])
def test_integers_at_the_ends_are_found(tmp_path: Path, extreme: int) -> None:
    index = index_of(tmp_path, [5, extreme, 7])
    assert found(index, integers([extreme])) == [(USABLE, 1)]


def test_an_id_that_shares_its_hash_with_stored_ones_is_not_found(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["a", "b", "c"], (), poor(0))
    assert found(index, texts(["d"]))[0] == (WITHOUT_SCORES, 0)


def test_ids_of_one_hash_are_not_taken_for_duplicates(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["a", "b", "a", "c"], (), poor(0))
    states = [answer and answer[0] for answer in found(index, texts(["a", "b", "c"]))]
    assert states == [DUPLICATE, USABLE, USABLE]


def test_usable_ids_are_counted(tmp_path: Path) -> None:
    assert index_of(tmp_path, ["a", "b", "a", "c", None], ["c"]).usable == 1


def test_rows_without_scores_are_told(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path, Layout(INTEGER, 2, 1, "float64", own=False), integers([]))
    writer.add(integers([1, 2]), Scores(np.zeros((2, 1)), None, np.array([True, False])))
    assert writer.finish() == 0
    writer.close()
    assert found(ScoreIndex(tmp_path), integers([1, 2])) == [(USABLE, 0), (WITHOUT_SCORES, 1)]


def test_chunks_and_slices_are_taken_as_they_are(tmp_path: Path) -> None:
    column = pa.chunked_array([pa.array(["zz", "a", "b"])[1:], pa.array(["c", "d", "zz"])[:2]])
    writer = IndexWriter(tmp_path, Layout(TEXT, 4, 1, "float32", own=False), texts([]))
    writer.add(column, Scores(np.arange(4, dtype=np.float32)[:, None], None, np.ones(4, np.bool_)))
    writer.finish()
    writer.close()
    assert found(ScoreIndex(tmp_path), texts(["d", "a", "zz"])) == [(USABLE, 3), (USABLE, 0), (WITHOUT_SCORES, 0)]


def test_scores_and_own_labels_are_kept_to_the_bit(tmp_path: Path) -> None:
    values = np.frombuffer(np.random.default_rng(0).bytes(40), np.float32).reshape(5, 2)
    own: NDArray[np.int64] = np.array([0, 1, -1, 1, 0])
    writer = IndexWriter(tmp_path, Layout(INTEGER, 5, 2, "float32", own=True), integers([]))
    writer.add(integers(range(5)), Scores(values, own, np.ones(5, np.bool_)))
    writer.finish()
    writer.close()
    index = ScoreIndex(tmp_path)
    assert index.own is not None
    assert (index.scores.tobytes(), index.own.tolist()) == (values.tobytes(), own.tolist())


def test_unlike_texts_hardly_share_a_key() -> None:
    values = [f"{'x' * (n % 20)}{n}\0" for n in range(100_000)]
    values += [f"{each}\0" for each in values]
    assert np.unique(keys_of_texts(pa.array(values, pa.large_string()))).size == len(values)


@given(st.lists(st.text(max_size=40), min_size=1), st.integers(0, 5))
def test_a_key_is_that_of_the_text_wherever_it_lies(values: list[str], before: int) -> None:
    array = pa.array(["ü" * before] * before + values, pa.large_string())[before:]
    alone = [keys_of_texts(pa.array([each], pa.large_string()))[0] for each in values]
    assert keys_of_texts(array).tolist() == alone
