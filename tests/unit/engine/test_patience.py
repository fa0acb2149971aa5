"""How long a run waits without a worker, and what it says meanwhile."""

from __future__ import annotations

import re

import pytest

from ortbatch.engine.layout import Need
from ortbatch.engine.patience import STARTING_SECONDS, Patience, Supply, asks, longest_wait
from ortbatch.errors import ClusterError

NEED, CROWDED, EMPTY = Need(8, 0, 0), Supply(cpus=12, free=12), Supply(cpus=0, free=0)

WAITS = {
    "nodes of too few CPUs": ("auto", CROWDED, 30.0),
    "a head without CPUs, alone": ("auto", EMPTY, 600.0),
    "an autoscaler": ("auto", Supply(12, 0, scales=True), 600.0),
    "the job's own": (7.5, EMPTY, 7.5),
    "the job's own, with an autoscaler": (7.5, Supply(12, 0, scales=True), 7.5),
}


@pytest.mark.parametrize(("asked", "supply", "seconds"), WAITS.values(), ids=WAITS)
def test_the_longest_wait(asked: float, supply: Supply, seconds: float) -> None:
    assert longest_wait(asked, supply) == seconds


@pytest.mark.parametrize(("asked", "supply", "seconds"), WAITS.values(), ids=WAITS)
def test_it_ends_then_and_not_before(asked: float, supply: Supply, seconds: float) -> None:
    patience = Patience(asked, now=100.0)
    patience.check(100.0 + seconds - 0.1, NEED, supply)
    with pytest.raises(ClusterError, match=rf"no worker could start in {seconds:.0f} s"):
        patience.check(100.0 + seconds, NEED, supply)


def test_the_error_says_what_was_asked_and_what_there_is() -> None:
    said = (
        "no worker could start in 31 s: each asks for 8 CPUs; the cluster has 12, 12 of them free. Lower "
        "`execution.cpus_per_worker`, or wait for a free node."
    )
    with pytest.raises(ClusterError, match=f"^{re.escape(said)}$"):
        Patience("auto", 0.0).check(31.0, NEED, CROWDED)


def test_gpus_are_told_where_they_are_asked_for() -> None:
    with pytest.raises(ClusterError, match=r"each asks for 8 CPUs and 0\.5 GPU; the cluster has 12, 12 .* and 0 GPUs"):
        Patience("auto", 0.0).check(31.0, Need(8, 0.5, 0), CROWDED)


@pytest.mark.parametrize(
    ("need", "words"),
    [(Need(1, 0, 0), "1 CPU"), (Need(2, 1, 0), "2 CPUs and 1 GPU"), (Need(2, 2, 0), "2 CPUs and 2 GPUs")],
)
def test_what_a_worker_asks_for_in_words(need: Need, words: str) -> None:
    assert asks(need) == words


def test_a_worker_that_starts_is_given_more_time() -> None:
    patience, starting = Patience("auto", 0.0), Supply(12, 12, starting=True)
    assert "one is starting" in str(patience.check(STARTING_SECONDS - 1, NEED, starting))
    with pytest.raises(ClusterError):
        patience.check(STARTING_SECONDS, NEED, starting)


def test_a_worker_that_starts_as_they_do_is_not_talked_of() -> None:
    patience, starting = Patience("auto", 0.0), Supply(12, 12, starting=True)
    assert [second for second in range(60) if patience.check(float(second), NEED, starting)] == [30]


def test_what_is_waited_for_is_told_after_a_moment_and_then_once_a_minute() -> None:
    patience = Patience("auto", 0.0)
    told = [second for second in range(200) if patience.check(float(second), NEED, EMPTY)]
    assert told == [5, 65, 125, 185]


def test_it_says_what_would_help_and_how_long_it_waits() -> None:
    said = Patience("auto", 0.0).check(5.0, NEED, EMPTY)
    assert said is not None
    assert said.startswith("waiting for a worker, up to 600 s (`execution.wait_for_workers_s`): each asks for 8 CPUs")


def test_it_begins_anew_when_the_last_worker_is_gone() -> None:
    patience = Patience("auto", 0.0)
    patience.begin(1_000.0)
    assert patience.check(1_004.0, NEED, CROWDED) is None
