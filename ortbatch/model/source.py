"""The model's files: read once, hashed, and put where a session can load them.

A session loads by path: bytes would be kept for its whole life, and weights in other files need a folder. A local model
is loaded where it lies, unless a copy without ZipMap is run; a remote one from a copy that is gone afterwards. Weights
in other files must lie beside the model or below it: no absolute path, no `..`, no link.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ortbatch.data.storage import asked, exists, is_remote, local_path, locate, read_bytes, storage_error
from ortbatch.errors import DataError, ModelError
from ortbatch.job.redaction import redact
from ortbatch.model.columns import by_columns
from ortbatch.model.graph import Graph, read_graph
from ortbatch.model.registry import Registered, fetch, is_of_registry
from ortbatch.model.session import OnnxModel, local_copy

_CHUNK = 16 << 20
_SHOWN = 100
_IN_MEMORY = "*/"  # ONNX Runtime takes `*/_ORT_MEM_ADDR_/*` for a place in its own memory
_LARGEST = (2 << 30) - 1  # of any protobuf


@dataclass(frozen=True)
class ExternalFile:
    """Weights outside the model file: name relative to it, where they are, and sha256."""

    name: str
    uri: str
    sha256: str


@dataclass(frozen=True)
class ModelSource:
    """A model as the job names it.

    Args:
        where: URI of the file.
        sha256: hash of its bytes; with external files, of all hashes in order.
        size: bytes of the file and of its external files.
        graph: what the file says of itself, and the bytes to run.
        external: weights in other files.
        file_sha256: hash of the file alone.
        registered: the version of a registered model that it is; None of any other.
    """

    where: str
    sha256: str
    size: int
    graph: Graph
    external: tuple[ExternalFile, ...]
    file_sha256: str
    registered: Registered | None = None

    @property
    def runs_as_it_is(self) -> bool:
        """Are the file's own bytes what is run?"""
        return not self.graph.rewritten


def open_source(uri: str, server: str | None = None) -> ModelSource:
    """Read and hash a model.

    Args:
        uri: path or URI of its file, or `models:/...` of an MLflow registry.
        server: of that registry; None for the one that the environment names.

    Raises:
        ModelError: if it cannot be read, is no ONNX model, or its weights lie where they must not.
    """
    if is_of_registry(uri):
        file, registered = fetch(uri, server)
        return replace(_read(file), registered=registered)
    return _read(uri)


def _read(uri: str) -> ModelSource:
    try:
        if (size := _size(uri)) > _LARGEST:
            raise ModelError(
                f"{redact(uri)}: {size:,} bytes; an ONNX file has at most {_LARGEST:,}. Save the model with its "
                "weights in files beside it."
            )
        content = read_bytes(uri)
    except DataError as error:
        raise ModelError(f"model.path: {error}") from None
    graph = read_graph(content, uri)
    external = tuple(_external(uri, name) for name in graph.external)
    own = hashlib.sha256(content).hexdigest()
    joined = hashlib.sha256("".join([own, *(file.sha256 for file in external)]).encode()).hexdigest()
    size = len(content) + sum(_size(file.uri) for file in external)
    return ModelSource(uri, joined if external else own, size, graph, external, own)


def _external(model: str, name: str) -> ExternalFile:
    """One file of weights, confined to the model's folder."""
    parts = PurePosixPath(name).parts
    refused = f"{redact(model)}: its weights lie in {_shown(name)}"
    if not parts or name.startswith(("/", _IN_MEMORY)) or ".." in parts or "\\" in name or not name.isprintable():
        raise ModelError(f"{refused}, outside the model's folder; save the model with its weights beside it.")
    head, question, options = model.partition("?") if is_remote(model) else (model, "", "")
    # In a URI, `%2e%2e` is `..` in disguise, and `?` begins options: there each is what the model says.
    below = quote(str(PurePosixPath(name))) if "://" in model else name
    uri = f"{head.rpartition('/')[0]}/{below}{question}{options}"
    try:
        there = exists(uri)
    except DataError as error:
        raise ModelError(f"{refused}: {error}") from None
    if not there:
        raise ModelError(f"{refused}, which is not there; copy it beside the model.")
    if not is_remote(uri):
        path, folder = local_path(uri), local_path(model).parent
        if any(step.is_symlink() for step in [path, *path.parents] if step != folder and folder in step.parents):
            raise ModelError(f"{refused}, which is a link; put the file itself there.")
        if not (path.is_file() or path.is_dir()):
            # A pipe would be waited for without end.
            raise ModelError(f"{refused}, which is no file; put the file itself there.")
    return ExternalFile(name, uri, _hash_of(uri))


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…")


def _hash_of(uri: str) -> str:
    if is_remote(uri):
        return hashlib.sha256(read_bytes(uri)).hexdigest()
    digest = hashlib.sha256()
    try:
        with local_path(uri).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise ModelError(f"model.path: {storage_error(uri, error)}") from None
    return digest.hexdigest()


def _size(uri: str) -> int:
    """Bytes of a file; 0 of what is none."""
    filesystem, path = locate(uri)
    return int(asked(uri, lambda: filesystem.get_file_info(path)).size or 0)


def load(source: ModelSource, providers: Sequence[str], threads: int, columns: Sequence[str] = ()) -> OnnxModel:
    """A session of a model in this process.

    Args:
        source: the model.
        providers: execution providers.
        threads: intra-op threads.
        columns: inputs that it is to take column by column; only for a model without external files.

    Raises:
        ModelError: if it cannot be loaded, or the file no longer has this content: its hash would name another model.
    """
    if columns:
        model = load_by_columns(source.graph.runs, columns, providers, threads, source.where)
        require_unchanged(source)
        return model
    if source.runs_as_it_is and not is_remote(source.where):
        model = OnnxModel(local_path(source.where), providers, threads, source.where)
        require_unchanged(source)
        return model
    with tempfile.TemporaryDirectory(prefix="ortbatch-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(source.graph.runs)
        for file in source.external:
            target = folder / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if is_remote(file.uri):
                target.write_bytes(read_bytes(file.uri))
            else:
                _link_or_copy(local_path(file.uri), target)
        model = OnnxModel(folder / "model.onnx", providers, threads, source.where)
        require_unchanged(source)
        return model


def load_by_columns(
    content: bytes, columns: Sequence[str], providers: Sequence[str], threads: int, where: str
) -> OnnxModel:
    """A session of a model that takes some inputs column by column."""
    with tempfile.TemporaryDirectory(prefix="ortbatch-") as name:
        path = Path(name) / "model.onnx"
        path.write_bytes(by_columns(content, columns))
        return OnnxModel(path, providers, threads, where, columns)


def require_unchanged(source: ModelSource) -> None:
    """What was loaded must be what was hashed; read again afterwards, as it may change at any time before."""
    files = [(file.uri, file.sha256) for file in source.external]
    if source.runs_as_it_is and not is_remote(source.where):
        files.append((source.where, source.file_sha256))
    for uri, sha256 in files:
        if _hash_of(uri) != sha256:
            raise ModelError(f"{redact(uri)}: changed after the run began; run again when nobody writes it.")


def _link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file where the filesystem has that, else a copy; ONNX Runtime refuses symbolic links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def mapped(uri: str) -> NDArray[np.uint8]:
    """The bytes of a file, read as they are looked at where it is local: never the whole of it in memory."""
    if is_remote(uri):
        return np.frombuffer(read_bytes(uri), np.uint8)
    return np.asarray(np.memmap(local_path(uri), np.uint8, "r"))


def unpack(content: memoryview, external: Mapping[str, tuple[str, memoryview]], folder: Path) -> Path:
    """Write a model that came by wire below a folder of this node; returns the path to load.

    Args:
        content: the bytes to run.
        external: name → (sha256, bytes) of weights in other files.
        folder: private to the run; files that are there with the same content are kept.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    for name, (digest, weights) in external.items():
        local_copy(weights, digest, folder, name)
    return local_copy(content, sha256, folder, f"{sha256}.onnx")
