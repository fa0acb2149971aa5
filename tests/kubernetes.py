"""Kubernetes' own schemas, as the package kubernetes-validate carries them, unknown fields refused.

Its `validate` reads and indexes all of Kubernetes each time, for seconds; here what a kind refers to is taken, once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema

VERSIONS = ("1.32", "1.37")
KINDS = {
    "v1": "io.k8s.api.core.v1",
    "apps/v1": "io.k8s.api.apps.v1",
    "batch/v1": "io.k8s.api.batch.v1",
    "networking.k8s.io/v1": "io.k8s.api.networking.v1",
    "rbac.authorization.k8s.io/v1": "io.k8s.api.rbac.v1",
}


def problems(manifest: dict[str, Any], version: str) -> list[str]:
    """What Kubernetes of this version would not take."""
    found = _schema(f"{KINDS[manifest['apiVersion']]}.{manifest['kind']}", version).iter_errors(manifest)
    return [f"{error.json_path}: {error.message}" for error in found]


@cache
def _schema(kind: str, version: str) -> jsonschema.Draft202012Validator:
    definitions, needed = _definitions(version), {}
    wanted = [kind]
    while wanted:
        if (name := wanted.pop()) not in needed:
            needed[name] = definitions[name]
            wanted += [reference.rsplit("/", 1)[1] for reference in _references(definitions[name])]
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": needed})


@cache
def _definitions(version: str) -> dict[str, Any]:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    definitions: dict[str, Any] = json.loads((folder / "_definitions.json").read_text())["$defs"]
    return definitions


def _references(node: Any) -> Iterator[str]:
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        yield node["$ref"]
    for part in parts:
        yield from _references(part)
