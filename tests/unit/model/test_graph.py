"""What a file says of itself, and why it may not be used, before ONNX Runtime sees it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ortbatch.errors import ModelError
from ortbatch.model.graph import read_graph
from tests.models import linear_model

WEIGHTS = numpy_helper.from_array(np.zeros((4, 4), np.float32), "w")


def external(tensor: TensorProto) -> TensorProto:
    """The same weights, said to lie in another file."""
    outside = TensorProto()
    outside.CopyFrom(tensor)
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="weights.bin")
    return outside


def content(
    nodes: Sequence[onnx.NodeProto],
    initializers: Sequence[TensorProto] = (),
    functions: Sequence[onnx.FunctionProto] = (),
) -> bytes:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("x", "out")]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], initializers)
    opsets = [helper.make_opsetid("com.example", 1), helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, functions=functions, producer_name="maker")
    model.producer_version = "1.2"
    return model.SerializeToString()


def chain(*operators: str) -> list[onnx.NodeProto]:
    names = ["x", *(f"t{i}" for i in range(1, len(operators))), "out"]
    return [helper.make_node(op, [a], [b]) for op, a, b in zip(operators, names, names[1:], strict=False)]


ENDS = [
    (("MatMul", "Softmax"), "Softmax"),
    (("Sigmoid", "Identity", "Cast", "Squeeze"), "Sigmoid"),
    (("Softmax", "Reshape", "Flatten", "Unsqueeze", "Dropout"), "Softmax"),
    (("Softmax", "Relu"), "Relu"),
    (("ArgMax", "Cast"), "ArgMax"),
    (("Identity",), ""),
]


@pytest.mark.parametrize(("operators", "final"), ENDS)
def test_the_operator_that_gives_an_output_its_meaning_is_found(operators: tuple[str, ...], final: str) -> None:
    assert read_graph(content(chain(*operators)), "m.onnx").final_ops == {"out": final}


def test_producer_and_opset_are_those_of_the_file() -> None:
    graph = read_graph(content(chain("Softmax")), "m.onnx")
    assert (graph.producer, graph.opset) == ("maker 1.2", 18)


def test_nodes_without_inputs_or_in_a_circle_do_no_harm() -> None:
    nodes = [helper.make_node("Identity", [], ["out"])]
    assert read_graph(content(nodes), "m.onnx").final_ops == {"out": ""}
    nodes = [helper.make_node("Identity", ["t"], ["out"]), helper.make_node("Identity", ["out"], ["t"])]
    assert read_graph(content(nodes), "m.onnx").final_ops == {"out": ""}


NOT_ONNX = [b"", b"x", b"PAR1" * 100, b"PK\x03\x04" + b"\0" * 50, b"{}", b"\x80\x04\x95" + b"a" * 50, bytes(range(256))]


@pytest.mark.parametrize("garbage", NOT_ONNX)
def test_what_is_no_model_is_refused_with_its_name_and_size(garbage: bytes) -> None:
    with pytest.raises(ModelError, match=rf"m\.onnx: not an ONNX (file|model).*{len(garbage)} bytes"):
        read_graph(garbage, "m.onnx")


def test_a_model_cut_short_anywhere_is_refused_or_read(tmp_path: Path) -> None:
    whole = linear_model(tmp_path / "m.onnx", 4, 2).read_bytes()
    for size in range(len(whole)):
        with suppress(ModelError):
            read_graph(whole[:size], "m.onnx")


def in_a_branch(node: onnx.NodeProto) -> onnx.NodeProto:
    info = helper.make_tensor_value_info("v", TensorProto.FLOAT, [4, 4])
    branch = helper.make_graph([node], "branch", [], [info])
    return helper.make_node("If", ["x"], ["out"], then_branch=branch, else_branch=branch)


CONSTANT = helper.make_node("Constant", [], ["v"], value=external(WEIGHTS))
FUNCTION = helper.make_function("com.example", "F", ["a"], ["v"], [CONSTANT], [helper.make_opsetid("", 18)])
INDICES = numpy_helper.from_array(np.zeros(1, np.int64))
SPARSE_WEIGHTS = onnx.SparseTensorProto(values=external(WEIGHTS), indices=INDICES, dims=[4])
SPARSE = helper.make_node("Constant", [], ["v"], sparse_value=SPARSE_WEIGHTS)
OUTSIDE = {
    "a weight": content(chain("Softmax"), [external(WEIGHTS)]),
    "a constant": content([CONSTANT, *chain("Softmax")]),
    "a constant in a branch": content([in_a_branch(CONSTANT)]),
    "a constant in a branch of a branch": content([in_a_branch(in_a_branch(CONSTANT))]),
    "a constant in a function": content(chain("Softmax"), functions=[FUNCTION]),
    "a sparse constant": content([SPARSE, *chain("Softmax")]),
}


@pytest.mark.parametrize("where", OUTSIDE)
def test_weights_in_other_files_are_found_wherever_they_hide(where: str) -> None:
    assert read_graph(OUTSIDE[where], "m.onnx").external == ("weights.bin",)


def test_a_sparse_weight_in_another_file_is_found() -> None:
    model = onnx.load_model_from_string(content(chain("Softmax")))
    model.graph.sparse_initializer.add().values.CopyFrom(external(WEIGHTS))
    assert read_graph(model.SerializeToString(), "m.onnx").external == ("weights.bin",)


def test_a_model_with_its_weights_inside_needs_no_other_file_and_runs_as_it_is(tmp_path: Path) -> None:
    whole = linear_model(tmp_path / "m.onnx", 4, 2).read_bytes()
    graph = read_graph(whole, "m.onnx")
    assert (graph.external, graph.class_names, graph.runs) == ((), {}, whole)


NAMED = [({"classlabels_strings": ["ham", "é"]}, ("ham", "é")), ({"classlabels_int64s": [7, -1]}, ("7", "-1"))]


@pytest.mark.parametrize(("labels", "names"), NAMED)
def test_a_zipmap_gives_its_columns_names_and_is_not_run(labels: dict[str, list[Any]], names: tuple[str, ...]) -> None:
    zipmap = helper.make_node("ZipMap", ["t1"], ["out"], domain="ai.onnx.ml", **labels)
    graph = read_graph(content([*chain("Softmax", "Identity")[:1], zipmap]), "m.onnx")
    assert graph.class_names == {"out": names}
    assert graph.final_ops == {"out": "Softmax"}
    assert [node.op_type for node in onnx.load_model_from_string(graph.runs).graph.node] == ["Softmax", "Identity"]


def classified(operator: str, *after: str, output: int = 1, **labels: list[Any]) -> bytes:
    """A classifier whose labels (output 0) or scores (output 1) go through some operators to the model's output."""
    made = ["label", "scores"]
    node = helper.make_node(operator, ["x"], made, domain="ai.onnx.ml", **labels)
    names = [made[output], *(f"t{i}" for i in range(1, len(after))), "out"]
    return content([node, *(helper.make_node(op, [a], [b]) for op, (a, b) in zip(after, pairwise(names), strict=True))])


@pytest.mark.parametrize("output", [0, 1])
@pytest.mark.parametrize("operator", ["LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"])
def test_a_classifier_names_its_labels_and_its_columns_and_runs_as_it_is(operator: str, output: int) -> None:
    model = classified(operator, "Cast", "Identity", output=output, classlabels_strings=["b", "a"])
    graph = read_graph(model, "m.onnx")
    assert graph.class_names == {"out": ("b", "a")}
    assert (graph.rewritten, graph.runs) == (False, model)


def test_a_classifier_is_seen_through_the_normalizer_of_its_scores() -> None:
    model = classified("LinearClassifier", "Cast", "Normalizer", classlabels_ints=[3, 5, 7])
    assert read_graph(model, "m.onnx").class_names == {"out": ("3", "5", "7")}


@pytest.mark.parametrize("labels", [{"classlabels_ints": [0, 1, 2]}, {"classlabels_strings": ["0", "1"]}, {}])
def test_a_classifier_that_counts_from_0_names_nothing(labels: dict[str, list[Any]]) -> None:
    assert read_graph(classified("LinearClassifier", "Identity", **labels), "m.onnx").class_names == {}


def test_what_stands_between_a_classifier_and_the_output_takes_its_names_away() -> None:
    model = classified("LinearClassifier", "Cast", "Softmax", classlabels_ints=[3, 5])
    assert read_graph(model, "m.onnx").class_names == {}


@pytest.mark.parametrize("labels", [{}, {"classlabels_strings": [b"\xff"]}])
def test_a_zipmap_without_names_that_can_be_read_is_refused(labels: dict[str, list[Any]]) -> None:
    zipmap = helper.make_node("ZipMap", ["x"], ["out"], domain="ai.onnx.ml", **labels)
    with pytest.raises(ModelError, match=r"m\.onnx: not an ONNX model that can be read: "):
        read_graph(content([zipmap]), "m.onnx")


def test_a_message_has_no_secret() -> None:
    with pytest.raises(ModelError) as caught:
        read_graph(b"", "s3://key:secret@bucket/m.onnx")
    assert str(caught.value).startswith("s3://***@bucket/m.onnx: not an ONNX")


@pytest.mark.parametrize(("operator", "dynamic"), [("DynamicQuantizeLinear", True), ("QuantizeLinear", False)])
def test_a_graph_that_quantises_by_the_range_of_the_batch_is_known(operator: str, dynamic: bool) -> None:
    outputs = ["q", "scale", "zero"] if dynamic else ["q"]
    nodes = [
        helper.make_node(operator, ["x"] if dynamic else ["x", "s"], outputs),
        helper.make_node("Cast", ["q"], ["out"], to=TensorProto.FLOAT),
    ]
    graph = read_graph(content(nodes), "m.onnx")
    assert (graph.dynamic, graph.quantized) == (dynamic, True)


def test_a_graph_of_floats_is_not_quantised() -> None:
    assert not read_graph(content([helper.make_node("Relu", ["x"], ["out"])]), "m.onnx").quantized
