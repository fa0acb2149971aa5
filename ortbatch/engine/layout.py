"""How many workers and streams, and on which engine: functions of CPUs, memory, model and job. No clock, no Ray.

A worker is a process with one session that its streams share. Streams of one process wait for each other's interpreter
lock; a process more costs its libraries and a session more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ortbatch.errors import ClusterError
from ortbatch.job.execution_spec import ExecutionSpec

# Figures of docs/log.md, "Layout and engine".
USEFUL_STREAMS = 8
"""Streams of a process beyond which they wait for the interpreter lock: one holds it 1/8 of its time."""
WORKER_BYTES = 384 << 20
"""What a Ray worker takes besides the weights: interpreter, libraries, decoded rows."""
SESSION_OF_MODEL = 3
"""Memory of a session for a byte of its model: 1.0 for matrices, 2.7 for convolutions."""
SESSIONS_SHARE = 0.5
"""Share of a node's memory that sessions may take when a node has several; the rest is for data."""
RAY_SECONDS = 6.0
"""What an embedded Ray takes to start and to end."""
READ_BYTES_PER_S = 1e9
"""Decoded Parquet of one stream, uncompressed bytes."""
STREAM_BYTES_PER_S = 4e8
"""All of the work of one stream, uncompressed bytes, where the model was not timed."""
LOCKED_BYTES_PER_S = USEFUL_STREAMS * STREAM_BYTES_PER_S
"""What one process can do at most, however many streams it has, as one of them at a time runs Python."""

ON_GPUS = (
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
    "NvTensorRTRTXExecutionProvider",
    "MIGraphXExecutionProvider",
)
"""Execution providers that compute on a GPU."""

_STREAMS = 2
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Node:
    """A machine.

    Args:
        cpus: CPUs that may be used.
        memory: bytes that may be used; None if that is not known.
        gpus: GPUs that may be used.
    """

    cpus: int
    memory: int | None
    gpus: float = 0


@dataclass(frozen=True)
class Layout:
    """Worker processes, streams of each (and so CPUs), threads of a call: 1, as results must not depend on cores."""

    workers: int
    streams: int
    threads: int = 1


@dataclass(frozen=True)
class Need:
    """What a worker takes: CPUs (one a stream), GPUs (less than 1: a share of one), and the models that it loads.

    `model_bytes`: graphs and weights.
    """

    cpus: int
    gpus: float
    model_bytes: int


@dataclass(frozen=True)
class Work:
    """What there is to do.

    Args:
        size: uncompressed bytes of Parquet.
        rows: rows.
        rate: rows/s that one stream packs and sends through the model; None if that was not measured.
    """

    size: int
    rows: int
    rate: float | None = None

    @property
    def stream_seconds(self) -> float:
        """Seconds of one stream for all of it, estimated."""
        if self.rate is None:
            return self.size / STREAM_BYTES_PER_S
        return self.size / READ_BYTES_PER_S + self.rows / self.rate


def worker_bytes(model_bytes: int) -> int:
    """Memory that a worker with a session of a model of so many bytes (graph and weights) is expected to take."""
    return WORKER_BYTES + SESSION_OF_MODEL * model_bytes


def lay_out(
    nodes: Sequence[Node], model_bytes: int, shards: int, asked: ExecutionSpec, *, one_process: bool = False
) -> Layout:
    """Workers and their streams: as many streams as can work at once, with as few sessions as that takes.

    Args:
        nodes: machines to run on.
        model_bytes: bytes of graph and weights.
        shards: shards to evaluate; there are no more workers than they can keep busy.
        asked: what the job says of it, which wins.
        one_process: all streams in one process, on the first node.

    Raises:
        ClusterError: if no node has the memory for the model's bytes alone.
    """
    able = [node for node in nodes if node.cpus >= 1 and (node.memory is None or model_bytes <= node.memory)]
    if not able and any(node.cpus >= 1 for node in nodes):
        raise ClusterError(_too_small(nodes, model_bytes))
    able = able or [Node(1, None)]
    if one_process:
        wanted = min(able[0].cpus, shards) if asked.cpus_per_worker == "auto" else asked.cpus_per_worker
        return Layout(1, max(1, wanted))
    need = Need(1, gpus_asked(asked), model_bytes)
    able = [node for node in able if _gpu_places(node, need.gpus)] or able
    if asked.workers != "auto":
        return Layout(asked.workers, _asked_streams(able, need, shards, asked, asked.workers))
    streams = _asked_streams(able, need, shards, asked, None)
    if asked.max_workers is not None and places(able, replace(need, cpus=streams)) > asked.max_workers:
        # So few may share what there is.
        streams = _asked_streams(able, need, shards, asked, asked.max_workers)
    there = min(places(able, replace(need, cpus=streams)), asked.max_workers or shards)
    return Layout(max(1, min(there, -(-shards // streams))), streams)


def with_gpus(asked: ExecutionSpec, providers: Sequence[str]) -> ExecutionSpec:
    """The same with a number of GPUs: where the job leaves it open, one if a provider needs one."""
    if asked.gpus_per_worker != "auto":
        return asked
    return asked.model_copy(update={"gpus_per_worker": float(any(name in ON_GPUS for name in providers))})


def gpus_asked(asked: ExecutionSpec) -> float:
    """GPUs of a worker, 0 where the job leaves it open."""
    return 0.0 if asked.gpus_per_worker == "auto" else asked.gpus_per_worker


def places(nodes: Sequence[Node], need: Need) -> int:
    """Workers that there is room for: on each node as many as its CPUs, its GPUs and its memory allow."""
    able = [node for node in nodes if node.memory is None or need.model_bytes <= node.memory]
    return sum(min(node.cpus // need.cpus, _sessions(node, need)) for node in able)


def _asked_streams(nodes: Sequence[Node], need: Need, shards: int, asked: ExecutionSpec, workers: int | None) -> int:
    if asked.cpus_per_worker != "auto":
        return asked.cpus_per_worker
    return max(1, min(_streams(nodes, need, workers), shards))


def _streams(nodes: Sequence[Node], need: Need, workers: int | None) -> int:
    """Streams of a worker with which the most can work at once; of equal ones those that leave the fewest CPUs idle,
    then the fewest, but two where there are two.

    Ray places workers by CPUs: with this many each, those that find CPUs on a node find memory there too.
    """
    largest = max(node.cpus for node in nodes)
    best = (0, 0, 0)
    for streams in range(min(_STREAMS, largest) if workers is None else 1, largest + 1):
        there = sum(min(node.cpus // streams, _gpu_places(node, need.gpus)) for node in nodes)
        fit = all(node.cpus // streams <= _sessions(node, need) for node in nodes)
        if (workers is None and fit) or (workers is not None and there >= workers):
            number = there if workers is None else workers
            best = max(best, (number * min(streams, USEFUL_STREAMS), number * streams, -streams))
    return -best[2] or 1


def _sessions(node: Node, need: Need) -> int:
    """Workers for which a node has GPUs, and memory: that of one, or of as many as take their share of it."""
    room = (
        node.cpus
        if node.memory is None
        else max(1, int(SESSIONS_SHARE * node.memory) // worker_bytes(need.model_bytes))
    )
    return min(room, _gpu_places(node, need.gpus))


def _gpu_places(node: Node, gpus: float) -> int:
    """Workers for which a node has GPUs; Ray puts shares of a worker on one GPU."""
    if gpus == 0:
        return node.cpus
    return int(node.gpus // gpus) if gpus >= 1 else int(1 / gpus + _ROUNDING) * int(node.gpus)


def _too_small(nodes: Sequence[Node], model_bytes: int) -> str:
    most = max(node.memory or 0 for node in nodes)
    return (
        f"the model takes {_gb(model_bytes)} and the largest node has {_gb(most)} of memory to give: free some, take "
        "a node with more, or quantise the model."
    )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def ends_first(work: Work, cpus: int) -> tuple[str, str]:
    """The engine that is expected to end first on one machine, and why.

    One process is there at once, but one stream of it at a time runs Python; an embedded Ray starts first, and then has
    the same CPUs in several processes.

    >>> ends_first(Work(10 << 30, 80_000_000), cpus=2)
    ('inline', 'about 13 s in this process, 19 s on an embedded Ray')
    """
    shared = work.stream_seconds / max(1, cpus)
    inline, ray = max(shared, work.size / LOCKED_BYTES_PER_S), RAY_SECONDS + shared
    engine = "inline" if inline <= ray else "ray"
    return engine, f"about {inline:.2g} s in this process, {ray:.2g} s on an embedded Ray"
