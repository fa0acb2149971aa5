"""What all mergeable values share: equality by content, frozen arrays, exact addition, a small wire form.

Counts are int64. Adding two non-negative int64 can only overflow into the negative, so one look at the sign proves the
sum exact. On the wire an array of counts travels as its non-zero cells when that is smaller. Many values at once are
merged as their type does it, or in a balanced tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import reduce
from itertools import zip_longest
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ortbatch.errors import MergeError

Counts = NDArray[np.int64]
LARGEST = int(np.iinfo(np.int64).max)


class Mergeable(Protocol):
    """A commutative monoid: `empty` values are identities, `merge` is associative, commutative and pure."""

    def merge(self, other: Self) -> Self:
        """Return the value of both operands' rows; raises MergeError if their layouts differ."""
        ...


V = TypeVar("V", bound=Mergeable)


class Value:
    """Equality by content and a sparse wire form for a frozen dataclass that may hold int64 arrays."""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))  # type: ignore[arg-type]

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    def __getstate__(self) -> dict[str, Any]:
        return {name: _pack(item) for name, item in self.__dict__.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({name: _unpack(item) for name, item in state.items()})


class _Sparse(tuple[Any, ...]):
    """(shape, flat indices, values) of an int64 array."""

    __slots__ = ()


def _same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    # An array compares with None cell by cell.
    return not isinstance(a, np.ndarray) and not isinstance(b, np.ndarray) and bool(a == b)


def _pack(item: object) -> object:
    if not isinstance(item, np.ndarray) or item.dtype != np.int64:
        return item
    indices = np.flatnonzero(item)
    return item if 2 * indices.size >= item.size else _Sparse((item.shape, indices, item.ravel()[indices]))


def _unpack(item: object) -> object:
    if isinstance(item, _Sparse):
        shape, indices, values = item
        dense = np.zeros(shape, np.int64)
        dense.ravel()[indices] = values
        return frozen(dense)
    return frozen(item) if isinstance(item, np.ndarray) else item


def frozen(counts: Counts) -> Counts:
    """Mark an array that this value owns as read-only."""
    counts.flags.writeable = False
    return counts


def zeros(*shape: int) -> Counts:
    """Read-only int64 zeros."""
    return frozen(np.zeros(shape, np.int64))


def add(a: Counts, b: Counts) -> Counts:
    """Return a + b, both non-negative int64 of one shape.

    Raises:
        OverflowError: if a cell passes 2^63 - 1.
    """
    total = a + b
    if total.size and total.min() < 0:
        raise OverflowError(f"a count passed the limit of int64 ({LARGEST})")
    return frozen(total)


def merged(values: Sequence[V]) -> V:
    """Merge one or more values, as merging one after another gives them.

    Raises:
        MergeError: if layouts differ.
        OverflowError: if a count passes 2^63 - 1.
    """
    at_once = getattr(type(values[0]), "merged", None)
    if at_once is not None:
        total: V = at_once(values)
        return total
    # As a binary counter carries: few values are alive at a time, and one that grows by merging is copied seldom.
    alive: list[V] = []
    for index, value in enumerate(values):
        alive.append(value)
        for _ in range((~index & (index + 1)).bit_length() - 1):
            last = alive.pop()
            alive[-1] = alive[-1].merge(last)
    return reduce(lambda later, earlier: earlier.merge(later), reversed(alive))


def require_inside(what: str, index: NDArray[np.integer[Any]], size: int) -> None:
    """Refuse integer indices outside [0, size); one pass over int64.

    Raises:
        ValueError: naming the extremes.
    """
    if not index.size:
        return
    # As uint64 a negative number is at least 2^63: one maximum sees both ends.
    low, high = (0, index.view(np.uint64).max()) if index.dtype == np.int64 else (index.min(), index.max())
    if low < 0 or high >= size:
        raise ValueError(f"{what} index outside [0, {size}): {index.min()} to {index.max()}")


def require_same(what: str, a: object, b: object) -> None:
    """Refuse to merge two values whose `what` differs.

    Raises:
        MergeError: naming both.
    """
    # Tuples compare item by item, also with themselves; 10,000 class names take longer than the counts.
    if a is not b and a != b:
        one, two = _brief(a), _brief(b)
        if one == two and isinstance(a, tuple) and isinstance(b, tuple):
            at = next(index for index, (x, y) in enumerate(zip_longest(a, b)) if x != y)
            one, two = f"from index {at}, {_brief(a[at:])}", _brief(b[at:])
        raise MergeError(f"cannot merge: {what} differ: {one} and {two}")


def _brief(item: object) -> str:
    text = repr(item)
    return text if len(text) <= 200 else f"{text[:197]}..."
