"""A job's own function: `module:function` beside the job file, between columns and the model's inputs, or a baseline.

It is called once per batch with an Arrow RecordBatch of its columns and returns the model's inputs: a dictionary of
arrays, or one array for a model of one input. Its source travels to every worker and is part of the run's identity: the
module, the modules beside it that it imports, and the files that the job names. A batch on which it raises is bisected,
so that a broken row costs itself and not its shard. Each row's result must not depend on the other rows.
"""

from __future__ import annotations

import ast
import atexit
import functools
import hashlib
import importlib
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ortbatch.errors import DataError
from ortbatch.job.wording import printable

TRANSFORM_ERROR = "transform_error"
_LARGEST = 64 << 20
_MESSAGE_CHARACTERS = 500
_LOADING = threading.Lock()
_below: Path | None = None


@dataclass(frozen=True)
class Transform:
    """A function by its source; loaded once per process.

    Args:
        function: `module:name`.
        columns: what it reads.
        files: name → content of the module, its neighbours and its files.
        key: of the job, for messages.
    """

    function: str
    columns: tuple[str, ...]
    files: tuple[tuple[str, bytes], ...]
    key: str = "model.transform"

    @functools.cached_property
    def digest(self) -> str:
        """Sha256 of function, columns and files."""
        digest = hashlib.sha256(repr((self.function, self.columns)).encode())
        for name, content in self.files:
            digest.update(repr((name, len(content))).encode() + content)
        return digest.hexdigest()

    def __call__(self, batch: pa.RecordBatch) -> tuple[dict[str, NDArray[Any]], NDArray[np.intp] | None]:
        """Inputs for the rows that it can do, and which these are; None for all.

        Raises:
            DataError: if it returns something that is no input, or raises although it can do each row alone.
            MemoryError: if it raises that.
        """
        function = self.load()
        try:
            return self._arrays(function(batch), batch.num_rows), None
        except (DataError, MemoryError):
            # Too little memory says nothing of a row.
            raise
        except Exception:
            good = np.array(list(_rows_done(function, batch, 0)), np.intp)
        if not good.size:
            return {}, good
        try:
            return self._arrays(function(batch.take(pa.array(good))), good.size), good
        except (DataError, MemoryError):
            raise
        except Exception as error:
            raise DataError(
                f"{self.key} {self.function} does each row alone, but not {good.size} rows together: "
                f"{_said(error)}. Make a row's result depend on that row only."
            ) from None

    def load(self) -> Callable[..., Any]:
        """The function, imported once per process, whichever stream asks first; raises DataError if it cannot be."""
        with _LOADING:
            return _import(self)

    def _arrays(self, result: Any, rows: int) -> dict[str, NDArray[Any]]:
        """What the function returned, as arrays by name; one array alone goes by the empty name."""
        named = result if isinstance(result, Mapping) else {"": result}
        arrays = {str(name): np.asarray(value) for name, value in named.items()}
        for name, array in arrays.items():
            if array.ndim == 0 or len(array) != rows:
                what = f" for input `{name}`" if self.key == Transform.key else ""
                raise DataError(
                    f"{self.key} {self.function} returned {list(array.shape)}{what} of {rows} rows; expected one row "
                    "each."
                )
        return arrays

    def first_error(self, batch: pa.RecordBatch) -> str:
        """What it raises on the first row that it cannot do, for a message."""
        function = self.load()
        for row in range(batch.num_rows):
            try:
                function(batch.slice(row, 1))
            except Exception as error:
                return _said(error)
        return "nothing"


def _said(error: Exception) -> str:
    """An exception of the job's code on one line; a value of a row may stand in it, as long as it likes."""
    return printable(f"{type(error).__name__}: {' '.join(str(error).split())}"[:_MESSAGE_CHARACTERS])


def read_transform(
    function: str, columns: Sequence[str], files: Sequence[str], folder: Path, key: str = Transform.key
) -> Transform:
    """Collect the source of a function.

    Args:
        function: `module:name`.
        columns: what it reads.
        files: that it reads beside its modules.
        folder: of the job.
        key: of the job, for messages.

    Raises:
        DataError: if the module or a file is not there, the function is not in it, or all is larger than 64 MiB.
    """
    module, _, name = function.partition(":")
    found = dict(_with_neighbours(module, folder, key))
    for file in files:
        path = folder / file
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            raise DataError(f"{key}.files: {file}: no such file below {folder}; put it there, or take it out.")
        found[file] = path.read_bytes()
    if sum(map(len, found.values())) > _LARGEST:
        raise DataError(f"{key}: more than {_LARGEST >> 20} MiB in {len(found)} files; leave large ones out.")
    transform = Transform(function, tuple(columns), tuple(sorted(found.items())), key)
    if not callable(transform.load()):
        raise DataError(f"{key}.function: {name} in {module}.py is no function; name one.")
    return transform


def _with_neighbours(module: str, folder: Path, key: str) -> Iterator[tuple[str, bytes]]:
    """The module's file, and those of the modules beside it that it imports, directly or not."""
    seen, left = set(), [module]
    while left:
        name = left.pop()
        path = folder / f"{name}.py"
        if name in seen or not path.is_file():
            if name == module and name not in seen:
                raise DataError(f"{key}.function: no file {path}; put it beside the job file.")
            continue
        seen.add(name)
        content = path.read_bytes()
        yield path.name, content
        left += _imports(content, path)


def _imports(content: bytes, path: Path) -> list[str]:
    try:
        nodes = list(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError) as error:
        raise DataError(f"{path}: not Python: {error}; write it for the Python that runs ortbatch") from None
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    from_ = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return [name.partition(".")[0] for name in [*plain, *from_]]


def copy_below(folder: Path) -> None:
    """Keep this process's copies of transforms below a folder that somebody else removes; by default they go at exit.

    A worker that is killed cleans nothing up: its neighbours remove the folder of the run.
    """
    global _below
    _below = folder


@functools.lru_cache(maxsize=8)
def _import(transform: Transform) -> Callable[..., Any]:
    """Import a transform from a private copy of its files; it may read its files at any later time."""
    folder = Path(tempfile.mkdtemp(prefix="ortbatch-transform-", dir=_below))
    if _below is None:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, content in transform.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    module, _, name = transform.function.partition(":")
    own = {Path(file).stem for file, _ in transform.files if file.endswith(".py")}
    hidden = {key: sys.modules.pop(key) for key in own if key in sys.modules}
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        loaded = importlib.import_module(module)
        function: Callable[..., Any] = getattr(loaded, name)
    except AttributeError:
        raise DataError(f"{transform.key}.function: {module}.py has no `{name}`; name a function of it.") from None
    except Exception as error:
        raise DataError(
            f"{transform.key}.function: {module}.py cannot be imported: {_said(error)}; run it by itself to see why"
        ) from None
    finally:
        sys.path.remove(str(folder))
        # Another job in this process may have modules of the same names.
        for key in own:
            sys.modules.pop(key, None)
        sys.modules.update(hidden)
    return function


def _rows_done(function: Callable[[pa.RecordBatch], Any], batch: pa.RecordBatch, first: int) -> Iterator[int]:
    """Rows of a batch on which the function does not raise, by halving."""
    if batch.num_rows:
        try:
            function(batch)
        except Exception:
            if batch.num_rows > 1:
                half = batch.num_rows // 2
                yield from _rows_done(function, batch.slice(0, half), first)
                yield from _rows_done(function, batch.slice(half), first + half)
        else:
            yield from range(first, first + batch.num_rows)
