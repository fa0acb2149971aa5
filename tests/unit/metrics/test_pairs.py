"""Pairs of rows against a plain loop."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.errors import MergeError
from ortbatch.metrics.pairs import NOWHERE, PairedRows

CLASSES = ("a", "b", "c")
CODE = st.integers(NOWHERE, 2)
ROW = st.tuples(CODE, st.booleans(), st.booleans(), CODE, CODE)


def columns(rows: list[tuple[int, bool, bool, int, int]]) -> PairedRows:
    label = np.array([row[0] for row in rows], np.int64)
    evaluated = [np.where(np.array([row[side] for row in rows], bool), label, NOWHERE) for side in (1, 2)]
    predicted = [np.array([row[side] for row in rows], np.int64) for side in (3, 4)]
    return PairedRows.of(CLASSES, (evaluated[0], evaluated[1]), (predicted[0], predicted[1]))


@given(st.lists(ROW, max_size=30))
def test_every_count_is_that_of_a_loop(rows: list[tuple[int, bool, bool, int, int]]) -> None:
    found, wanted, alone = columns(rows), Counter[tuple[int, bool, bool]](), Counter[tuple[bool, bool]]()
    for label, in_old, in_new, old, new in rows:
        known = label != NOWHERE
        alone[(in_old and known, in_new and known)] += 1
        if known and in_old and in_new:
            wanted[label, old == label, new == label] += 1
    for place, name in enumerate(CLASSES):
        joint = found.of_class(name)
        counts = (joint.both, joint.only_old, joint.only_new, joint.neither)
        assert counts == tuple(
            wanted[place, old, new] for old, new in ((True, True), (True, False), (False, True), (False, False))
        )
    assert (found.only_old, found.only_new) == (alone[True, False], alone[False, True])
    both = [(old, new) for *_, old, new in rows if NOWHERE not in (old, new)]
    assert (found.predicted, found.flipped) == (len(both), sum(old != new for old, new in both))


@given(st.lists(ROW, max_size=20), st.lists(ROW, max_size=20))
def test_pieces_merge_to_the_whole(
    one: list[tuple[int, bool, bool, int, int]], other: list[tuple[int, bool, bool, int, int]]
) -> None:
    whole, merged = columns(one + other), PairedRows.empty(CLASSES).merge(columns(one)).merge(columns(other))
    assert whole.counts.tolist() == merged.counts.tolist()
    for name in ("predicted", "flipped", "only_old", "only_new"):
        assert getattr(whole, name) == getattr(merged, name)


def test_other_classes_do_not_merge() -> None:
    with pytest.raises(MergeError, match="cannot merge: classes differ"):
        PairedRows.empty(("a", "b")).merge(PairedRows.empty(("a", "c")))
