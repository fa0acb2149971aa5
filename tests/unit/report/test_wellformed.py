"""What is found good by hand is what the schema allows, and nothing else is left out of its check."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.tally import Tally
from ortbatch.report.schema import REPORT_SCHEMA, problems_of
from ortbatch.report.wellformed import without_wellformed
from tests.unit.report.made import binary, label_tally, multiclass, names, report

SETTINGS = settings(max_examples=300, deadline=None, derandomize=True, database=None)
ESTIMATES = ["precision", "recall", "f1", "specificity", "roc_auc", "average_precision"]
VALIDATOR = Draft202012Validator(REPORT_SCHEMA)
BINARY, SPARSE = binary(), report(label_tally(np.eye(101, dtype=int)))

anything = st.sampled_from(
    [None, True, 0, -1, 3, 0.5, 1.5, "text", "", [], {}, [0, 1], [0.1, 0.2], [0, 1, 2], [0, "1"]]
)
parts = st.fixed_dictionaries(
    {}, optional={"value": anything, "ci": anything, "reason": anything, "bound": anything, "more": anything}
)
fitting = st.builds(
    lambda value, ci, reason, bound: {"value": value, "ci": ci, **reason, **bound},
    st.sampled_from([None, 0, 0.5]),
    st.sampled_from([None, [0, 1], [0.25, 0.75]]),
    st.sampled_from([{}, {"reason": "few"}]),
    st.sampled_from([{}, {"bound": [0.1, 0.9]}]),
)


def row_of(changed: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = changed["quality"]["per_class"][1]
    return row


def found_good(changed: dict[str, Any]) -> bool:
    return without_wellformed(changed, ESTIMATES)["quality"]["per_class"] == []  # type: ignore[index]


@SETTINGS
@given(st.sampled_from([*ESTIMATES, "class", "support", "predicted", "more"]), anything | parts | fitting)
def test_a_row_that_is_found_good_is_one_that_the_schema_allows(key: str, item: Any) -> None:
    changed = copy.deepcopy(BINARY)
    row_of(changed)[key] = item
    allowed = not list(VALIDATOR.iter_errors(changed))
    assert allowed or not found_good(changed)


@SETTINGS
@given(st.sampled_from(ESTIMATES), fitting)
def test_an_estimate_that_the_schema_allows_is_found_good(key: str, item: Any) -> None:
    changed = copy.deepcopy(BINARY)
    row_of(changed)[key] = item
    assert found_good(changed) == (not list(VALIDATOR.iter_errors(changed)))


@pytest.mark.parametrize("key", ["class", "support", *ESTIMATES])
def test_a_row_without_a_key_is_left_to_the_schema(key: str) -> None:
    changed = copy.deepcopy(BINARY)
    del row_of(changed)[key]
    assert not found_good(changed)
    assert problems_of(changed) == [f"quality.per_class.1: '{key}' is a required property"]


@SETTINGS
@given(anything)
def test_a_cell_that_is_found_good_is_one_that_the_schema_allows(cell: Any) -> None:
    changed = {**SPARSE, "confusion_matrix": {**SPARSE["confusion_matrix"], "cells": [[0, 0, 1], cell]}}
    left = without_wellformed(changed, ESTIMATES)
    allowed = not list(VALIDATOR.iter_errors(changed))
    assert (left["confusion_matrix"]["cells"] == []) == allowed  # type: ignore[index]


@pytest.mark.parametrize("made", [BINARY, multiclass(), SPARSE], ids=["binary", "multiclass", "sparse"])
def test_what_a_run_reports_is_found_good_and_not_changed(made: dict[str, Any]) -> None:
    before = copy.deepcopy(made)
    assert found_good(made)
    assert made == before


@pytest.mark.parametrize("other", [None, [], "report", {}, {"quality": 1}, {"quality": {"per_class": 3}}])
def test_what_is_no_report_is_handed_back(other: object) -> None:
    assert without_wellformed(other, ESTIMATES) == other


def test_a_report_of_ten_thousand_classes_is_checked_in_a_second() -> None:
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 10_000, (2, 5_000))
    matrix = ConfusionMatrix.of(names(10_000), true, predicted)
    made = report(
        replace(Tally.empty(matrix.classes, ()), coverage=Coverage(planned=5_000, evaluated=5_000), confusion=matrix)
    )
    start = time.process_time()
    assert problems_of(made) == []
    assert time.process_time() - start < 1
