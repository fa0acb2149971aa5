"""A fleet of workers on Ray: actors that are started, given leases, heard and ended.

Only this module, `worker`, `ray_session` and `live_metrics` import ray. Ray's own retries are off: the schedule holds
the only retry policy. Knows nothing of metrics.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import ray
import ray.exceptions

from ortbatch.data.plan import Shard
from ortbatch.engine.driver import Message
from ortbatch.engine.events import Fault, Joined, Lost, Returned
from ortbatch.engine.latency import SingleLatency, SingleSetup
from ortbatch.engine.layout import lay_out
from ortbatch.engine.pool import LeaseDone
from ortbatch.engine.prepared import Prepared
from ortbatch.engine.ray_session import connect, first_lines, nodes
from ortbatch.engine.schedule import LEASES_IN_FLIGHT
from ortbatch.engine.tasks import Task
from ortbatch.engine.worker import Worker, WorkerFacts, WorkerSetup
from ortbatch.errors import ClusterError
from ortbatch.model.source import mapped

_WAIT_SECONDS = 0.2
_CAPACITY_SECONDS = 30.0
_STARTING_SECONDS = 300.0
_SILENT_SECONDS = 30.0
_GONE = (
    ray.exceptions.RayActorError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.LocalRayletDiedError,
)
# A worker that cannot be reached, or whose answer is gone, is no worse for it.
_NETWORK = (
    ConnectionError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.ActorUnavailableError,
)


@dataclass
class _Member:
    """A worker as the driver sees it; since when it cannot be reached, and when to ask again."""

    actor: Any
    started: float
    facts: WorkerFacts | None = None
    silent_since: float | None = None
    ask_at: float = 0.0


class RayFleet:
    """Actors on a Ray cluster, or on an embedded local Ray that this fleet starts and ends."""

    worker_class: type[Worker] = Worker

    def __init__(self, prepared: Prepared, address: str | None, run_id: str) -> None:
        self._prepared = prepared
        self._owner, embedded = connect(prepared.job, address)
        source = prepared.model.source
        layout = lay_out(nodes(), prepared.model_bytes, len(prepared.plan.shards), prepared.job.execution)
        self.workers, self.streams = layout.workers, layout.streams
        # Workers of an embedded Ray see the driver's files: nothing is sent, each loads and checks them itself.
        setup = WorkerSetup(
            prepared.evaluation, source if embedded else None,
            tuple((f.name, f.sha256) for f in source.external), prepared.model.providers,
            self.streams, prepared.read_ahead, source.where,
            f"ortbatch-{os.getuid()}-{run_id}", onnxruntime.__version__,
            tuple(b.model if embedded else b.model.travelling() for b in prepared.baselines),
        )  # fmt: skip
        self._arguments = [ray.put(setup)]
        if not embedded:
            # Each node fetches the model once, however many workers it has.
            self._arguments.append(ray.put(np.frombuffer(source.graph.runs, np.uint8)))
            self._arguments += [ray.put(mapped(file.uri)) for file in source.external]
        self._members: dict[int, _Member] = {}
        self._pending: dict[Any, tuple[int, int | None]] = {}  # ref → (worker, lease; None while it starts)
        self._ready: deque[Any] = deque()  # some of these, whose answers are there
        self._numbers = 0
        self._unsure: set[int] = set()  # workers that cannot be reached
        self._without_worker = time.monotonic()
        self._free_before = _free_cpus()
        self._nodes: set[str] = set()
        self._task: tuple[str, Any] | None = None  # the last other task: its key, and where it lies

    def start_worker(self) -> None:
        """Start an actor; its first answer is `Joined`."""
        actor = self._new_actor()
        self._pending[actor.facts.remote()] = (self._numbers - 1, None)

    def _new_actor(self) -> Any:
        actor_class = ray.remote(self.worker_class).options(
            num_cpus=self.streams, max_restarts=0, max_task_retries=0, max_concurrency=LEASES_IN_FLIGHT
        )
        actor = actor_class.remote(*self._arguments)
        self._members[self._numbers] = _Member(actor, time.monotonic())
        self._numbers += 1
        return actor

    def give(self, worker: int, lease: int, shards: Sequence[Shard], *, alone: bool) -> None:
        """Send a lease."""
        self._pending[self._members[worker].actor.evaluate.remote(list(shards), alone)] = (worker, lease)

    def members(self) -> dict[int, bool]:
        """Workers that are there or are starting: can they be given a lease?"""
        return {number: member.facts is not None for number, member in self._members.items()}

    def give_other(self, worker: int, lease: int, shards: Sequence[Shard], task: Task, *, alone: bool) -> None:
        """Send a lease of another task; what the task holds is put once where all workers of a node share it."""
        if self._task is None or self._task[0] != task.key:
            self._task = task.key, ray.put(task)
        call = self._members[worker].actor.other.remote(list(shards), self._task[1], alone)
        self._pending[call] = (worker, lease)

    def kill(self, worker: int) -> None:
        """End a worker that hangs; what it still says is not heard."""
        ray.kill(self._forget(worker).actor)

    def wait(self) -> Message | None:
        """The next report of any worker.

        Raises:
            ClusterError: if there was no worker for 30 s, or for 300 s while CPUs are there for one.
        """
        self._ask_the_silent()
        if not self._ready and not self._look():
            self._check_capacity()
            return None
        call = self._ready.popleft()
        worker, lease = self._pending.pop(call)
        try:
            answer = ray.get(call)
        except ray.exceptions.ActorUnavailableError as error:
            return self._silent(worker, error)
        except _GONE as error:
            return self._lost(worker, error)
        except ray.exceptions.RayError as error:
            raise ClusterError(f"unexpected error of worker {worker}: {first_lines(error)}") from error
        return self._report(worker, lease, answer)

    def _look(self) -> bool:
        """Collect the calls that are answered; is there one?"""
        calls = list(self._pending)
        if not calls:
            time.sleep(_WAIT_SECONDS)
        elif ray.wait(calls, num_returns=1, timeout=_WAIT_SECONDS)[0]:
            # All that there are: looking for one among 20,000 calls takes as long.
            self._ready.extend(ray.wait(calls, num_returns=len(calls), timeout=0)[0])
        return bool(self._ready)

    def _silent(self, worker: int, error: Exception) -> Message | None:
        """A worker that cannot be reached: its process died, or its node; asked again until Ray knows which."""
        member, now = self._members[worker], time.monotonic()
        self._drop_calls(worker)
        if member.silent_since is None:
            member.silent_since = now
        elif now - member.silent_since > _SILENT_SECONDS:
            return self._lost(worker, error)
        member.ask_at = now + _WAIT_SECONDS
        self._unsure.add(worker)
        return None

    def _ask_the_silent(self) -> None:
        for worker in [w for w in self._unsure if self._members[w].ask_at <= time.monotonic()]:
            self._unsure.discard(worker)
            self._pending[self._members[worker].actor.facts.remote()] = (worker, None)

    def _report(self, worker: int, lease: int | None, answer: WorkerFacts | LeaseDone) -> Message:
        if isinstance(answer, WorkerFacts):
            if self._members[worker].silent_since is not None:
                # It is there again, but what it was given is lost with the connection.
                return self._lost(worker, ConnectionError("the connection to it was lost"))
            self._members[worker].facts = answer
            self._nodes.add(answer.node)
            return Message(Joined(worker))
        assert lease is not None
        return Message(Returned(worker, lease, answer.seconds, answer.failures), answer.state, answer.found)

    def _forget(self, worker: int) -> _Member:
        """A worker that failed once is not asked again; its other leases are gone with it."""
        member = self._members.pop(worker)
        self._unsure.discard(worker)
        self._drop_calls(worker)
        if not any(other.facts for other in self._members.values()):
            self._without_worker = time.monotonic()
        return member

    def _drop_calls(self, worker: int) -> None:
        self._pending = {ref: owner for ref, owner in self._pending.items() if owner[0] != worker}
        self._ready = deque(ref for ref in self._ready if ref in self._pending)

    def _lost(self, worker: int, error: Exception) -> Message:
        member = self._forget(worker)
        ray.kill(member.actor)
        if getattr(error, "actor_init_failed", False):
            # The model loaded in the driver: what fails here fails on every node like this one.
            raise ClusterError(f"a worker could not start: {first_lines(error)}. Look at its node, and run again.")
        return Message(Lost(worker, first_lines(error), _fault(error, member)))

    def _check_capacity(self) -> None:
        if any(member.facts for member in self._members.values()):
            return
        waited = time.monotonic() - self._without_worker
        if waited < _CAPACITY_SECONDS:
            return
        cpus, free = ray.cluster_resources().get("CPU", 0), _free_cpus()
        # Where CPUs are free, or ours by now, workers are starting: a busy machine takes its time.
        if waited < _STARTING_SECONDS and (free >= self.streams or free < self._free_before):
            return
        raise ClusterError(
            f"no worker could start in {waited:.0f} s: each asks for {self.streams} CPUs; the cluster has {cpus:g}, "
            f"{free:g} of them free. Lower `execution.cpus_per_worker`, or wait for a free node."
        )

    def measure(self, setup: SingleSetup) -> SingleLatency:
        """Time single predictions on the first worker that answers; on a new one if none does."""
        return self._measured(lambda actor: actor.measure.remote(setup))

    def measure_baseline(self, place: int, setup: SingleSetup) -> SingleLatency:
        """The same of a baseline that has a session."""
        return self._measured(lambda actor: actor.measure_baseline.remote(place, setup))

    def _measured(self, ask: Callable[[Any], Any]) -> SingleLatency:
        ready = [member for member in self._members.values() if member.facts is not None]
        reasons = []
        for member in (*ready, None):
            try:
                actor = self._new_actor() if member is None else member.actor
                measured: SingleLatency = ray.get(ask(actor))
            except _GONE as error:
                reasons.append(first_lines(error))
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            else:
                return measured
        raise ClusterError(
            f"no worker could time single predictions: {'; '.join(reasons)}. Run again in the same folder."
        )

    def describe(self) -> dict[str, object]:
        """Workers, nodes and Ray's version."""
        return {
            "engine": "ray",
            "ray": ray.__version__,
            "nodes": len(self._nodes),
            "workers": self.workers,
            "streams_per_worker": self.streams,
            "cpus": sorted({m.facts.cpu for m in self._members.values() if m.facts is not None}),
        }

    def close(self) -> None:
        """Let every worker clean up, end it, and end the Ray that this fleet started."""
        live = [member for member in self._members.values() if member.facts is not None]
        ray.wait([m.actor.close.remote() for m in live], num_returns=len(live), timeout=5) if live else None
        for member in self._members.values():
            ray.kill(member.actor)
        if self._owner:
            ray.shutdown()


def _free_cpus() -> float:
    return float(ray.available_resources().get("CPU", 0))


def _fault(error: Exception, member: _Member) -> Fault:
    """What ended a worker, as far as Ray knows."""
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return Fault.MEMORY
    if getattr(error, "preempted", False):
        return Fault.PREEMPTED
    if isinstance(error, _NETWORK):
        return Fault.NODE
    there = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    return Fault.NODE if member.facts is not None and member.facts.node not in there else Fault.WORKER
