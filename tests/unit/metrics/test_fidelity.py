"""What two models made of the same rows, against plain loops over these rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.metrics.fidelity import OUTCOMES, BaselineCounts, Baselines, Fidelity, SeenTwice
from ortbatch.metrics.gaps import BANDS, TOLERANCES
from ortbatch.metrics.kept import KEPT, KeptRow, KeptRows, bits_of, value_of
from ortbatch.metrics.latency import LatencyHistogram

CLASSES, SLICES = 4, 5


def seen_twice(rows: int, seed: int, classes: int = CLASSES) -> SeenTwice:
    """Rows of two files; a third of them with equal probabilities, many with equal differences."""
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(classes), rows)
    moved = scores + rng.integers(0, 3, (rows, 1)) * rng.choice([1e-8, 1e-5, 0.125, 0.25], (rows, 1)) * np.eye(classes)[
        rng.integers(0, classes, rows)
    ]  # fmt: skip
    return SeenTwice(
        rng.integers(0, classes, rows),
        scores.argmax(axis=1),
        moved.argmax(axis=1),
        rng.integers(0, 2, rows),
        rng.permutation(rows),
        (scores, moved),
        np.column_stack([rng.integers(0, 3, rows), rng.integers(3, SLICES, rows)]),
    )


def of(seen: SeenTwice, **unusable: int) -> Fidelity:
    return Fidelity.of(CLASSES, SLICES, seen, unusable)


def rows_of(seen: SeenTwice) -> list[dict[str, Any]]:
    """One mapping a row, in the order in which a report would name rows that differ."""
    assert seen.scores is not None
    found = []
    for at in range(len(seen.labels)):
        gaps = [abs(a - b) for a, b in zip(seen.scores[0][at].tolist(), seen.scores[1][at].tolist(), strict=True)]
        row = {name: int(getattr(seen, name)[at]) for name in ("labels", "predicted", "baseline", "file", "row")}
        found.append({**row, "gap": max(gaps), "differing": gaps.index(max(gaps)), "at": at})
    return sorted(found, key=lambda row: (-row["gap"], row["file"], row["row"]))


def named(kept: KeptRows) -> list[tuple[int, int]]:
    return [(row.file, row.row) for row in kept.rows()]


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_in_the_joint_table_at_its_three_classes(seed: int) -> None:
    seen = seen_twice(500, seed)
    counted: Counter[tuple[int, ...]] = Counter()
    for row in rows_of(seen):
        counted[row["labels"], row["predicted"], row["baseline"]] += 1
    *places, counts = (column.tolist() for column in of(seen).cells())
    assert dict(zip(zip(*places, strict=True), counts, strict=True)) == counted


@pytest.mark.parametrize("seed", range(3))
def test_the_worst_rows_are_the_first_of_all_rows_in_order_of_difference_file_and_row(seed: int) -> None:
    seen = seen_twice(500, seed)
    differing = [row for row in rows_of(seen) if row["gap"] > 0]
    assert named(of(seen).worst) == [(row["file"], row["row"]) for row in differing[:KEPT]]


@pytest.mark.parametrize("seed", range(3))
def test_rows_that_flip_are_kept_in_the_same_order(seed: int) -> None:
    seen = seen_twice(500, seed)
    flipping = [row for row in rows_of(seen) if row["predicted"] != row["baseline"]]
    assert len(flipping) > KEPT
    assert named(of(seen).flips) == [(row["file"], row["row"]) for row in flipping[:KEPT]]


def test_a_kept_row_is_told_with_what_both_models_said_of_it() -> None:
    seen = seen_twice(300, 7)
    assert seen.scores is not None
    first, kept = rows_of(seen)[0], of(seen).worst.rows()[0]
    scores = tuple(float(side[first["at"], first["differing"]]) for side in seen.scores)
    wanted = [first[name] for name in ("file", "row", "labels", "predicted", "baseline", "differing")]
    assert kept == KeptRow(first["gap"], *wanted, scores)


def test_rows_without_any_difference_are_no_worst_rows() -> None:
    seen = seen_twice(100, 0)
    assert seen.scores is not None
    same = replace(seen, baseline=seen.predicted, scores=(seen.scores[0], seen.scores[0]))
    assert named(of(same).worst) == named(of(same).flips) == []


def test_rows_alike_in_everything_are_cut_off_at_the_limit() -> None:
    table = np.tile(np.arange(1, 10), (1_000, 1))
    assert len(KeptRows.of(table).rows()) == KEPT


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 40)), max_size=80), st.integers(0, 80))
def test_the_first_rows_of_two_parts_are_those_of_the_whole(rows: list[tuple[int, int, int]], cut: int) -> None:
    table = np.array([(*row, *[0] * 6) for row in rows], np.int64).reshape(-1, 9)
    merged = KeptRows.of(table[cut:]).merge(KeptRows.of(table[:cut]))
    wanted = sorted(rows, key=lambda row: (-row[0], *row[1:]))[:KEPT]
    assert [tuple(line[:3]) for line in merged.table.tolist()] == wanted


def outcome_of(row: dict[str, Any]) -> int:
    right, baseline_right = row["predicted"] == row["labels"], row["baseline"] == row["labels"]
    if right:
        return 0 if baseline_right else 1
    if baseline_right:
        return 2
    return 3 if row["predicted"] == row["baseline"] else 4


def band_of(gap: float) -> int:
    return sum(gap > tolerance for tolerance in TOLERANCES)


@pytest.mark.parametrize("seed", range(3))
def test_slices_hold_outcomes_and_tolerances_of_their_rows(seed: int) -> None:
    seen = seen_twice(400, seed)
    outcomes, bands = np.zeros((SLICES, OUTCOMES), np.int64), np.zeros((SLICES, BANDS), np.int64)
    assert seen.slices is not None
    for row in rows_of(seen):
        for place in seen.slices[row["at"]].tolist():
            outcomes[place, outcome_of(row)] += 1
            bands[place, band_of(row["gap"])] += 1
    value = of(seen)
    assert np.array_equal(value.slices.dense(), outcomes)
    assert np.array_equal(value.slice_bands.dense(), bands)


def test_tolerances_are_counted_by_the_class_that_differs_most() -> None:
    seen = seen_twice(400, 1)
    bands = np.zeros((CLASSES, BANDS), np.int64)
    for row in rows_of(seen):
        bands[row["differing"], band_of(row["gap"])] += 1
    assert np.array_equal(of(seen).gaps.bands.dense(), bands)


@pytest.mark.parametrize("tolerance", TOLERANCES)
def test_a_difference_of_just_a_tolerance_is_not_above_it(tolerance: float) -> None:
    zeros = np.zeros((2, CLASSES))
    above = zeros.copy()
    above[:, 1] = tolerance, np.nextafter(tolerance, 1)
    labels = np.zeros(2, np.int64)
    gaps = Fidelity.of(CLASSES, 0, SeenTwice(labels, labels, labels, labels, labels, (zeros, above)), {}).gaps
    place = TOLERANCES.index(tolerance)
    assert gaps.above()[1].tolist() == [2] * place + [1] + [0] * (len(TOLERANCES) - place - 1)


def labels_only(rows: int) -> SeenTwice:
    return replace(seen_twice(rows, 3), scores=None, slices=None)


def test_labels_alone_are_compared_without_scores() -> None:
    value = Fidelity.of(CLASSES, 0, labels_only(200), {})
    assert (value.rows, value.gaps.rows, value.worst.rows()) == (200, 0, [])
    flips = value.flips.rows()
    assert [(row.gap, row.scores) for row in flips] == [(None, None)] * KEPT
    assert named(value.flips) == sorted(named(value.flips))


def test_a_binary_task_has_one_column_of_scores() -> None:
    label = np.zeros(2, np.int64)
    scores = np.array([[0.25], [0.5]]), np.array([[0.75], [0.5]])
    value = Fidelity.of(2, 0, SeenTwice(label, label, np.array([1, 0]), label, np.arange(2), scores), {})
    assert [(row.gap, row.scores) for row in value.worst.rows()] == [(0.5, (0.25, 0.75))]


def test_rows_that_the_baseline_could_not_do_are_counted_by_reason_and_nowhere_else() -> None:
    value = of(seen_twice(10, 0), timeout=3, nothing=0).merge(of(seen_twice(5, 1), nan_score=1, timeout=2))
    assert (value.rows, value.unusable) == (15, {"timeout": 5, "nan_score": 1})


def test_ten_thousand_classes_take_memory_of_the_rows() -> None:
    rows = np.arange(1_000)
    value = Fidelity.of(10_000, 0, SeenTwice(rows, rows, (rows + 1) % 10_000, rows, rows), {})
    assert value.joint.counts.nbytes == rows.nbytes
    assert value.cells()[2].tolist() == ((rows + 1) % 10_000).tolist()


ONE = np.zeros(1, np.int64)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": ONE + 4}, r"labels index outside \[0, 4\): 4 to 4"),
        ({"predicted": ONE - 1}, r"predicted index outside \[0, 4\): -1 to -1"),
        ({"baseline": ONE + 9}, r"baseline index outside \[0, 4\): 9 to 9"),
        ({"slices": np.full((1, 1), 5)}, r"cell index outside \[0, 25\)"),
        ({"scores": (np.full((1, 4), np.nan), np.zeros((1, 4)))}, "expected finite values"),
        ({"scores": (np.full((1, 4), np.inf), np.zeros((1, 4)))}, "expected finite values"),
        ({"scores": (np.zeros((1, 3)), np.zeros((1, 3)))}, "expected scores of 4 columns for 4 classes, got 3"),
    ],
)
def test_what_lies_outside_is_refused(changes: dict[str, Any], said: str) -> None:
    seen = replace(SeenTwice(ONE, ONE, ONE, ONE, ONE), **changes)
    with pytest.raises(ValueError, match=said), np.errstate(invalid="ignore"):
        of(seen)


def test_two_columns_for_two_classes_are_refused() -> None:
    scores = np.full((1, 2), 0.5), np.full((1, 2), 0.5)
    with pytest.raises(ValueError, match="expected scores of 1 columns for 2 classes, got 2"):
        Fidelity.of(2, 0, SeenTwice(ONE, ONE, ONE, ONE, ONE, scores), {})


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 rows in every column, got"):
        SeenTwice(ONE, ONE, np.zeros(2, np.int64), ONE, ONE)


def test_scores_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got \(1, 4\) of the model and \(1, 1\) of the baseline"):
        SeenTwice(ONE, ONE, ONE, ONE, ONE, (np.zeros((1, 4)), np.zeros((1, 1))))


def test_a_negative_number_of_unusable_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="counts are not negative"):
        of(seen_twice(1, 0), timeout=-1)


def test_baselines_have_one_value_a_name() -> None:
    counts = BaselineCounts(Fidelity.empty(2), LatencyHistogram.empty())
    with pytest.raises(ValueError, match="expected one value a name, got 1 for torch, int8"):
        Baselines(("torch", "int8"), (counts,))


@given(st.floats(0, allow_nan=False, allow_infinity=False), st.floats(0, allow_nan=False, allow_infinity=False))
def test_bits_stand_in_the_order_of_the_values(one: float, other: float) -> None:
    bits = bits_of(np.array([one, other]))
    assert (bits[0] < bits[1], bits[0] == bits[1]) == (one < other, one == other)
    assert [value_of(each) for each in bits.tolist()] == [one, other]


def test_zero_has_the_same_bits_whatever_its_sign() -> None:
    assert bits_of(np.array([-0.0])).tolist() == [0]
