"""The files that run ortbatch on a cluster, as tests read them."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
CLUSTER = ROOT / "cluster.yaml"
DOCKERFILE = ROOT / "Dockerfile"
MANIFESTS = ("namespace.yaml", "access.yaml", "network.yaml", "nightly.yaml", "rayjob.yaml")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
)


def cluster(kind: str = "aws") -> dict[str, Any]:
    """cluster.yaml as it stands, or with what it says of GCP (`gcp`) or of machines of one's own (`local`)."""
    text = CLUSTER.read_text()
    config: dict[str, Any] = yaml.safe_load(text)
    mark = f"#{kind}: "
    said = "\n".join(line.removeprefix(mark) for line in text.splitlines() if line.startswith(mark))
    config = copy.deepcopy({**config, **(yaml.safe_load(said) or {})})
    if kind == "local":
        del config["available_node_types"], config["head_node_type"]
    return config


def manifests() -> list[dict[str, Any]]:
    """Every document of every manifest; anchors are no longer shared."""
    return [copy.deepcopy(document) for name in MANIFESTS for document in _documents(DEPLOY / name)]


@cache
def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def the(kind: str, name: str | None = None) -> dict[str, Any]:
    """The one manifest of a kind, and of a name if there are several."""
    [found] = [m for m in manifests() if m["kind"] == kind and name in (None, m["metadata"]["name"])]
    return found


def pods() -> dict[str, dict[str, Any]]:
    """Pod templates by what their pods do."""
    spec = the("RayJob")["spec"]
    cluster_spec = spec["rayClusterSpec"]
    groups = {group["groupName"]: group["template"] for group in cluster_spec["workerGroupSpecs"]}
    return {
        "submitter": spec["submitterPodTemplate"],
        "head": cluster_spec["headGroupSpec"]["template"],
        "nightly": the("CronJob")["spec"]["jobTemplate"]["spec"]["template"],
        **groups,
    }


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every container, with the pod that it belongs to."""
    for name, pod in pods().items():
        for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
            yield name, container
