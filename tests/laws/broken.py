"""Mergeable values that are broken on purpose, one law each, and the sound value that they are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ortbatch.errors import MergeError
from ortbatch.metrics.kept import KEPT, KeptRows
from ortbatch.metrics.value import Counts, Value, add, frozen, require_same, zeros

KINDS = ("red", "green", "blue")


@dataclass(frozen=True, eq=False)
class Sound(Value):
    kinds: tuple[str, ...]
    counts: Counts

    @classmethod
    def empty(cls, kinds: Sequence[str] = KINDS) -> Self:
        return cls(tuple(kinds), zeros(len(kinds)))

    @classmethod
    def of(cls, rows: Sequence[int]) -> Self:
        return cls(KINDS, frozen(np.bincount(np.array(rows, np.int64), minlength=len(KINDS))))

    def merge(self, other: Self) -> Self:
        require_same("kinds", self.kinds, other.kinds)
        return type(self)(self.kinds, add(self.counts, other.counts))


class EmptyIsOne(Sound):
    @classmethod
    def empty(cls, kinds: Sequence[str] = KINDS) -> Self:
        return cls(tuple(kinds), frozen(np.ones(len(kinds), np.int64)))


class Float32Counts(Sound):
    def merge(self, other: Self) -> Self:
        total = self.counts.astype(np.float32) + other.counts.astype(np.float32)
        return type(self)(self.kinds, frozen(total.astype(np.int64)))


class LastValue(Sound):
    def merge(self, other: Self) -> Self:
        return type(self)(self.kinds, frozen(other.counts.copy()))


class MeanOfMeans(Sound):
    def merge(self, other: Self) -> Self:
        return type(self)(self.kinds, frozen((self.counts + other.counts) // 2))


class Mutating(Sound):
    @classmethod
    def of(cls, rows: Sequence[int]) -> Self:
        return cls(KINDS, np.bincount(np.array(rows, np.int64), minlength=len(KINDS)))

    def merge(self, other: Self) -> Self:
        total = self.counts
        total += other.counts
        return self


class Aliasing(Sound):
    def merge(self, other: Self) -> Self:
        return super().merge(other) if other.counts.any() else type(self)(self.kinds, self.counts)


class Writable(Sound):
    def merge(self, other: Self) -> Self:
        return type(self)(self.kinds, self.counts + other.counts)


class DropsRowsOfLargeBatches(Sound):
    @classmethod
    def of(cls, rows: Sequence[int]) -> Self:
        return super().of(rows[:8])


class CountsDistinctRows(Sound):
    @classmethod
    def of(cls, rows: Sequence[int]) -> Self:
        return super().of(sorted(set(rows)))


class LossyPickle(Sound):
    def __getstate__(self) -> dict[str, Any]:
        return {"kinds": self.kinds, "counts": self.counts.astype(np.uint8).astype(np.int64)}


class WritableAfterPickle(Sound):
    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class AlwaysEqual(Sound):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class BlindToLayout(Sound):
    def merge(self, other: Self) -> Self:
        return type(self)(self.kinds, add(self.counts, other.counts))


class FirstOfMany(Sound):
    @classmethod
    def merged(cls, values: Sequence[Self]) -> Self:
        return values[0]


class WritableOfMany(Sound):
    @classmethod
    def merged(cls, values: Sequence[Self]) -> Self:
        total = values[0].counts.copy()
        for value in values[1:]:
            total += value.counts
        return cls(values[0].kinds, total)


class ManyOfAnyLayout(Sound):
    @classmethod
    def merged(cls, values: Sequence[Self]) -> Self:
        return cls(values[0].kinds, frozen(np.sum([value.counts for value in values], axis=0)))


class FirstComers(KeptRows):
    """Keeps the rows that were there first, not the first ones of an order."""

    def merge(self, other: KeptRows) -> FirstComers:
        return type(self)(frozen(np.concatenate([self.table, other.table])[:KEPT]))


class VagueRefusal(Sound):
    def merge(self, other: Self) -> Self:
        if self.kinds != other.kinds:
            raise MergeError("cannot merge")
        return super().merge(other)
