"""Which worker does which shards next: events in, decisions out; no clock, no threads, no Ray.

The only retry policy there is. A worker that is lost gives its shards back, and they go elsewhere; a shard whose worker
died under it three times ends the run, as does an error in a shard. Leases start with one shard a stream and grow until
each is worth a few seconds; near the end they shrink, so that all workers stop together.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LEASE_SECONDS = 2.0
LEASES_IN_FLIGHT = 2
DEATHS_OF_A_SHARD = 3
_SHARDS_OF_A_LEASE = 1_024


@dataclass(frozen=True)
class Joined:
    """A worker is ready for leases."""

    worker: int


@dataclass(frozen=True)
class Returned:
    """A worker finished a lease; `seconds` is the time that the worker spent on it."""

    worker: int
    lease: int
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A shard of a lease raised an error."""

    worker: int
    lease: int
    shard: int
    reason: str


@dataclass(frozen=True)
class Lost:
    """A worker is gone, with all its leases."""

    worker: int
    reason: str


Event = Joined | Returned | Failed | Lost


@dataclass(frozen=True)
class Give:
    """Send shards to a worker."""

    worker: int
    lease: int
    shards: tuple[int, ...]


@dataclass(frozen=True)
class StartWorker:
    """Replace a lost worker."""


@dataclass(frozen=True)
class Stop:
    """End the run: shard `shard` (if one is to blame) failed."""

    reason: str
    shard: int | None


Decision = Give | StartWorker | Stop


@dataclass
class _Worker:
    leases: dict[int, tuple[int, ...]] = field(default_factory=dict)


class Schedule:
    """Hands out every shard until each is done once.

    Args:
        rows: shard id → rows.
        workers: workers that will join.
        streams: shards that a worker evaluates at once.
        order: ids in the order to hand them out; by default as they come.
    """

    def __init__(
        self, rows: Mapping[int, int], *, workers: int, streams: int, order: Sequence[int] | None = None
    ) -> None:
        self._rows = rows
        self._waiting = deque(order if order is not None else rows)
        self._waiting_rows = sum(rows.values())
        self._streams = streams
        self._workers: dict[int, _Worker] = {}
        self._lost: set[int] = set()
        self._expected = workers
        self._restarts_left = max(10, 3 * workers)
        self._deaths: Counter[int] = Counter()
        self._rate: float | None = None
        self._leases = 0
        self._left = len(rows)
        self.retries = 0
        self.stopped = False

    @property
    def finished(self) -> bool:
        """Is every shard done, or the run stopped?"""
        return self.stopped or self._left == 0

    def holds(self, worker: int, lease: int) -> bool:
        """Is this lease still out with this worker? Results of any other are not to be counted."""
        return worker in self._workers and lease in self._workers[worker].leases

    def handle(self, event: Event) -> list[Decision]:
        """Take note of an event and say what to do now."""
        if self.finished or event.worker in self._lost:
            return []
        if isinstance(event, Joined):
            self._workers.setdefault(event.worker, _Worker())
        elif isinstance(event, Returned):
            self._returned(event)
        elif isinstance(event, Failed):
            return self._stop(event.reason, event.shard)
        else:
            return self._worker_lost(event)
        return self._hand_out()

    def _returned(self, event: Returned) -> None:
        shards = self._workers[event.worker].leases.pop(event.lease, ())
        self._left -= len(shards)
        rows = sum(self._rows[shard] for shard in shards)
        if event.seconds > 0 and rows:
            rate = rows / event.seconds
            self._rate = rate if self._rate is None else (self._rate + rate) / 2

    def _worker_lost(self, event: Lost) -> list[Decision]:
        self._lost.add(event.worker)
        worker = self._workers.pop(event.worker, _Worker())
        held = list(worker.leases.values())
        # Only the oldest lease can have run: a call that waits behind it fails just like it.
        for shard in held[0] if held else ():
            self._deaths[shard] += 1
            if self._deaths[shard] >= DEATHS_OF_A_SHARD:
                return self._stop(f"its worker died {DEATHS_OF_A_SHARD} times; last: {event.reason}", shard)
        for shards in reversed(held):
            self._waiting.extendleft(reversed(shards))
            self._waiting_rows += sum(self._rows[shard] for shard in shards)
            self.retries += len(shards)
        if self._restarts_left == 0:
            if not self._workers:
                return self._stop(f"no worker is left; last: {event.reason}", None)
            return self._hand_out()
        self._restarts_left -= 1
        return [*self._hand_out(), StartWorker()]

    def _stop(self, reason: str, shard: int | None) -> list[Decision]:
        self.stopped = True
        return [Stop(reason, shard)]

    def _hand_out(self) -> list[Decision]:
        """Give leases, one a worker in turn, until all have enough or nothing waits."""
        given: list[Decision] = []
        for depth in range(LEASES_IN_FLIGHT):
            for number, worker in self._workers.items():
                if len(worker.leases) == depth and self._waiting:
                    shards = self._next_shards()
                    worker.leases[self._leases] = shards
                    given.append(Give(number, self._leases, shards))
                    self._leases += 1
        return given

    def _next_shards(self) -> tuple[int, ...]:
        # A shard that took a worker with it travels alone, so that the next death has one name.
        if self._deaths[self._waiting[0]]:
            return (self._take(),)
        share = self._waiting_rows / (2 * LEASES_IN_FLIGHT * max(1, len(self._workers), self._expected))
        target = 0.0 if self._rate is None else min(self._rate * LEASE_SECONDS, share)
        shards: list[int] = []
        rows = 0
        while self._waiting and len(shards) < _SHARDS_OF_A_LEASE and not self._deaths[self._waiting[0]]:
            if len(shards) >= self._streams and rows + self._rows[self._waiting[0]] > target:
                break
            shards.append(self._take())
            rows += self._rows[shards[-1]]
        return tuple(shards)

    def _take(self) -> int:
        shard = self._waiting.popleft()
        self._waiting_rows -= self._rows[shard]
        return shard
