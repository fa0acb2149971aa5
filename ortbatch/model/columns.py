"""A model that takes its features column by column: [F, N] instead of [N, F].

Parquet and Arrow hold columns; a session wants rows, and turning one into the other costs a strided write a value.
Where an input goes straight into matrix products, a Transpose in front of them costs next to nothing, as ONNX Runtime
takes it into the product (a Gemm with transA). Columns are then copied as they lie.

It pays for 16 columns and more and up to 256 outputs a product (docs/log.md has the measurements): wider products read
the transposed side again for every slab of outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

_COLUMNS_AT_LEAST = 16
_WIDTH_AT_MOST = 256
_LARGEST_MODEL = 64 << 20
_ROWS_SUFFIX = "/rows"


def inputs_for_columns(content: bytes) -> tuple[str, ...]:
    """Inputs of a model, float32[N, F], that may be fed by columns with a gain.

    Args:
        content: the model; its weights are in it.
    """
    if len(content) > _LARGEST_MODEL:
        return ()
    graph = onnx.load_model_from_string(content).graph
    return tuple(value.name for value in graph.input if _fits(graph, value))


def by_columns(content: bytes, inputs: Sequence[str]) -> bytes:
    """The same model with some inputs taken as [F, N].

    Args:
        content: the model.
        inputs: names that `inputs_for_columns` gave.
    """
    model = onnx.load_model_from_string(content)
    for value in model.graph.input:
        if value.name not in inputs:
            continue
        rows = f"{value.name}{_ROWS_SUFFIX}"
        for node in model.graph.node:
            for place, name in enumerate(node.input):
                if name == value.name:
                    node.input[place] = rows
        batch, width = value.type.tensor_type.shape.dim
        turned = [onnx.TensorShapeProto.Dimension.FromString(dim.SerializeToString()) for dim in (width, batch)]
        del value.type.tensor_type.shape.dim[:]
        value.type.tensor_type.shape.dim.extend(turned)
        model.graph.node.insert(0, onnx.helper.make_node("Transpose", [value.name], [rows], perm=[1, 0]))
    content_by_columns: bytes = model.SerializeToString()
    return content_by_columns


def _fits(graph: onnx.GraphProto, value: onnx.ValueInfoProto) -> bool:
    """Is it a table of floats that nothing but narrow matrix products read, as their first operand?"""
    kind = value.type.tensor_type
    dims = kind.shape.dim
    if kind.elem_type != onnx.TensorProto.FLOAT or len(dims) != 2 or dims[0].HasField("dim_value"):
        return False
    readers = [node for node in graph.node if value.name in node.input]
    names = {name for node in graph.node for name in (*node.input, *node.output)} | {o.name for o in graph.output}
    subgraphs = any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    return (
        dims[1].dim_value >= _COLUMNS_AT_LEAST
        and bool(readers)
        and not subgraphs
        and f"{value.name}{_ROWS_SUFFIX}" not in names
        and all(_is_product(node, value.name, weights) for node in readers)
    )


def _is_product(node: onnx.NodeProto, name: str, weights: dict[str, onnx.TensorProto]) -> bool:
    flags = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type not in ("Gemm", "MatMul") or node.domain not in ("", "ai.onnx") or flags.get("transA"):
        return False
    weight = weights.get(node.input[1])
    if list(node.input).count(name) != 1 or node.input[0] != name or weight is None or len(weight.dims) != 2:
        return False
    return int(weight.dims[0 if flags.get("transB") else 1]) <= _WIDTH_AT_MOST
