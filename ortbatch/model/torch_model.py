"""PyTorch models beside the ONNX one, in its process and on its rows: an exported program, or a factory and weights.

Only this module imports torch, and only when a model is loaded. A model file is code: load none that you do not trust.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.data.features import Feed
from ortbatch.data.storage import read_bytes
from ortbatch.data.transform import Transform
from ortbatch.errors import DataError, ModelError
from ortbatch.job.redaction import redact
from ortbatch.job.wording import printable

OUTPUT = "output"
_SAFETENSORS = ".safetensors"
_MESSAGE_CHARACTERS = 500
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


@dataclass(frozen=True)
class TorchSource:
    """A model as the job names it.

    Args:
        where: URI of the exported program, or of the weights.
        sha256: of the file, and of the factory's source.
        content: bytes of the file.
        factory: what makes the module that the weights are for; None of an exported program.
    """

    where: str
    sha256: str
    content: bytes
    factory: Transform | None

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.content)


def open_torch(uri: str, factory: Transform | None) -> TorchSource:
    """Read and hash a model.

    Raises:
        ModelError: if it cannot be read.
    """
    try:
        content = read_bytes(uri)
    except DataError as error:
        raise ModelError(str(error)) from None
    digest = hashlib.sha256(content)
    if factory is not None:
        digest.update(factory.digest.encode())
    return TorchSource(uri, digest.hexdigest(), content, factory)


class TorchModel:
    """A module that is called with the model's feed. `run` may be called from several threads."""

    def __init__(self, source: TorchSource, inputs: Sequence[str], threads: int) -> None:
        """Load a model.

        Args:
            source: what to load.
            inputs: names of the feed's arrays, in the order of the ONNX model's inputs.
            threads: of each call; torch knows one number for the process.

        Raises:
            ModelError: if torch is not installed, or the model cannot be loaded, or takes another number of inputs.
        """
        began, torch = time.perf_counter(), _torch()
        torch.set_num_threads(threads)
        self._torch, self._where = torch, redact(source.where)
        try:
            loaded = _exported(torch, source) if source.factory is None else _made(torch, source, source.factory)
        except (ModelError, DataError):
            raise
        except Exception as error:  # whatever torch and the factory raise
            raise ModelError(f"{self._where}: torch cannot load the model: {_said(error)}") from None
        self._module, names, self.fixed_batch = loaded
        self._inputs = _matched(names, inputs, self._where)
        self.session_s = time.perf_counter() - began

    def run(self, outputs: Sequence[str], feed: Feed) -> list[NDArray[Any]]:
        """Its output for one batch.

        Raises:
            ModelError: if it raises, or returns something that is no tensor.
            MemoryError: if there is too little.
        """
        del outputs
        torch = self._torch
        rows = len(next(iter(feed.values())))
        missing = 0 if self.fixed_batch is None else self.fixed_batch - rows
        try:
            with torch.inference_mode():
                result = self._module(*(_tensor(torch, feed[name], missing) for name in self._inputs))
        except Exception as error:  # as above
            if any(words in str(error) for words in _NO_MEMORY):
                raise MemoryError(_said(error)) from None
            shapes = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in feed.items())
            raise ModelError(f"{self._where}: the torch model failed on a batch of {shapes}: {_said(error)}") from None
        array: NDArray[Any] = self._only(result).numpy()
        # Not a view: what it is a view of may be the feed, whose buffers are used again.
        return [np.array(array[:rows])]

    def _only(self, result: Any) -> Any:
        """The one tensor that it returned, alone or in a list or a dictionary."""
        items = list(result.values()) if isinstance(result, dict) else result
        if isinstance(items, (tuple, list)) and len(items) == 1:
            items = items[0]
        if not isinstance(items, self._torch.Tensor):
            got = f"{len(items)} values" if isinstance(items, (tuple, list)) else type(items).__name__
            raise ModelError(
                f"{self._where}: the torch model returns {got}; expected one tensor. Wrap it in a module that returns "
                "the scores alone."
            )
        tensor = items.detach()
        return tensor.float() if tensor.dtype == self._torch.bfloat16 else tensor


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise ModelError(
            "a baseline is a PyTorch model, and torch is not installed: pip install 'ortbatch[torch]'."
        ) from None
    return torch


def _exported(torch: Any, source: TorchSource) -> tuple[Any, list[str], int | None]:
    """Module, names of its inputs, and the batch that it is fixed to, of an exported program."""
    program = torch.export.load(io.BytesIO(source.content))
    names = [str(name) for name in program.graph_signature.user_inputs]
    batches: set[int | None] = set()
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in names:
            shape = list(getattr(node.meta.get("val"), "shape", ()))
            batches.add(shape[0] if shape and isinstance(shape[0], int) else None)
    fixed = next(iter(batches)) if len(batches) == 1 else None
    return program.module(), names, fixed


def _made(torch: Any, source: TorchSource, factory: Transform) -> tuple[Any, list[str], int | None]:
    """Module, and nothing of its inputs, of a factory with its weights."""
    module = factory.load()()
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{factory.function} returned {type(module).__name__}; expected a torch.nn.Module.")
    if source.where.partition("?")[0].endswith(_SAFETENSORS):
        try:
            from safetensors.torch import load
        except ImportError:
            raise ModelError(
                f"{redact(source.where)}: safetensors is not installed: pip install 'ortbatch[torch]'."
            ) from None
        state = load(source.content)
    else:
        state = torch.load(io.BytesIO(source.content), map_location="cpu", weights_only=True)
    module.load_state_dict(state)
    return module.train(mode=False), [], None


def _matched(names: Sequence[str], inputs: Sequence[str], where: str) -> tuple[str, ...]:
    """The feed's names in the order of the arguments: by name where all have one, else by place."""
    if not names:
        return tuple(inputs)
    if len(names) != len(inputs):
        raise ModelError(
            f"{where}: the torch model takes {len(names)} inputs ({', '.join(names)}), the ONNX model {len(inputs)} "
            f"({', '.join(inputs)}); a baseline is fed what the model is fed. Wrap it in a module that takes the same."
        )
    return tuple(names) if set(names) == set(inputs) else tuple(inputs)


def _tensor(torch: Any, array: NDArray[Any], missing: int) -> Any:
    """An input; with rows more, like the last, where the batch is fixed."""
    if missing > 0:
        array = np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
    # torch warns of memory that it could write to and must not.
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _said(error: Exception) -> str:
    return printable(" ".join(f"{type(error).__name__}: {error}".split())[:_MESSAGE_CHARACTERS])
