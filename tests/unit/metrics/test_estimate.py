"""An estimate is a finite number, or undefined with a reason."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import pytest

from ortbatch.metrics.estimate import Estimate


def test_an_undefined_value_keeps_its_reason() -> None:
    assert Estimate.undefined("no rows") == Estimate(None, None, "no rows")


def test_an_undefined_value_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="an undefined value has a reason"):
        Estimate(None)


def test_an_interval_around_an_undefined_value_is_refused() -> None:
    with pytest.raises(ValueError, match="no interval"):
        Estimate(None, (0.0, 1.0), "no rows")


def test_a_reason_beside_an_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="needs no reason"):
        Estimate(0.5, (0.4, 0.6), "too few rows")


def test_a_value_may_lack_its_interval_and_say_why() -> None:
    assert Estimate(0.5, None, "insufficient").value == 0.5


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="an estimate is finite"):
        Estimate(number)


@pytest.mark.parametrize("ci", [(math.nan, 1.0), (0.0, math.inf)])
def test_an_interval_that_is_not_finite_is_refused(ci: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="an estimate is finite"):
        Estimate(0.5, ci, method="wilson")


def test_an_interval_without_its_method_is_refused() -> None:
    with pytest.raises(ValueError, match="an interval has a method"):
        Estimate(0.5, (0.4, 0.6))


def test_a_method_without_an_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="an interval has a method"):
        Estimate(0.5, method="wilson")


def test_a_caution_without_an_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="a caution is about an interval"):
        Estimate(0.5, caution="few rows")


def test_a_bound_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="an estimate is finite"):
        Estimate(0.5, bound=(0.0, math.inf))


def test_an_estimate_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Estimate(0.5).value = 0.6  # type: ignore[misc]
