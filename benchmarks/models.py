"""The models of the workloads, made from a seed with `onnx.helper`: no training, no download, no torch.

Every model takes `x` and puts out logits `scores`. Weights are random with He's scale (He et al. 2015), so activations
keep their size through any number of layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.scoring import session

OPSET, IR_VERSION, SEED = 18, 10, 7
# Output channels, bottleneck channels, blocks and stride of the four stages of ResNet-50 (He et al. 2016, table 1).
_RESNET_STAGES = ((256, 64, 3, 1), (512, 128, 4, 2), (1024, 256, 6, 2), (2048, 512, 3, 2))


class _Graph:
    """Nodes and weights in the order in which they are added; each method returns the name of what it adds."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(SEED)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: NDArray[Any]) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, shape: tuple[int, ...], fan_in: int, gain: float = 1.0) -> str:
        scale = gain * np.sqrt(2 / fan_in)
        return self.constant((self._rng.standard_normal(shape) * scale).astype(np.float32))

    def dense(self, x: str, size: int, out: int) -> str:
        return self.add("Gemm", [x, self.weight((size, out), size), self.constant(np.zeros(out, np.float32))])

    def conv(self, x: str, size: tuple[int, int, int], stride: int = 1, gain: float = 1.0) -> str:
        """Convolution of size (channels in, channels out, kernel), padded to keep width / stride."""
        channels, out, kernel = size
        weight = self.weight((out, channels, kernel, kernel), channels * kernel * kernel, gain)
        bias = self.constant(np.zeros(out, np.float32))
        pads = [kernel // 2] * 4
        return self.add("Conv", [x, weight, bias], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads)

    def relu(self, x: str) -> str:
        return self.add("Relu", [x])

    def model(self, row_shape: tuple[int, ...], classes: int, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
        """The graph as a model; what was added last is its output."""
        self._nodes[-1].output[0] = "scores"
        x = helper.make_tensor_value_info("x", kind, ["N", *row_shape])
        out = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", classes])
        graph = helper.make_graph(self._nodes, "benchmark", [x], [out], self._weights)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="benchmarks")
        onnx.checker.check_model(model)
        return model


def mlp() -> onnx.ModelProto:
    """32-64-32-2 with ReLU."""
    graph = _Graph()
    hidden = graph.relu(graph.dense("x", 32, 64))
    hidden = graph.relu(graph.dense(hidden, 64, 32))
    graph.dense(hidden, 32, 2)
    return graph.model((32,), 2)


def first_columns() -> onnx.ModelProto:
    """The first two of 32 columns are the scores: what is left is everything but the model."""
    graph = _Graph()
    start, stop, axis = (graph.constant(np.array([value], np.int64)) for value in (0, 2, 1))
    graph.add("Slice", ["x", start, stop, axis])
    return graph.model((32,), 2)


def linear() -> onnx.ModelProto:
    """64 floats to 1,000 classes."""
    graph = _Graph()
    graph.dense("x", 64, 1_000)
    return graph.model((64,), 1_000)


def small_cnn() -> onnx.ModelProto:
    """Two convolutions and a dense layer on 28×28 pixels: 0.6 million multiplications a row."""
    graph = _Graph()
    hidden = graph.relu(graph.conv("x", (1, 8, 3)))
    hidden = graph.add("MaxPool", [hidden], kernel_shape=[2, 2], strides=[2, 2])
    hidden = graph.relu(graph.conv(hidden, (8, 16, 3)))
    hidden = graph.add("MaxPool", [hidden], kernel_shape=[2, 2], strides=[2, 2])
    flat = graph.add("Flatten", [hidden])
    graph.dense(flat, 16 * 7 * 7, 10)
    return graph.model((1, 28, 28), 10)


def resnet50() -> onnx.ModelProto:
    """ResNet-50 with batch normalisation folded away: 4.1 billion multiplications a row of uint8[3, 224, 224]."""
    graph = _Graph()
    pixels = graph.add("Cast", ["x"], to=TensorProto.FLOAT)
    mean, scale = (graph.constant(np.array(value, np.float32)) for value in (127.5, 1 / 64))
    hidden = graph.add("Mul", [graph.add("Sub", [pixels, mean]), scale])
    hidden = graph.relu(graph.conv(hidden, (3, 64, 7), stride=2))
    hidden = graph.add("MaxPool", [hidden], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for out, inner, blocks, stride in _RESNET_STAGES:
        for block in range(blocks):
            hidden = _bottleneck(graph, hidden, (channels, inner, out), stride if block == 0 else 1)
            channels = out
    flat = graph.add("Flatten", [graph.add("GlobalAveragePool", [hidden])])
    graph.dense(flat, channels, 10)
    return graph.model((3, 224, 224), 10, TensorProto.UINT8)


def centred(model: onnx.ModelProto, rows: NDArray[Any]) -> onnx.ModelProto:
    """The same with the bias of its last layer such that each class scores 0 on average over some rows.

    Without it an untrained convolution net gives nearly all rows one class, and a confusion matrix that says nothing.
    """
    if model.graph.node[-1].op_type != "Gemm":
        return model
    mean = session(model.SerializeToString(), 1).run(None, {"x": rows})[0].mean(axis=0)
    moved = onnx.ModelProto()
    moved.CopyFrom(model)
    bias = moved.graph.node[-1].input[2]
    place = [weight.name for weight in moved.graph.initializer].index(bias)
    moved.graph.initializer[place].CopyFrom(numpy_helper.from_array(-mean, bias))
    return moved


def _bottleneck(graph: _Graph, x: str, size: tuple[int, int, int], stride: int) -> str:
    """1×1, 3×3 and 1×1 beside a shortcut, which is projected where its size changes."""
    channels, inner, out = size
    hidden = graph.relu(graph.conv(x, (channels, inner, 1)))
    hidden = graph.relu(graph.conv(hidden, (inner, inner, 3), stride))
    # A small residual: sixteen sums of equals would grow the activations 256-fold.
    hidden = graph.conv(hidden, (inner, out, 1), gain=0.3)
    shortcut = x if channels == out else graph.conv(x, (channels, out, 1), stride, gain=0.7)
    return graph.relu(graph.add("Add", [hidden, shortcut]))
