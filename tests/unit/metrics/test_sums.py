"""Fixed-point sums against exact fractions: each value is rounded once, and nothing overflows."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.metrics.sums import FixedSum

HALF_UNIT = Fraction(1, 2**41)
values = st.floats(-(2**20), 2**20) | st.floats(-(2.0**-38), 2.0**-38)


def exact(total: FixedSum) -> Fraction:
    return Fraction(total.units, 2**40)


@given(st.lists(values, min_size=1))
def test_a_sum_is_within_half_a_unit_a_value(rows: list[float]) -> None:
    error = abs(exact(FixedSum.of(np.array(rows))) - sum(map(Fraction, rows)))
    assert error <= HALF_UNIT * len(rows)


@given(values)
def test_a_value_is_rounded_to_the_nearest_unit(value: float) -> None:
    assert FixedSum.of(np.array([value])).units == round(Fraction(value) * 2**40)


def test_a_small_negative_value_is_not_rounded_twice() -> None:
    assert FixedSum.of(np.array([-(2.0**-41) - 2.0**-60])).units == -1


def test_a_mean_equals_fsum() -> None:
    losses = np.random.default_rng(0).exponential(1.0, 100_000)
    assert FixedSum.of(losses).result() == pytest.approx(math.fsum(losses) / 100_000, abs=2.0**-41)


@pytest.mark.parametrize(
    ("loss", "rows"),
    [(36.04, 300_000), (36.04365338911715, 2**22 + 1), (0.99999, 9_000_000), (-0.99999, 9_000_000), (2.0**20, 10**6)],
)
def test_a_long_batch_does_not_overflow(loss: float, rows: int) -> None:
    total = FixedSum.of(np.broadcast_to(np.float64(loss), rows))
    assert total.rows == rows
    assert abs(exact(total) - Fraction(loss) * rows) <= HALF_UNIT * rows


def test_values_of_less_precision_are_summed_as_they_are() -> None:
    narrow = np.random.default_rng(1).normal(0, 3, 1_000).astype(np.float32)
    assert FixedSum.of(narrow) == FixedSum.of(narrow.astype(np.float64))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2.0**20 + 1e-9, -(2.0**20) - 1e-9])
def test_a_value_that_cannot_be_summed_exactly_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"expected finite values of magnitude up to 2\^20, got"):
        FixedSum.of(np.array([0.0, value, 1.0]))


def test_a_mean_of_nothing_is_none() -> None:
    assert FixedSum.of(np.array([])).result() is None


def test_a_mean_is_the_nearest_float() -> None:
    rng = random.Random(0)
    for _ in range(200):
        units, rows = rng.randrange(-(2**80), 2**80), rng.randrange(1, 10**12)
        assert FixedSum(units, rows).result() == float(Fraction(units, 2**40 * rows)), (units, rows)


def test_a_million_merges_do_not_drift() -> None:
    one = FixedSum.of(np.array([0.1]))
    total = one
    for _ in range(20):
        total = total.merge(total)
    assert total == FixedSum(one.units * 2**20, 2**20)
