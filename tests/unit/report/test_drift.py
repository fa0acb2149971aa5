"""Drift against scipy and against the definition, row by row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon

from ortbatch.report.drift import drift, jensen_shannon, scores_of, stability_index, tenths
from tests.unit.report.made import CATS, binary, label_tally, multiclass, report, score_tally

COUNTS = st.lists(st.integers(0, 1_000), min_size=2, max_size=12)


def array(counts: list[int]) -> NDArray[np.int64]:
    return np.array(counts, np.int64)


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)), min_size=2, max_size=12))
def test_the_distance_is_scipys(pairs: list[tuple[int, int]]) -> None:
    one, other = (array([pair[side] for pair in pairs]) for side in (0, 1))
    if not one.sum() or not other.sum():
        assert jensen_shannon(one, other) is None
        return
    wanted = jensenshannon(one, other, base=2)
    # scipy's own is nan where rounding makes the divergence negative.
    assert jensen_shannon(one, other) == pytest.approx(0 if math.isnan(wanted) else wanted, abs=1e-7)


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)), min_size=2, max_size=12))
def test_the_index_is_its_definition_with_half_a_row_in_each_bin(pairs: list[tuple[int, int]]) -> None:
    old, new = (sum(pair[side] + 0.5 for pair in pairs) for side in (0, 1))
    wanted = sum(((n + 0.5) / new - (o + 0.5) / old) * math.log((n + 0.5) / new / ((o + 0.5) / old)) for o, n in pairs)
    found = stability_index(*(array([pair[side] for pair in pairs]) for side in (0, 1)))
    if not any(o for o, _ in pairs) or not any(n for _, n in pairs):
        assert found is None
    else:
        assert found == pytest.approx(wanted, abs=1e-12)


@given(COUNTS)
def test_nothing_is_0_away_from_itself(counts: list[int]) -> None:
    if sum(counts):
        assert stability_index(array(counts), array(counts)) == 0
        assert jensen_shannon(array(counts), array(counts)) == 0


@given(st.lists(st.integers(0, 40), min_size=1, max_size=200), st.lists(st.integers(0, 40), min_size=1, max_size=200))
def test_tenths_are_those_of_each_row_by_its_own_rank(old: list[int], new: list[int]) -> None:
    """A plain loop: the tenth of a score is where its middle row stands among the older rows."""
    sides = [dict(zip(("cell", "rows"), np.unique(side, return_counts=True), strict=True)) for side in (old, new)]
    found = tenths(*sides)
    for side, counts in zip((old, new), found, strict=True):
        wanted = [0] * 10
        for score in side:
            below, equal = sum(s < score for s in old), old.count(score)
            wanted[min(9, int((below + equal / 2) / len(old) * 10))] += 1
        assert counts.tolist() == wanted


def test_tenths_of_scores_that_hardly_tie_hold_a_tenth_each() -> None:
    old = {"cell": np.arange(1_000), "rows": np.ones(1_000, np.int64)}
    assert tenths(old, old)[0].tolist() == [100] * 10


def test_scores_that_leave_the_one_that_all_had_are_seen() -> None:
    old, new = ({"cell": np.array([cell]), "rows": np.array([500])} for cell in (7, 3))
    assert jensen_shannon(*tenths(old, new)) == 1.0


def test_the_scores_of_a_report_are_all_its_rows() -> None:
    found = scores_of(binary())
    assert list(found) == ["dog"]
    assert found["dog"]["rows"].sum() == 200
    assert scores_of(multiclass()) == {}


def shifted(by: float, rows: int = 4_000, seed: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 2, rows)
    return report(score_tally(true, rng.normal(true * 2 - 1) + by, CATS, 1), positive=1)


def test_a_report_does_not_drift_from_one_of_the_same_world_and_does_from_another() -> None:
    same, moved = (drift(shifted(0), other)["scores"] for other in (shifted(0, seed=2), shifted(1.0, seed=2)))
    # About 2 · 9 / 4,000 where nothing changed.
    assert same["psi"] < 0.02
    assert moved["psi"] > 0.2
    assert same["js"] < 0.1 < moved["js"]
    assert moved["class"] == "dog"


def test_the_index_of_scores_is_near_that_of_the_raw_scores() -> None:
    rng = np.random.default_rng(0)
    old, new = rng.normal(0, 1, 5_000), rng.normal(0.3, 1, 5_000)
    reports = [report(score_tally((s > 9).astype(np.int64), s, CATS, 1), positive=1) for s in (old, new)]
    edges = np.quantile(old, np.arange(1, 10) / 10)
    counts = [np.bincount(np.searchsorted(edges, s), minlength=10) for s in (old, new)]
    assert drift(*reports)["scores"]["psi"] == pytest.approx(stability_index(*counts), rel=0.02)


def test_the_class_balance_is_over_the_classes_of_both() -> None:
    one = report(label_tally([[60, 0], [0, 40]], ("cat", "dog")))
    other = report(label_tally([[60, 0], [0, 40]], ("cat", "cow")))
    found = drift(one, other)["class_balance"]
    assert found["js"] == pytest.approx(jensenshannon([60, 40, 0], [60, 0, 40], base=2))


def test_without_scores_or_rows_there_is_a_reason() -> None:
    assert drift(multiclass(), multiclass())["scores"]["reason"] == "the older and the newer run keeps no scores"
    assert drift(binary(), multiclass())["scores"]["reason"] == "the newer run keeps no scores"
    empty = report(label_tally([[0, 0], [0, 0]]))
    assert drift(empty, multiclass())["class_balance"]["reason"] == "one of the two has no rows"
