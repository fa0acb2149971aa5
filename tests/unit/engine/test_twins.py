"""Rows of equal inputs against plain loops over dictionaries: counts, and the first few of each kind."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.engine.twins import Places, SortedRows, leakage_of, leaked_rows
from ortbatch.metrics.leakage import EXAMPLES, Leakage, Twins
from ortbatch.metrics.matches import Matches

Row = tuple[int, int]  # inputs, label

STARTS = np.array([0, 7, 7, 19], np.int64)
THERE = np.array([0, 5], np.int64)


@dataclass(frozen=True)
class Data:
    """Rows of inputs (0, 1, ...) and labels (-1: none), each at the place of its index."""

    own: list[Row]
    training: list[Row]

    def found(self, order: list[int] | None = None) -> Leakage:
        rows, matches = self.sorted(order)
        return leakage_of(rows, matches, Places(STARTS), Places(THERE), labelled=True)

    def sorted(self, order: list[int] | None = None) -> tuple[SortedRows, Matches]:
        order = list(range(len(self.own))) if order is None else order
        # The halves of a fingerprint are such that some rows share one of them.
        prints = np.array([[self.own[n][0] % 3, self.own[n][0]] for n in order], np.uint64).reshape(-1, 2)
        rows = SortedRows.of(prints, np.array(order, np.int64), np.array([self.own[n][1] for n in order], np.int32))
        numbers = {int(second): number for number, (_, second) in enumerate(rows.prints.tolist())}
        seen = [(numbers[x], label, place) for place, (x, label) in enumerate(self.training) if x in numbers]
        columns = np.array(seen, np.int64).reshape(-1, 3)
        return rows, Matches.of(len(self.training), 0, columns[:, 0], columns[:, 1], columns[:, 2])

    def by_inputs(self, rows: list[Row]) -> dict[int, list[tuple[int, int]]]:
        places: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for place, (inputs, label) in enumerate(rows):
            places[inputs].append((place, label))
        return dict(places)

    def expected(self) -> Leakage:
        here, there = self.by_inputs(self.own), self.by_inputs(self.training)
        leaked, repeated, within, across = [], [], [], []
        for place, (inputs, label) in enumerate(self.own):
            if inputs in there:
                leaked.append(twins(place, label, there[inputs][0], THERE))
            if here[inputs][0][0] != place:
                repeated.append(twins(place, label, here[inputs][0], STARTS))
            if other := [row for row in here[inputs] if label >= 0 and row[1] >= 0 and row[1] != label]:
                within.append(twins(place, label, other[0], STARTS))
            if other := [row for row in there.get(inputs, []) if label >= 0 and row[1] >= 0 and row[1] != label]:
                across.append(twins(place, label, other[0], THERE))
        first = [tuple(sorted(kind)[:EXAMPLES]) for kind in (leaked, repeated, within, across)]
        return Leakage(
            len(self.own), len(here), len(leaked), len(repeated), len(within), len(across), *first
        )  # fmt: skip


def twins(place: int, label: int, other: tuple[int, int], there: np.ndarray) -> Twins:
    def where(place: int, starts: np.ndarray) -> tuple[int, int]:
        file = max(n for n, start in enumerate(starts.tolist()) if start <= place)
        return file, place - int(starts[file])

    return Twins(*where(place, STARTS), *where(other[0], there), label, other[1])


row = st.tuples(st.integers(0, 5), st.integers(-1, 2))


@given(own=st.lists(row, min_size=1, max_size=60), training=st.lists(row, max_size=40))
def test_counts_and_examples_are_those_of_plain_loops(own: list[Row], training: list[Row]) -> None:
    data = Data(own, training)
    assert data.found() == data.expected()


@given(own=st.lists(row, min_size=1, max_size=40), training=st.lists(row, max_size=20), data=st.data())
def test_the_order_in_which_rows_come_changes_nothing(own: list[Row], training: list[Row], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(own))))
    assert Data(own, training).found(list(order)) == Data(own, training).found()


@given(own=st.lists(row, min_size=1, max_size=60), training=st.lists(row, max_size=40), parts=st.integers(1, 3))
def test_parts_of_the_inputs_merge_to_the_whole(own: list[Row], training: list[Row], parts: int) -> None:
    whole = Data(own, training).found()
    total = Leakage()
    for part in range(parts):
        chosen = [n for n, (inputs, _) in enumerate(own) if inputs % parts == part]
        rows, matches = Data(own, training).sorted(chosen)
        total = total.merge(leakage_of(rows, matches, Places(STARTS), Places(THERE), labelled=True))
    assert total == whole


def test_leaked_rows_are_marked_one_by_one() -> None:
    rows, matches = Data([(0, 0), (1, 0), (0, 1), (2, 0)], [(0, 0), (2, 1), (9, 0)]).sorted()
    assert sorted(rows.places[leaked_rows(rows, matches)].tolist()) == [0, 2, 3]
    assert matches.matching == 2


def test_without_labels_there_nothing_is_said_of_conflicts_with_them() -> None:
    rows, matches = Data([(0, 0)], [(0, -1)]).sorted()
    assert leakage_of(rows, matches, Places(STARTS), Places(THERE), labelled=False).training_conflicts is None


@pytest.mark.parametrize(("place", "row"), [(0, (0, 0)), (6, (0, 6)), (7, (2, 0)), (18, (2, 11)), (19, (3, 0))])
def test_a_file_without_rows_has_no_place(place: int, row: tuple[int, int]) -> None:
    assert Places(STARTS).row(place) == row


def test_no_rows_at_all_are_no_leak() -> None:
    assert Data([], [(0, 0)]).found() == Leakage(training_conflicts=0)
