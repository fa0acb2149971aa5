"""Which worker does which shards next: events in, decisions out; no clock, no threads, no Ray.

The only retry policy there is. When a worker is lost, all shards that it held are suspects: each is tried again alone
on an idle worker, and only a death there counts, as a call that waits behind the guilty one fails just like it.
Three such deaths end the run, and so does an error in a shard. Leases start with one shard a stream and grow until each
is worth a few seconds; near the end they shrink, so that all workers stop together.

An event costs what it hands out, however many workers and shards there are: a million shards are a column of rows, and
workers that can take a lease stand in queues by how many they hold.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

LEASE_SECONDS = 2.0
LEASES_IN_FLIGHT = 2
DEATHS_OF_A_SHARD = 3
_SHARDS_OF_A_LEASE = 1_024


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker is ready for leases."""

    worker: int


@dataclass(frozen=True, slots=True)
class Returned:
    """A worker finished a lease; `seconds` is the time that the worker spent on it."""

    worker: int
    lease: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A shard of a lease raised an error."""

    worker: int
    lease: int
    shard: int
    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker is gone, with all its leases."""

    worker: int
    reason: str


Event = Joined | Returned | Failed | Lost


@dataclass(frozen=True, slots=True)
class Give:
    """Send shards to a worker."""

    worker: int
    lease: int
    shards: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Replace a lost worker."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run: shard `shard` (if one is to blame) failed."""

    reason: str
    shard: int | None


Decision = Give | StartWorker | Stop


@dataclass(slots=True)
class _Lease:
    """Shards that are out, and their rows."""

    shards: tuple[int, ...]
    rows: int


@dataclass(slots=True)
class _Worker:
    """Leases out with a worker, oldest first; `isolated` while it does a suspect; `place` is its turn in joining."""

    number: int
    place: int
    leases: dict[int, _Lease] = field(default_factory=dict)
    isolated: bool = False


class _Queue:
    """Workers that hold equally many leases, in the order in which they joined."""

    def __init__(self) -> None:
        self._heap: list[int] = []
        self._waiting: dict[int, _Worker] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, worker: _Worker) -> None:
        self._waiting[worker.place] = worker
        heapq.heappush(self._heap, worker.place)

    def discard(self, worker: _Worker) -> None:
        # Its place stays in the heap until it comes up.
        self._waiting.pop(worker.place, None)

    def pop(self) -> _Worker:
        while True:
            if (worker := self._waiting.pop(heapq.heappop(self._heap), None)) is not None:
                return worker


class Schedule:
    """Hands out every shard until each is done once.

    Args:
        rows: rows of shard i at i, for shards 0 to n - 1.
        workers: workers that are being started.
        streams: shards that a worker evaluates at once.
        order: ids in the order to hand them out; by default as they come.

    Raises:
        ValueError: if `order` does not name every shard once.
    """

    def __init__(
        self,
        rows: Mapping[int, int] | Sequence[int] | NDArray[np.int64],
        *,
        workers: int,
        streams: int,
        order: Sequence[int] | None = None,
    ) -> None:
        column = np.array([rows[shard] for shard in range(len(rows))] if isinstance(rows, Mapping) else rows, np.int64)
        self._order = np.arange(column.size) if order is None else np.array(order, np.int64)
        if order is not None and not np.array_equal(np.sort(self._order), np.arange(column.size)):
            raise ValueError(f"expected an order of all {column.size:,} shards, each once")
        self._rows_up_to = np.concatenate([[0], np.cumsum(column[self._order])])
        self._rows = column
        self._next = 0  # place in the order: shards before it have been handed out
        self._suspects: deque[int] = deque()
        self._deaths: Counter[int] = Counter()
        self._streams = streams
        self._workers: dict[int, _Worker] = {}
        self._joined = 0
        self._able = [_Queue() for _ in range(LEASES_IN_FLIGHT)]  # at i: workers with i leases
        self._lost: set[int] = set()
        self._expected = self._starting = workers
        self._restarts_left = max(10, 3 * workers)
        self._rate: float | None = None
        self._leases = 0
        self._left = int(column.size)
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
        if isinstance(event, Returned):
            self._returned(event)
        elif isinstance(event, Joined):
            self._worker_joined(event)
        elif isinstance(event, Failed):
            return self._stop(event.reason, event.shard)
        else:
            return self._worker_lost(event)
        return self._hand_out()

    def _worker_joined(self, event: Joined) -> None:
        if event.worker in self._workers:
            return
        worker = self._workers[event.worker] = _Worker(event.worker, self._joined)
        self._joined += 1
        self._starting -= 1
        self._able[0].add(worker)

    def _returned(self, event: Returned) -> None:
        worker = self._workers.get(event.worker)
        lease = None if worker is None else worker.leases.get(event.lease)
        if worker is None or lease is None:
            return
        self._dequeue(worker)
        del worker.leases[event.lease]
        worker.isolated = False
        self._able[len(worker.leases)].add(worker)
        self._left -= len(lease.shards)
        if event.seconds > 0 and lease.rows:
            rate = lease.rows / event.seconds
            self._rate = rate if self._rate is None else (self._rate + rate) / 2

    def _dequeue(self, worker: _Worker) -> None:
        if len(worker.leases) < LEASES_IN_FLIGHT:
            self._able[len(worker.leases)].discard(worker)

    def _worker_lost(self, event: Lost) -> list[Decision]:
        self._lost.add(event.worker)
        worker = self._workers.pop(event.worker, None)
        if worker is None:
            self._starting -= 1
            held = []
        else:
            self._dequeue(worker)
            held = [shard for lease in worker.leases.values() for shard in lease.shards]
        if worker is not None and worker.isolated:
            self._deaths[held[0]] += 1
            if self._deaths[held[0]] >= DEATHS_OF_A_SHARD:
                return self._stop(f"its worker died {DEATHS_OF_A_SHARD} times with it alone; {event.reason}", held[0])
        self._suspects.extend(held)
        self.retries += len(held)
        if self._restarts_left:
            self._restarts_left -= 1
            self._starting += 1
            return [*self._hand_out(), StartWorker()]
        if not self._workers and not self._starting:
            return self._stop(f"no worker is left; last: {event.reason}", None)
        return self._hand_out()

    def _stop(self, reason: str, shard: int | None) -> list[Decision]:
        self.stopped = True
        return [Stop(reason, shard)]

    def _hand_out(self) -> list[Decision]:
        """Give leases, first to workers that have none, until all have enough or nothing waits."""
        given: list[Decision] = []
        for able in self._able:
            while able and (self._next < self._order.size or (self._suspects and able is self._able[0])):
                worker = able.pop()
                if self._suspects and not worker.leases:
                    worker.isolated = True
                    shard = self._suspects.popleft()
                    lease = _Lease((shard,), int(self._rows[shard]))
                else:
                    lease = self._next_lease()
                worker.leases[self._leases] = lease
                given.append(Give(worker.number, self._leases, lease.shards))
                self._leases += 1
                if not worker.isolated and len(worker.leases) < LEASES_IN_FLIGHT:
                    self._able[len(worker.leases)].add(worker)
        return given

    def _next_lease(self) -> _Lease:
        """The next shards in order: one a stream, more up to a share of what waits or what takes LEASE_SECONDS."""
        first, before = self._next, int(self._rows_up_to[self._next])
        waiting = int(self._rows_up_to[-1]) - before
        workers = max(1, len(self._workers), self._expected)
        # One worker has nobody to stop together with: its streams share the shards of a lease among themselves.
        share = waiting if workers == 1 else waiting / (2 * LEASES_IN_FLIGHT * workers)
        target = 0 if self._rate is None else int(min(self._rate * LEASE_SECONDS, share))
        ends = self._rows_up_to[first + 1 : first + 1 + _SHARDS_OF_A_LEASE]
        fit = int(ends.searchsorted(before + target, "right"))
        self._next = first + min(max(fit, self._streams, 1), ends.size)
        shards = tuple(self._order[first : self._next].tolist())
        return _Lease(shards, int(self._rows_up_to[self._next]) - before)
