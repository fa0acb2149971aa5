"""Row groups of a store, fetched in the order in which they will be asked for, while others are worked on; bounded.

One for all readers of a process that take shards of the same leases: which of them takes a shard is not known before,
the order in which they are taken is. What was not foreseen, or given up, is fetched when it is asked for.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from ortbatch.data.data_file import DataFile, is_small
from ortbatch.data.remote import Span
from ortbatch.data.shards import PlannedFile, Shard
from ortbatch.data.steps import Step, steps_of
from ortbatch.data.storage import is_remote
from ortbatch.data.wanted import WantedOf

AHEAD_BYTES = 64 << 20
"""Of what is fetched, or was and is not taken yet. One row group may be larger."""
_AT_ONCE = 16
_FILES_KEPT = 16

Fetched = tuple[DataFile, list[Span]]


@dataclass(frozen=True)
class _Begun:
    """A row group that is fetched; `size` is what it was thought to take."""

    fetched: Future[Fetched]
    size: int


class Fetches:
    """What a process fetches of its shards; threads may call it at once.

    Args:
        columns: the columns that are needed.
        most_bytes: see `AHEAD_BYTES`.
    """

    def __init__(self, columns: Sequence[str], most_bytes: int = AHEAD_BYTES) -> None:
        self._wanted_of, self._most_bytes = WantedOf(columns), most_bytes
        self._lock = threading.Lock()
        self._expected: OrderedDict[Hashable, Step] = OrderedDict()
        self._begun: dict[Hashable, _Begun] = {}
        self._ahead_bytes = 0
        self._share = 1.0
        self._files: OrderedDict[Hashable, Future[DataFile]] = OrderedDict()

    @contextmanager
    def expecting(self, shards: Sequence[Shard]) -> Iterator[None]:
        """Within, shards are taken in about this order; what is left of them at the end was given up."""
        steps = {step.key: step for shard in shards for step in steps_of(shard) if is_remote(step.file.uri)}
        if not steps:
            yield
            return
        with self._lock:
            self._expected.update((key, step) for key, step in steps.items() if key not in self._begun)
            self._begin()
        try:
            yield
        finally:
            with self._lock:
                for key in steps:
                    self._expected.pop(key, None)
                    if begun := self._begun.pop(key, None):
                        begun.fetched.cancel()
                        self._ahead_bytes -= begun.size
                self._begin()

    def take(self, step: Step) -> Fetched:
        """The file of a row group, still the one that was planned, and the bytes of it that had to be fetched.

        Raises:
            DataError: if the file changed since it was planned.
            StorageError, OSError: if storage failed.
            MemoryError: if there is too little.
        """
        with self._lock:
            begun = self._begun.pop(step.key, None)
            self._expected.pop(step.key, None)
        if begun is None:
            return self._fetch(step)
        try:
            return begun.fetched.result()
        except CancelledError:
            # Another lease of the same shard has ended.
            return self._fetch(step)
        finally:
            with self._lock:
                self._ahead_bytes -= begun.size
                self._begin()

    def file(self, planned: PlannedFile) -> DataFile:
        """A file, still the one that was planned; raises as `take`."""
        file, opened = self._opened(planned, planned.uri)
        if not opened:
            file.check(planned)
        return file

    def forget(self, step: Step) -> None:
        """Open the file of a row group anew when it is asked for again: what was read of it cannot be decoded."""
        with self._lock:
            self._files.pop(_place(step), None)

    def _begin(self) -> None:
        """Fetch what comes next, as far as there is room; the lock is held."""
        while self._expected and len(self._begun) < _AT_ONCE:
            key, step = next(iter(self._expected.items()))
            size = int(self._share * step.file.group_bytes[step.group])
            if self._begun and self._ahead_bytes + size > self._most_bytes:
                return
            del self._expected[key]
            self._ahead_bytes += size
            self._begun[key] = _Begun(_threads().submit(self._fetch, step), size)

    def _fetch(self, step: Step) -> Fetched:
        file, opened = self._opened(step.file, _place(step))
        look = step.begins and not opened
        spans = file.fetch(step.group, self._wanted_of(file.footer), footer=look)
        if look:
            # Of every piece the footer is looked at.
            file.check(step.file, spans)
        if spans and (planned := step.file.group_bytes[step.group]):
            # Of a table with many columns few may be needed.
            self._share = min(1.0, sum(held.nbytes for _, held in spans) / planned)
        return file, spans

    def _opened(self, planned: PlannedFile, key: Hashable) -> tuple[DataFile, bool]:
        """A file, and whether it was opened just now; who opens it holds it against the plan."""
        with self._lock:
            held = self._files.get(key)
            if held is None:
                mine: Future[DataFile] = Future()
                self._files[key] = mine
                if len(self._files) > _FILES_KEPT:
                    # Whoever reads it still holds it.
                    self._files.popitem(last=False)
            else:
                self._files.move_to_end(key)
        if held is not None:
            return held.result(), False
        try:
            file = DataFile.open(planned)
        except BaseException as error:
            with self._lock:
                self._files.pop(key, None)
            mine.set_exception(error)
            raise
        mine.set_result(file)
        return file, True


def _place(step: Step) -> Hashable:
    """Where the file of a row group is kept. What is held in memory one thread decodes: each shard has its own."""
    return (step.file.uri, step.shard) if is_small(step.file.size) else step.file.uri


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Threads that wait for row groups."""
    return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch-ahead")
