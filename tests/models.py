"""Small ONNX models whose weights are known, made without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18


def linear_weights(features: int, columns: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights float32[features, columns] and bias float32[columns]."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(features, columns)).astype(np.float32), rng.normal(size=columns).astype(np.float32)


def linear_model(
    path: Path,
    features: int,
    columns: int,
    *,
    end: str = "logits",
    inputs: tuple[str, ...] = ("x",),
    row_shape: tuple[int, ...] | None = None,
    seed: int = 0,
) -> Path:
    """x[N, features] · W + b, then `end`: logits, Softmax, Sigmoid or ArgMax (an int64 label).

    Several `inputs` are scalars [N, 1] that are put side by side; `row_shape` reshapes a single input.
    """
    weights, bias = linear_weights(features, columns, seed)
    nodes, graph_inputs = _inputs(features, inputs, row_shape)
    nodes += [
        helper.make_node("MatMul", ["flat", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["sum"]),
    ]
    nodes.append(_end(end))
    output = (
        helper.make_tensor_value_info("out", TensorProto.INT64, ["N"])
        if end == "ArgMax"
        else helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", columns])
    )
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")]
    if row_shape is not None:
        constants.append(numpy_helper.from_array(np.array([-1, features], np.int64), "flat_shape"))
    return save(path, helper.make_graph(nodes, "linear", graph_inputs, [output], constants))


def _inputs(
    features: int, inputs: tuple[str, ...], row_shape: tuple[int, ...] | None
) -> tuple[list[onnx.NodeProto], list[onnx.ValueInfoProto]]:
    if len(inputs) > 1:
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1]) for name in inputs]
        return [helper.make_node("Concat", list(inputs), ["flat"], axis=1)], infos
    info = helper.make_tensor_value_info(inputs[0], TensorProto.FLOAT, ["N", *(row_shape or (features,))])
    if row_shape is None:
        return [helper.make_node("Identity", [inputs[0]], ["flat"])], [info]
    return [helper.make_node("Reshape", [inputs[0], "flat_shape"], ["flat"])], [info]


def _end(end: str) -> onnx.NodeProto:
    if end == "logits":
        return helper.make_node("Identity", ["sum"], ["out"])
    if end == "ArgMax":
        return helper.make_node("ArgMax", ["sum"], ["out"], axis=1, keepdims=0)
    return helper.make_node(end, ["sum"], ["out"], **({"axis": 1} if end == "Softmax" else {}))


def save(path: Path, graph: onnx.GraphProto) -> Path:
    """Check a graph and write it as a model."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def mixed_model(path: Path, columns: int, end: str = "logits", seed: int = 0) -> Path:
    """x[N, 4] float32 beside n[N, 1] int64, · W + b, then `end`; the weights are `linear_weights(5, columns, seed)`."""
    weights, bias = linear_weights(5, columns, seed)
    nodes = [
        helper.make_node("Cast", ["n"], ["n_float"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["x", "n_float"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w", "b"], ["sum"]),
        _end(end),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4]),
        helper.make_tensor_value_info("n", TensorProto.INT64, ["N", 1]),
    ]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", columns])
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")]
    return save(path, helper.make_graph(nodes, "mixed", inputs, [output], constants))


def product_model(
    path: Path,
    features: int,
    columns: int,
    *,
    op: str = "Gemm",
    batch: str | int = "N",
    seed: int = 0,
    **flags: int,
) -> Path:
    """One product out = x · W, op Gemm or MatMul; `transA` and `transB` turn its operands."""
    weights, _ = linear_weights(features, columns, seed)
    stored = np.ascontiguousarray(weights.T) if flags.get("transB") else weights
    shape = [features, batch] if flags.get("transA") else [batch, features]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, columns])
    node = helper.make_node(op, ["x", "w"], ["out"], **flags)
    return save(path, helper.make_graph([node], "product", [x], [out], [numpy_helper.from_array(stored, "w")]))
