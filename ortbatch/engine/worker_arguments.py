"""What each worker is started with: put into Ray's object store once, so that a node fetches it once."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime
import ray

from ortbatch.engine.prepared import Prepared
from ortbatch.engine.worker import WorkerSetup
from ortbatch.model.source import mapped


def worker_arguments(prepared: Prepared, streams: int, run_id: str, *, embedded: bool) -> list[Any]:
    """Arguments of a worker, as Ray's references.

    Args:
        prepared: the job.
        streams: shards at once.
        run_id: names a folder of each node.
        embedded: workers see the driver's files: nothing is sent, each loads and checks them itself.
    """
    source = prepared.model.source
    setup = WorkerSetup(
        prepared.evaluation, source if embedded else None,
        tuple((f.name, f.sha256) for f in source.external), prepared.model.providers,
        streams, source.where, f"ortbatch-{os.getuid()}-{run_id}", onnxruntime.__version__,
        tuple(b.model if embedded else b.model.travelling() for b in prepared.baselines),
    )  # fmt: skip
    if embedded:
        return [ray.put(setup)]
    graph = ray.put(np.frombuffer(source.graph.runs, np.uint8))
    return [ray.put(setup), graph, *(ray.put(mapped(file.uri)) for file in source.external)]
