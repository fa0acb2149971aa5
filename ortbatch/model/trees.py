"""Trees that are trees: ONNX Runtime follows a branch that leads back for ever, and nothing interrupts it.

One changed bit of a model of trees can make such a branch.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray

_DEEPEST = 10_000
_BY_NUMBER = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
_BY_PLACE = "TreeEnsemble"
_Places = NDArray[np.int64]


def check_trees(nodes: Iterable[onnx.NodeProto]) -> None:
    """Refuse trees in which a branch leads back; what else is wrong with them, ONNX Runtime tells.

    Raises:
        ValueError: if there is one, or a tree of more than 10,000 levels.
    """
    for node in nodes:
        if node.op_type in _BY_NUMBER or node.op_type == _BY_PLACE:
            attributes = {attribute.name: attribute for attribute in node.attribute}
            branches = (_by_place if node.op_type == _BY_PLACE else _by_number)(attributes)
            if branches is not None and not _ends(*branches):
                raise ValueError(f"a branch in the trees of `{node.name}` leads back to where it came from")


def _ends(true: _Places, false: _Places) -> bool:
    """Does every branch end? Places of the nodes behind each node, -1 for an end."""
    ended = np.zeros(len(true) + 1, np.bool_)
    ended[-1] = True  # also of what lies at -1
    left = np.arange(len(true))
    for _ in range(_DEEPEST):
        now = ended[true[left]] & ended[false[left]]
        ended[left[now]] = True
        left = left[~now]
        if not left.size or not now.any():
            break
    return not left.size


def _by_place(attributes: dict[str, onnx.AttributeProto]) -> tuple[_Places, _Places] | None:
    """Branches of trees whose nodes name others by their place; None if they do not fit together."""
    true, false, true_ends, false_ends = (
        _numbers(attributes, f"nodes_{name}") for name in ("truenodeids", "falsenodeids", "trueleafs", "falseleafs")
    )
    if not len(true) == len(false) == len(true_ends) == len(false_ends):
        return None
    size = np.full(len(true), len(true))
    return _within(true, true_ends != 0, size, 0 * size), _within(false, false_ends != 0, size, 0 * size)


def _within(to: _Places, ends: NDArray[np.bool_], size: _Places, first: _Places) -> _Places:
    """Places of nodes that are called by their place in a tree; -1 where there is none behind."""
    return np.where(ends | (to < 0) | (to >= size), -1, first + to)


def _by_number(attributes: dict[str, onnx.AttributeProto]) -> tuple[_Places, _Places] | None:
    """Branches of trees whose nodes name others by their number in the tree; None if they do not fit together."""
    tree, number, true, false = (
        _numbers(attributes, f"nodes_{name}") for name in ("treeids", "nodeids", "truenodeids", "falsenodeids")
    )
    modes = attributes["nodes_modes"].strings if "nodes_modes" in attributes else ()
    if not len(tree) == len(number) == len(true) == len(false) == len(modes):
        return None
    leaf = np.fromiter((mode == b"LEAF" for mode in modes), np.bool_, len(modes))
    starts = np.flatnonzero(np.diff(tree, prepend=tree[:1] - 1))
    sizes = np.diff(starts, append=len(tree))
    first, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    if len(set(tree[starts].tolist())) == len(starts) and np.array_equal(number, np.arange(len(tree)) - first):
        # As converters write them: tree by tree, numbered from 0.
        return _within(true, leaf, size, first), _within(false, leaf, size, first)
    _, tree = np.unique(tree, return_inverse=True)
    names, places = np.unique(np.concatenate([number, true, false]), return_inverse=True)
    number, true, false = (tree * len(names) + part for part in np.split(places, 3))
    order = np.argsort(number, kind="stable")
    return _found(true, number, order, leaf), _found(false, number, order, leaf)


def _found(wanted: _Places, number: _Places, order: _Places, leaf: NDArray[np.bool_]) -> _Places:
    """Places of nodes by their number; -1 behind a leaf, and for a node that there is not."""
    if not len(number):
        return wanted
    place = order[np.minimum(np.searchsorted(number, wanted, sorter=order), len(number) - 1)]
    return np.where(leaf | (number[place] != wanted), -1, place)


def _numbers(attributes: dict[str, onnx.AttributeProto], name: str) -> _Places:
    values = attributes[name].ints if name in attributes else ()
    return np.fromiter(values, np.int64, len(values))
