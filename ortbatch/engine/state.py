"""What a run knows at any moment: a tally, and exactly which shards are in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ortbatch.errors import MergeError
from ortbatch.metrics.tally import Tally


@dataclass(frozen=True)
class ShardSet:
    """A set of shard ids as sorted, disjoint, non-adjacent ranges [start, stop): one range for a finished run.

    >>> ShardSet.of([3, 1, 2, 7])
    ShardSet(ranges=((1, 4), (7, 8)))
    """

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, ids: Iterable[int]) -> ShardSet:
        """The set of some distinct ids; raises MergeError if one comes twice."""
        return cls(_joined(sorted((shard, shard + 1) for shard in ids)))

    def union(self, other: ShardSet) -> ShardSet:
        """Both; raises MergeError if they overlap."""
        return ShardSet(_joined(sorted((*self.ranges, *other.ranges))))

    def common(self, other: ShardSet) -> int:
        """How many ids are in both."""
        ordered = sorted((*self.ranges, *other.ranges))
        # Ranges of one set are disjoint, so only neighbours of different sets overlap, and at most two deep.
        shared, reach = 0, 0
        for start, stop in ordered:
            shared += max(0, min(reach, stop) - start)
            reach = max(reach, stop)
        return shared

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self.ranges)

    def __iter__(self) -> Iterator[int]:
        return (shard for start, stop in self.ranges for shard in range(start, stop))


def _joined(ordered: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for start, stop in ordered:
        if joined and start < joined[-1][1]:
            raise MergeError(f"shard {start} would be counted twice")
        if joined and start == joined[-1][1]:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return tuple(joined)


@dataclass(frozen=True, order=True)
class Part:
    """The file of a shard's predictions."""

    shard: int
    rows: int
    sha256: str


@dataclass(frozen=True)
class RunState:
    """A tally, the shards whose rows are in it, and their files; refuses to count a shard twice.

    Args:
        shards: which.
        tally: of all their rows.
        parts: files of predictions, by shard; none where none are written.
    """

    shards: ShardSet
    tally: Tally
    parts: tuple[Part, ...] = ()

    def merge(self, other: RunState) -> RunState:
        """Rows of both; raises MergeError if a shard is in both."""
        parts = tuple(sorted((*self.parts, *other.parts)))
        return RunState(self.shards.union(other.shards), self.tally.merge(other.tally), parts)
