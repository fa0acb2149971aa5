"""Machines for Ray's own autoscaler, on this one: a file for each that it wants, and somebody else starts it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import (
    NODE_KIND_HEAD,
    STATUS_UP_TO_DATE,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_NAME,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)

HEAD = 1000
PHASES = (
    "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
    "head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude", "rsync_filter",
)  # fmt: skip


def config(folder: Path, most: int) -> dict[str, Any]:
    """Of the autoscaler: a head without CPUs, at most so many nodes of two."""
    provider = {
        "type": "external", "module": f"{__name__}.OnDemand", "folder": str(folder), "use_node_id_as_ip": True,
        "disable_node_updaters": True, "disable_launch_config_check": True, "worker_liveness_check": False,
    }  # fmt: skip
    types = {
        "head": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "cpu": {"resources": {"CPU": 2}, "node_config": {}, "max_workers": most},
    }
    return {
        "cluster_name": "tests", "max_workers": most, "idle_timeout_minutes": 10, "upscaling_speed": 100,
        "provider": provider, "auth": {}, "docker": {}, "available_node_types": types, "head_node_type": "head",
        "file_mounts": {}, "file_mounts_sync_continuously": False, **{name: [] for name in PHASES},
    }  # fmt: skip


class OnDemand(NodeProvider):  # type: ignore[misc]
    """Nodes are told by numbers; Ray knows them by a resource of that quantity."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self._folder, self._lock = Path(provider_config["folder"]), threading.RLock()
        self._tags = {
            str(HEAD): {
                TAG_RAY_NODE_KIND: NODE_KIND_HEAD, TAG_RAY_USER_NODE_TYPE: "head", TAG_RAY_NODE_NAME: "head",
                TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE,
            }
        }  # fmt: skip

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
        with self._lock:
            for _ in range(count):
                node = str(HEAD + len(list(self._folder.iterdir())) + 1)
                self._tags[node] = {**tags, TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE}
                (self._folder / node).touch()

    def terminate_node(self, node_id: str) -> None:
        with self._lock:
            del self._tags[node_id]

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        with self._lock:
            return [node for node, tags in self._tags.items() if tag_filters.items() <= tags.items()]

    def is_running(self, node_id: str) -> bool:
        return node_id in self._tags

    def is_terminated(self, node_id: str) -> bool:
        return node_id not in self._tags

    def node_tags(self, node_id: str) -> dict[str, str]:
        return self._tags[node_id]

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        self._tags[node_id].update(tags)

    def external_ip(self, node_id: str) -> str:
        return node_id

    internal_ip = external_ip

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        return cluster_config
