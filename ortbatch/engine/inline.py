"""Workers in this process: for a laptop, for a debugger, and as the oracle of what Ray must give."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

from ortbatch.data.plan import Shard
from ortbatch.engine.driver import Message
from ortbatch.engine.host import available_cpus, cpu_name, free_memory
from ortbatch.engine.latency import SingleLatency, SingleSetup, measure_single
from ortbatch.engine.layout import Node, lay_out
from ortbatch.engine.pool import LeaseDone, StreamPool
from ortbatch.engine.prepare import THREADS, Prepared
from ortbatch.engine.schedule import Failed, Joined, Returned
from ortbatch.engine.warm import warm_up
from ortbatch.model.session import OnnxModel
from ortbatch.model.source import load

_WAIT_SECONDS = 0.2


class InlineFleet:
    """One worker with s streams in this process."""

    workers = 1

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        node, size = Node(available_cpus(), free_memory()), prepared.model.source.size
        layout = lay_out([node], size, len(prepared.plan.shards), prepared.job.execution, one_process=True)
        self.streams = layout.streams
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._pool: StreamPool | None = None

    def start_worker(self) -> None:
        """Load the model and be ready."""
        model = self._load(THREADS, self._prepared.evaluation.inputs.by_columns)
        warm_up(model, self._prepared.evaluation)
        self._pool = StreamPool(self._prepared.evaluation, model, self.streams, self._prepared.read_ahead)
        self._messages.put(Message(Joined(0)))

    def give(self, worker: int, lease: int, shards: Sequence[Shard]) -> None:
        """Evaluate shards on the streams; a thread waits for them."""
        threading.Thread(target=self._evaluate, args=(worker, lease, list(shards)), daemon=True).start()

    def _evaluate(self, worker: int, lease: int, shards: list[Shard]) -> None:
        assert self._pool is not None
        done = self._pool.evaluate(shards)
        if isinstance(done, LeaseDone):
            self._messages.put(Message(Returned(worker, lease, done.seconds), done.state))
        else:
            self._messages.put(Message(Failed(worker, lease, done.shard, done.message), exit_code=done.exit_code))

    def wait(self) -> Message | None:
        """The next report; None after a moment without, so that Ctrl-C is seen."""
        try:
            return self._messages.get(timeout=_WAIT_SECONDS)
        except queue.Empty:
            return None

    def measure(self, setup: SingleSetup) -> SingleLatency:
        """Time single predictions; the streams are idle."""
        return measure_single(self._load(setup.threads), self._prepared.evaluation.by_rows(), setup)

    def describe(self) -> dict[str, object]:
        """One process and its streams."""
        return {"engine": "inline", "workers": 1, "streams_per_worker": self.streams, "cpus": [cpu_name()]}

    def close(self) -> None:
        """End the streams."""
        if self._pool is not None:
            self._pool.close()

    def _load(self, threads: int, columns: Sequence[str] = ()) -> OnnxModel:
        return load(self._prepared.model.source, self._prepared.job.model.providers, threads, columns)
