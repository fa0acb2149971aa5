"""What waits: workers for leases, shards for another try. An operation costs the same however many wait."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_LOOKED_AT = 8
_SHARDS_AT_ONCE = 1_024


class Untouched:
    """Shards that were not handed out yet, in order; a million of them are a column.

    Args:
        rows: int64[n], of each shard.
        order: all ids, in the order to hand them out; None: as they come.
        done: bool[n], shards to leave out; None: none.

    Raises:
        ValueError: if `order` does not name every shard once.
    """

    def __init__(
        self, rows: NDArray[np.int64], order: Sequence[int] | None, done: NDArray[np.bool_] | None
    ) -> None:  # fmt: skip
        self._order = np.arange(rows.size) if order is None else np.array(order, np.int64)
        if order is not None and not np.array_equal(np.sort(self._order), np.arange(rows.size)):
            raise ValueError(f"expected an order of all {rows.size:,} shards, each once")
        if done is not None:
            self._order = self._order[~done[self._order]]
        self._rows_up_to = np.concatenate([[0], np.cumsum(rows[self._order])])
        self._next = 0
        self._length = int(self._order.size)
        self.rows = int(self._rows_up_to[-1])

    def __len__(self) -> int:
        return self._length - self._next

    def take(self, rows: int, at_least: int) -> tuple[tuple[int, ...], int]:
        """The next shards, and the rows that they have.

        Args:
            rows: of all of them, at most.
            at_least: shards, though they have more rows.
        """
        first, before = self._next, int(self._rows_up_to[self._next])
        ends = self._rows_up_to[first + 1 : first + 1 + _SHARDS_AT_ONCE]
        fit = min(max(int(ends.searchsorted(before + rows, "right")), at_least), len(ends))
        self._next, taken = first + fit, int(ends[fit - 1]) - before
        self.rows -= taken
        return tuple(self._order[first : self._next].tolist()), taken


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
