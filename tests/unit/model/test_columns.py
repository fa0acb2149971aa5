"""A model fed by columns: which inputs may be, and that it says what it says of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ortbatch.model.columns import by_columns, inputs_for_columns
from tests.models import linear_model, product_model

FEATURES = 20


def product(folder: Path, *, width: int = 8, features: int = FEATURES, **options: Any) -> bytes:
    return product_model(folder / "product.onnx", features, width, **options).read_bytes()


def outputs(content: bytes, x: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"x": x})[0]
    return result


@pytest.mark.parametrize("options", [{"op": "Gemm"}, {"op": "MatMul"}, {"transB": 1}, {"width": 256}])
@pytest.mark.parametrize("rows", [1, 2, 7, 64, 1_000])
def test_the_same_bits_come_out(tmp_path: Path, options: dict[str, Any], rows: int) -> None:
    content = product(tmp_path, **options)
    assert inputs_for_columns(content) == ("x",)
    x = np.random.default_rng(rows).normal(size=(rows, FEATURES)).astype(np.float32)
    turned = outputs(by_columns(content, ["x"]), np.ascontiguousarray(x.T))
    assert turned.tobytes() == outputs(content, x).tobytes()


@pytest.mark.parametrize(
    "options",
    [{"width": 257}, {"features": 15}, {"batch": 4}, {"transA": 1}],
    ids=["wide product", "few columns", "fixed batch", "already turned"],
)
def test_what_would_not_gain_stays_as_it_is(tmp_path: Path, options: dict[str, Any]) -> None:
    assert inputs_for_columns(product(tmp_path, **options)) == ()


def edited(content: bytes, edit: object) -> bytes:
    model = onnx.load_model_from_string(content)
    edit(model.graph)  # type: ignore[operator]
    result: bytes = model.SerializeToString()
    return result


def read_twice(graph: onnx.GraphProto) -> None:
    graph.node.append(helper.make_node("ReduceMean", ["x"], ["mean"]))


def second_operand(graph: onnx.GraphProto) -> None:
    graph.node[0].input[:] = ["w", "x"]


def computed_weight(graph: onnx.GraphProto) -> None:
    graph.initializer[0].name = "raw"
    graph.node.insert(0, helper.make_node("Identity", ["raw"], ["w"]))


def other_domain(graph: onnx.GraphProto) -> None:
    graph.node[0].domain = "com.example"


def name_taken(graph: onnx.GraphProto) -> None:
    graph.node.append(helper.make_node("Identity", ["w"], ["x/rows"]))


@pytest.mark.parametrize("edit", [read_twice, second_operand, computed_weight, other_domain, name_taken])
def test_an_input_that_something_else_reads_stays_as_it_is(tmp_path: Path, edit: object) -> None:
    assert inputs_for_columns(edited(product(tmp_path), edit)) == ()


def test_a_product_inside_a_branch_is_not_looked_for(tmp_path: Path) -> None:
    def branch(graph: onnx.GraphProto) -> None:
        inner = helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"])], "inner", [],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        )  # fmt: skip
        graph.node.append(helper.make_node("If", ["condition"], ["z"], then_branch=inner, else_branch=inner))

    assert inputs_for_columns(edited(product(tmp_path), branch)) == ()


def test_a_list_input_that_is_reshaped_first_stays_as_it_is(tmp_path: Path) -> None:
    path = linear_model(tmp_path / "m.onnx", 64, 3, row_shape=(1, 8, 8))
    assert inputs_for_columns(path.read_bytes()) == ()
