"""A model of trees in which a branch leads back is refused; any other runs as it did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper

from ortbatch.errors import ModelError
from ortbatch.model.source import load, open_source
from ortbatch.model.trees import check_trees

Node = tuple[int, int, int, int]  # tree, number, behind it if true, if false; a leaf leads to itself


def ensemble(nodes: Sequence[Node], op: str = "TreeEnsembleClassifier") -> NodeProto:
    tree, number, true, false = (list(column) for column in zip(*nodes, strict=True))
    leaves = [node[1] == node[2] == node[3] for node in nodes]
    own = [(node[0], node[1]) for node, leaf in zip(nodes, leaves, strict=True) if leaf]
    attributes: dict[str, Any] = {
        "nodes_treeids": tree, "nodes_nodeids": number, "nodes_featureids": [0] * len(nodes),
        "nodes_values": [0.5] * len(nodes), "nodes_modes": ["LEAF" if leaf else "BRANCH_LEQ" for leaf in leaves],
        "nodes_truenodeids": [0 if leaf else to for to, leaf in zip(true, leaves, strict=True)],
        "nodes_falsenodeids": [0 if leaf else to for to, leaf in zip(false, leaves, strict=True)],
        "class_treeids": [t for t, _ in own], "class_nodeids": [n for _, n in own], "class_ids": [0] * len(own),
        "class_weights": [0.7] * len(own), "classlabels_int64s": [0, 1], "post_transform": "NONE",
    }  # fmt: skip
    return helper.make_node(op, ["x"], ["label", "out"], domain="ai.onnx.ml", **attributes)


def saved(path: Path, node: NodeProto) -> str:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 2])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(
        helper.make_model(helper.make_graph([node], "g", [x], [out]), opset_imports=opsets, ir_version=10), str(path)
    )
    return str(path)


SOUND: dict[str, list[Node]] = {
    "one leaf": [(0, 0, 0, 0)],
    "one split": [(0, 0, 1, 2), (0, 1, 1, 1), (0, 2, 2, 2)],
    "two trees": [(0, 0, 1, 2), (0, 1, 1, 1), (0, 2, 2, 2), (1, 0, 2, 1), (1, 1, 1, 1), (1, 2, 2, 2)],
    "numbers from anywhere": [(7, 10, 30, 20), (7, 20, 20, 20), (7, 30, 30, 30)],
    "numbers in any order": [(0, 2, 0, 1), (0, 0, 0, 0), (0, 1, 1, 1)],
    "numbers through all trees": [(0, 0, 1, 2), (0, 1, 1, 1), (0, 2, 2, 2), (1, 3, 4, 5), (1, 4, 4, 4), (1, 5, 5, 5)],
    "a branch to nothing": [(7, 10, 5, 20), (7, 20, 20, 20)],
    "a shared branch": [(0, 0, 1, 2), (0, 1, 3, 4), (0, 2, 3, 4), (0, 3, 3, 3), (0, 4, 4, 4)],
}
ODD = ("numbers from anywhere", "a branch to nothing", "a shared branch")
ENDLESS: dict[str, list[Node]] = {
    "to itself": [(0, 0, 0, 1), (0, 1, 1, 1)],
    "to the root": [(0, 0, 1, 2), (0, 1, 0, 2), (0, 2, 2, 2)],
    "in the second tree": [*SOUND["one split"], (1, 0, 1, 2), (1, 1, 2, 0), (1, 2, 2, 2)],
    "by numbers from anywhere": [(7, 10, 30, 20), (7, 20, 10, 30), (7, 30, 30, 30)],
    "a long way": [*((0, n, n + 1, 50) for n in range(49)), (0, 49, 3, 50), (0, 50, 50, 50)],
}


@pytest.mark.parametrize("what", SOUND)
def test_branches_that_end_are_no_error(what: str) -> None:
    check_trees([ensemble(SOUND[what])])


# ODD is not what this version of ONNX Runtime takes.
@pytest.mark.parametrize("what", [what for what in SOUND if what not in ODD])
def test_trees_whose_branches_end_run(tmp_path: Path, what: str) -> None:
    model = load(open_source(saved(tmp_path / "m.onnx", ensemble(SOUND[what]))), ["CPUExecutionProvider"], 1)
    assert np.isfinite(model.run(["out"], {"x": np.eye(2, dtype=np.float32)})[0]).all()


@pytest.mark.parametrize("what", ENDLESS)
def test_a_branch_that_leads_back_is_refused_with_its_file(tmp_path: Path, what: str) -> None:
    path = saved(tmp_path / "m.onnx", ensemble(ENDLESS[what]))
    with pytest.raises(ModelError, match=r"m\.onnx: .*a branch in the trees of `.*` leads back to where it came from"):
        open_source(path)


@pytest.mark.parametrize("what", ENDLESS)
def test_a_regressor_is_looked_at_too(what: str) -> None:
    with pytest.raises(ValueError, match="leads back"):
        check_trees([ensemble(ENDLESS[what], "TreeEnsembleRegressor")])


def by_place(true: list[int], true_ends: list[int], false: list[int], false_ends: list[int]) -> NodeProto:
    names = ("nodes_truenodeids", "nodes_trueleafs", "nodes_falsenodeids", "nodes_falseleafs")
    attributes = dict(zip(names, (true, true_ends, false, false_ends), strict=True))
    return helper.make_node("TreeEnsemble", ["x"], ["out"], domain="ai.onnx.ml", tree_roots=[0], **attributes)


def test_trees_whose_nodes_go_by_place_are_looked_at_too() -> None:
    check_trees([by_place([1, 0], [0, 1], [0, 1], [1, 1])])
    with pytest.raises(ValueError, match="leads back"):
        check_trees([by_place([1, 0], [0, 0], [0, 1], [1, 1])])


@pytest.mark.parametrize("missing", ["nodes_treeids", "nodes_truenodeids", "nodes_modes", "nodes_values"])
def test_what_else_is_wrong_is_left_to_onnx_runtime(tmp_path: Path, missing: str) -> None:
    node = ensemble(SOUND["one split"])
    node.attribute.remove(next(attribute for attribute in node.attribute if attribute.name == missing))
    with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
        load(open_source(saved(tmp_path / "m.onnx", node)), ["CPUExecutionProvider"], 1)


def test_a_deep_forest_is_looked_at() -> None:
    depth, trees = 2_000, 50
    chain = [(n + 1, n + 1 if n == depth - 1 else depth) for n in range(depth)]
    nodes = [(tree, n, *behind) for tree in range(trees) for n, behind in enumerate([*chain, (depth, depth)])]
    check_trees([ensemble(nodes)])


def test_a_tree_that_is_deeper_than_any_is_refused() -> None:
    chain = [(0, n, n + 1, n + 1) for n in range(20_000)]
    with pytest.raises(ValueError, match="leads back"):
        check_trees([ensemble([*chain, (0, 20_000, 20_000, 20_000)])])
