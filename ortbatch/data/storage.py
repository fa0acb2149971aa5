"""Files by URI: listing, reading, atomic writing. The only place that talks to filesystems.

A plain path is local; anything with `scheme://` goes through pyarrow's filesystems. Writes are atomic: whoever reads a
name sees the old bytes or all of the new ones. Does not know what is in a file.
"""

from __future__ import annotations

import functools
import os
import re
import tempfile
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from ortbatch.errors import DataError, StorageError
from ortbatch.job.redaction import redact

_GLOB = re.compile(r"[*?\[]")


def is_remote(uri: str) -> bool:
    """Does a URI name something other than a local file?"""
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    return scheme not in ("", "file")


def local_path(uri: str) -> Path:
    """The path of a local file, given as path or `file://` URI."""
    return Path(unquote(urlsplit(uri).path)) if uri.startswith("file://") else Path(uri)


def locate(uri: str) -> tuple[fs.FileSystem, str]:
    """Filesystem and path of a URI; raises DataError if its scheme or options are unknown."""
    if not is_remote(uri):
        return _local_filesystem(), str(local_path(uri))
    parts = urlsplit(uri)
    root, query = f"{parts.scheme}://{parts.netloc}", f"?{parts.query}" if parts.query else ""
    try:
        filesystem, base = _remote_filesystem(root + "/" + query)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise DataError(f"{redact(uri)}: no filesystem for this URI: {redact(str(error))}") from None
    path = unquote(parts.path)
    return filesystem, path if base.startswith("/") else f"{base.rstrip('/')}/{path.lstrip('/')}"


@functools.cache
def _local_filesystem() -> fs.FileSystem:
    return fs.LocalFileSystem()


@functools.lru_cache(maxsize=16)
def _remote_filesystem(root: str) -> tuple[fs.FileSystem, str]:
    filesystem, base = fs.FileSystem.from_uri(root)
    return filesystem, base


def read_bytes(uri: str) -> bytes:
    """The whole content of a file.

    Raises:
        DataError: if there is no such file, or it may not be read.
        StorageError: if storage failed.
    """
    filesystem, path = locate(uri)
    try:
        with filesystem.open_input_stream(path) as stream:
            content: bytes = stream.read()
            return content
    except OSError as error:
        raise storage_error(uri, error) from None


def write_bytes(uri: str, content: bytes) -> None:
    """Write a file atomically: locally by temp file, fsync and replace; remotely by one put.

    Raises:
        StorageError: if it cannot be written; a file that was there is then unchanged.
    """
    try:
        if is_remote(uri):
            filesystem, path = locate(uri)
            with filesystem.open_output_stream(path) as stream:
                stream.write(content)
        else:
            _replace(local_path(uri), content)
    except OSError as error:
        raise StorageError(f"{redact(uri)}: cannot be written: {redact(str(error))}") from None


def _replace(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def exists(uri: str) -> bool:
    """Is there a file or folder of this name?"""
    filesystem, path = locate(uri)
    try:
        return bool(filesystem.get_file_info(path).type != fs.FileType.NotFound)
    except OSError as error:
        raise storage_error(uri, error) from None


def list_files(uris: Iterable[str]) -> list[str]:
    """Files that paths, folders and globs name, each once, sorted within each entry.

    Inside folders and globs, names that start with `_` or `.` are not data. `**` crosses folders, `*` does not.

    Raises:
        DataError: if an entry names nothing.
    """
    found: dict[str, None] = {}
    for uri in uris:
        # Only the path has wildcards: a `?` in a remote URI starts its options.
        path_part = urlsplit(uri).path if is_remote(uri) else uri
        files = _matching(uri) if _GLOB.search(path_part) and not _is_file(uri) else _file_or_folder(uri)
        if not files:
            raise DataError(f"{redact(uri)}: no data files here (names that start with `_` or `.` are not data)")
        found.update(dict.fromkeys(files))
    return list(found)


def _is_file(uri: str) -> bool:
    filesystem, path = locate(uri)
    return bool(filesystem.get_file_info(path).type == fs.FileType.File)


def _file_or_folder(uri: str) -> list[str]:
    filesystem, path = locate(uri)
    try:
        info = filesystem.get_file_info(path)
    except OSError as error:
        raise storage_error(uri, error) from None
    if info.type == fs.FileType.NotFound:
        raise DataError(f"{redact(uri)}: no such file or folder")
    if info.type == fs.FileType.File:
        return [uri]
    return [_uri_of(uri, p) for p in _walk(filesystem, path, recursive=True, uri=uri)]


def _matching(uri: str) -> list[str]:
    filesystem, pattern = locate(uri)
    parts = pattern.split("/")
    fixed = next(index for index, part in enumerate(parts) if _GLOB.search(part))
    folder, rest = "/".join(parts[:fixed]) or "/", parts[fixed:]
    paths = _walk(filesystem, folder, recursive=len(rest) > 1, uri=uri)
    return [_uri_of(uri, p) for p in paths if _glob_match(p[len(folder) :].strip("/").split("/"), rest)]


def _glob_match(parts: list[str], pattern: list[str]) -> bool:
    if not pattern or not parts:
        return not pattern and not parts
    if pattern[0] == "**":
        return _glob_match(parts, pattern[1:]) or _glob_match(parts[1:], pattern)
    return fnmatchcase(parts[0], pattern[0]) and _glob_match(parts[1:], pattern[1:])


def _walk(filesystem: fs.FileSystem, folder: str, *, recursive: bool, uri: str) -> list[str]:
    """Paths of the data files below a folder, sorted; hidden names and folders are left out."""
    try:
        infos = filesystem.get_file_info(fs.FileSelector(folder, recursive=recursive, allow_not_found=True))
    except OSError as error:
        raise storage_error(uri, error) from None
    paths = (info.path for info in infos if info.type == fs.FileType.File)
    return sorted(p for p in paths if not any(n[:1] in "_." for n in p[len(folder) :].strip("/").split("/")))


def _uri_of(base: str, path: str) -> str:
    """URI of a path on the filesystem of another URI."""
    if not is_remote(base):
        return path
    parts = urlsplit(base)
    query = f"?{parts.query}" if parts.query else ""
    if path.startswith("/"):
        return f"{parts.scheme}://{parts.netloc}{path}{query}"
    user, at, _ = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{user}{at}{path}{query}"


def storage_error(uri: str, error: OSError) -> DataError | StorageError:
    """Tell what cannot pass (no file, no permission) from what may."""
    text = redact(str(error))
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return DataError(f"{redact(uri)}: no such file")
    if isinstance(error, PermissionError | IsADirectoryError) or "ACCESS_DENIED" in text:
        return DataError(f"{redact(uri)}: cannot be read: {text}")
    return StorageError(f"{redact(uri)}: cannot be read: {text}")
