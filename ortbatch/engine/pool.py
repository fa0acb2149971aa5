"""Streams of one process: threads that evaluate shards with one shared session."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
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
    """s threads, one session. Leases may overlap: a stream that is free takes the next shard of any of them."""

    def __init__(self, evaluation: Evaluation, model: OnnxModel, streams: int) -> None:
        self._evaluation = evaluation
        self._model = model
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
        futures = {self._executor.submit(self._one, shard): shard for shard in shards}
        wait(futures, return_when=FIRST_EXCEPTION)
        failed = next((future for future in futures if _raised(future)), None)
        if failed is not None:
            for future in futures:
                future.cancel()
            return _failure(futures[failed], failed.exception())
        tally = self._evaluation.empty()
        for future in futures:
            tally = tally.merge(future.result())
        state = RunState(ShardSet.of(shard.id for shard in shards), tally)
        return LeaseDone(state, time.perf_counter() - started)

    def close(self) -> None:
        """Let the running shards end and start no more."""
        self._executor.shutdown(cancel_futures=True)

    def _one(self, shard: Shard) -> Tally:
        if not hasattr(self._local, "stream"):
            self._local.stream = Stream(self._evaluation, self._model)
            self._local.idle_since = time.perf_counter_ns()
        stream: Stream = self._local.stream
        waited = time.perf_counter_ns() - self._local.idle_since
        tally = stream.evaluate(shard)
        self._local.idle_since = time.perf_counter_ns()
        return replace(tally, stages=tally.stages.merge(StageTimes(wait=waited)))


def _raised(future: Future[Tally]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is not None


def _failure(shard: Shard, error: BaseException | None) -> LeaseFailed:
    if isinstance(error, OrtbatchError):
        # A wrong file or model was usage before the run; now it is a shard that cannot be done.
        return LeaseFailed(shard.id, str(error), 3 if error.exit_code == 2 else error.exit_code)
    return LeaseFailed(shard.id, f"unexpected {type(error).__name__}: {error}", 5)
