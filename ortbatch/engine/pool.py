"""Streams of one process: threads that evaluate shards with one shared session."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from ortbatch.data.fetches import Fetches
from ortbatch.data.plan import Shard
from ortbatch.engine.evaluate import Stopped, Stream
from ortbatch.engine.evaluation import Evaluation
from ortbatch.engine.events import Fault, ShardFailure
from ortbatch.engine.state import Part, RunState, ShardSet
from ortbatch.errors import OrtbatchError, StorageError
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.tally import Tally
from ortbatch.model.session import Predictor

_CLOSE_SECONDS = 1.0


@dataclass(frozen=True)
class LeaseDone:
    """What became of a lease.

    Args:
        state: merged, of the shards that are done; None if there is none.
        seconds: that it took.
        failures: the other shards.
        found: what was learnt of each shard by another task than the run's own, by its id.
    """

    state: RunState | None
    seconds: float
    failures: tuple[ShardFailure, ...] = ()
    found: Mapping[int, Any] = field(default_factory=dict)


class StreamPool:
    """s threads, one session. Leases may overlap: a stream that finds no more shards of one goes on with the next."""

    def __init__(
        self,
        evaluation: Evaluation,
        model: Predictor,
        streams: int,
        baselines: Sequence[Predictor | None] = (),
    ) -> None:
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._fetches = Fetches(evaluation.columns)
        made = (Stream(evaluation, model, baselines, self._fetches) for _ in range(streams))
        self._streams = [_Streaming(stream, self._tasks) for stream in made]

    def evaluate(self, shards: Sequence[Shard], *, alone: bool = False) -> LeaseDone:
        """Evaluate shards and merge their tallies; what fails is tried again by itself. Raises nothing.

        Args:
            shards: of the lease.
            alone: fetch nothing ahead, and let nothing else be in memory.
        """
        started = time.perf_counter()
        try:
            lease = _Lease(shards)
            tasks = [_Task(lease, Future()) for _ in range(min(len(self._streams), len(shards)))]
            with self._fetches.expecting(() if alone else shards):
                for task in tasks:
                    self._tasks.put(task)
                done = [task.done.result() for task in tasks]
            failures = [failure for share in done for failure in share.failures]
            failed = {failure.shard for failure in failures}
            tallies = [tally for share in done for tally in share.tallies]
            whole = ShardSet.of(shard.id for shard in shards if shard.id not in failed)
            parts = tuple(sorted(part for share in done for part in share.parts))
            state = RunState(whole, Tally.merged(tallies), parts) if len(whole) else None
        except Exception as error:
            # Nobody waits for an exception here: the driver waits for an answer.
            state, failures = None, [failure_of(shard, error) for shard in shards]
        return LeaseDone(state, time.perf_counter() - started, tuple(failures))

    def close(self) -> None:
        """Start no more shards and end those that run after their batch; one that hangs is left to itself."""
        for stream in self._streams:
            stream.stop()
        for _ in self._streams:
            self._tasks.put(None)
        end = time.monotonic() + _CLOSE_SECONDS
        for stream in self._streams:
            stream.thread.join(max(0.0, end - time.monotonic()))


@dataclass(frozen=True)
class _Share:
    """What one stream did of a lease."""

    tallies: list[Tally]
    failures: list[ShardFailure]
    parts: list[Part]


@dataclass(frozen=True)
class _Task:
    """A stream's part of a lease, and where its answer goes."""

    lease: _Lease
    done: Future[_Share]


class _Lease:
    """Shards that streams take one after another."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._left = deque(shards)

    def shards(self, taken: list[Shard]) -> Iterator[Shard]:
        """What the calling stream is to do, shard by shard; noted in `taken`."""
        while True:
            try:
                shard = self._left.popleft()
            except IndexError:
                return
            taken.append(shard)
            yield shard


class _Streaming:
    """A stream and its thread. A daemon: one that hangs must not keep the process."""

    def __init__(self, stream: Stream, tasks: queue.SimpleQueue[_Task | None]) -> None:
        self._stream, self._tasks = stream, tasks
        self._idle_since = time.perf_counter_ns()
        self.thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """End after the batch that runs."""
        self._stream.stopped = True

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            waited = time.perf_counter_ns() - self._idle_since
            try:
                task.done.set_result(self._work(task.lease, waited))
            except BaseException as error:
                task.done.set_exception(error)
            self._idle_since = time.perf_counter_ns()
            del task

    def _work(self, lease: _Lease, waited: int) -> _Share:
        """Do shards as long as the lease has some; where one raises, all that were taken are done one by one."""
        share = _Share([], [], [])
        while True:
            taken: list[Shard] = []
            try:
                share.tallies.append(self._stream.evaluate(lease.shards(taken)))
                share.parts.extend(self._stream.parts)
                break
            except Stopped:
                raise
            except Exception as error:
                if not taken:
                    raise
                if len(taken) == 1:
                    share.failures.append(failure_of(taken[0], error))
                    continue
            self._one_by_one(taken, share)
        share.tallies[-1] = _with_wait(share.tallies[-1], waited)
        return share

    def _one_by_one(self, shards: Sequence[Shard], share: _Share) -> None:
        for shard in shards:
            try:
                tally = self._stream.evaluate([shard])
            except Stopped:
                raise
            except Exception as error:
                share.failures.append(failure_of(shard, error))
            else:
                share.tallies.append(tally)
                share.parts.extend(self._stream.parts)


def _with_wait(tally: Tally, waited: int) -> Tally:
    return replace(tally, stages=tally.stages.merge(StageTimes(wait=waited)))


def failure_of(shard: Shard, error: Exception) -> ShardFailure:
    """What an exception says of a shard."""
    if isinstance(error, MemoryError):
        return ShardFailure(shard.id, f"out of memory: {error}", Fault.MEMORY)
    if isinstance(error, StorageError):
        return ShardFailure(shard.id, str(error), Fault.STORAGE)
    if isinstance(error, OrtbatchError) and error.exit_code in (2, 3):
        # A wrong file or model was usage before the run; now it is a shard that cannot be done.
        return ShardFailure(shard.id, str(error), Fault.SHARD)
    return ShardFailure(shard.id, f"unexpected {type(error).__name__}: {error}", Fault.UNEXPECTED)
