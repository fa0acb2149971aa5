"""What the schedule hears and what it decides: plain values, each said once.

Failures are told apart by what they say about whom:

    of a shard     SHARD      its file or a batch of it: the same again, wherever it is tried
                   UNEXPECTED nobody foresaw it: a defect, ours or a transform's
                   STORAGE    the store, which may recover
                   MEMORY     too little memory for it beside others
    of a worker    WORKER     its process ended: any shard that it held may have done it
                   MEMORY     the system ended it for its memory
                   DEADLINE   it was ended because a shard took too long
                   NODE       its node is gone
                   PREEMPTED  its node was taken away, with notice

A failure of a row is a rejected row, counted in the tally. A model that cannot be loaded ends the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """Who or what is at fault."""

    SHARD = "shard"
    UNEXPECTED = "unexpected"
    STORAGE = "storage"
    MEMORY = "memory"
    WORKER = "worker"
    DEADLINE = "deadline"
    NODE = "node"
    PREEMPTED = "preempted"

    @property
    def blames_nobody(self) -> bool:
        """No shard can be the cause."""
        return self in (Fault.NODE, Fault.PREEMPTED)


@dataclass(frozen=True, slots=True)
class ShardFailure:
    """A shard of a lease that could not be done: nothing of it is counted."""

    shard: int
    reason: str
    fault: Fault = Fault.SHARD


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker is ready for leases."""

    worker: int


@dataclass(frozen=True, slots=True)
class Returned:
    """A worker finished a lease: all of its shards are done but those in `failures`; it spent `seconds` on it."""

    worker: int
    lease: int
    seconds: float
    failures: tuple[ShardFailure, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker is gone, with all its leases."""

    worker: int
    reason: str
    fault: Fault = Fault.WORKER


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


@dataclass(frozen=True, slots=True)
class Room:
    """What nodes there are: they come and go.

    Args:
        places: workers that there is room for, 1 at least.
        most: workers that there would be room for if machines were asked for; no fewer than `places`.
        leaving: workers whose nodes are about to go.
    """

    places: int
    most: int
    leaving: frozenset[int] = frozenset()


Event = Joined | Returned | Lost | Tick | Room


@dataclass(frozen=True, slots=True)
class Give:
    """Send shards to a worker; `alone` is a suspect, to be read without reading ahead."""

    worker: int
    lease: int
    shards: tuple[int, ...]
    alone: bool = False


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Replace a lost worker, or start one more."""


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Let a worker go that holds no lease; it is not reported again."""

    worker: int


@dataclass(frozen=True, slots=True)
class Want:
    """Ask for machines with room for so many workers in all."""

    workers: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End a worker that does not come back; it is lost already and is not reported again."""

    worker: int
    reason: str


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Leave a shard out for good."""

    shard: int
    reason: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run: shard `shard` (if one is to blame) failed."""

    reason: str
    shard: int | None
    fault: Fault = Fault.WORKER


Decision = Give | StartWorker | Dismiss | Want | Kill | Quarantine | Stop
