"""An object of a store that is open: what did not come is never taken for data, what is needed comes side by side.

Arrow's S3 file reads an answer of fewer bytes than were asked for as if all had come; the rest is whatever lay in
memory. A byte that no answer has overwritten tells: bodies are written in order, so the last one is looked at. Does not
know what the bytes mean, and waits for no store: what failed is for the caller to try again.
"""

from __future__ import annotations

import errno
import functools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Span: TypeAlias = tuple[int, NDArray[np.uint8]]
"""Bytes of a file, and where they begin."""

_PIECE = 8 << 20  # of one request: some of them side by side are faster than one, and each is soon asked for again
_HOLE = 1 << 20  # less than this between two ranges is read with them
_AT_ONCE = 16
# Of bodies that came, one in 256 ends with the first of them and is asked for again.
_MARKS = (0xA5, 0x5A) * 4


class RemoteFile:
    """A file of a store; a context manager. Of its methods those that Arrow's own files have do the same.

    Args:
        raw: as Arrow opened it.
    """

    def __init__(self, raw: pa.NativeFile) -> None:
        self._raw = raw
        self._held: list[Span] = []

    def __enter__(self) -> RemoteFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let it go."""
        self._held = []
        self._raw.close()

    def size(self) -> int:
        """Its bytes, when it was opened."""
        return int(self._raw.size())

    def read_at(self, size: int, offset: int) -> bytes:
        """Some bytes, fewer where it ends; raises OSError if storage failed."""
        return bytes(self.view(offset, size))

    def view(self, offset: int, size: int) -> memoryview:
        """As `read_at`; what is held takes no request."""
        size = max(0, min(size, self.size() - offset))
        for start, held in self._held:
            if start <= offset and offset + size <= start + held.size:
                return held[offset - start : offset - start + size].data
        return self._fetched([(offset, offset + size)])[0].data

    def fetch(self, ranges: Iterable[tuple[int, int]]) -> list[Span]:
        """The bytes of some ranges (first byte and bytes), side by side; many threads may do this at once.

        Raises:
            OSError: if storage failed.
        """
        end = self.size()
        spans = list(_joined((start, min(start + size, end)) for start, size in ranges))
        return list(zip((start for start, _ in spans), self._fetched(spans), strict=True))

    def seen(self, spans: Sequence[Span]) -> RemoteFile:
        """The same file, in which what lies in bytes that were fetched takes no request; not to be closed."""
        other = RemoteFile(self._raw)
        other._held = list(spans)
        return other

    def as_arrow(self) -> pa.PythonFile:
        """The same as a file that Arrow's decoders read."""
        return pa.PythonFile(_Cursor(self), mode="r")

    def _fetched(self, spans: list[tuple[int, int]]) -> list[NDArray[np.uint8]]:
        """Bytes of ranges (first byte and end)."""
        found = [np.empty(stop - start, np.uint8) for start, stop in spans]
        pieces = [
            (start + at, array[at : at + _PIECE])
            for (start, _), array in zip(spans, found, strict=True)
            for at in range(0, array.size, _PIECE)
        ]
        if len(pieces) == 1:
            self._fill(*pieces[0])
        elif pieces:
            list(_fetchers().map(self._fill, *zip(*pieces, strict=True)))
        return found

    def _fill(self, offset: int, into: NDArray[np.uint8]) -> None:
        for mark in _MARKS:
            into[-1] = mark
            # Unlike seeking and reading, many threads may do this at once.
            came = self._raw.get_stream(offset, into.size).readinto(into)
            if came == into.size and into[-1] != mark:
                return
        raise OSError(errno.EIO, f"fewer than {into.size:,} bytes came from byte {offset:,} on, {len(_MARKS)} times")


def _joined(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges that overlap, or lie near each other, as one.

    >>> list(_joined([(5 << 20, 6 << 20), (0, 10), (4, 20), (100, 200)]))
    [(0, 200), (5242880, 6291456)]
    """
    found: tuple[int, int] | None = None
    for start, stop in sorted(spans):
        if stop <= start:
            continue
        if found is not None and start <= found[1] + _HOLE:
            found = found[0], max(found[1], stop)
            continue
        if found is not None:
            yield found
        found = start, stop
    if found is not None:
        yield found


@functools.cache
def _fetchers() -> ThreadPoolExecutor:
    """Threads that wait for stores."""
    return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch")


class _Cursor:
    """A place in a file, for Arrow."""

    closed = False

    def __init__(self, file: RemoteFile) -> None:
        self._file, self._at = file, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (self._at if whence == 1 else self._file.size() if whence == 2 else 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> memoryview:
        found = self._file.view(self._at, size)
        self._at += len(found)
        return found

    def close(self) -> None:
        """Whoever opened the file closes it."""
