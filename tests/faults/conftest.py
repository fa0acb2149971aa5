"""Shared by the fault tests: no process outlives its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.fault_job import STARTED

# Programs: they set what Ray reads when it is imported.
collect_ignore = ["node_scenarios.py", "scaling_scenarios.py", "several_nodes.py"]


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait()
