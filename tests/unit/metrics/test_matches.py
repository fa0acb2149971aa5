"""Rows of known inputs against a Counter."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.metrics.matches import Matches
from ortbatch.metrics.value import LARGEST

row = st.tuples(st.integers(0, 3), st.integers(-1, 1), st.integers(0, 50))


def of(rows: list[tuple[int, int, int]]) -> Matches:
    columns = np.array(rows, np.int64).reshape(-1, 3)
    return Matches.of(len(rows) + 5, 2, columns[:, 0], columns[:, 1], columns[:, 2])


@given(st.lists(st.lists(row, max_size=30), min_size=1, max_size=4))
def test_rows_are_counted_by_inputs_and_label_and_the_first_place_is_kept(
    parts: list[list[tuple[int, int, int]]],
) -> None:
    rows = [row for part in parts for row in part]
    found = Matches.merged([of(part) for part in parts])
    counts = Counter((inputs, label) for inputs, label, _ in rows)
    assert list(zip(found.inputs.tolist(), found.labels.tolist(), strict=True)) == sorted(counts)
    assert found.rows.tolist() == [counts[key] for key in sorted(counts)]
    assert found.first.tolist() == [min(place for *key, place in rows if tuple(key) == k) for k in sorted(counts)]
    assert (found.matching, found.looked_at, found.unusable) == (len(rows), len(rows) + 5 * len(parts), 2 * len(parts))


def test_a_count_that_no_int64_holds_is_refused() -> None:
    one = np.array([LARGEST], np.int64)
    full = Matches(1, 0, np.array([3]), np.array([0]), one, np.array([0]))
    with pytest.raises(OverflowError, match="limit of int64"):
        full.merge(full)
