"""Small torch networks as the jobs make them: learnt on one thread from a seed, exported to one ONNX file."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.stamp import replacing

if TYPE_CHECKING:
    import onnx
    import torch

OPSET = 18


@dataclass(frozen=True)
class Course:
    """How a network learns: Adam, its rate rising to max_rate and falling again over all epochs."""

    epochs: int
    max_rate: float
    batch_size: int = 64
    seed: int = 0


def learn(
    new_network: Callable[[], torch.nn.Module], inputs: Sequence[torch.Tensor], labels: torch.Tensor, course: Course
) -> torch.nn.Module:
    """A network that has learnt these rows, in evaluation mode.

    Args:
        new_network: makes one whose outputs are logits float32[N, C].
        inputs: its arguments, N rows each.
        labels: int64[N], class indices.
    """
    import torch

    # One thread: the order of the sums, and so the last bits of the weights, do not depend on the cores of the machine.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(course.seed)
    network = new_network()
    steps = course.epochs * -(-len(labels) // course.batch_size)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=course.max_rate, total_steps=steps)
    for _ in range(course.epochs):
        for rows in torch.randperm(len(labels)).split(course.batch_size):
            optimizer.zero_grad()
            logits = network(*(column[rows] for column in inputs))
            torch.nn.functional.cross_entropy(logits, labels[rows]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def accuracy(network: torch.nn.Module, inputs: Sequence[torch.Tensor], labels: torch.Tensor) -> float:
    """Share of rows whose largest output is that of the label."""
    import torch

    with torch.no_grad():
        return float((network(*inputs).argmax(dim=1) == labels).float().mean())


def export_program(
    network: torch.nn.Module, example: Sequence[torch.Tensor], dims: Sequence[Mapping[int, Any]]
) -> torch.export.ExportedProgram:
    """The network as torch.export sees it; `dims` holds the dynamic dimensions of each argument."""
    import torch

    with quiet_exporter():
        return torch.export.export(network, tuple(example), dynamic_shapes=tuple(dims))


def export_onnx(
    program: torch.export.ExportedProgram, path: Path, output: str, dims: Sequence[Mapping[int, str]]
) -> Path:
    """Writes one file, weights inside; `dims` holds the names of the dynamic dimensions of each argument."""
    import onnx
    import torch

    with quiet_exporter():
        exported = torch.onnx.export(
            program,
            output_names=[output],
            dynamic_shapes=tuple(dims),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if exported is None:
        raise SystemExit("torch.onnx.export gave no model; install the torch that pyproject.toml names")
    with replacing(path) as temporary:
        onnx.save(without_notes(exported.model_proto), temporary)
    return path


@contextlib.contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keeps torch's exporter from telling what it did not need: torchvision, and its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logger.setLevel(level)


def without_notes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the exporter's notes: they hold paths of this machine, so equal models would differ."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
    return model
