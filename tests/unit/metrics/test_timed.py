"""When a series of times is steady: told of series that were made to be, or not to be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.metrics.timed import LEAST_RUNS, is_steady

Series = list[int]


def around(level: float, runs: int, spread: float = 0.03, seed: int = 0) -> Series:
    """Normal around a level."""
    rng = np.random.default_rng(seed)
    return [int(value) for value in level * (1 + spread * rng.standard_normal(runs))]


def decaying(runs: int, steps: float) -> Series:
    """Six times the level at first, less by a factor of e each `steps` runs."""
    fading = 1 + 5 * np.exp(-np.arange(runs) / steps)
    return [int(time * factor) for time, factor in zip(around(1e5, runs), fading, strict=True)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("runs", [200, 2_000])
def test_chance_around_a_level_is_steady(runs: int, seed: int) -> None:
    assert is_steady(around(1e5, runs, seed=seed))


def test_a_run_that_was_interrupted_now_and_then_changes_nothing() -> None:
    times = around(1e5, 400)
    assert is_steady([time * 50 if place % 20 == 0 else time for place, time in enumerate(times)])


@pytest.mark.parametrize("change", [0.5, -0.5])
def test_a_drift_is_not_steady(change: float) -> None:
    drift = np.linspace(1, 1 + change, 1_000)
    assert not is_steady([int(time * by) for time, by in zip(around(1e5, 1_000), drift, strict=True)])


@pytest.mark.parametrize("place", [0.6, 0.7, 0.85])
@pytest.mark.parametrize("other", [0.7, 1.3])
def test_a_step_to_another_level_in_the_second_half_is_not_steady(place: float, other: float) -> None:
    before = int(400 * place)
    assert not is_steady(around(1e5, before) + around(other * 1e5, 400 - before, seed=1))


def test_a_step_that_is_long_past_is_forgotten() -> None:
    assert is_steady(around(3e5, 200) + around(1e5, 200, seed=1))


def test_two_levels_that_take_turns_are_steady() -> None:
    low, high = around(1e5, 400), around(2e5, 400, seed=1)
    assert is_steady([time for pair in zip(low, high, strict=True) for time in pair])


def test_a_slow_start_is_not_steady_until_it_is_over() -> None:
    assert not is_steady(decaying(100, steps=50))
    assert is_steady(decaying(1_000, steps=50))


@pytest.mark.parametrize("runs", [0, 1, LEAST_RUNS - 1])
def test_few_runs_are_never_steady(runs: int) -> None:
    assert not is_steady([1_000] * runs)


def test_a_clock_that_does_not_tick_is_steady() -> None:
    assert is_steady([0] * LEAST_RUNS)


@given(st.lists(st.integers(1, 10**6), min_size=LEAST_RUNS, max_size=200), st.integers(1, 10**6))
def test_the_first_half_does_not_matter(times: Series, other: int) -> None:
    half = len(times) // 2
    assert is_steady(times) == is_steady([other] * half + times[half:])


@given(st.lists(st.integers(1, 10**6), min_size=LEAST_RUNS, max_size=200), st.integers(0, 20))
def test_the_unit_does_not_matter(times: Series, doublings: int) -> None:
    assert is_steady(times) == is_steady([time << doublings for time in times])
