"""A ZipMap gives way to the tensor that it reads; its names stay, in the order of the tensor's columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from ortbatch.model.zipmap import class_labels, strip_zipmaps

ROWS = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]], np.float32)


def zipmap(reads: str, makes: str, **labels: Any) -> onnx.NodeProto:
    return helper.make_node("ZipMap", [reads], [makes], f"zip_{makes}", domain="ai.onnx.ml", **labels)


def model_of(*nodes: onnx.NodeProto, outputs: tuple[str, ...], numbers: bool = False) -> onnx.ModelProto:
    """x float32[N, 3], then nodes; the outputs are lists of dictionaries."""
    key = TensorProto.INT64 if numbers else TensorProto.STRING
    of_maps = helper.make_sequence_type_proto(
        helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    infos = [helper.make_value_info(name, of_maps) for name in outputs]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])], infos)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def run(model: onnx.ModelProto) -> list[Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, {"x": ROWS}))


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [({"classlabels_strings": ["z", "a", "é"]}, False), ({"classlabels_int64s": [7, -1, 0]}, True)],
)
def test_columns_hold_what_the_dictionaries_hold_under_their_names(labels: dict[str, Any], numbers: bool) -> None:
    model = model_of(zipmap("x", "out", **labels), outputs=("out",), numbers=numbers)
    (maps,) = run(model)
    names = strip_zipmaps(model)["out"]
    (tensor,) = run(model)
    assert [dict(zip(names, row, strict=True)) for row in tensor.tolist()] == [
        {str(key): value for key, value in row.items()} for row in maps
    ]


def test_the_output_is_a_tensor_with_a_column_for_each_name() -> None:
    model = model_of(zipmap("x", "out", classlabels_strings=["a", "b", "c"]), outputs=("out",))
    strip_zipmaps(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.get_outputs()
    assert (output.name, output.type, output.shape[1:]) == ("out", "tensor(float)", [3])


def test_every_zipmap_of_an_output_is_replaced_under_its_own_names() -> None:
    nodes = [
        zipmap("x", "one", classlabels_strings=["a", "b", "c"]),
        zipmap("x", "two", classlabels_strings=list("def")),
    ]
    model = model_of(*nodes, outputs=("two", "one"))
    assert strip_zipmaps(model) == {"one": ("a", "b", "c"), "two": ("d", "e", "f")}
    assert [node.op_type for node in model.graph.node] == ["Identity", "Identity"]


def test_a_model_without_zipmap_is_left_as_it_is() -> None:
    model = model_of(helper.make_node("Softmax", ["x"], ["out"]), outputs=("out",))
    before = model.SerializeToString()
    assert strip_zipmaps(model) == {}
    assert model.SerializeToString() == before


def test_a_zipmap_that_feeds_no_output_is_left_alone() -> None:
    model = model_of(zipmap("x", "inner"), helper.make_node("Identity", ["x"], ["out"]), outputs=("out",))
    assert strip_zipmaps(model) == {}


def test_a_zipmap_without_names_is_refused() -> None:
    with pytest.raises(ValueError, match="ZipMap `zip_out` names no classes"):
        strip_zipmaps(model_of(zipmap("x", "out"), outputs=("out",)))


NAMED = [
    ({"classlabels_strings": ["b", "a"]}, ("b", "a")),
    ({"classlabels_ints": [3, -5]}, ("3", "-5")),
    ({"classlabels_int64s": [7]}, ("7",)),
    ({}, ()),
]


@pytest.mark.parametrize(("labels", "names"), NAMED)
def test_names_are_read_from_whichever_attribute_holds_them(labels: dict[str, Any], names: tuple[str, ...]) -> None:
    node = helper.make_node("SVMClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", **labels)
    assert class_labels(node) == names
