"""What workers do with shards besides the run's own pass: evaluate other rows, or look at rows without the model.

A task is frozen and the same for all workers; each makes a pool of threads for the task that it was given last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ortbatch.data.fetches import Fetches
from ortbatch.data.plan import Shard
from ortbatch.data.reader import Block, Reader
from ortbatch.engine.evaluation import Evaluation
from ortbatch.engine.events import ShardFailure
from ortbatch.engine.pool import LeaseDone, StreamPool, failure_of
from ortbatch.model.session import Predictor

Look = Callable[[Shard, Iterator[Block]], Any]
"""What is learnt of a shard from its blocks."""


class TaskPool(Protocol):
    """Threads of one worker for one task; leases may overlap."""

    def evaluate(self, shards: Sequence[Shard], *, alone: bool = False) -> LeaseDone:
        """Do the shards of a lease. Raises nothing."""

    def close(self) -> None:
        """Start no more shards."""


class Task(Protocol):
    """Something to do with shards; `key` is unlike that of any other task of the run."""

    @property
    def key(self) -> str:
        """What it is told by."""

    def pool(self, model: Predictor, streams: int) -> TaskPool:
        """Threads that do it.

        Args:
            model: the worker's session.
            streams: shards at once.
        """


@dataclass(frozen=True)
class Evaluate:
    """Evaluate rows as the run's own pass does; leases come back with a state.

    Args:
        key: see `Task`.
        evaluation: of the same model and inputs; writes nothing.
    """

    key: str
    evaluation: Evaluation

    def pool(self, model: Predictor, streams: int) -> StreamPool:
        """See `Task`."""
        return StreamPool(self.evaluation, model, streams)


class LookingPool:
    """Looks at rows without the model; leases come back with what was found in each shard."""

    def __init__(self, columns: Sequence[str], look: Look, streams: int) -> None:
        self._columns, self._look, self._streams = list(columns), look, streams
        self._fetches = Fetches(columns)
        self._closed = False

    def evaluate(self, shards: Sequence[Shard], *, alone: bool = False) -> LeaseDone:
        """Do the shards of a lease, one a thread at a time. Raises nothing."""
        started = time.perf_counter()
        threads = 1 if alone else min(self._streams, len(shards))
        left, lock = iter(shards), threading.Lock()
        found: dict[int, Any] = {}
        failures: list[ShardFailure] = []

        def work() -> None:
            with Reader(self._columns, self._fetches) as reader:
                while True:
                    with lock:
                        shard = next(left, None)
                    if shard is None or self._closed:
                        return
                    try:
                        found[shard.id] = self._look(shard, reader.read(shard))
                    except Exception as error:
                        failures.append(failure_of(shard, error))

        # Daemons: one that hangs must not keep the process.
        working = [threading.Thread(target=work, name="look", daemon=True) for _ in range(threads)]
        with self._fetches.expecting(() if alone else shards):
            for thread in working:
                thread.start()
            for thread in working:
                thread.join()
        undone = {shard.id for shard in shards} - found.keys() - {failure.shard for failure in failures}
        failures += [ShardFailure(shard, "its worker was told to stop") for shard in sorted(undone)]
        return LeaseDone(None, time.perf_counter() - started, tuple(failures), found)

    def close(self) -> None:
        """Start no more shards."""
        self._closed = True


class OtherTasks:
    """A worker's pool for the task that it was given last; that of the one before is closed."""

    def __init__(self, model: Predictor, streams: int) -> None:
        self._given = model, streams
        self._lock = threading.Lock()
        self._key: str | None = None
        self._pool: TaskPool | None = None

    def do(self, task: Task, shards: Sequence[Shard], *, alone: bool) -> LeaseDone:
        """Do the shards of a lease."""
        with self._lock:
            if self._pool is None or self._key != task.key:
                if self._pool is not None:
                    self._pool.close()
                self._key, self._pool = task.key, task.pool(*self._given)
            pool = self._pool
        return pool.evaluate(shards, alone=alone)

    def close(self) -> None:
        """End what is under way after its shard."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
