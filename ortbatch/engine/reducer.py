"""The reducer: merges the states that leases return, each shard once."""

from __future__ import annotations

from ortbatch.engine.state import RunState, ShardSet
from ortbatch.errors import MergeError
from ortbatch.metrics.tally import Tally


class Reducer:
    """The state of the run; grows by the states it accepts."""

    def __init__(self, empty: Tally) -> None:
        self.state = RunState(ShardSet(), empty)
        self.duplicates = 0

    def accept(self, state: RunState) -> bool:
        """Merge a lease's state; a twin, whose shards are all counted already, is dropped and False returned.

        Raises:
            MergeError: if only some of its shards are counted already: dropping it would lose the others.
        """
        common = self.state.shards.common(state.shards)
        if common and common == len(state.shards):
            self.duplicates += 1
            return False
        if common:
            raise MergeError(f"{common} of {len(state.shards)} shards of a lease are counted already: {state.shards}")
        self.state = self.state.merge(state)
        return True
