"""What the driver asks of workers, wherever they are, and what it hears of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ortbatch.data.plan import Shard
from ortbatch.engine.events import Event
from ortbatch.engine.latency import SingleLatency, SingleSetup
from ortbatch.engine.state import RunState


@dataclass(frozen=True)
class Message:
    """What a fleet reports: what happened, and with `Returned` the lease's state, if any of its shards is done.

    `found` is what another task than the run's own learnt of each shard, by its id.
    """

    event: Event
    state: RunState | None = None
    found: Mapping[int, Any] = field(default_factory=dict)


class Fleet(Protocol):
    """Workers, wherever they are. Events come in any order; a fleet never retries.

    `workers` to begin with and `streams` of each are known once it is open.
    """

    workers: int
    streams: int

    def open(self, tell: Callable[[str], None], stopped: Callable[[], bool]) -> None:
        """Find out where workers can be, and wait for that; before anything else."""

    def start_worker(self) -> None:
        """Start one worker; it reports `Joined` or `Lost`."""

    def give(self, worker: int, lease: int, shards: Sequence[Shard], *, alone: bool) -> None:
        """Send shards to a worker, `alone` to read nothing ahead; it reports `Returned` or `Lost`."""

    def wait(self) -> Message | None:
        """The next report; None if there was none for a while."""

    def kill(self, worker: int) -> None:
        """End a worker that hangs; it reports nothing more."""

    def dismiss(self, worker: int) -> None:
        """End a worker that has nothing to do; it reports nothing more."""

    def want(self, workers: int) -> None:
        """Ask for machines with room for so many workers in all, if machines can be asked for."""

    def measure(self, setup: SingleSetup) -> SingleLatency:
        """Time single predictions on one worker, while the others wait."""

    def measure_baseline(self, place: int, setup: SingleSetup) -> SingleLatency:
        """The same of a baseline that has a session, by its place."""

    def describe(self) -> dict[str, object]:
        """What the workers are, for the report."""

    def close(self) -> None:
        """End all workers."""
