"""The reducer: merges the states that leases return, each shard once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ortbatch.engine.state import Part, RunState, ShardSet
from ortbatch.errors import MergeError
from ortbatch.metrics.tally import Tally

_AT_ONCE = 16


class Reducer:
    """The tally of the run, and which shards are in it; a lease costs its own shards, not those counted before.

    Tallies wait for each other: merging 16 of a lease's size into that of a run costs little more than merging one.

    `rows` and `done` shards are counted; `duplicates` leases were dropped.
    """

    def __init__(self, empty: Tally) -> None:
        self.rows = 0
        self.done = 0
        self.duplicates = 0
        self._kept = [empty]  # what `take` gave away
        self._fresh: list[Tally] = []
        self._fresh_ranges: list[tuple[int, int]] = []
        self._parts: list[Part] = []
        self._taken_parts = 0
        self._counted = bytearray()  # one byte a shard: is it counted?

    @property
    def state(self) -> RunState:
        """Everything that is counted."""
        edges = np.flatnonzero(np.diff(self._mask().view(np.int8), prepend=np.int8(0), append=np.int8(0)))
        ranges = tuple((start, stop) for start, stop in edges.reshape(-1, 2).tolist())
        return RunState(ShardSet(ranges), Tally.merged([*self._kept, *self._fresh]), tuple(sorted(self._parts)))

    def counted(self, shards: int) -> NDArray[np.bool_]:
        """bool[shards]: which of the first shards are counted."""
        mask = self._mask()[:shards]
        return np.concatenate([mask, np.zeros(shards - mask.size, np.bool_)])

    def _mask(self) -> NDArray[np.bool_]:
        return np.frombuffer(bytes(self._counted), np.bool_)

    def overlaps(self, state: RunState) -> bool:
        """Is a shard of a state counted already?"""
        return any(self._counted.count(1, start, stop) for start, stop in state.shards.ranges)

    def accept(self, state: RunState) -> bool:
        """Merge a lease's state; a twin, whose shards are all counted already, is dropped and False returned.

        Raises:
            MergeError: if only some of its shards are counted already: dropping it would lose the others.
        """
        shards, ranges = len(state.shards), state.shards.ranges
        common = sum(self._counted.count(1, start, stop) for start, stop in ranges)
        if common and common == shards:
            self.duplicates += 1
            return False
        if common:
            raise MergeError(f"{common} of {shards} shards of a lease are counted already: {state.shards}")
        self._fresh.append(state.tally)
        self._fresh_ranges += ranges
        self._parts += state.parts
        if len(self._fresh) > _AT_ONCE:
            self._fresh = [Tally.merged(self._fresh)]
        for start, stop in ranges:
            self._counted.extend(bytes(max(0, stop - len(self._counted))))
            self._counted[start:stop] = b"\1" * (stop - start)
        self.rows += state.tally.coverage.planned
        self.done += shards
        return True

    def take(self) -> RunState | None:
        """What was counted since the last time; None if nothing was. It stays in `state`."""
        if not self._fresh:
            return None
        fresh, ranges = Tally.merged(self._fresh), self._fresh_ranges
        self._fresh, self._fresh_ranges = [], []
        self._kept.append(fresh)
        if len(self._kept) > _AT_ONCE:
            self._kept = [Tally.merged(self._kept)]
        parts, self._taken_parts = self._parts[self._taken_parts :], len(self._parts)
        return RunState(ShardSet().union(ShardSet(tuple(sorted(ranges)))), fresh, tuple(sorted(parts)))
