"""What is out with whom, as the schedule keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Lease:
    """Shards that are out with one worker, or with two that race."""

    shards: tuple[int, ...]
    rows: int
    given_at: float
    holders: set[int]
    alone: bool = False


@dataclass(slots=True)
class Holder:
    """A worker: its leases, oldest first, and until when the oldest may take; `place` is its turn in joining.

    One that is `leaving` gets no more.
    """

    number: int
    place: int
    leases: dict[int, Lease] = field(default_factory=dict)
    until: float = 0.0
    alone: bool = False
    leaving: bool = False
