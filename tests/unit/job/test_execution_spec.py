"""The section `execution`: what it takes, what it refuses, and with which words."""

from __future__ import annotations

from typing import Any

import pytest

from ortbatch.errors import JobError
from ortbatch.job import ExecutionSpec, Job


def made(**execution: Any) -> ExecutionSpec:
    mapping = {"name": "j", "model": "m.onnx", "data": {"path": "d", "label": "y"}, "execution": execution}
    return Job.from_mapping(mapping).execution


@pytest.mark.parametrize("gpus", ["auto", 0, 0.01, 0.25, 1, 2, 8.0])
def test_gpus_that_are_taken(gpus: Any) -> None:
    assert made(gpus_per_worker=gpus).gpus_per_worker == gpus


@pytest.mark.parametrize("gpus", [-1, 1.5, 0.001, 2.25, True, "1", None, float("nan"), float("inf"), [1]])
def test_gpus_that_are_refused(gpus: Any) -> None:
    with pytest.raises(JobError, match=r"execution\.gpus_per_worker: expected a share of one GPU \(0\.01 to 1\), a"):
        made(gpus_per_worker=gpus)


@pytest.mark.parametrize("most", [0, -1, 1.5, "auto", True])
def test_a_most_that_is_no_number_of_workers_is_refused(most: Any) -> None:
    with pytest.raises(JobError, match=r"execution\.max_workers"):
        made(max_workers=most)


def test_a_most_beside_a_fixed_number_is_refused() -> None:
    with pytest.raises(JobError, match=r"`workers: 3` is a fixed number, `max_workers` the limit of `workers: auto`"):
        made(workers=3, max_workers=4)


@pytest.mark.parametrize("seconds", [0, -5, "long", True])
def test_a_wait_that_is_no_time_is_refused(seconds: Any) -> None:
    with pytest.raises(
        JobError, match=r"execution\.wait_for_workers_s: expected a number of seconds above 0, or `auto`"
    ):
        made(wait_for_workers_s=seconds)


def test_nothing_of_it_is_asked_by_default() -> None:
    spec = made()
    assert (spec.max_workers, spec.gpus_per_worker, spec.wait_for_workers_s) == (None, "auto", "auto")
