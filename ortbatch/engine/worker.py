"""A worker on Ray: one process with one session that evaluates leases on its streams. Knows nothing of metrics."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import ray
from numpy.typing import NDArray

from ortbatch.data.plan import Shard
from ortbatch.data.transform import copy_below
from ortbatch.engine.evaluation import Evaluation
from ortbatch.engine.host import cpu_name
from ortbatch.engine.latency import SingleLatency, SingleSetup, measure_single
from ortbatch.engine.pool import LeaseDone, StreamPool
from ortbatch.engine.sessions import SideModel, predictors
from ortbatch.engine.side_latency import measure_side
from ortbatch.engine.tasks import OtherTasks, Task
from ortbatch.engine.threads import THREADS
from ortbatch.engine.warm import warm_up
from ortbatch.errors import ClusterError
from ortbatch.model.session import Predictor, make_private
from ortbatch.model.source import ModelSource, unpack
from ortbatch.model.stored import load_predictor, load_travelled


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker needs besides the model's bytes.

    Args:
        evaluation: what to compute.
        source: the model's files, where the driver and every worker see the same ones; None: their bytes come.
        weights: external files of the model: name and sha256, in the order in which their bytes come.
        providers: execution providers.
        streams: shards at once.
        where: what the job calls the model.
        folder: what the name of the run's folder below a node's temp folder begins with.
        onnxruntime: version that the driver has.
        baselines: files of those in `evaluation.baselines`.
    """

    evaluation: Evaluation
    source: ModelSource | None
    weights: tuple[tuple[str, str], ...]
    providers: tuple[str, ...]
    streams: int
    where: str
    folder: str
    onnxruntime: str
    baselines: tuple[SideModel, ...] = ()


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
        # A machine may be several nodes, and one of them may go first.
        node = ray.get_runtime_context().get_node_id()
        self._folder = Path(tempfile.gettempdir()) / f"{setup.folder}-{node[:12]}"
        make_private(self._folder)
        copy_below(self._folder)
        self._path: Path | None = None
        if setup.source is None:
            content, *weights = blobs
            pairs = zip(setup.weights, weights, strict=True)
            self._path = unpack(content.data, {name: (sha, data.data) for (name, sha), data in pairs}, self._folder)
        model = self._load(THREADS, setup.evaluation.inputs.by_columns)
        baselines = predictors(setup.evaluation.baselines, setup.baselines, self._folder)
        warm_up(model, setup.evaluation, baselines)
        self._pool = StreamPool(setup.evaluation, model, setup.streams, baselines)
        self._others = OtherTasks(model, setup.streams)

    def _load(self, threads: int, columns: Sequence[str] = ()) -> Predictor:
        setup = self._setup
        if self._path is None:
            assert setup.source is not None
            return load_predictor(setup.source, setup.providers, threads, columns)
        return load_travelled(self._path, setup.providers, threads, setup.where, columns)

    def facts(self) -> WorkerFacts:
        """Answers when the worker is ready."""
        return WorkerFacts(ray.get_runtime_context().get_node_id(), cpu_name(), os.getpid())

    def evaluate(self, shards: Sequence[Shard], alone: bool) -> LeaseDone:
        """One lease."""
        return self._pool.evaluate(shards, alone=alone)

    def other(self, shards: Sequence[Shard], task: Task, alone: bool) -> LeaseDone:
        """One lease of another task than the run's own."""
        return self._others.do(task, shards, alone=alone)

    def measure(self, setup: SingleSetup) -> SingleLatency:
        """Time single predictions in a session of their own."""
        return measure_single(self._load(setup.threads), self._setup.evaluation.by_rows(), setup)

    def measure_baseline(self, place: int, setup: SingleSetup) -> SingleLatency:
        """The same of a baseline that has a session."""
        return measure_side(self._setup.evaluation, place, self._setup.baselines[place], setup, self._folder)

    def close(self) -> None:
        """Remove the node's copy of the model; sessions that are loaded do not need it any more."""
        self._pool.close()
        self._others.close()
        shutil.rmtree(self._folder, ignore_errors=True)
