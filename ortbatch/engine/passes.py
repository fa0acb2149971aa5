"""Passes besides the run's own, over rows that are given by shards, with the workers that are there.

The schedule is that of the run: the same retries, the same blame, and a result counts only while its lease is out. What
was found is not kept on disk: a run that is interrupted here keeps its own counts, and makes these passes again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ortbatch.data.plan import PlannedFile, Shard, Shards
from ortbatch.engine.driver import LeftOut
from ortbatch.engine.events import (
    Dismiss,
    Fault,
    Give,
    Joined,
    Kill,
    Quarantine,
    Returned,
    StartWorker,
    Stop,
    Tick,
    Want,
)
from ortbatch.engine.fleet import Fleet, Message
from ortbatch.engine.rules import Rules
from ortbatch.engine.schedule import Schedule
from ortbatch.engine.tasks import Task
from ortbatch.errors import ClusterError, Interrupted, OrtbatchError, ShardError, StorageError
from ortbatch.job.redaction import redact

_LEASES_OF_A_PASS = 1 << 40
_TICK_SECONDS = 0.2
_PIECES_NAMED = 3


class PassFleet(Fleet, Protocol):
    """A fleet whose workers do other tasks too."""

    def members(self) -> dict[int, bool]:
        """Workers that are there or are starting: can they be given a lease?"""

    def give_other(self, worker: int, lease: int, shards: Sequence[Shard], task: Task, *, alone: bool) -> None:
        """Send shards to a worker for a task; it reports `Returned` or `Lost`."""


@dataclass(frozen=True)
class Pass:
    """What a pass does.

    Args:
        task: with each shard.
        shards: which; those that are done already are left out.
        files: of these shards, for messages.
        rules: what the schedule may do.
        done: bool[S], shards that are not to be looked at; None: all are.
    """

    task: Task
    shards: Shards
    files: Sequence[PlannedFile]
    rules: Rules
    done: NDArray[np.bool_] | None = None


class Passes:
    """Makes passes, one after another.

    Args:
        fleet: the workers; none of them works for the run any more.
        stopped: asked often: is the run to stop?
        tell: told what begins, a sentence at a time.
    """

    def __init__(
        self,
        fleet: PassFleet,
        stopped: Callable[[], bool] = lambda: False,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._fleet, self._stopped, self.tell = fleet, stopped, tell
        self._made = 0

    def make(self, asked: Pass, take: Callable[[Message], None]) -> tuple[LeftOut, ...]:
        """Do every shard once, and hand what came of each lease to `take`; returns the shards that were left out.

        Raises:
            ShardError: if a shard failed.
            ClusterError: if the workers did.
            StorageError: if storage did.
            Interrupted: if the run was told to stop.
        """
        self._made += 1
        return _Under(asked, self._fleet, self._made * _LEASES_OF_A_PASS).run(take, self._stopped)


class _Under:
    """A pass that is under way; its leases have numbers that no earlier pass gave."""

    def __init__(self, asked: Pass, fleet: PassFleet, first_lease: int) -> None:
        self._asked, self._fleet, self._first_lease = asked, fleet, first_lease
        members = fleet.members()
        self._ready = [worker for worker, ready in members.items() if ready]
        self._start = not members
        self._schedule = Schedule(
            asked.shards.rows_of_shards, workers=max(1, len(members)), streams=fleet.streams, rules=asked.rules,
            done=asked.done,
        )  # fmt: skip
        self._left_out: list[LeftOut] = []

    def run(self, take: Callable[[Message], None], stopped: Callable[[], bool]) -> tuple[LeftOut, ...]:
        if self._start and not self._schedule.finished:
            self._fleet.start_worker()
        for worker in self._ready:
            self._handle(Message(Joined(worker)), take)
        ticked = time.monotonic()
        while not self._schedule.finished:
            if stopped():
                raise Interrupted("interrupted")
            message = self._fleet.wait()
            if message is not None:
                self._handle(message, take)
            if message is None or time.monotonic() - ticked >= _TICK_SECONDS:
                ticked = time.monotonic()
                self._handle(Message(Tick()), take)
        return tuple(sorted(self._left_out, key=lambda each: each.shard))

    def _handle(self, message: Message, take: Callable[[Message], None]) -> None:
        event = message.event
        if isinstance(event, Returned):
            # A late twin of an earlier pass has a number below 0 here, which no lease of this one has.
            event = replace(event, lease=event.lease - self._first_lease)
            if self._schedule.holds(event.worker, event.lease):
                take(message)
        for decision in self._schedule.handle(event, time.monotonic()):
            if isinstance(decision, Give):
                shards = [self._asked.shards[shard] for shard in decision.shards]
                lease = self._first_lease + decision.lease
                self._fleet.give_other(decision.worker, lease, shards, self._asked.task, alone=decision.alone)
            elif isinstance(decision, StartWorker):
                self._fleet.start_worker()
            elif isinstance(decision, Dismiss):
                self._fleet.dismiss(decision.worker)
            elif isinstance(decision, Want):
                self._fleet.want(decision.workers)
            elif isinstance(decision, Kill):
                self._fleet.kill(decision.worker)
            elif isinstance(decision, Quarantine):
                self._left_out.append(LeftOut(decision.shard, decision.reason, decision.fault))
            else:
                raise self._error(decision)

    def _error(self, stop: Stop) -> OrtbatchError:
        if stop.shard is None:
            return ClusterError(stop.reason)
        pieces = self._asked.shards[stop.shard].pieces
        named = ", ".join(redact(self._asked.files[piece.file].uri) for piece in pieces[:_PIECES_NAMED])
        text = f"{self._asked.task.key}: {named}{', …' if len(pieces) > _PIECES_NAMED else ''}: {stop.reason}"
        if stop.fault is Fault.STORAGE:
            return StorageError(text)
        return OrtbatchError(text) if stop.fault is Fault.UNEXPECTED else ShardError(text)
