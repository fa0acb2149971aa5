"""Where the time of a stream goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar

from ortbatch.metrics.stages import StageTimes

T = TypeVar("T")


class Clock:
    """Nanoseconds by stage since they were last taken."""

    def __init__(self) -> None:
        self._spent: dict[str, int] = {}

    def stage(self, name: str) -> Span:
        """A `with` block whose time belongs to a stage."""
        return Span(self._spent, name)

    def timed_iteration(self, name: str, blocks: Iterator[T]) -> Iterator[T]:
        """The same items; the time that each takes to come belongs to a stage."""
        while True:
            with self.stage(name):
                block = next(blocks, None)
            if block is None:
                return
            yield block
            # The next is not made beside this one.
            block = None

    def stages(self) -> StageTimes:
        """All times so far, and start anew."""
        times = StageTimes(**self._spent)
        self._spent.clear()
        return times


class Span:
    """The time inside a `with` block; `elapsed` nanoseconds after it."""

    def __init__(self, spent: dict[str, int], name: str) -> None:
        self._spent, self._name = spent, name
        self.elapsed = 0

    def __enter__(self) -> Span:
        self._started = time.perf_counter_ns()
        return self

    def __exit__(self, *_: object) -> None:
        self.elapsed = time.perf_counter_ns() - self._started
        self._spent[self._name] = self._spent.get(self._name, 0) + self.elapsed
