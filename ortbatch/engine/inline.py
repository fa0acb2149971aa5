"""Workers in this process: for a laptop, for a debugger, and as the oracle of what Ray must give."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from ortbatch.data.plan import Shard
from ortbatch.engine.events import Joined, Returned
from ortbatch.engine.fleet import Message
from ortbatch.engine.host import available_cpus, cpu_name, free_memory
from ortbatch.engine.latency import SingleLatency, SingleSetup, measure_single
from ortbatch.engine.layout import Node, lay_out
from ortbatch.engine.pool import StreamPool
from ortbatch.engine.prepared import THREADS, Prepared
from ortbatch.engine.sessions import predictors
from ortbatch.engine.side_latency import measure_side
from ortbatch.engine.tasks import OtherTasks, Task
from ortbatch.engine.warm import warm_up
from ortbatch.model.session import Predictor
from ortbatch.model.stored import load_predictor

_WAIT_SECONDS = 0.2


class InlineFleet:
    """One worker with s streams in this process; one that is ended leaves its threads to themselves."""

    workers = 1

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        node, size = Node(available_cpus(), free_memory()), prepared.model_bytes
        layout = lay_out([node], size, len(prepared.plan.shards), prepared.job.execution, one_process=True)
        self.streams = layout.streams
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._model: Predictor | None = None
        self._baselines: list[Predictor | None] = []
        self._pools: dict[int, StreamPool] = {}
        self._others: dict[int, OtherTasks] = {}
        self._numbers = 0

    def open(self, tell: Callable[[str], None], stopped: Callable[[], bool]) -> None:
        """Nothing to wait for: there is one process."""

    def start_worker(self) -> None:
        """Load the model and be ready."""
        evaluation = self._prepared.evaluation
        if self._model is None:
            self._model = self._load(THREADS, evaluation.inputs.by_columns)
            self._baselines = predictors(evaluation.baselines, [b.model for b in self._prepared.baselines])
            warm_up(self._model, evaluation, self._baselines)
        number, self._numbers = self._numbers, self._numbers + 1
        self._pools[number] = StreamPool(evaluation, self._model, self.streams, self._baselines)
        self._others[number] = OtherTasks(self._model, self.streams)
        self._messages.put(Message(Joined(number)))

    def give(self, worker: int, lease: int, shards: Sequence[Shard], *, alone: bool) -> None:
        """Evaluate shards on the streams; a thread waits for them."""
        arguments = (worker, lease, list(shards), alone)
        threading.Thread(target=self._evaluate, args=arguments, name="lease", daemon=True).start()

    def _evaluate(self, worker: int, lease: int, shards: list[Shard], alone: bool) -> None:
        done = self._pools[worker].evaluate(shards, alone=alone)
        self._messages.put(Message(Returned(worker, lease, done.seconds, done.failures), done.state))

    def members(self) -> dict[int, bool]:
        """Workers that are there."""
        return dict.fromkeys(self._pools, True)

    def give_other(self, worker: int, lease: int, shards: Sequence[Shard], task: Task, *, alone: bool) -> None:
        """Do another task with shards; a thread waits for it."""

        def work() -> None:
            done = others.do(task, list(shards), alone=alone)
            self._messages.put(Message(Returned(worker, lease, done.seconds, done.failures), done.state, done.found))

        others = self._others[worker]
        threading.Thread(target=work, name="lease", daemon=True).start()

    def wait(self) -> Message | None:
        """The next report; None after a moment without, so that Ctrl-C is seen."""
        try:
            return self._messages.get(timeout=_WAIT_SECONDS)
        except queue.Empty:
            return None

    def kill(self, worker: int) -> None:
        """Leave a worker's threads to themselves: they end after their batch, if it ends."""
        self._pools.pop(worker).close()
        self._others.pop(worker).close()

    def dismiss(self, worker: int) -> None:
        """Nothing to do: the only worker stays."""

    def want(self, workers: int) -> None:
        """Nothing to do: there is one process."""

    def measure(self, setup: SingleSetup) -> SingleLatency:
        """Time single predictions; the streams are idle."""
        return measure_single(self._load(setup.threads), self._prepared.evaluation.by_rows(), setup)

    def measure_baseline(self, place: int, setup: SingleSetup) -> SingleLatency:
        """The same of a baseline that has a session."""
        evaluation = self._prepared.evaluation
        return measure_side(evaluation, place, self._prepared.baselines[place].model, setup)

    def describe(self) -> dict[str, object]:
        """One process and its streams."""
        return {"engine": "inline", "workers": 1, "streams_per_worker": self.streams, "cpus": [cpu_name()]}

    def close(self) -> None:
        """End the streams."""
        for pool in self._pools.values():
            pool.close()
        for others in self._others.values():
            others.close()

    def _load(self, threads: int, columns: Sequence[str] = ()) -> Predictor:
        return load_predictor(self._prepared.model.source, self._prepared.job.model.providers, threads, columns)
