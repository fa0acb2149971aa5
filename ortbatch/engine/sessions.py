"""Sessions of the models that run beside the one that is evaluated, and what a worker needs to load them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ortbatch.engine.baselines import Baseline
from ortbatch.engine.beside import Stored
from ortbatch.engine.threads import THREADS
from ortbatch.model.session import OnnxModel, Predictor
from ortbatch.model.source import ModelSource, load, load_by_columns, mapped, unpack
from ortbatch.model.torch_model import TorchModel, TorchSource


@dataclass(frozen=True)
class SideModel:
    """The files of a baseline.

    Args:
        source: what is loaded; None where nothing is.
        providers: execution providers of an ONNX model.
        inputs: names of the evaluated model's inputs, in order.
        weights: bytes of the ONNX model's external files, in their order, where the worker does not see them.
        travels: does the worker not see the driver's files?
    """

    source: ModelSource | TorchSource | None
    providers: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    weights: tuple[bytes, ...] = ()
    travels: bool = False

    @property
    def size(self) -> int:
        """Bytes of the model."""
        return 0 if self.source is None else self.source.size

    def travelling(self) -> SideModel:
        """The same for a worker that does not see the driver's files."""
        external = self.source.external if isinstance(self.source, ModelSource) else ()
        return replace(self, weights=tuple(mapped(file.uri).tobytes() for file in external), travels=True)


def predictors(
    baselines: Sequence[Baseline], models: Sequence[SideModel], folder: Path | None = None
) -> list[Predictor | None]:
    """A session for each baseline; None of one that needs none.

    Args:
        baselines: which.
        models: their files.
        folder: private to the run, for files that travelled.

    Raises:
        ModelError: if one cannot be loaded.
    """
    pairs = zip(baselines, models, strict=True)
    return [predictor(baseline, model, THREADS, baseline.turned, folder) for baseline, model in pairs]


def predictor(
    baseline: Baseline, model: SideModel, threads: int, turned: Sequence[str] = (), folder: Path | None = None
) -> Predictor | None:
    """The session of one of them; raises ModelError."""
    source = model.source
    if isinstance(source, TorchSource):
        return TorchModel(source, model.inputs, threads)
    if source is None:
        return Stored() if baseline.kind == "scores" and baseline.inputs is not None else None
    if not model.travels:
        return load(source, model.providers, threads, turned)
    if turned:
        return load_by_columns(source.graph.runs, turned, model.providers, threads, source.where)
    assert folder is not None
    files = zip(source.external, model.weights, strict=True)
    weights = {file.name: (file.sha256, memoryview(content)) for file, content in files}
    path = unpack(memoryview(source.graph.runs), weights, folder)
    return OnnxModel(path, model.providers, threads, source.where)
