"""The driver's loop: the schedule decides, a fleet of workers does, the reducer counts.

    fleet ──event──▶ schedule ──decisions──▶ fleet
      └────state────▶ reducer

The loop is the same for workers in this process and on Ray.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ortbatch.data.plan import Shard
from ortbatch.engine.latency import SingleLatency, SingleSetup
from ortbatch.engine.prepare import Prepared
from ortbatch.engine.reducer import Reducer
from ortbatch.engine.schedule import Event, Failed, Give, Joined, Lost, Returned, Schedule, StartWorker, Stop
from ortbatch.engine.state import RunState
from ortbatch.errors import ClusterError, OrtbatchError, ShardError
from ortbatch.job.redaction import redact


@dataclass(frozen=True)
class Message:
    """What a fleet reports.

    Args:
        event: what happened.
        state: the lease's state, with `Returned`.
        exit_code: with `Failed`: 3 if the shard is at fault, 5 if another attempt may pass.
    """

    event: Event
    state: RunState | None = None
    exit_code: int = 5


class Fleet(Protocol):
    """Workers, wherever they are. Events come in any order; a fleet never retries."""

    workers: int
    streams: int

    def start_worker(self) -> None:
        """Start one worker; it reports `Joined` or `Lost`."""

    def give(self, worker: int, lease: int, shards: Sequence[Shard]) -> None:
        """Send shards to a worker; it reports `Returned`, `Failed` or `Lost`."""

    def wait(self) -> Message | None:
        """The next report; None if there was none for a while."""

    def measure(self, setup: SingleSetup) -> SingleLatency:
        """Time single predictions on one worker, while the others wait."""

    def describe(self) -> dict[str, object]:
        """What the workers are, for the report."""

    def close(self) -> None:
        """End all workers."""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    rows: int
    total_rows: int
    shards: int
    total_shards: int
    workers: int
    retries: int


@dataclass(frozen=True)
class Completed:
    """A pass over all shards.

    Args:
        state: all counts.
        seconds: from the first lease given to the last returned.
        workers: most workers at once.
        retries: shards that were handed out again.
        faults: what went wrong on the way, one line each.
    """

    state: RunState
    seconds: float
    workers: int
    retries: int
    faults: tuple[str, ...]


def drive(
    prepared: Prepared,
    fleet: Fleet,
    show: Callable[[Progress], None],
    order: Sequence[int] | None = None,
) -> Completed:
    """Evaluate every shard of a plan once.

    Args:
        prepared: the job.
        fleet: the workers, none started yet.
        show: called whenever something was counted.
        order: shard ids in the order to hand them out.

    Raises:
        ShardError: if a shard failed.
        ClusterError: if the workers did.
        OrtbatchError: if storage did, or something unforeseen happened.
    """
    return _Drive(prepared, fleet, show, order).run()


class _Drive:
    def __init__(
        self, prepared: Prepared, fleet: Fleet, show: Callable[[Progress], None], order: Sequence[int] | None
    ) -> None:
        self._prepared, self._fleet, self._show = prepared, fleet, show
        self._shards = prepared.plan.shards
        rows = self._shards.rows_of_shards
        self._schedule = Schedule(rows, workers=fleet.workers, streams=fleet.streams, order=order)
        self._reducer = Reducer(prepared.evaluation.empty())
        self._alive: set[int] = set()
        self._workers = 0
        self._faults: list[str] = []
        self._first_lease = 0.0

    def run(self) -> Completed:
        for _ in range(self._fleet.workers):
            self._fleet.start_worker()
        while not self._schedule.finished:
            message = self._fleet.wait()
            if message is not None:
                self._take(message)
        seconds = time.perf_counter() - self._first_lease
        faults = tuple(self._faults)
        return Completed(self._reducer.state, seconds, self._workers, self._schedule.retries, faults)

    def _take(self, message: Message) -> None:
        """Count what came, then do what the schedule says."""
        event = message.event
        if isinstance(event, Joined):
            self._alive.add(event.worker)
            self._workers = max(self._workers, len(self._alive))
        elif isinstance(event, Lost):
            self._alive.discard(event.worker)
            self._faults.append(f"worker {event.worker} lost: {event.reason}")
        elif isinstance(event, Returned) and message.state is not None:
            # A lease that was taken back is being done again by somebody else: counting it too would count it twice.
            if not self._schedule.holds(event.worker, event.lease):
                return
            self._reducer.accept(message.state)
        for decision in self._schedule.handle(event):
            self._do(decision, message)
        self._show(self._progress())

    def _do(self, decision: Give | StartWorker | Stop, message: Message) -> None:
        if isinstance(decision, Give):
            self._first_lease = self._first_lease or time.perf_counter()
            self._fleet.give(decision.worker, decision.lease, [self._shards[shard] for shard in decision.shards])
        elif isinstance(decision, StartWorker):
            self._fleet.start_worker()
        else:
            raise self._error(decision, message)

    def _error(self, stop: Stop, message: Message) -> OrtbatchError:
        if stop.shard is None:
            return ClusterError(stop.reason)
        text = f"{self._name(stop.shard)}: {stop.reason}"
        if isinstance(message.event, Failed) and message.exit_code != 3:
            # Storage, memory, a defect: nothing that is known to be wrong with the shard.
            return OrtbatchError(text)
        return ShardError(text)

    def _name(self, shard: int) -> str:
        """A shard in words: its number, and what it reads."""
        planned, pieces = self._prepared.plan.files, self._shards[shard].pieces
        shown = [f"{redact(planned[p.file].uri)} row groups {p.first_group} to {p.end_group - 1}" for p in pieces[:3]]
        more = f" and {len(pieces) - 3} more files" if len(pieces) > 3 else ""
        return f"shard {shard} ({'; '.join(shown)}{more})"

    def _progress(self) -> Progress:
        reducer, plan = self._reducer, self._prepared.plan
        return Progress(
            reducer.rows, plan.rows, reducer.done, len(plan.shards), len(self._alive),
            self._schedule.retries,
        )  # fmt: skip
