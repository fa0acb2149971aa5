"""A fleet of workers on Ray: actors that are started, given leases, heard and ended, while nodes come and go.

Ray's own retries are off: the schedule holds the only retry policy. The modules that import ray are this one, `worker`,
`worker_arguments`, `ray_session`, `ray_faults`, `machines` and `live_metrics`. Knows nothing of metrics.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.exceptions

from ortbatch.data.plan import Shard
from ortbatch.engine.events import Joined, Lost, Returned, Room
from ortbatch.engine.fleet import Message
from ortbatch.engine.latency import SingleLatency, SingleSetup
from ortbatch.engine.layout import gpus_asked, lay_out, with_gpus
from ortbatch.engine.pool import LeaseDone
from ortbatch.engine.prepared import Prepared
from ortbatch.engine.ray_faults import GONE, fault_of
from ortbatch.engine.ray_session import connect, first_lines
from ortbatch.engine.schedule import LEASES_IN_FLIGHT
from ortbatch.engine.tasks import Task
from ortbatch.engine.watch import Watch
from ortbatch.engine.worker import Worker, WorkerFacts
from ortbatch.engine.worker_arguments import worker_arguments
from ortbatch.errors import ClusterError

_WAIT_SECONDS = 0.2
_SILENT_SECONDS = 30.0


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
        self._prepared, self._run_id = prepared, run_id
        self._owner, self._embedded = connect(prepared.job, address)
        self._asked = with_gpus(prepared.job.execution, prepared.model.providers)
        self.workers, self.streams = 0, 1
        self._arguments: list[Any] = []
        self._members: dict[int, _Member] = {}
        self._pending: dict[Any, tuple[int, int | None]] = {}  # ref → (worker, lease; None while it starts)
        self._ready: deque[Any] = deque()  # some of these, whose answers are there
        self._numbers = 0
        self._unsure: set[int] = set()  # workers that cannot be reached
        self._ending: dict[Any, Any] = {}  # ref of its last call → worker that is let go
        self._nodes: set[str] = set()
        self._task: tuple[str, Any] | None = None  # the last other task: its key, and where it lies
        self._watch = Watch(self._asked, prepared.model_bytes, len(prepared.plan.shards))

    def open(self, tell: Callable[[str], None], stopped: Callable[[], bool]) -> None:
        """Wait for a node that workers can be on, and lay them out by the nodes that are there.

        Raises:
            ClusterError: if none comes in time, or its memory is too small.
            Interrupted: if the run is stopped meanwhile.
        """
        self._watch.await_node(tell, stopped)
        prepared, nodes = self._prepared, self._watch.seen.staying
        layout = lay_out(nodes, prepared.model_bytes, len(prepared.plan.shards), self._asked)
        self.workers, self.streams = layout.workers, layout.streams
        self._watch.lay_out(layout.streams)
        self._arguments = worker_arguments(prepared, self.streams, self._run_id, embedded=self._embedded)

    def start_worker(self) -> None:
        """Start an actor; its first answer is `Joined`."""
        actor = self._new_actor()
        self._pending[actor.facts.remote()] = (self._numbers - 1, None)

    def _new_actor(self) -> Any:
        actor_class = ray.remote(self.worker_class).options(
            num_cpus=self.streams, num_gpus=gpus_asked(self._asked), max_restarts=0, max_task_retries=0,
            max_concurrency=LEASES_IN_FLIGHT,
        )  # fmt: skip
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

    def dismiss(self, worker: int) -> None:
        """End a worker; the last one of a node cleans up before."""
        gone = self._forget(worker)
        assert gone.facts is not None
        if any(other.facts is None or other.facts.node == gone.facts.node for other in self._members.values()):
            ray.kill(gone.actor)
        else:
            self._ending[gone.actor.close.remote()] = gone.actor

    def want(self, workers: int) -> None:
        """Ask the autoscaler for room for so many workers in all."""
        self._watch.want(workers)

    def wait(self) -> Message | None:
        """The next report of any worker.

        Raises:
            ClusterError: if there was no worker for too long (`execution.wait_for_workers_s`), or for 300 s while there
                is room for one.
        """
        self._ask_the_silent()
        if self._watch.due():
            return Message(self._room())
        if not self._ready and not self._look():
            return None
        call = self._ready.popleft()
        worker, lease = self._pending.pop(call)
        try:
            answer = ray.get(call)
        except ray.exceptions.ActorUnavailableError as error:
            return self._silent(worker, error)
        except GONE as error:
            return self._lost(worker, error)
        except ray.exceptions.RayError as error:
            raise ClusterError(f"unexpected error of worker {worker}: {first_lines(error)}") from error
        return self._report(worker, lease, answer)

    def _room(self) -> Room:
        """What the nodes say now; a good moment to see whether there has been no worker for too long."""
        nodes = {number: member.facts.node for number, member in self._members.items() if member.facts is not None}
        room = self._watch.room(nodes)
        if not nodes:
            self._watch.check()
        done = ray.wait(list(self._ending), num_returns=len(self._ending), timeout=0)[0] if self._ending else []
        for call in done:
            ray.kill(self._ending.pop(call))
        return room

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
            self.workers = max(self.workers, sum(each.facts is not None for each in self._members.values()))
            return Message(Joined(worker))
        assert lease is not None
        return Message(Returned(worker, lease, answer.seconds, answer.failures), answer.state, answer.found)

    def _forget(self, worker: int) -> _Member:
        """A worker that failed once is not asked again; its other leases are gone with it."""
        member = self._members.pop(worker)
        self._unsure.discard(worker)
        self._drop_calls(worker)
        if not any(other.facts for other in self._members.values()):
            self._watch.without_worker()
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
        node = None if member.facts is None else member.facts.node
        return Message(Lost(worker, first_lines(error), fault_of(error, node)))

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
            except GONE as error:
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
        """Ask for no machines any more, let every worker clean up, end it, and end the Ray that this fleet started."""
        self._watch.close()
        live = [member for member in self._members.values() if member.facts is not None]
        ray.wait([m.actor.close.remote() for m in live], num_returns=len(live), timeout=5) if live else None
        for actor in (*(member.actor for member in self._members.values()), *self._ending.values()):
            ray.kill(actor)
        if self._owner:
            ray.shutdown()
