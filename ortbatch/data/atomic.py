"""Writing that is seen whole or not at all, here and on object stores: put, create if absent, list, remove.

Locally by temp file, fsync, and rename or link; on an object store by one put, conditional where it must not replace.
No rename there: it is a copy. What may pass there is tried again. Does not know what it writes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from pyarrow import fs

from ortbatch.data.conditional import create_remote, is_known, replace_remote
from ortbatch.data.retry import may_pass
from ortbatch.data.storage import asked, content_of, exists, is_remote, local_path, locate, patiently, reason_of
from ortbatch.errors import StorageError
from ortbatch.job.redaction import redact


def write_bytes(uri: str, content: bytes) -> None:
    """Write a file, or replace it; whoever reads sees the old bytes or all of the new ones.

    Raises:
        StorageError: if it cannot be written; a file that was there is then unchanged.
    """
    try:
        if is_remote(uri):
            patiently(uri, lambda: _replaced(uri, content))
        else:
            _placed(local_path(uri), content, os.replace)
    except OSError as error:
        raise _not_written(uri, error) from None


def create_bytes(uri: str, content: bytes) -> bool:
    """Write a file that is not there yet; False if there is one, which stays as it is. One of many at once succeeds.

    Args:
        uri: of the file.
        content: nobody else's: where the answer of a store is lost, it tells who has written the file.

    Raises:
        DataError: if the store has no such operation.
        StorageError: if it cannot be written.
    """
    try:
        if is_remote(uri):
            return _created(uri, content)
        _placed(local_path(uri), content, os.link)
    except FileExistsError:
        return False
    except OSError as error:
        raise _not_written(uri, error) from None
    return True


def _not_written(uri: str, error: OSError) -> StorageError:
    what = "give another place, or the right to write there"
    if is_remote(uri) and may_pass(error):
        what = "it was tried for a while. Run the same command again when the store answers: what was done is kept"
    return StorageError(f"{redact(uri)}: cannot be written: {reason_of(error)}; {what}")


def names(folder: str) -> list[str]:
    """Names of the files right in a folder, sorted; none if there is no such folder."""
    filesystem, path = locate(folder)

    def files() -> Iterable[fs.FileInfo]:
        found: Iterable[fs.FileInfo] = ()
        # It may come or go while it is looked at.
        with suppress(NotADirectoryError, FileNotFoundError):
            found = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return found

    return sorted(info.base_name for info in asked(folder, files) if info.type == fs.FileType.File)


def remove(uri: str) -> None:
    """Delete a file if it is there."""
    asked(uri, lambda: _removed(uri), "removed")


def _removed(uri: str) -> None:
    filesystem, path = locate(uri)
    with suppress(FileNotFoundError):
        # A store looks for itself.
        if is_remote(uri) or exists(uri):
            filesystem.delete_file(path)


def remove_folder(uri: str) -> None:
    """Delete a local folder if it is empty; on an object store there are no folders."""
    if not is_remote(uri):
        with suppress(OSError):
            local_path(uri).rmdir()


def _replaced(uri: str, content: bytes) -> None:
    if is_known(uri):
        replace_remote(uri, content)
        return
    filesystem, path = locate(uri)
    with filesystem.open_output_stream(path) as stream:
        stream.write(content)


def _created(uri: str, content: bytes) -> bool:
    """Create an object. The first attempt whose answer comes decides; one before it may have written all the same."""
    failed = False

    def attempt() -> bool:
        nonlocal failed
        try:
            create_remote(uri, content)
        except FileExistsError:
            return failed and content_of(uri) == content
        except OSError:
            failed = True
            raise
        return True

    return patiently(uri, attempt)


def _placed(target: Path, content: bytes, place: Callable[[str, Path], object]) -> None:
    """Write beside the target, then give it its name; the name is durable when this returns."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        # Not the target: its folder is a file.
        raise NotADirectoryError(error.errno, "no folder, but a file", str(target.parent)) from None
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        place(name, target)
    finally:
        Path(name).unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
