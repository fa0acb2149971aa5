"""Metrics of two models on the same rows: scikit-learn gives the values, a bootstrap of the rows the errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from ortbatch.metrics.fidelity import Fidelity, SeenTwice
from ortbatch.metrics.paired import Paired, Twins

Ints = NDArray[np.int64]
Rows = tuple[Ints, Ints, Ints]


def rows_of(rows: int, classes: int, seed: int, *, apart: float = 0.1) -> Rows:
    """True class, and two predictions that are right in about 0.8 and mostly alike; classes of unlike sizes."""
    rng = np.random.default_rng(seed)
    sizes = 1.0 / np.arange(1, classes + 1)
    true = rng.choice(classes, rows, p=sizes / sizes.sum())
    model = np.where(rng.random(rows) < 0.8, true, rng.integers(0, classes, rows))
    baseline = np.where(rng.random(rows) < 1 - apart, model, rng.integers(0, classes, rows))
    return true, model, baseline


def twins(rows: Rows, classes: int) -> Twins:
    nowhere = np.zeros(len(rows[0]), np.int64)
    return Twins(classes, *Fidelity.of(classes, 0, SeenTwice(*rows, nowhere, nowhere), {}).cells())


def of_class(twin: Twins, place: int) -> Paired:
    found = twin.f1_of_classes()[place]
    assert found is not None
    return found


def scores(true: Ints, predicted: Ints) -> dict[str, float]:
    return {
        "f1_macro": metrics.f1_score(true, predicted, average="macro", zero_division=0),
        "balanced_accuracy": metrics.balanced_accuracy_score(true, predicted),
        "f1": metrics.f1_score(true, predicted, labels=[1], average="macro", zero_division=0),
    }


def plain(true: Ints, predicted: Ints, classes: int) -> dict[str, float]:
    """The same as `scores`, a hundred times as fast: scikit-learn is too slow for a bootstrap."""
    counts = np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)
    f1 = 2 * counts.diagonal() / (counts.sum(axis=0) + counts.sum(axis=1))
    recall = counts.diagonal() / counts.sum(axis=1)
    return {"f1_macro": f1.mean(), "balanced_accuracy": recall.mean(), "f1": f1[1]}


def found(rows: Rows, classes: int) -> dict[str, Paired]:
    twin = twins(rows, classes)
    return {"f1_macro": twin.f1_macro(), "balanced_accuracy": twin.balanced_accuracy(), "f1": of_class(twin, 1)}


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("seed", range(3))
def test_values_of_both_are_those_of_scikit_learn(classes: int, seed: int) -> None:
    rows = rows_of(700, classes, seed)
    model, baseline = scores(rows[0], rows[1]), scores(rows[0], rows[2])
    for name, paired in found(rows, classes).items():
        assert (paired.model, paired.baseline) == pytest.approx((model[name], baseline[name]), abs=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
def test_standard_errors_are_those_of_a_bootstrap_of_the_rows(classes: int) -> None:
    rows, rng = rows_of(4_000, classes, 5), np.random.default_rng(0)
    drawn: dict[str, list[float]] = {}
    for _ in range(400):
        chosen = rng.integers(0, len(rows[0]), len(rows[0]))
        true, model, baseline = (column[chosen] for column in rows)
        one, other = plain(true, model, classes), plain(true, baseline, classes)
        for name in one:
            drawn.setdefault(name, []).append(one[name] - other[name])
    for name, paired in found(rows, classes).items():
        assert paired.error == pytest.approx(float(np.std(drawn[name])), rel=0.15)


@pytest.mark.parametrize(("rows", "apart"), [(300, 0.02), (1_000, 0.1)])
def test_intervals_hold_the_true_difference_about_as_often_as_they_say(rows: int, apart: float) -> None:
    """The truth is what a million rows of the same kind show."""
    truth = found(rows_of(1_000_000, 3, 99, apart=apart), 3)
    held = dict.fromkeys(truth, 0)
    for seed in range(300):
        for name, paired in found(rows_of(rows, 3, 1_000 + seed, apart=apart), 3).items():
            low, high = paired.interval()
            held[name] += low <= truth[name].difference <= high
    assert all(0.91 <= count / 300 <= 1 for count in held.values()), held


def test_models_that_agree_everywhere_are_not_held_for_equal_beyond_their_rows() -> None:
    true, model, _ = rows_of(200, 3, 0)
    for paired in found((true, model, model), 3).values():
        low, high = paired.interval()
        assert paired.difference == 0
        assert low < 0 < high
        assert high - low < 0.2


def test_the_pair_is_known_better_than_two_samples_would_be() -> None:
    rows = rows_of(2_000, 3, 1, apart=0.02)
    alone = twins((rows[0], rows[1], np.zeros_like(rows[0])), 3).f1_macro()
    assert twins(rows, 3).f1_macro().error < alone.error / 3


def test_rows_of_the_joint_table_are_those_of_a_loop() -> None:
    true, model, baseline = rows_of(500, 4, 3)
    wanted = np.zeros((4, 4), np.int64)
    for label, one, other in zip(true.tolist(), model.tolist(), baseline.tolist(), strict=True):
        wanted[label, 2 * (other != label) + (one != label)] += 1
    assert np.array_equal(twins((true, model, baseline), 4).joint_by_class(), wanted)
    joint = twins((true, model, baseline), 4).joint()
    assert [joint.both, joint.only_old, joint.only_new, joint.neither] == wanted.sum(axis=0).tolist()


def test_a_class_that_one_of_both_never_meets_has_no_f1() -> None:
    true = np.array([0, 0, 1, 1])
    assert [item is None for item in twins((true, true, np.array([0, 0, 1, 2])), 4).f1_of_classes()] == [
        False, False, True, True,
    ]  # fmt: skip


def test_an_interval_ends_where_differences_end() -> None:
    assert Paired(1.0, 0.0, 5.0).interval() == (-1.0, 1.0)


def test_another_level_has_another_width() -> None:
    paired = Paired(0.5, 0.25, 0.01)
    assert [math.isclose(end, 0.25 + sign * 2.5758293 * 0.01, rel_tol=1e-6) for end, sign in zip(
        paired.interval(0.99), (-1, 1), strict=True
    )] == [True, True]  # fmt: skip
