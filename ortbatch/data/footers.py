"""Footers of many files; what a plan needs of each is kept, the footer itself is not.

Where reading waits for storage, files are read side by side. Parsing holds Python's lock: several threads that only
parse take as long as one, and half as much CPU again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from itertools import count
from threading import Event
from typing import NamedTuple

import pyarrow as pa

from ortbatch.data.footer import read_footer
from ortbatch.data.storage import is_remote
from ortbatch.errors import Complaints, DataError, OrtbatchError, StorageError

_READERS = 16
_TRIED = 16
_FAILED_SHOWN = 5


class Described(NamedTuple):
    """What a plan needs of a footer: bytes of the file, hash of the footer, row groups, columns."""

    size: int
    sha256: str
    group_rows: tuple[int, ...]
    group_bytes: tuple[int, ...]
    schema: pa.Schema


def describe_all(paths: Sequence[str], complaints: Complaints) -> list[Described | None]:
    """Footers of all files, in order; None for one that has none, of which the first few are told."""
    found: list[Described | None] = [None] * len(paths)
    failed: list[OrtbatchError] = []
    places, ended = count(), Event()

    def read(most: int) -> None:
        for _ in range(most):
            if ended.is_set() or (place := next(places)) >= len(paths):
                return
            try:
                footer = read_footer(paths[place])
            except (DataError, StorageError) as error:
                failed.append(error)
                if isinstance(error, StorageError):
                    # It was waited for; the other files are on the same store.
                    ended.set()
            else:
                found[place] = Described(
                    footer.size, footer.sha256, footer.group_rows, footer.group_bytes, footer.schema
                )

    if not any(map(is_remote, paths[:1])) and not _waits(lambda: read(_TRIED)):
        read(len(paths))
    with ThreadPoolExecutor(_READERS) as pool:
        reading = [pool.submit(read, len(paths)) for _ in range(min(_READERS, len(paths)))]
        try:
            wait(reading, return_when=FIRST_EXCEPTION)
        finally:
            ended.set()
        for reader in reading:
            reader.result()
    for error in sorted(failed, key=str)[:_FAILED_SHOWN]:
        complaints.add(error)
    if len(failed) > _FAILED_SHOWN:
        complaints.add(
            DataError(
                f"{len(failed) - _FAILED_SHOWN:,} more of {len(paths):,} files cannot be read. Look at these first."
            )
        )
    return found


def _waits(action: Callable[[], None]) -> bool:
    """Does an action wait far longer than it works? Twice as long is what a busy machine makes of any."""
    began, worked = time.perf_counter(), time.thread_time()
    action()
    return time.perf_counter() - began > 4 * (time.thread_time() - worked)
