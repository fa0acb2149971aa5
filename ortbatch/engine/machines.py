"""The machines of a Ray cluster: which there are, which are about to go, and asking the autoscaler for more.

Ray keeps one request for a cluster, whoever made it, until another is made: a run takes its own back when it ends, and
leaves alone what somebody else asked for after it. Knows nothing of shards.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
import ray.exceptions
from ray._private.state import state as _state

from ortbatch.engine.layout import Need, Node
from ortbatch.engine.patience import Supply

_STATUS = b"__autoscaling_status"
_REQUEST = b"autoscaler_resource_request"
UNREACHABLE = (ray.exceptions.RayError, RuntimeError, OSError)
"""What is raised while Ray's head does not answer."""
# What Ray calls the type of a node that no autoscaler made.
_NOBODYS = re.compile(r"node_[0-9a-f]{56}")


@dataclass(frozen=True)
class Seen:
    """The nodes at one moment.

    Args:
        staying: those that workers can be on; `free` is what of each of them nobody has.
        going: ids of those that are about to go.
    """

    staying: tuple[Node, ...]
    free: tuple[Node, ...]
    going: frozenset[str]

    def supply(self, need: Need, *, scales: bool, free_before: float) -> Supply:
        """What there is for workers; `free_before` are the CPUs that were free before there were any of ours."""
        free = sum(node.cpus for node in self.free)
        here = any(node.cpus >= need.cpus and node.gpus >= need.gpus for node in self.free)
        cpus, gpus = sum(node.cpus for node in self.staying), sum(node.gpus for node in self.staying)
        # Where CPUs are free, or ours by now, workers are starting.
        return Supply(cpus, free, gpus, here or free < free_before, scales)

    @property
    def free_cpus(self) -> int:
        """CPUs that nobody has."""
        return sum(node.cpus for node in self.free)


def look() -> Seen:
    """The nodes that are there now."""
    going = frozenset(_state.get_draining_nodes())
    alive = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in going]
    free = _state.available_resources_per_node()
    return Seen(
        tuple(_node(node["Resources"]) for node in alive),
        tuple(_node(free.get(node["NodeID"], {})) for node in alive),
        going,
    )


def _node(has: dict[str, float]) -> Node:
    memory = int(has["memory"]) if "memory" in has else None
    return Node(int(has.get("CPU", 0)), memory, float(has.get("GPU", 0)))


def scales() -> bool:
    """Is there an autoscaler that starts machines, as far as it has said so by now?"""
    from ray.experimental.internal_kv import _internal_kv_get

    if _is_v2():
        from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply

        status = GetClusterStatusReply.FromString(_gcs().get_cluster_status(timeout_s=10))
        typed = any(node.ray_node_type_name for node in status.cluster_resource_state.node_states)
        return typed and status.autoscaling_state.autoscaler_state_version > 0
    report = json.loads(_internal_kv_get(_STATUS) or b"{}").get("autoscaler_report") or {}
    return any(not _NOBODYS.fullmatch(kind) for kind in report.get("active_nodes") or {})


class Request:
    """What a run asks the autoscaler for: room for some workers, those that are at work among them."""

    def __init__(self) -> None:
        self._asked: list[dict[str, float]] = []

    def ask(self, workers: int, need: Need) -> None:
        """Ask for room for so many, in place of what was asked for before; it is a hint, and may get lost."""
        bundle: dict[str, float] = {"CPU": need.cpus, **({"GPU": need.gpus} if need.gpus else {})}
        if [bundle] * workers != self._asked:
            self._asked = [bundle] * workers
            with suppress(*UNREACHABLE):
                _request(self._asked)

    def take_back(self) -> None:
        """Ask for nothing any more. Where Ray is gone, so is the request."""
        if not self._asked:
            return
        asked, self._asked = self._asked, []
        with suppress(*UNREACHABLE):
            if _counted(requested()) == _counted(asked):
                _request([])


def requested() -> list[dict[str, float]]:
    """What the autoscaler of this cluster is asked for at the moment, by whomever."""
    from ray.experimental.internal_kv import _internal_kv_get

    if not _is_v2():
        return list(json.loads(_internal_kv_get(_REQUEST) or b"[]"))
    from ray.autoscaler.v2.sdk import get_cluster_resource_state

    constraints = get_cluster_resource_state(_gcs()).cluster_resource_constraints
    asked = [request for constraint in constraints for request in constraint.resource_requests]
    return [dict(each.request.resources_bundle) for each in asked for _ in range(each.count)]


def _request(bundles: list[dict[str, float]]) -> None:
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=bundles)


def _counted(bundles: list[dict[str, float]]) -> Counter[frozenset[tuple[str, float]]]:
    return Counter(frozenset(bundle.items()) for bundle in bundles)


def _is_v2() -> bool:
    from ray.autoscaler.v2.utils import is_autoscaler_v2

    return bool(is_autoscaler_v2(fetch_from_server=True))


def _gcs() -> Any:
    from ray._private.worker import global_worker

    return global_worker.gcs_client
