"""ZipMap removed: the tensor that a classifier computes, instead of a list of dictionaries built from it.

Converters of scikit-learn and LightGBM end a classifier with ZipMap, which makes one dictionary a row (55 times slower
than the tensor). Its input is a [rows, classes] tensor whose columns are in the order of its class labels, so reading
the tensor by place is reading the dictionaries by label; their own order is never looked at.
"""

from __future__ import annotations

import onnx


def strip_zipmaps(model: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """Replace every ZipMap that feeds an output by the tensor that it reads, in place.

    Returns:
        Output name → class names in the order of its columns.

    Raises:
        ValueError: if a ZipMap names no classes, or names that are no UTF-8.
    """
    outputs = {output.name: output for output in model.graph.output}
    found = {}
    for node in model.graph.node:
        name = next(iter(node.output), "")
        if node.op_type == "ZipMap" and name in outputs:
            found[name] = class_labels(node)
            if not found[name]:
                raise ValueError(f"ZipMap `{node.name}` names no classes")
            tensor = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [None, len(found[name])])
            outputs[name].type.CopyFrom(tensor)
            node.CopyFrom(onnx.helper.make_node("Identity", list(node.input), [name], node.name))
    return found


def class_labels(node: onnx.NodeProto) -> tuple[str, ...]:
    """Class names that a ZipMap or a classifier of `ai.onnx.ml` holds; none if it holds none.

    Raises:
        ValueError: if a name is no UTF-8.
    """
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if "classlabels_strings" in attributes:
        return tuple(label.decode("utf-8") for label in attributes["classlabels_strings"].strings)
    numbers = attributes.get("classlabels_int64s") or attributes.get("classlabels_ints")
    return tuple(str(label) for label in numbers.ints) if numbers else ()
