"""Streams of one process: threads that evaluate shards with one shared session."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from ortbatch.data.plan import Shard
from ortbatch.engine.evaluate import Stream
from ortbatch.engine.evaluation import Evaluation
from ortbatch.engine.state import RunState, ShardSet
from ortbatch.errors import OrtbatchError
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.tally import Tally
from ortbatch.model.session import OnnxModel


@dataclass(frozen=True)
class LeaseDone:
    """A lease's merged state and the seconds that it took."""

    state: RunState
    seconds: float


@dataclass(frozen=True)
class LeaseFailed:
    """The first shard of a lease that raised.

    Args:
        shard: its id.
        message: what was raised.
        exit_code: 3 if the shard is at fault, 5 if another attempt may pass.
    """

    shard: int
    message: str
    exit_code: int


class StreamPool:
    """s threads, one session. Leases may overlap: a stream that finds no more shards of one goes on with the next."""

    def __init__(self, evaluation: Evaluation, model: OnnxModel, streams: int, read_ahead: int = 0) -> None:
        self._evaluation = evaluation
        self._model = model
        self._read_ahead = read_ahead
        self._streams = streams
        self._local = threading.local()
        self._executor = ThreadPoolExecutor(streams, thread_name_prefix="stream")

    def evaluate(self, shards: Sequence[Shard]) -> LeaseDone | LeaseFailed:
        """Evaluate shards and merge their tallies; the first error ends the lease. Raises nothing."""
        try:
            return self._evaluate(shards)
        except Exception as error:
            # Nobody waits for an exception here: the driver waits for an answer.
            return _failure(shards[0], error)

    def _evaluate(self, shards: Sequence[Shard]) -> LeaseDone | LeaseFailed:
        started = time.perf_counter()
        lease = _Lease(shards)
        futures = [self._executor.submit(self._work, lease) for _ in range(min(self._streams, len(shards)))]
        tallies = [future.result() for future in futures]
        if lease.failed is not None:
            return lease.failed
        state = RunState(ShardSet.of(shard.id for shard in shards), Tally.merged([t for t in tallies if t is not None]))
        return LeaseDone(state, time.perf_counter() - started)

    def close(self) -> None:
        """Let the running shards end and start no more."""
        self._executor.shutdown(cancel_futures=True)

    def _work(self, lease: _Lease) -> Tally | None:
        """One stream's part of a lease; None if it failed."""
        if not hasattr(self._local, "stream"):
            self._local.stream = Stream(self._evaluation, self._model, self._read_ahead)
            self._local.idle_since = time.perf_counter_ns()
        waited = time.perf_counter_ns() - self._local.idle_since
        stream: Stream = self._local.stream
        try:
            tally = stream.evaluate(lease.shards())
        except Exception as error:
            lease.fail(stream.shard, error)
            return None
        finally:
            self._local.idle_since = time.perf_counter_ns()
        return replace(tally, stages=tally.stages.merge(StageTimes(wait=waited)))


class _Lease:
    """Shards that streams take one after another; ends when one of them fails."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._left = deque(shards)
        self._first = shards[0]
        self.failed: LeaseFailed | None = None

    def shards(self) -> Iterator[Shard]:
        """What the calling stream is to do, shard by shard."""
        while self.failed is None:
            try:
                shard = self._left.popleft()
            except IndexError:
                return
            yield shard

    def fail(self, shard: Shard | None, error: Exception) -> None:
        """A shard raised; the first error counts."""
        if self.failed is None:
            self.failed = _failure(shard or self._first, error)


def _failure(shard: Shard, error: BaseException | None) -> LeaseFailed:
    if isinstance(error, OrtbatchError):
        # A wrong file or model was usage before the run; now it is a shard that cannot be done.
        return LeaseFailed(shard.id, str(error), 3 if error.exit_code == 2 else error.exit_code)
    return LeaseFailed(shard.id, f"unexpected {type(error).__name__}: {error}", 5)
