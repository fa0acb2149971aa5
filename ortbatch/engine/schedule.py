"""Which worker does which shards next: events in, decisions out; no clock, no threads, no Ray.

The only retry policy there is.

* A lost worker's shards are suspects: each is tried again alone on an idle worker, and only a death there counts, as a
  call that waits behind the guilty one fails just like it. Three such deaths end it. A node that is gone blames nobody.
* A shard that raises is tried once more, by another worker; a store that fails is asked again, later and later.
* A lease that is out too long is taken back, and its worker ended.
* Workers are replaced, later and later while none of them finishes a lease, and no more after many in a row.
* Workers of a node that is about to go get no new lease and are let go after their last; nodes that come get some.
* When nothing is left to hand out, a lease that takes long is given to an idle worker as well: the first counts.

A shard that is ended is left out (quarantined) or ends the run, as the rules say. Leases start with one shard a stream
and grow until each is worth a few seconds; near the end they shrink, so that all workers stop together.

An event costs what it hands out, however many workers and shards there are: a million shards are a column of rows, and
workers that can take a lease stand in queues by how many they hold.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ortbatch.engine.events import (
    Decision,
    Dismiss,
    Event,
    Fault,
    Give,
    Joined,
    Kill,
    Lost,
    Quarantine,
    Returned,
    Room,
    ShardFailure,
    StartWorker,
    Stop,
    Tick,
    Want,
)
from ortbatch.engine.lease import Holder, Lease
from ortbatch.engine.rules import (
    DEATHS_OF_A_SHARD,
    ERRORS_OF_A_SHARD,
    STORAGE_ERRORS_OF_A_SHARD,
    Rules,
    delay,
    late_after,
)
from ortbatch.engine.size import Left, Size
from ortbatch.engine.waiting import Queue, Retries, Untouched

LEASE_SECONDS = 2.0
LEASES_IN_FLIGHT = 2
_LOOK_SECONDS = 1.0


class Schedule:
    """Hands out every shard until each is done once, or left out.

    Args:
        rows: rows of shard i at i, for shards 0 to n - 1.
        workers: workers that are being started.
        streams: shards that a worker evaluates at once.
        rules: what the job lets it do.
        order: ids in the order to hand them out; by default as they come.
        done: bool[n], shards that are done already; None: none.
        size: says how many workers there are to be; by default one that expects nothing of them.

    Raises:
        ValueError: if `order` does not name every shard once.
    """

    def __init__(
        self,
        rows: Mapping[int, int] | Sequence[int] | NDArray[np.int64],
        *,
        workers: int,
        streams: int,
        rules: Rules | None = None,
        order: Sequence[int] | None = None,
        done: NDArray[np.bool_] | None = None,
        size: Size | None = None,
    ) -> None:
        column = np.array([rows[shard] for shard in range(len(rows))] if isinstance(rows, Mapping) else rows, np.int64)
        self._untouched = Untouched(column, order, done)
        self._rows = column
        self._rules = rules or Rules()
        self._suspects: deque[int] = deque()
        self._again = Retries()
        self._deaths: Counter[int] = Counter()
        self._errors: Counter[int] = Counter()
        self._storage_errors: Counter[int] = Counter()
        self._streams, self._size = streams, size or Size(streams)
        self._workers: dict[int, Holder] = {}
        self._joined = 0
        self._able = [Queue() for _ in range(LEASES_IN_FLIGHT)]  # at i: workers with i leases
        self._out: dict[int, Lease] = {}
        self._untwinned: dict[int, None] = {}  # leases with one holder, oldest first
        self._lost: set[int] = set()
        self._leaving = 0
        self._expected = self._starting = workers
        self._starts: list[float] = []  # when to replace workers
        self._losses = 0  # since a lease came back
        self._rate: float | None = None
        self._leases = 0
        self._left = len(self._untouched)
        self._look_at = 0.0
        self.retries = 0
        self.stopped = False

    @property
    def finished(self) -> bool:
        """Is every shard done or left out, or the run stopped?"""
        return self.stopped or self._left == 0

    def holds(self, worker: int, lease: int) -> bool:
        """Is this lease still out with this worker, and nobody done with it? Other results are not to be counted."""
        return lease in self._out and worker in self._out[lease].holders

    def handle(self, event: Event, now: float = 0.0) -> list[Decision]:
        """Take note of an event and say what to do now.

        Args:
            event: what happened.
            now: seconds of any clock that does not go back.
        """
        if self.finished or (not isinstance(event, Tick | Room) and event.worker in self._lost):
            return []
        decided: list[Decision] = []
        if isinstance(event, Returned):
            decided += self._returned(event, now)
        elif isinstance(event, Joined):
            self._worker_joined(event)
        elif isinstance(event, Lost):
            decided += self._worker_lost(event, now)
        elif isinstance(event, Room):
            decided += self._seen(event)
        else:
            decided += self._overdue(now)
        if not self.finished:
            decided += self._hand_out(now)
            while self._starts and self._starts[0] <= now:
                heapq.heappop(self._starts)
                decided.append(StartWorker())
            if isinstance(event, Room) or not self._there:
                decided += self._grow()
        return decided

    def _worker_joined(self, event: Joined) -> None:
        if event.worker in self._workers:
            return
        worker = self._workers[event.worker] = Holder(event.worker, self._joined)
        self._joined += 1
        self._starting -= 1
        self._queue(worker)

    def _seen(self, room: Room) -> list[Decision]:
        """Workers whose node is about to go leave; what they hold, they do."""
        self._size.see(room)
        decided: list[Decision] = []
        for worker in [self._workers[number] for number in sorted(room.leaving & self._workers.keys())]:
            if not worker.leaving:
                self._dequeue(worker)
                worker.leaving = True
                self._leaving += 1
                decided += self._dismissed(worker)
        return decided

    def _dismissed(self, worker: Holder) -> list[Decision]:
        """Let a worker go, if it is to leave and has done all that it held."""
        if not worker.leaving or worker.leases:
            return []
        del self._workers[worker.number]
        self._leaving -= 1
        self._lost.add(worker.number)
        return [Dismiss(worker.number)]

    @property
    def _hopeless(self) -> bool:
        """Did so many workers end in a row that others would end too?"""
        return self._losses > max(10, 3 * self._expected)

    @property
    def _there(self) -> int:
        """Workers that are at work, or on their way."""
        return self._starting + len(self._workers) - self._leaving

    def _grow(self) -> list[Decision]:
        """Start workers and ask for machines, if there is so much left to do."""
        waiting = len(self._untouched) + len(self._suspects) + len(self._again)
        left = Left(self._left, waiting, self._untouched.rows, self._rate, self._starting)
        more, wanted = self._size.more(self._there, left), self._size.ask(left)
        if self._hopeless and self._there:
            more = 0
        self._starting += more
        self._expected = max(self._expected, self._there)
        return [*([] if wanted is None else [Want(wanted)]), *[StartWorker()] * more]

    def _queue(self, worker: Holder) -> None:
        held = len(worker.leases)
        if held < LEASES_IN_FLIGHT and not worker.alone and not worker.leaving:
            self._able[held].add(worker.place, worker.number)

    def _dequeue(self, worker: Holder) -> None:
        held = len(worker.leases)
        if held < LEASES_IN_FLIGHT:
            self._able[held].discard(worker.place)

    def _returned(self, event: Returned, now: float) -> list[Decision]:
        worker = self._workers.get(event.worker)
        if worker is None or event.lease not in worker.leases:
            return []
        self._dequeue(worker)
        del worker.leases[event.lease]
        alone, worker.alone = worker.alone, False
        self._queue(worker)
        self._losses = 0
        for following in worker.leases.values():
            # It begins now at the latest.
            worker.until = now + self._allowed(following)
            break
        decided = self._dismissed(worker)
        lease = self._out.pop(event.lease, None)
        if lease is None:
            return decided  # its twin was first
        self._untwinned.pop(event.lease, None)
        self._left -= len(lease.shards)
        if event.seconds > 0 and lease.rows:
            rate = lease.rows / event.seconds
            self._rate = rate if self._rate is None else (self._rate + rate) / 2
        for failure in event.failures:
            self._left += 1
            if not self.stopped:
                decided += self._shard_failed(failure, worker.number, now, alone=alone)
        return decided

    def _shard_failed(self, failure: ShardFailure, worker: int, now: float, *, alone: bool) -> list[Decision]:
        """Try a shard again, leave it out, or end the run."""
        shard = failure.shard
        if failure.fault is Fault.MEMORY:
            self._deaths[shard] += alone
            if self._deaths[shard] >= DEATHS_OF_A_SHARD:
                return self._give_up(failure)
            self._suspects.append(shard)
        elif failure.fault is Fault.STORAGE:
            self._storage_errors[shard] += 1
            if self._storage_errors[shard] >= STORAGE_ERRORS_OF_A_SHARD:
                # Not the shard's fault: the rest would fail likewise.
                return self._stop(failure.reason, shard, failure.fault)
            self._again.add((shard,), now + 2.0 ** (self._storage_errors[shard] - 1), worker)
        else:
            self._errors[shard] += 1
            if self._errors[shard] >= ERRORS_OF_A_SHARD:
                return self._give_up(failure)
            self._again.add((shard,), now, worker)
        self.retries += 1
        return []

    def _give_up(self, failure: ShardFailure) -> list[Decision]:
        if not self._rules.quarantine:
            return self._stop(failure.reason, failure.shard, failure.fault)
        self._left -= 1
        return [Quarantine(failure.shard, failure.reason, failure.fault)]

    def _stop(self, reason: str, shard: int | None, fault: Fault) -> list[Decision]:
        self.stopped = True
        return [Stop(reason, shard, fault)]

    def _worker_lost(self, event: Lost, now: float) -> list[Decision]:
        self._lost.add(event.worker)
        worker = self._workers.pop(event.worker, None)
        decided: list[Decision] = []
        if worker is None:
            self._starting -= 1
        else:
            self._dequeue(worker)
            self._leaving -= worker.leaving
            for number in worker.leases:
                decided += self._take_back(number, worker, event, now)
        if not self.finished:
            self._replace(event, now)
            if not self._there and not self._workers:
                decided += self._stop(f"no worker is left; last: {event.reason}", None, event.fault)
        return decided

    def _take_back(self, number: int, worker: Holder, event: Lost, now: float) -> list[Decision]:
        """A lost worker's lease: nothing to do if another does it too."""
        lease = self._out.get(number)
        if lease is None:
            return []
        lease.holders.discard(worker.number)
        if lease.holders:
            self._untwinned[number] = None
            return []
        del self._out[number]
        self._untwinned.pop(number, None)
        if lease.alone and not event.fault.blames_nobody:
            shard = lease.shards[0]
            self._deaths[shard] += 1
            if self._deaths[shard] >= DEATHS_OF_A_SHARD:
                reason = f"its worker died {DEATHS_OF_A_SHARD} times with it alone; {event.reason}"
                return self._give_up(ShardFailure(shard, reason, event.fault))
        if event.fault.blames_nobody and not lease.alone:
            self._again.add(lease.shards, now)
        else:
            self._suspects.extend(lease.shards)
        self.retries += len(lease.shards)
        return []

    def _replace(self, event: Lost, now: float) -> None:
        self._losses += not event.fault.blames_nobody
        if self._hopeless or not self._size.has_room(self._there):
            return
        heapq.heappush(self._starts, now + delay(self._losses))
        self._starting += 1

    def _overdue(self, now: float) -> list[Decision]:
        """End workers whose oldest lease is out too long."""
        if now < self._look_at:
            return []
        self._look_at = now + _LOOK_SECONDS
        decided: list[Decision] = []
        for worker in list(self._workers.values()):
            if worker.leases and worker.until <= now and not self.finished:
                reason = "a shard took longer than it may (`execution.shard_seconds`)"
                decided.append(Kill(worker.number, reason))
                decided += self._worker_lost(Lost(worker.number, reason, Fault.DEADLINE), now)
        return decided

    def _hand_out(self, now: float) -> list[Decision]:
        """Give leases, first to workers that have none, until all have enough or nothing waits."""
        given: list[Decision] = []
        for able in self._able:
            passed = []
            while able and (self._untouched or self._anything(now, idle=able is self._able[0])):
                worker = self._workers[able.pop()]
                number = self._lease_for(worker, now)
                if number is None:
                    passed.append(worker)
                    continue
                lease = self._out[number]
                lease.holders.add(worker.number)
                worker.alone = lease.alone
                held = worker.leases
                if not held:
                    worker.until = now + self._allowed(lease)
                held[number] = lease
                given.append(Give(worker.number, number, lease.shards, lease.alone))
                if not lease.alone and len(held) < LEASES_IN_FLIGHT:
                    self._able[len(held)].add(worker.place, worker.number)
            for worker in passed:
                self._queue(worker)
        return given

    def _anything(self, now: float, *, idle: bool) -> bool:
        """May there be a lease for a worker, though all shards have been handed out?"""
        if self._again.ready(now):
            return True
        return idle and (bool(self._suspects) or self._late(now) is not None)

    def _lease_for(self, worker: Holder, now: float) -> int | None:
        """Number of the worker's next lease, which is out from now on."""
        if self._suspects and not worker.leases:
            shard = self._suspects.popleft()
            return self._new((shard,), int(self._rows[shard]), now, alone=True)
        if self._again.ready(now) and (
            shards := self._again.pop(now, worker.number, only=len(self._workers) == 1)
        ):  # fmt: skip
            return self._new(shards, int(self._rows[list(shards)].sum()), now)
        if self._untouched:
            return self._new(*self._next_shards(), now)
        late = None if worker.leases else self._late(now)
        if late is not None:
            del self._untwinned[late]
        return late

    def _new(self, shards: tuple[int, ...], rows: int, now: float, *, alone: bool = False) -> int:
        number, self._leases = self._leases, self._leases + 1
        self._out[number] = Lease(shards, rows, now, set(), alone)
        if not alone:
            self._untwinned[number] = None
        return number

    def _late(self, now: float) -> int | None:
        """The oldest lease with one holder, if it takes long and a second worker may race."""
        if not self._rules.speculate or not self._untwinned or self._rate is None:
            return None
        number = next(iter(self._untwinned))
        lease = self._out[number]
        expected = LEASES_IN_FLIGHT * lease.rows / self._rate
        return number if now - lease.given_at > late_after(expected) else None

    def _allowed(self, lease: Lease) -> float:
        return self._rules.allowed(len(lease.shards), lease.rows, self._rate, self._streams)

    def _next_shards(self) -> tuple[tuple[int, ...], int]:
        """The next shards in order: one a stream, more up to a share of what waits or LEASE_SECONDS; and their rows."""
        waiting, workers = self._untouched.rows, max(1, len(self._workers), self._expected)
        # One worker has nobody to stop together with: its streams share the shards of a lease among themselves.
        share = waiting if workers == 1 else waiting / (2 * LEASES_IN_FLIGHT * workers)
        target = 0 if self._rate is None else int(min(self._rate * LEASE_SECONDS, share))
        return self._untouched.take(target, max(1, self._streams))
