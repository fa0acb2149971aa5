"""An ONNX Runtime session that is what was asked for: these providers, this many threads, this file.

ONNX Runtime falls back to the CPU with a warning, ignores OMP_NUM_THREADS and accepts unknown settings in silence; here
all of that is explicit, and what cannot be had is an error.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ortbatch.data.binding import TensorSpec
from ortbatch.data.features import Feed
from ortbatch.errors import ModelError, StorageError
from ortbatch.job.redaction import redact
from ortbatch.job.wording import printable

_DTYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "bool": "bool",
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip
_NO_MEMORY = ("Failed to allocate memory", "bad_alloc", "bad allocation")
_SIZE = re.compile(r"requested buffer of size (\d+)")
_NO_OPERATOR = ("is not a registered function/op", "No opset import for domain", "No Op registered for")
_MESSAGE_CHARACTERS = 500


class Predictor(Protocol):
    """A session, or what can be used as one."""

    @property
    def fixed_batch(self) -> int | None:
        """The only batch size that it takes; None if it takes any."""

    @property
    def session_s(self) -> float:
        """Seconds that it took to load."""

    def run(self, outputs: Sequence[str], feed: Feed) -> list[NDArray[Any]]:
        """Outputs for one batch."""


class OnnxModel:
    """One session. `run` may be called from several threads; it releases the interpreter lock.

    `session_s`: seconds that it took to load.
    """

    def __init__(
        self, path: Path, providers: Sequence[str], threads: int, where: str, columns: Sequence[str] = ()
    ) -> None:
        """Load a model.

        Args:
            path: local file.
            providers: execution providers in order of preference; all must be there.
            threads: intra-op threads of each call.
            where: what the job calls the model, for messages.
            columns: inputs whose batch is their last dimension.

        Raises:
            ModelError: if a provider is missing, or the model cannot be loaded.
        """
        _require_providers(providers)
        options = _options(threads, providers)
        began = time.perf_counter()
        try:
            # Its own fallback would print to stdout and take the CPU instead.
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=list(providers), read_config_from_model=0, enable_fallback=0
            )
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            said = f"{_message(error)}{_hint(str(error))}"
            raise ModelError(
                f"{redact(where)}: ONNX Runtime cannot load the model: {said}. Export it again, or update ONNX Runtime."
            ) from None
        self.session_s = time.perf_counter() - began
        self._session.disable_fallback()
        self.providers = tuple(self._session.get_providers())
        if self.providers[: len(providers)] != tuple(providers):
            raise ModelError(
                f"asked for {', '.join(providers)}; the session runs on {', '.join(self.providers)}. Ask for "
                "these, or mend the others."
            )
        self.threads = threads
        try:
            self.inputs = tuple(_spec(node) for node in self._session.get_inputs())
            self.outputs = tuple(_spec(node) for node in self._session.get_outputs())
        except UnicodeDecodeError as error:
            raise ModelError(
                f"{redact(where)}: a name of its inputs and outputs is no UTF-8: {error}; export it again"
            ) from None
        self._columns = tuple(columns)
        self._filled = self.fixed_batch

    @property
    def fixed_batch(self) -> int | None:
        """The only batch size that the model takes; None if it takes any.

        Raises:
            ModelError: if its inputs ask for different ones.
        """
        batches = [spec.shape[-1 if spec.name in self._columns else 0] for spec in self.inputs if spec.shape]
        sizes = {size for size in batches if size is not None}
        if len(sizes) > 1:
            raise ModelError(f"the model's inputs have batches of {sorted(sizes)}; export it with one for all.")
        return next(iter(sizes), None)

    def run(self, outputs: Sequence[str], feed: Feed) -> list[NDArray[Any]]:
        """Some outputs for one batch; where the batch size is fixed, a shorter batch is filled up and cut again.

        Raises:
            ModelError: if the model refuses the batch, or its size is fixed and an output has another.
            MemoryError: if there is too little for the batch.
        """
        rows = len(next(iter(feed.values()))) if feed else 0
        if self._filled and rows < self._filled:
            feed = {name: _fill_up(array, self._filled) for name, array in feed.items()}
        try:
            results = self._session.run(list(outputs), feed)
        except Exception as error:  # as above
            shapes = ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in feed.items())
            if (asked := _asked_for(str(error))) > (there := _memory()):
                raise ModelError(
                    f"the model asks for {asked:,} bytes at once for a batch of {shapes}; this machine has {there:,}. "
                    "Lower `model.batch_size`, or look for what makes so large a tensor."
                ) from None
            if any(words in str(error) for words in _NO_MEMORY):
                raise MemoryError(_message(error)) from None
            raise ModelError(
                f"the model failed on a batch of {shapes}: {_message(error)}. Look at `model.inputs`, and "
                "export it again."
            ) from None
        arrays = [np.asarray(result) for result in results]
        if self._filled is None:
            return arrays
        return [_cut(array, rows, self._filled, name) for array, name in zip(arrays, outputs, strict=True)]


def _fill_up(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """Repeat the last row: a row like those that the model was made for."""
    return np.concatenate([array, np.repeat(array[-1:], rows - len(array), axis=0)])


def _cut(array: NDArray[Any], rows: int, batch: int, name: str) -> NDArray[Any]:
    """The first rows of an output; one that is not a row for each of the batch must not look like it."""
    if array.ndim == 0 or len(array) != batch:
        raise ModelError(
            f"output `{name}` has shape {list(array.shape)} for a batch of {batch} rows; its first dimension must be "
            "the batch. Export it so."
        )
    return array[:rows]


def _require_providers(providers: Sequence[str]) -> None:
    available = onnxruntime.get_available_providers()
    missing = [name for name in providers if name not in available]
    if missing:
        raise ModelError(
            f"model.providers: {', '.join(missing)} not in this build of ONNX Runtime {onnxruntime.__version__}, "
            f"which has {', '.join(available)}. Install the build that has it, or name another."
        )


def _options(threads: int, providers: Sequence[str]) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    # Several sessions share a machine: a thread that spins takes a core from another.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if "CPUExecutionProvider" not in providers:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def _spec(node: Any) -> TensorSpec:
    kind = node.type.removeprefix("tensor(").removesuffix(")") if node.type.startswith("tensor(") else node.type
    shape = tuple(dim if isinstance(dim, int) and dim >= 0 else None for dim in node.shape)
    return TensorSpec(node.name, _DTYPES.get(kind, kind), shape)


def _message(error: Exception) -> str:
    """What it says, on one line; names of the model stand in it, which may hold anything."""
    return printable(" ".join(str(error).split())[:_MESSAGE_CHARACTERS])


def _hint(error: str) -> str:
    """What to do about operators that are not there."""
    if not any(words in error for words in _NO_OPERATOR):
        return ""
    return ". Operators of other libraries are never loaded: export the model with those of ONNX."


def _asked_for(error: str) -> int:
    """Bytes that could not be had; 0 if that is not what an error is about."""
    asked = _SIZE.search(error)
    return int(asked[1]) if asked else 0


def _memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def local_copy(content: bytes | memoryview, sha256: str, folder: Path, name: str | None = None) -> Path:
    """A file of this content; written once per folder, whoever else writes it at the same time.

    Args:
        content: what it holds.
        sha256: the hash that it must have.
        folder: made if need be; nobody else may write into it.
        name: below the folder; by default the hash.

    Raises:
        ModelError: if the content does not have that hash.
        StorageError: if the folder cannot be written, or others may write into it.
    """
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(
            f"the model's {len(content):,} bytes do not have sha256 {sha256}; it was changed on the way: run again"
        )
    target = folder / (name or f"{sha256}.onnx")
    try:
        make_private(folder)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The workers of a node come at the same time; one writes, the others find its copy.
        with _locked(folder):
            if not target.is_file() or _hash_of(target) != sha256:
                _write(content, target)
    except OSError as error:
        raise StorageError(
            f"{target}: the copy of the model cannot be written: {error}. Set TMPDIR to a folder with room."
        ) from None
    return target


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_private(folder: Path) -> None:
    """A folder into which nobody else may write, made if need be; a model is code, and must not change before it loads.

    Raises:
        StorageError: if others may write into it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise StorageError(f"{folder}: belongs to or may be written by another user; remove it, or set TMPDIR")


def _write(content: bytes | memoryview, target: Path) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
