"""Workers on Ray: actors that each hold a session and evaluate leases of shards.

The only module that imports ray, but for `submit`. Ray's own retries are off: the schedule holds the only retry policy.
Knows nothing of metrics.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import ray
import ray.exceptions
from numpy.typing import NDArray

from ortbatch.data.plan import Shard
from ortbatch.data.transform import copy_below
from ortbatch.engine.driver import Message
from ortbatch.engine.evaluation import Evaluation
from ortbatch.engine.events import Fault, Joined, Lost, Returned
from ortbatch.engine.host import available_cpus, cpu_name
from ortbatch.engine.latency import SingleLatency, SingleSetup, measure_single
from ortbatch.engine.layout import Node, lay_out
from ortbatch.engine.pool import LeaseDone, StreamPool
from ortbatch.engine.prepare import THREADS, Prepared
from ortbatch.engine.schedule import LEASES_IN_FLIGHT
from ortbatch.engine.warm import warm_up
from ortbatch.errors import ClusterError
from ortbatch.job import Job
from ortbatch.model.session import OnnxModel, make_private
from ortbatch.model.source import ModelSource, load, load_by_columns, mapped, unpack

_WAIT_SECONDS = 0.2
_CAPACITY_SECONDS = 30.0
_SILENT_SECONDS = 30.0
_STORE_BYTES = 256 << 20
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


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker needs besides the model's bytes.

    Args:
        evaluation: what to compute.
        source: the model's files, where the driver and every worker see the same ones; None: their bytes come.
        weights: external files of the model: name and sha256, in the order in which their bytes come.
        providers: execution providers.
        streams: shards at once.
        read_ahead: blocks that each of them decodes before they are needed.
        where: what the job calls the model.
        folder: name of the run's folder below the node's temp folder.
        onnxruntime: version that the driver has.
    """

    evaluation: Evaluation
    source: ModelSource | None
    weights: tuple[tuple[str, str], ...]
    providers: tuple[str, ...]
    streams: int
    read_ahead: int
    where: str
    folder: str
    onnxruntime: str


@dataclass(frozen=True)
class WorkerFacts:
    """Where a worker runs."""

    node: str
    cpu: str
    pid: int


class Worker:
    """One process with one session; leases overlap on its streams."""

    def __init__(self, setup: WorkerSetup, *blobs: NDArray[np.uint8]) -> None:
        if setup.onnxruntime != onnxruntime.__version__:
            raise ClusterError(
                f"this node has onnxruntime {onnxruntime.__version__}, the driver {setup.onnxruntime}: counts could "
                "differ. Install the same version on all nodes."
            )
        self._setup = setup
        self._folder = Path(tempfile.gettempdir()) / setup.folder
        make_private(self._folder)
        copy_below(self._folder)
        self._path: Path | None = None
        if setup.source is None:
            content, *weights = blobs
            pairs = zip(setup.weights, weights, strict=True)
            self._path = unpack(content.data, {name: (sha, data.data) for (name, sha), data in pairs}, self._folder)
        model = self._load(THREADS, setup.evaluation.inputs.by_columns)
        warm_up(model, setup.evaluation)
        self._pool = StreamPool(setup.evaluation, model, setup.streams, setup.read_ahead)

    def _load(self, threads: int, columns: Sequence[str] = ()) -> OnnxModel:
        setup = self._setup
        if self._path is None:
            assert setup.source is not None
            return load(setup.source, setup.providers, threads, columns)
        if columns:
            return load_by_columns(self._path.read_bytes(), columns, setup.providers, threads, setup.where)
        return OnnxModel(self._path, setup.providers, threads, setup.where)

    def facts(self) -> WorkerFacts:
        """Answers when the worker is ready."""
        return WorkerFacts(ray.get_runtime_context().get_node_id(), cpu_name(), os.getpid())

    def evaluate(self, shards: Sequence[Shard], alone: bool) -> LeaseDone:
        """One lease."""
        return self._pool.evaluate(shards, alone=alone)

    def measure(self, setup: SingleSetup) -> SingleLatency:
        """Time single predictions in a session of their own."""
        return measure_single(self._load(setup.threads), self._setup.evaluation.by_rows(), setup)

    def close(self) -> None:
        """Remove the node's copy of the model; sessions that are loaded do not need it any more."""
        self._pool.close()
        shutil.rmtree(self._folder, ignore_errors=True)


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
        self._owner, embedded = _connect(prepared.job, address)
        source = prepared.model.source
        layout = lay_out(_nodes(), source.size, len(prepared.plan.shards), prepared.job.execution)
        self.workers, self.streams = layout.workers, layout.streams
        # Workers of an embedded Ray see the driver's files: nothing is sent, each loads and checks them itself.
        setup = WorkerSetup(
            prepared.evaluation, source if embedded else None,
            tuple((f.name, f.sha256) for f in source.external), prepared.model.providers,
            self.streams, prepared.read_ahead, source.where,
            f"ortbatch-{os.getuid()}-{run_id}", onnxruntime.__version__,
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
        self._nodes: set[str] = set()

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

    def kill(self, worker: int) -> None:
        """End a worker that hangs; what it still says is not heard."""
        ray.kill(self._forget(worker).actor)

    def wait(self) -> Message | None:
        """The next report of any worker.

        Raises:
            ClusterError: if there was no worker for 30 s.
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
            raise ClusterError(f"unexpected error of worker {worker}: {_first_lines(error)}") from error
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
        return Message(Returned(worker, lease, answer.seconds, answer.failures), answer.state)

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
            raise ClusterError(f"a worker could not start: {_first_lines(error)}")
        return Message(Lost(worker, _first_lines(error), _fault(error, member)))

    def _check_capacity(self) -> None:
        if any(member.facts for member in self._members.values()):
            return
        if time.monotonic() - self._without_worker < _CAPACITY_SECONDS:
            return
        cpus = ray.cluster_resources().get("CPU", 0)
        free = ray.available_resources().get("CPU", 0)
        raise ClusterError(
            f"no worker could start in {_CAPACITY_SECONDS:.0f} s: each asks for {self.streams} CPUs; the cluster has "
            f"{cpus:g}, {free:g} of them free. Lower `execution.cpus_per_worker`, or wait for a free node."
        )

    def measure(self, setup: SingleSetup) -> SingleLatency:
        """Time single predictions on the first worker that answers; on a new one if none does."""
        ready = [member for member in self._members.values() if member.facts is not None]
        reasons = []
        for member in (*ready, None):
            try:
                actor = self._new_actor() if member is None else member.actor
                measured: SingleLatency = ray.get(actor.measure.remote(setup))
            except _GONE as error:
                reasons.append(_first_lines(error))
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            else:
                return measured
        raise ClusterError(f"no worker could time single predictions: {'; '.join(reasons)}")

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


def _connect(job: Job, address: str | None) -> tuple[bool, bool]:
    """Join the Ray that there is, or start a local one: is it ours to leave, and does all of it run on this machine?"""
    if ray.is_initialized():
        return False, False
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address or os.environ.get("RAY_ADDRESS"):
            ray.init(address=address or "auto", **quiet)
            return True, False
        # An embedded Ray reports to nobody.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        cpus = available_cpus()
        per_worker = job.execution.cpus_per_worker
        workers = job.execution.workers
        wanted = (1 if workers == "auto" else workers) * (1 if per_worker == "auto" else per_worker)
        ray.init(
            address="local", num_cpus=max(cpus, wanted), include_dashboard=False, _node_ip_address="127.0.0.1",
            object_store_memory=_STORE_BYTES, **quiet,
        )  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise ClusterError(f"cannot reach Ray at {address or 'this machine'}: {_first_lines(error)}") from None
    return True, True


def _nodes() -> list[Node]:
    """CPUs of the nodes that are alive, and the memory that Ray may hand out there."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(int(has.get("CPU", 0)), int(has["memory"]) if "memory" in has else None) for has in alive]


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


def _first_lines(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else f"{text[:397]}..."
