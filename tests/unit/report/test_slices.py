"""The section of slices: tests against sums done by hand, and what is said of each slice."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from itertools import permutations
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from ortbatch.metrics.curves import Curve
from ortbatch.metrics.reference import sliced
from ortbatch.metrics.slices import SliceCurve
from ortbatch.report import slices as module
from ortbatch.report.encode import plain
from ortbatch.report.slices import holm, slices_section
from tests.unit.report.made_slices import OF_WORLD, WORLD, Matrices, by, tally


def at_most(hits: int, trials: int, rest_hits: int, rest_trials: int) -> float:
    """P(X <= hits) of the hypergeometric distribution, in exact fractions."""
    right, everything = hits + rest_hits, trials + rest_trials
    ways = sum(math.comb(right, k) * math.comb(everything - right, trials - k) for k in range(hits + 1))
    return float(Fraction(ways, math.comb(everything, trials)))


def test_a_slice_that_is_worse_is_told_with_exact_p_values() -> None:
    found = slices_section(tally(WORLD, OF_WORLD), 1)
    assert [entry["name"] for entry in found] == ["country=PL", "country=DE", "country=FR"]
    assert [item["metric"] for item in found[0]["worse"]] == ["accuracy", "recall", "precision"]
    accuracy, recall, precision = found[0]["worse"]
    assert accuracy["p_value"] == pytest.approx(at_most(60, 100, 180, 200), rel=1e-9)
    assert recall["p_value"] == pytest.approx(at_most(30, 50, 90, 100), rel=1e-9)
    # Nine tests, of which this one is the smallest.
    assert accuracy["p_adjusted"] == pytest.approx(9 * accuracy["p_value"])
    assert recall["p_adjusted"] == precision["p_adjusted"] == pytest.approx(8 * recall["p_value"])
    assert (accuracy["value"], accuracy["rest"], accuracy["difference"]) == (0.6, 0.9, pytest.approx(-0.3))
    assert found[1]["worse"] == found[2]["worse"] == []


def test_many_classes_are_tested_by_accuracy_alone() -> None:
    worse = [[10, 10, 10], [10, 10, 10], [10, 10, 10]]
    good = [[99, 1, 0], [0, 99, 1], [1, 0, 99]]
    found = slices_section(tally([by("c", "a", "b")], {("a",): good, ("b",): worse}), None)
    assert [(entry["name"], [item["metric"] for item in entry["worse"]]) for entry in found] == [
        ("c=b", ["accuracy"]),
        ("c=a", []),
    ]
    assert found[0]["worse"][0]["p_adjusted"] == pytest.approx(2 * at_most(30, 90, 297, 300), rel=1e-9)


def test_a_share_of_large_counts_is_tested_by_its_z() -> None:
    found = slices_section(
        tally([by("c", "a", "b")], {("a",): [[40_000, 10_000], [0, 0]], ("b",): [[41_000, 9_000], [0, 0]]}), 1
    )
    share = (40_000 + 41_000) / 100_000
    z = (0.80 - 0.82) / math.sqrt(share * (1 - share) * (2 / 50_000))
    (said,) = found[0]["worse"]
    assert said["p_value"] == pytest.approx(NormalDist().cdf(z), rel=1e-6)


def test_both_tests_say_nearly_the_same_where_they_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    share = module._Share("accuracy", 8_750, 10_000, 26_500, 30_000)
    by_z = share.p_value()
    monkeypatch.setattr(module, "_LARGE_COUNT", math.inf)
    assert by_z != share.p_value()
    assert by_z == pytest.approx(share.p_value(), rel=0.1)


@settings(max_examples=100)
@given(st.tuples(*[st.integers(1, 40)] * 2), st.data())
def test_the_exact_test_is_the_sum_of_its_ways(trials: tuple[int, int], data: st.DataObject) -> None:
    hits, rest_hits = (data.draw(st.integers(0, most)) for most in trials)
    found = module._Share("accuracy", hits, trials[0], rest_hits, trials[1]).p_value()
    assert found == pytest.approx(at_most(hits, trials[0], rest_hits, trials[1]), rel=1e-9)


def test_holm_is_that_of_the_paper_and_of_r() -> None:
    # R 4.3: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    assert [a for _, a in holm([0.01, 0.02, 0.03, 0.04, 0.05])] == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([]) == []
    assert [a for _, a in holm([0.9, 0.8])] == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_what_stepping_down_rejects(p_values: list[float]) -> None:
    """Smallest first, each against 0.05 / the number of those that are left, until one stays."""
    rejected = set()
    for step, place in enumerate(sorted(range(len(p_values)), key=lambda n: p_values[n])):
        if p_values[place] * (len(p_values) - step) > 0.05:
            break
        rejected.add(place)
    adjusted = [a for _, a in holm(p_values)]
    assert {place for place, a in enumerate(adjusted) if a <= 0.05} == rejected


def test_holm_is_over_all_slices_of_the_report() -> None:
    one = slices_section(tally(WORLD, OF_WORLD), 1)
    whole: Matrices = {("x",): [[120, 30], [30, 120]], ("y",): [[0, 0], [0, 0]]}
    alike: Matrices = {("x",): [[60, 15], [15, 60]], ("y",): [[60, 15], [15, 60]]}
    with_whole = slices_section(tally([*WORLD, by("z", "x", "y")], OF_WORLD, whole), 1)
    with_alike = slices_section(tally([*WORLD, by("z", "x", "y")], OF_WORLD, alike), 1)
    first = [section[0]["worse"][0]["p_adjusted"] / section[0]["worse"][0]["p_value"] for section in
             (one, with_whole, with_alike)]  # fmt: skip
    # A slice of all rows has no rest to be held against.
    assert first == pytest.approx([9, 9, 15])


def test_what_chance_alone_would_show_among_so_many_is_not_called_worse() -> None:
    matrices: Matrices = {("DE",): [[45, 5], [5, 45]], ("FR",): [[45, 5], [5, 45]], ("PL",): [[41, 9], [9, 41]]}
    assert 0.05 / 9 < at_most(82, 100, 180, 200) < 0.05
    assert [entry["worse"] for entry in slices_section(tally(WORLD, matrices), 1)] == [[], [], []]


def test_all_other_values_are_shown_but_not_tested() -> None:
    bad = [[10, 40], [40, 10]]
    found = slices_section(
        tally([by("c", "a", pooled=7)], {("a",): [[45, 5], [5, 45]], ("(other)",): bad}), 1
    )  # fmt: skip
    assert [(entry["name"], entry.get("pooled"), entry["worse"]) for entry in found] == [
        ("c=a", None, []),
        ('c="(other)"', 7, []),
    ]


def test_the_rest_of_a_slice_holds_all_other_values_too() -> None:
    matrices: Matrices = {("a",): [[30, 20], [20, 30]], ("(other)",): [[180, 20], [20, 180]]}
    found = slices_section(tally([by("c", "a", pooled=7)], matrices), 1)
    worse = next(entry for entry in found if entry["name"] == "c=a")["worse"]
    assert worse[0]["rest"] == 0.9


def test_slices_without_rows_are_left_out() -> None:
    found = slices_section(tally([by("c", "a", "b", "d")], {("a",): [[1, 0], [0, 1]]}), 1)
    assert [entry["name"] for entry in found] == ["c=a"]


def test_fewer_than_fifty_rows_are_marked() -> None:
    matrices: Matrices = {("a",): [[25, 0], [0, 25]], ("b",): [[25, 0], [0, 24]]}
    found = slices_section(tally([by("c", "a", "b")], matrices), 1)
    assert [entry["small"] for entry in found] == [False, True]


@pytest.mark.parametrize("order", list(permutations("DFP")))
def test_the_order_of_values_does_not_show(order: tuple[str, ...]) -> None:
    full = {"D": "DE", "F": "FR", "P": "PL"}
    found = slices_section(tally([by("country", *(full[o] for o in order))], OF_WORLD), 1)
    expected = slices_section(tally(WORLD, OF_WORLD), 1)
    assert {entry["name"]: plain(entry) for entry in found} == {entry["name"]: plain(entry) for entry in expected}


@pytest.mark.parametrize("classes", [3, 20, 21, 300])
def test_many_classes_have_averages_and_up_to_twenty_their_own(classes: int) -> None:
    rng = np.random.default_rng(classes)
    matrix = rng.integers(0, 3, (classes, classes)) + np.eye(classes, dtype=np.int64) * 5
    matrix[0], matrix[:, 1] = 0, 0
    (entry,) = slices_section(tally([by("c", "a")], {("a",): matrix.tolist()}), None)
    true, predicted = np.nonzero(matrix)
    weight = matrix[true, predicted]
    f1 = metrics.f1_score(true, predicted, average="macro", sample_weight=weight, zero_division=0)
    assert entry["f1_macro"].value == pytest.approx(f1, abs=1e-12)
    assert entry["balanced_accuracy"].value == pytest.approx(
        np.mean([matrix[c, c] / matrix[c].sum() for c in range(1, classes)]), abs=1e-12
    )
    assert entry["f1_macro"].ci is not None
    assert len(entry.get("per_class", [])) == (classes if classes <= 20 else 0)
    shown = {name for name, item in plain(entry).items() if isinstance(item, dict) and "value" in item}
    assert shown == set(sliced(classes, of_class=False))


def test_a_binary_slice_has_the_metrics_that_are_promised() -> None:
    entry = slices_section(tally(WORLD, OF_WORLD), 1)[0]
    shown = {name for name, item in plain(entry).items() if isinstance(item, dict) and "value" in item}
    assert shown == set(sliced(2, of_class=False))
    assert entry["roc_auc"].value is None


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_areas_are_those_that_scikit_learn_gives(cells: list[tuple[int, int]]) -> None:
    negative, positive = np.array(cells).T
    one, other = Curve(negative, positive), SliceCurve(negative, positive)
    for name in ("roc_auc", "average_precision"):
        expected, found = getattr(one, name)(), getattr(other, name)()
        assert found.value == (None if expected.value is None else pytest.approx(expected.value, abs=1e-12))
        assert found.reason == expected.reason


def test_counts_beyond_all_rows_of_the_world_make_no_nan() -> None:
    huge = 10**15
    matrices: Matrices = {("a",): [[huge, 10], [0, huge]], ("b",): [[huge, huge], [0, huge]]}
    found = slices_section(tally([by("c", "a", "b")], matrices), 1)
    json.dumps(plain(found), allow_nan=False)
    assert [entry["name"] for entry in found if entry["worse"]] == ["c=b"]
