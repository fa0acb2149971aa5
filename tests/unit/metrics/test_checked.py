"""Names of metrics about the training data: which there are, their limits, and what a gate may ask."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from ortbatch.job import Gate
from ortbatch.metrics.checked import CHECKED, COUNTS, is_of_checks
from ortbatch.metrics.reference import MetricRef, bounds, check, has_interval, lower_is_better

DOCS = (Path(__file__).parents[3] / "docs" / "job.md").read_text()


@pytest.mark.parametrize("name", sorted(CHECKED))
def test_each_is_known_and_reads_back(name: str) -> None:
    check(MetricRef.parse(name))
    assert is_of_checks(name)
    assert str(MetricRef.parse(name)) == name


@pytest.mark.parametrize("name", sorted(CHECKED))
def test_each_is_documented(name: str) -> None:
    prefix, _, last = name.rpartition(".")
    assert name in DOCS or {f"`{prefix}.`", f"`{last}`"} <= set(re.findall(r"`[\w.]+`", DOCS))


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("leakage.share", (0, 1)), ("leakage.rows", (0, math.inf)), ("leakage.without.log_loss", (0, math.inf)),
        ("leakage.without.f1", (0, 1)), ("overfitting.accuracy_gap", (-1, 1)),
        ("overfitting.log_loss_gap", (-math.inf, math.inf)),
    ],
)  # fmt: skip
def test_the_limits_are_those_of_a_count_a_share_or_a_difference(name: str, limits: tuple[float, float]) -> None:
    assert bounds(name) == limits


def test_counts_have_no_interval_and_shares_and_gaps_have_one() -> None:
    assert {name for name in CHECKED if not has_interval(name)} == set(COUNTS)


@pytest.mark.parametrize(
    ("name", "lower"),
    [("leakage.rows", True), ("leakage.without.accuracy", False), ("leakage.without.brier", True),
     ("overfitting.f1_gap", True), ("overfitting.log_loss_gap", False)],
)  # fmt: skip
def test_a_fall_is_good_news_of_leaks_and_gaps(name: str, lower: bool) -> None:
    assert lower_is_better(name) == lower


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("leakage.shar <= 0", "unknown metric `leakage.shar`; did you mean `leakage.share`?"),
        ("leakage <= 0", "unknown metric `leakage`; known are leakage.conflicts, "),
        (
            "overfitting.accuracy <= 0",
            "unknown metric `overfitting.accuracy`; did you mean `overfitting.accuracy_gap`?",
        ),
        ("leakage.share[cat] <= 0", "`leakage.share` takes no class, number or slice, got `leakage.share[cat]`"),
        ("leakage.share@a=b <= 0", "`leakage.share` takes no class, number or slice, got `leakage.share@a=b`"),
    ],
)
def test_a_name_that_is_wrong_is_refused_with_the_nearest(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        check(Gate.parse(text).metric)
