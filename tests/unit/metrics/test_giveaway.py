"""Columns that tell the label by themselves, and columns that do not, of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ortbatch.metrics.giveaway import Rule, accuracy_of_values, area_of_order, best_rule

ROWS = 4_000
rng = np.random.default_rng(0)
BINARY = rng.integers(0, 2, ROWS)
MANY = rng.integers(0, 5, ROWS)
NOISE = rng.normal(size=ROWS)


def test_the_area_is_scikit_learn_s_also_with_ties_and_missing_values() -> None:
    values = np.round(BINARY + NOISE, 1)
    assert area_of_order(values, BINARY == 1) == pytest.approx(roc_auc_score(BINARY, values), abs=1e-12)
    missing = np.where(rng.random(ROWS) < 0.1, np.nan, values)
    assert area_of_order(missing, BINARY == 1) == pytest.approx(
        roc_auc_score(BINARY, np.where(np.isnan(missing), -1e9, missing)), abs=1e-12
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_that_rises_or_falls_with_the_label_gives_it_away(sign: int) -> None:
    rule = best_rule(sign * (BINARY * 10 + NOISE), BINARY, 2)
    assert rule is not None
    assert (rule.measure, rule.value > 0.999) == ("roc_auc", True)


@pytest.mark.parametrize("values", [MANY.astype(np.float32), MANY * 7 % 5, np.array([f"c{n}" for n in MANY], object)])
def test_a_code_of_the_label_gives_it_away_whatever_its_order(values: np.ndarray) -> None:
    assert best_rule(values, MANY, 5) == Rule("accuracy", 1.0)


def test_a_number_whose_ranges_are_the_classes_gives_the_label_away() -> None:
    rule = best_rule(MANY * 10 + rng.random(ROWS), MANY, 5)
    assert rule is not None
    assert (rule.measure, rule.value > 0.99) == ("accuracy", True)


def test_noise_gives_nothing_away() -> None:
    assert best_rule(NOISE, BINARY, 2) is None
    assert best_rule(NOISE, MANY, 5) is None


def test_an_identifier_gives_nothing_away_though_each_value_has_one_label() -> None:
    assert best_rule(np.arange(ROWS), MANY, 5) is None
    assert best_rule(np.array([f"id{n}" for n in range(ROWS)], object), BINARY, 2) is None


def test_a_good_feature_gives_nothing_away() -> None:
    assert best_rule(BINARY * 2 + NOISE, BINARY, 2) is None


def test_a_constant_is_right_as_often_as_the_majority_and_gives_nothing_away() -> None:
    rare = (rng.random(ROWS) < 0.003).astype(np.int64)
    assert accuracy_of_values(np.zeros(ROWS), rare, 2) > 0.99
    assert best_rule(np.zeros(ROWS), rare, 2) is None


def test_a_column_that_tells_a_rare_class_gives_it_away() -> None:
    rare = (rng.random(ROWS) < 0.02).astype(np.int64)
    assert best_rule(rare * 3.0 + NOISE / 10, rare, 2) is not None


def test_one_class_alone_gives_nothing_away() -> None:
    assert best_rule(NOISE, np.zeros(ROWS, np.int64), 2) is None


def test_labels_that_alternate_are_no_trap_for_the_halves() -> None:
    alternating = np.arange(ROWS) % 2
    assert accuracy_of_values(alternating.astype(np.float64), alternating, 2) == 1.0
