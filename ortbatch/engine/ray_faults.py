"""What Ray's errors say of a worker: is it gone, can it not be reached, and whose fault was it."""

from __future__ import annotations

import ray
import ray.exceptions

from ortbatch.engine.events import Fault

GONE = (
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


def fault_of(error: Exception, node: str | None) -> Fault:
    """What ended a worker, as far as Ray knows; `node` is where it was."""
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return Fault.MEMORY
    if getattr(error, "preempted", False):
        return Fault.PREEMPTED
    if isinstance(error, _NETWORK):
        return Fault.NODE
    there = {each["NodeID"] for each in ray.nodes() if each["Alive"]}
    return Fault.NODE if node is not None and node not in there else Fault.WORKER
