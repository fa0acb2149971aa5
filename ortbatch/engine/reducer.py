"""The reducer: merges the states that leases return, each shard once."""

from __future__ import annotations

import numpy as np

from ortbatch.engine.state import RunState, ShardSet
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
        self._tallies = [empty]
        self._counted = bytearray()  # one byte a shard: is it counted?

    @property
    def state(self) -> RunState:
        """Everything that is counted."""
        counted = np.frombuffer(bytes(self._counted), np.int8)
        edges = np.flatnonzero(np.diff(counted, prepend=np.int8(0), append=np.int8(0)))
        self._settle()
        ranges = tuple((start, stop) for start, stop in edges.reshape(-1, 2).tolist())
        return RunState(ShardSet(ranges), self._tallies[0])

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
        self._tallies.append(state.tally)
        if len(self._tallies) > _AT_ONCE:
            self._settle()
        for start, stop in ranges:
            self._counted.extend(bytes(max(0, stop - len(self._counted))))
            self._counted[start:stop] = b"\1" * (stop - start)
        self.rows += state.tally.coverage.planned
        self.done += shards
        return True

    def _settle(self) -> None:
        self._tallies = [Tally.merged(self._tallies)]
