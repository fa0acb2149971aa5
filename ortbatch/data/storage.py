"""Files by URI: listing and reading; `atomic` writes them.

A plain path is local; anything with `scheme://` goes through pyarrow's filesystems, and is tried again while its
failure may pass. Does not know what is in a file.
"""

from __future__ import annotations

import functools
import glob
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from ortbatch.data.amazon import completed, reading_ranges
from ortbatch.data.remote import RemoteFile
from ortbatch.data.retry import PATIENCE, may_pass
from ortbatch.errors import DataError, StorageError
from ortbatch.job.redaction import redact

T = TypeVar("T")
OpenFile: TypeAlias = pa.NativeFile | RemoteFile

_GLOB = re.compile(r"[*?\[]")
_FILE_URI = re.compile(r"file://(localhost)?(?=/)", re.IGNORECASE)
_IN_URI = str.maketrans({"%": "%25", "?": "%3F", "#": "%23"})
_GCS = ("gs://", "gcs://")
# Its own default is a quarter of an hour, for each request.
_GCS_PATIENCE = "retry_limit_seconds=6"


def is_remote(uri: str) -> bool:
    """Does a URI name something other than a local file? Raises DataError if it is none."""
    return "://" in uri and _split(uri).scheme not in ("", "file")


def local_path(uri: str) -> Path:
    """The path of a local file, given as path or `file://` URI; raises DataError if that names another host."""
    if "://" not in uri or _split(uri).scheme != "file":
        return Path(uri)
    if not (prefix := _FILE_URI.match(uri)):
        raise DataError(f"{redact(uri)}: a file URI has three slashes and an absolute path: write file:///folder/file")
    return Path(unquote(uri[prefix.end() :]))


def _split(uri: str) -> SplitResult:
    try:
        return urlsplit(uri)
    except ValueError as error:
        raise DataError(f"{redact(uri)}: not a URI: {error}; write scheme://bucket/path") from None


def locate(uri: str) -> tuple[fs.FileSystem, str]:
    """Filesystem and path of a URI.

    Raises:
        DataError: if its scheme or options are unknown.
        StorageError: if the store had to be asked for the region of a bucket, and failed.
    """
    if not is_remote(uri):
        return _local_filesystem(), str(local_path(uri))
    filesystem, base = _root(uri)
    path = unquote(_split(uri).path)
    return filesystem, path if base.startswith("/") else f"{base.rstrip('/')}/{path.lstrip('/')}"


def _root(uri: str) -> tuple[fs.FileSystem, str]:
    """Filesystem of a remote URI, and its path for the URI's host."""
    parts = _split(uri)
    root = completed(f"{parts.scheme}://{parts.netloc}/{'?' if parts.query else ''}{parts.query}")
    try:
        return PATIENCE.retried(lambda: _remote_filesystem(root))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise DataError(
            f"{redact(uri)}: no filesystem for this URI: {redact(str(error))}; use s3://, gs:// or abfs://, or "
            "a local path"
        ) from None
    except OSError as error:
        raise storage_error(uri, error) from None


@functools.cache
def _local_filesystem() -> fs.FileSystem:
    return fs.LocalFileSystem()


@functools.lru_cache(maxsize=16)
def _remote_filesystem(root: str) -> tuple[fs.FileSystem, str]:
    if root.startswith(_GCS) and "retry_limit_seconds=" not in root:
        root += f"{'&' if '?' in root else '?'}{_GCS_PATIENCE}"
    with reading_ranges():
        filesystem, base = fs.FileSystem.from_uri(root)
    return filesystem, base


def patiently(uri: str, action: Callable[[], T]) -> T:
    """What an action on a file gives; on a store it is called again while its failure may pass.

    A local file that failed fails again, or is what the caller is to hear of. Raises what the action raised last.
    """
    return PATIENCE.retried(action) if is_remote(uri) else action()


def asked(uri: str, action: Callable[[], T], what: str = "read") -> T:
    """As `patiently`, with errors as they matter here; `what` is what cannot be done.

    Raises:
        DataError: if it cannot be done.
        StorageError: if storage failed.
    """
    try:
        return patiently(uri, action)
    except (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise storage_error(uri, error, what) from None


def read_bytes(uri: str) -> bytes:
    """The whole content of a file.

    Raises:
        DataError: if there is no such file, or it may not be read.
        StorageError: if storage failed.
    """
    return asked(uri, lambda: content_of(uri))


def read_start(uri: str, size: int) -> bytes:
    """At most so many bytes from the start of a file; raises as `read_bytes`."""

    def read() -> bytes:
        filesystem, path = locate(uri)
        with filesystem.open_input_file(path) as file:
            return bytes(file.read(size))

    return asked(uri, read)


def content_of(uri: str) -> bytes:
    """As `read_bytes`, asked once; raises what pyarrow raises."""
    with open_file(uri) as file:
        content: bytes = file.read_at(file.size(), 0)
        return content


def open_file(uri: str) -> OpenFile:
    """A file to read from, to be closed; raises what pyarrow raises."""
    filesystem, path = locate(uri)
    raw = filesystem.open_input_file(path)
    return RemoteFile(raw) if is_remote(uri) else raw


def exists(uri: str) -> bool:
    """Is there a file or folder of this name? Raises as `read_bytes`."""
    return bool(_info(uri).type != fs.FileType.NotFound)


def _info(uri: str) -> fs.FileInfo:
    filesystem, path = locate(uri)
    return asked(uri, lambda: filesystem.get_file_info(path))


@dataclass(frozen=True)
class ListedFile:
    """A file, and the names of the folders between it and the entry, or the part before the pattern, that named it."""

    uri: str
    folders: tuple[str, ...] = ()


def list_files(uris: Iterable[str]) -> list[ListedFile]:
    """Files that paths, folders and globs name, each once, sorted within each entry.

    Inside folders and globs, names that start with `_` or `.` are not data. `**` crosses folders, `*` does not. A name
    that is there as it stands is no glob. Two names of one local file are one file, also through a link.

    Raises:
        DataError: if an entry names nothing.
    """
    found: dict[str, ListedFile] = {}
    real_folder = functools.cache(os.path.realpath)
    for entry in uris:
        uri = entry if "://" in entry else str(Path(entry).absolute())
        files = _files_of(uri)
        if not files:
            raise DataError(
                f"{redact(uri)}: no data files here (names that start with `_` or `.` are not data); give another path"
            )
        for file in files:
            found.setdefault(file.uri if is_remote(file.uri) else _real_path(file.uri, real_folder), file)
    return list(found.values())


def _real_path(path: str, real_folder: Callable[[str], str]) -> str:
    """Where a local file really is; most files are no links, and share few folders."""
    if os.path.islink(path):  # noqa: PTH114
        return os.path.realpath(path)
    folder, name = os.path.split(path)
    return os.path.join(real_folder(folder), name)  # noqa: PTH118


def _files_of(uri: str) -> list[ListedFile]:
    head, path, options = _around_path(uri)
    parts = path.split("/")

    def named(end: int) -> str:
        return head + ("/".join(parts[:end]) or "/") + options

    # The job's own folder may be called `run [1]`: what is there by that name is no pattern.
    first = next((i for i, part in enumerate(parts) if _GLOB.search(part) and not exists(named(i + 1))), None)
    if first is None:
        return _file_or_folder(uri)
    plain = unquote if head else str
    pattern = [plain(part) if _GLOB.search(part) else glob.escape(plain(part)) for part in parts[first:]]
    filesystem, folder = locate(named(first))
    paths = _walk(filesystem, folder, recursive=len(pattern) > 1 or pattern[0] == "**", uri=uri)
    return [_listed(uri, folder, p) for p in paths if _glob_match(_below(folder, p), pattern)]


def _below(folder: str, path: str) -> list[str]:
    return path[len(folder) :].strip("/").split("/")


def _listed(uri: str, folder: str, path: str) -> ListedFile:
    """A file found below a folder; names as a local path and as a path in a URI has them, decoded."""
    return ListedFile(_uri_of(uri, path), tuple(_below(folder, path)[:-1]))


def _around_path(uri: str) -> tuple[str, str, str]:
    """A URI cut before and after its path; a `?` in a remote URI starts its options and is no pattern."""
    if is_remote(uri):
        parts = _split(uri)
        return f"{parts.scheme}://{parts.netloc}", parts.path, f"?{parts.query}" if parts.query else ""
    prefix = _FILE_URI.match(uri)
    return (uri[: prefix.end()], uri[prefix.end() :], "") if prefix else ("", uri, "")


def _glob_match(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern or not parts:
        return not pattern and not parts
    if pattern[0] == "**":
        return len(pattern) == 1 or _glob_match(parts, pattern[1:]) or _glob_match(parts[1:], pattern)
    return fnmatchcase(parts[0], pattern[0]) and _glob_match(parts[1:], pattern[1:])


def _file_or_folder(uri: str) -> list[ListedFile]:
    filesystem, path = locate(uri)
    info = _info(uri)
    if info.type == fs.FileType.NotFound:
        raise DataError(f"{redact(uri)}: no such file or folder; look at the path")
    if info.type == fs.FileType.File:
        return [ListedFile(uri if is_remote(uri) else path)]
    return [_listed(uri, path, p) for p in _walk(filesystem, path, recursive=True, uri=uri)]


def _walk(filesystem: fs.FileSystem, folder: str, *, recursive: bool, uri: str) -> list[str]:
    """Paths of the data files below a folder, sorted; hidden names and folders are left out."""
    selector = fs.FileSelector(folder, recursive=recursive, allow_not_found=True)
    infos = asked(uri, lambda: filesystem.get_file_info(selector))
    paths = (info.path for info in infos if info.type == fs.FileType.File)
    return sorted(p for p in paths if not any(n[:1] in "_." for n in _below(folder, p)))


def _uri_of(base: str, path: str) -> str:
    """URI of a path on the filesystem of another URI; the path itself if that is local."""
    if not is_remote(base):
        return path
    parts, below = _split(base), path.removeprefix(_root(base)[1]).lstrip("/").translate(_IN_URI)
    return f"{parts.scheme}://{parts.netloc}/{below}{'?' if parts.query else ''}{parts.query}"


def storage_error(uri: str, error: Exception, what: str = "read") -> DataError | StorageError:
    """Tell what cannot pass (no file, no permission) from what may; `what` is what could not be done."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return DataError(f"{redact(uri)}: no such file; look at the path")
    if may_pass(error):
        return StorageError(f"{redact(uri)}: cannot be {what}: {reason_of(error)}. Try again later.")
    return DataError(f"{redact(uri)}: cannot be {what}: {reason_of(error)}. Look at the path, and the right to it.")


def reason_of(error: Exception) -> str:
    """What an error says, without its number and without secrets."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return redact(str(error))
