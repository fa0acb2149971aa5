"""JSON Schema of the job file, and what it says about one place: the keys allowed there, the types expected."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel

from ortbatch.job.tree import Path

DIALECT = "https://json-schema.org/draft/2020-12/schema"

NOT_KEYS = ("folder", "variables")
"""Fields of a job that no job file can set."""

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true/false",
    "array": "a list",
    "object": "a mapping",
}


@cache
def schema_of(job: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema of the keys of a job file; every key has a description. Made once: not to be changed."""
    schema = job.model_json_schema(by_alias=True, mode="validation")
    for name in NOT_KEYS:
        schema["properties"].pop(name)
    schema["title"] = "ortbatch job"
    schema["description"] = "What ortbatch evaluates: a model, labelled rows, and the gates that the result must pass."
    return {"$schema": DIALECT, **schema}


def keys_of(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key with its part of the schema; `*` stands for a name that the job gives, `[]` for an item of a list."""

    def visit(node: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for form in _forms(schema, node):
            for key, inner in form.get("properties", {}).items():
                yield f"{prefix}{key}", inner
                yield from visit(inner, f"{prefix}{key}.")
            if isinstance(form.get("additionalProperties"), dict):
                yield from visit(form["additionalProperties"], f"{prefix}*.")
            if isinstance(form.get("items"), dict):
                yield from visit(form["items"], f"{prefix.removesuffix('.')}[].")

    yield from visit(schema, "")


def allowed_keys(schema: dict[str, Any], path: Path) -> list[str]:
    """Keys that a mapping at `path` may have, in the order of the schema; empty where any key may stand."""
    return list(dict.fromkeys(key for node in _nodes(schema, path) for key in node.get("properties", {})))


def expected(schema: dict[str, Any], path: Path) -> str:
    """What may stand at `path`, in words: `text or a list`."""
    words: list[str] = []
    for node in _nodes(schema, path):
        if "enum" in node or "const" in node:
            words += [f"`{word}`" for word in node.get("enum", [node.get("const")])]
        elif node.get("type") in _TYPES:
            words.append(_TYPES[node["type"]])
    words = list(dict.fromkeys(words))
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]])) or "another value"


def choices(schema: dict[str, Any], path: Path) -> list[str]:
    """The words of which one must stand at `path`, if it takes nothing else."""
    return [str(word) for node in _nodes(schema, path) for word in node.get("enum", [])]


def description(schema: dict[str, Any], path: Path) -> str:
    """What the key at `path` is for."""
    *around, key = path
    for node in _nodes(schema, tuple(around)):
        text = node.get("properties", {}).get(key, {}).get("description")
        if text:
            return str(text)
    return ""


def _nodes(schema: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """All forms that a value at `path` may take; references are followed."""
    nodes = list(_forms(schema, schema))
    for key in path:
        inner = [_inside(node, key) for node in nodes]
        nodes = [form for node in inner if node for form in _forms(schema, node)]
    return nodes


def _inside(node: dict[str, Any], key: str | int) -> dict[str, Any] | None:
    if isinstance(key, int):
        found = node.get("items")
    else:
        found = node.get("properties", {}).get(key, node.get("additionalProperties"))
    return found if isinstance(found, dict) else None


def _forms(schema: dict[str, Any], node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "$ref" in node:
        yield from _forms(schema, schema["$defs"][node["$ref"].rsplit("/", 1)[1]])
    elif "anyOf" in node or "oneOf" in node:
        for form in node.get("anyOf") or node["oneOf"]:
            yield from _forms(schema, form)
    else:
        yield node
