"""The laws of a mergeable value, as properties to hold any such value against.

A law takes a `Case` and Hypothesis data and fails with AssertionError. Values are compared by `content`, which reads
fields and bytes, not by the `==` under test. Leaves are batches of rows, some doubled up to 2^25 times, so that a merge
that is exact for small counts only is found out.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ortbatch.errors import MergeError
from ortbatch.metrics.value import merged

Law = Callable[["Case", st.DataObject], None]


@dataclass(frozen=True)
class Unlike:
    """Two values whose layouts differ, and what a refusal must name of each."""

    left: Any
    right: Any
    names: tuple[str, str]


@dataclass(frozen=True)
class Case:
    """A kind of mergeable value: how to draw rows, count them, and count none."""

    name: str
    row: st.SearchStrategy[Any]
    of: Callable[[Sequence[Any]], Any]
    empty: Callable[[], Any]
    unlike: tuple[Unlike, ...] = ()

    def rows(self, data: st.DataObject) -> list[Any]:
        return data.draw(st.lists(self.row, max_size=10), label="rows")

    def leaf(self, data: st.DataObject) -> Any:
        value = self.of(self.rows(data))
        for _ in range(data.draw(st.sampled_from([0, 0, 1, 25]), label="doublings")):
            value = value.merge(value)
        return value

    def leaves(self, data: st.DataObject) -> list[Any]:
        return [self.leaf(data) for _ in range(data.draw(st.integers(2, 6), label="leaves"))]


def content(value: Any) -> Any:
    """Everything in a value, down to types and bytes."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if is_dataclass(value):
        return type(value).__name__, *(content(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple) and any(map(is_dataclass, value)):
        return tuple(content(item) for item in value)
    if isinstance(value, Mapping):
        return frozenset((key, content(item)) for key, item in value.items())
    return type(value).__name__, value


def containers(value: Any) -> Iterator[Any]:
    """Every array and mapping in a value."""
    if isinstance(value, np.ndarray | Mapping):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from containers(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from containers(item)


def share(a: Any, b: Any) -> bool:
    """Would a write to one container show in the other?"""
    return a is b or (isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.shares_memory(a, b))


def fold(values: Sequence[Any]) -> Any:
    total, *rest = values
    for value in rest:
        total = total.merge(value)
    return total


def refusal(merge: Callable[[Any], Any], values: Any) -> str:
    """The message of the MergeError, or the word `merged`."""
    try:
        merge(values)
    except MergeError as error:
        return str(error)
    return "merged"


def grow_tree(values: Sequence[Any], data: st.DataObject) -> Any:
    """Merge neighbours at random until one value is left: a random binary tree over the leaves in their order."""
    forest = list(values)
    while len(forest) > 1:
        at = data.draw(st.integers(0, len(forest) - 2), label="merge")
        forest[at : at + 2] = [forest[at].merge(forest[at + 1])]
    return forest[0]


def identity(case: Case, data: st.DataObject) -> None:
    value = case.leaf(data)
    assert content(case.empty().merge(value)) == content(value)
    assert content(value.merge(case.empty())) == content(value)


def associativity(case: Case, data: st.DataObject) -> None:
    leaves = case.leaves(data)
    assert content(grow_tree(leaves, data)) == content(fold(leaves))


def commutativity(case: Case, data: st.DataObject) -> None:
    a, b = case.leaf(data), case.leaf(data)
    assert content(a.merge(b)) == content(b.merge(a))


def any_tree_of_any_order(case: Case, data: st.DataObject) -> None:
    leaves = case.leaves(data)
    shuffled = data.draw(st.permutations(leaves), label="order")
    assert content(grow_tree(shuffled, data)) == content(fold(leaves))


def homomorphism(case: Case, data: st.DataObject) -> None:
    rows = case.rows(data) + case.rows(data)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), min_size=1, max_size=3), label="cuts"))
    batches = [rows[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    assert content(grow_tree([case.of(batch) for batch in batches], data)) == content(case.of(rows))
    assert content(case.of([])) == content(case.empty())


def many_at_once(case: Case, data: st.DataObject) -> None:
    leaves = case.leaves(data)
    before = [content(leaf) for leaf in leaves]
    total = merged(leaves)
    assert content(total) == content(fold(leaves))
    assert content(merged(leaves[:1])) == before[0]
    assert [content(leaf) for leaf in leaves] == before
    for part in containers(total):
        assert not isinstance(part, np.ndarray) or not part.flags.writeable
        assert not any(share(part, theirs) for leaf in leaves for theirs in containers(leaf))


def purity(case: Case, data: st.DataObject) -> None:
    a = case.leaf(data)
    b = data.draw(st.sampled_from([case.leaf(data), case.empty(), a]), label="other")
    before = content(a), content(b)
    merged = a.merge(b)
    after = content(merged)
    assert (content(a), content(b)) == before
    assert content(a.merge(b)) == after
    for part in containers(merged):
        assert not isinstance(part, np.ndarray) or not part.flags.writeable
        assert not any(share(part, theirs) for operand in (a, b) for theirs in containers(operand))


def pickling(case: Case, data: st.DataObject) -> None:
    value = case.leaf(data)
    buffers: list[pickle.PickleBuffer] = []
    in_band = pickle.loads(pickle.dumps(value))
    wire = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    for copy in (in_band, pickle.loads(wire, buffers=[bytes(buffer) for buffer in buffers])):
        assert content(copy) == content(value)
        assert not any(part.flags.writeable for part in containers(copy) if isinstance(part, np.ndarray))
        assert content(copy.merge(value)) == content(value.merge(value))


def equality(case: Case, data: st.DataObject) -> None:
    rows = case.rows(data)
    a, b = case.of(rows), case.leaf(data)
    assert a == case.of(rows)
    assert (a == b) == (content(a) == content(b))
    assert a != object()


def unlike_layouts(case: Case, data: st.DataObject) -> None:
    pair = data.draw(st.sampled_from(case.unlike))
    for one, other in ((pair.left, pair.right), (pair.right, pair.left)):
        for message in (refusal(one.merge, other), refusal(merged, [one, one, other])):
            assert all(name in message for name in pair.names), message


LAWS: tuple[Law, ...] = (
    identity,
    associativity,
    commutativity,
    any_tree_of_any_order,
    many_at_once,
    homomorphism,
    purity,
    pickling,
    equality,
)
