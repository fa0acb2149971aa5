"""What waits: workers for leases, shards for another try. An operation costs the same however many wait."""

from __future__ import annotations

import heapq

_LOOKED_AT = 8


class Queue:
    """Numbers in the order of their places; each place is taken once at a time."""

    def __init__(self) -> None:
        self._heap: list[int] = []
        self._waiting: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, place: int, number: int) -> None:
        """Wait at a place."""
        self._waiting[place] = number
        heapq.heappush(self._heap, place)

    def discard(self, place: int) -> None:
        """Wait no more, if it does."""
        # Its place stays in the heap until it comes up.
        self._waiting.pop(place, None)

    def pop(self) -> int:
        """The number that waits at the first place."""
        while True:
            if (number := self._waiting.pop(heapq.heappop(self._heap), None)) is not None:
                return number


class Retries:
    """Groups of shards that are to be tried again, each from a time on, and rather not by the worker that failed."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, tuple[int, ...], int | None]] = []
        self._added = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, shards: tuple[int, ...], at: float, failed: int | None = None) -> None:
        """Try some shards again from a time on, with another worker than `failed` if there is one."""
        heapq.heappush(self._heap, (at, self._added, shards, failed))
        self._added += 1

    def ready(self, now: float) -> bool:
        """Is it time for some?"""
        return bool(self._heap) and self._heap[0][0] <= now

    def pop(self, now: float, worker: int, *, only: bool) -> tuple[int, ...] | None:
        """Shards for a worker; None if there are none for it now.

        Args:
            now: the time.
            worker: who would do them.
            only: there is no other worker: it may do what it failed at.
        """
        others: list[tuple[float, int, tuple[int, ...], int | None]] = []
        found = None
        while found is None and self.ready(now) and len(others) < _LOOKED_AT:
            entry = heapq.heappop(self._heap)
            if entry[3] == worker and not only:
                others.append(entry)
            else:
                found = entry[2]
        for entry in others:
            heapq.heappush(self._heap, entry)
        return found
