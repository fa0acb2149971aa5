"""What an ONNX graph says about itself without running it: who made it, and what its outputs mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import onnx
from google.protobuf.message import DecodeError

from ortbatch.errors import ModelError
from ortbatch.job.redaction import redact
from ortbatch.job.wording import printable
from ortbatch.model.trees import check_trees
from ortbatch.model.zipmap import class_labels, strip_zipmaps

_PASS_THROUGH = {"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Dropout"}
CLASSIFIERS = {"LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"}
BINARY_SVM = "SVMClassifier of two classes without probabilities"
_SHOWN = 40
# QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, QLinearConv, MatMulInteger, ConvInteger, MatMulNBits, ...
_QUANTIZED = re.compile("Quantize|^QLinear|Integer|NBits|^QGemm")
_EXTERNAL = onnx.TensorProto.DataLocation.Value("EXTERNAL")


@dataclass(frozen=True)
class Graph:
    """Facts of a model file.

    Args:
        producer: name and version of the exporter.
        opset: version of the default operator set.
        final_ops: output name → the operator that gives it its meaning, looking through casts and reshapes; one kind
            of SVMClassifier is told apart as BINARY_SVM.
        class_names: output name → names of its columns or labels, where ZipMap or a classifier says them.
        external: names of other files that hold weights, as the model writes them.
        runs: the bytes to run: the file's own, or those of a copy without ZipMap.
        rewritten: are they those of a copy?
        dynamic: does it quantise its activations by their range in the batch?
        quantized: does it compute with integers in place of floats anywhere?
    """

    producer: str
    opset: int
    final_ops: dict[str, str]
    class_names: dict[str, tuple[str, ...]]
    external: tuple[str, ...]
    runs: bytes
    rewritten: bool = False
    dynamic: bool = False
    quantized: bool = False


def read_graph(content: bytes, where: str) -> Graph:
    """Parse a model file.

    Raises:
        ModelError: if it is no ONNX model.
    """
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError, RuntimeError) as error:
        said = printable(str(error))
        raise ModelError(
            f"{redact(where)}: not an ONNX file ({len(content):,} bytes): {said}; give the path of one"
        ) from None
    if not model.graph.output or not model.opset_import:
        raise ModelError(
            f"{redact(where)}: not an ONNX model: {len(content):,} bytes without outputs or operator set; "
            "export it again"
        )
    try:
        _check_texts(model)
        check_trees(model.graph.node)
        external = dict.fromkeys(_location(tensor) for tensor in _tensors(model) if tensor.data_location == _EXTERNAL)
        zipmaps = strip_zipmaps(model)
        makers = {name: node for node in model.graph.node for name in node.output}
        class_names = _classifier_names(makers, [out.name for out in model.graph.output]) | zipmaps
        final_ops = {out.name: _op(_maker(makers, out.name, _PASS_THROUGH)) for out in model.graph.output}
    except ValueError as error:
        raise ModelError(
            f"{redact(where)}: not an ONNX model that can be read: {printable(str(error))}; export it again"
        ) from None
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    producer = f"{model.producer_name} {model.producer_version}".strip()
    runs = model.SerializeToString() if zipmaps else content
    dynamic = any(node.op_type.startswith("DynamicQuantize") for node in model.graph.node)
    quantized = any(_QUANTIZED.search(node.op_type) for node in model.graph.node)
    return Graph(producer, opset, final_ops, class_names, tuple(external), runs, bool(zipmaps), dynamic, quantized)


def _classifier_names(makers: dict[str, onnx.NodeProto], outputs: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Labels of the classifiers behind outputs; 0, 1, ... are left out, as they are what columns are called anyway."""
    found = {}
    for name in outputs:
        node = _maker(makers, name, _PASS_THROUGH | {"Normalizer"})
        labels = class_labels(node) if node is not None and node.op_type in CLASSIFIERS else ()
        if labels != tuple(map(str, range(len(labels)))):
            found[name] = labels
    return found


def _check_texts(model: onnx.ModelProto) -> None:
    """Refuse names that are no UTF-8: protobuf gives them as bytes, which nothing here expects.

    Raises:
        ValueError: if there is one among those that are looked at.
    """
    texts = [model.producer_name, model.producer_version, *(entry.domain for entry in model.opset_import)]
    texts += [value.name for value in (*model.graph.input, *model.graph.output)]
    for node in model.graph.node:
        texts += [node.op_type, node.name, *node.input, *node.output, *(each.name for each in node.attribute)]
    texts += [text for tensor in _tensors(model) for each in tensor.external_data for text in (each.key, each.value)]
    if broken := next((text for text in texts if isinstance(text, bytes)), None):
        raise ValueError(f"a name in it is no UTF-8: {broken[:_SHOWN]!r}")


def _location(tensor: onnx.TensorProto) -> str:
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a model: initialisers, and those of nodes, of their subgraphs and of functions."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    yield from _of_sparse(graph.sparse_initializer)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        # A field that is not set reads as an empty message: nothing external in it.
        yield from (attribute.t, *attribute.tensors)
        yield from _of_sparse([attribute.sparse_tensor, *attribute.sparse_tensors])
        for graph in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
            yield from _of_graph(graph)


def _of_sparse(tensors: Iterable[onnx.SparseTensorProto]) -> Iterator[onnx.TensorProto]:
    for tensor in tensors:
        yield from (tensor.values, tensor.indices)


def _maker(makers: dict[str, onnx.NodeProto], name: str, through: set[str]) -> onnx.NodeProto | None:
    """The node that computes a tensor, looking through some operators; None if an input or a weight is behind it."""
    seen: set[str] = set()
    while name in makers and name not in seen:
        seen.add(name)
        node = makers[name]
        if node.op_type not in through:
            return node
        name = next(iter(node.input), "")
    return None


def _op(node: onnx.NodeProto | None) -> str:
    if node is None:
        return ""
    given = {attribute.name for attribute in node.attribute}
    if node.op_type == "SVMClassifier" and "prob_a" not in given and len(class_labels(node)) == 2:
        return BINARY_SVM
    return str(node.op_type)
