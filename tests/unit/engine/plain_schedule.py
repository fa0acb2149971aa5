"""The schedule's policy, written down as plainly as it goes: the oracle of what a fast one must decide."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ortbatch.engine.schedule import (
    DEATHS_OF_A_SHARD,
    LEASE_SECONDS,
    LEASES_IN_FLIGHT,
    Decision,
    Event,
    Failed,
    Give,
    Joined,
    Lost,
    Returned,
    StartWorker,
    Stop,
)

_SHARDS_OF_A_LEASE = 1_024


@dataclass
class _Worker:
    """Leases out with a worker, oldest first; `isolated` while it does a suspect."""

    leases: dict[int, tuple[int, ...]] = field(default_factory=dict)
    isolated: bool = False


class PlainSchedule:
    """The same decisions as `Schedule`; every event walks all workers, every lease all its shards."""

    def __init__(
        self, rows: Mapping[int, int], *, workers: int, streams: int, order: Sequence[int] | None = None
    ) -> None:
        self._rows = rows
        self._waiting = deque(order if order is not None else rows)
        self._waiting_rows = sum(rows.values())
        self._suspects: deque[int] = deque()
        self._deaths: Counter[int] = Counter()
        self._streams = streams
        self._workers: dict[int, _Worker] = {}
        self._lost: set[int] = set()
        self._expected = self._starting = workers
        self._restarts_left = max(10, 3 * workers)
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
            if event.worker not in self._workers:
                self._workers[event.worker] = _Worker()
                self._starting -= 1
        elif isinstance(event, Returned):
            self._returned(event)
        elif isinstance(event, Failed):
            return self._stop(event.reason, event.shard)
        else:
            return self._worker_lost(event)
        return self._hand_out()

    def _returned(self, event: Returned) -> None:
        if not self.holds(event.worker, event.lease):
            return
        worker = self._workers[event.worker]
        shards = worker.leases.pop(event.lease)
        worker.isolated = False
        self._left -= len(shards)
        rows = sum(self._rows[shard] for shard in shards)
        if event.seconds > 0 and rows:
            rate = rows / event.seconds
            self._rate = rate if self._rate is None else (self._rate + rate) / 2

    def _worker_lost(self, event: Lost) -> list[Decision]:
        self._lost.add(event.worker)
        worker = self._workers.pop(event.worker, None)
        if worker is None:
            self._starting -= 1
            worker = _Worker()
        held = [shard for shards in worker.leases.values() for shard in shards]
        if worker.isolated:
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
        """Give leases, one a worker in turn, until all have enough or nothing waits."""
        given: list[Decision] = []
        for depth in range(LEASES_IN_FLIGHT):
            for number, worker in self._workers.items():
                if len(worker.leases) == depth and not worker.isolated and (shards := self._next_shards(worker)):
                    worker.leases[self._leases] = shards
                    given.append(Give(number, self._leases, shards))
                    self._leases += 1
        return given

    def _next_shards(self, worker: _Worker) -> tuple[int, ...]:
        """Shards of the next lease of a worker; empty if there is nothing for it."""
        if self._suspects and not worker.leases:
            worker.isolated = True
            return (self._suspects.popleft(),)
        workers = max(1, len(self._workers), self._expected)
        share = self._waiting_rows / (1 if workers == 1 else 2 * LEASES_IN_FLIGHT * workers)
        target = 0.0 if self._rate is None else min(self._rate * LEASE_SECONDS, share)
        shards: list[int] = []
        rows = 0
        while self._waiting and len(shards) < _SHARDS_OF_A_LEASE:
            if len(shards) >= self._streams and rows + self._rows[self._waiting[0]] > target:
                break
            shards.append(self._waiting.popleft())
            rows += self._rows[shards[-1]]
        self._waiting_rows -= rows
        return tuple(shards)
