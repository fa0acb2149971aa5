"""Gates without their job: from a file with a key `gates`, or as a report keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ortbatch.errors import JobError, Problem
from ortbatch.job.build import build
from ortbatch.job.document import read_document
from ortbatch.job.gates import Gate
from ortbatch.job.job import Job
from ortbatch.job.tree import tree_of

# Gates are checked as part of a job: this one asks for nothing else.
_REST = {"name": "gates", "model": "model.onnx", "data": {"path": "data", "label": "label"}}


def load_gates(path: str | Path) -> tuple[Gate, ...]:
    """Read the gates of a file; its other keys are not looked at.

    Raises:
        JobError: if there is no `gates`, or one of them is wrong; with file and line.
    """
    tree = read_document(Path(path))
    if "gates" not in tree.value and not tree.complaints:
        raise JobError([Problem(str(path), "gates", "missing; expected a list of gates")])
    tree = replace(tree, value={**_REST, "gates": tree.value.get("gates", [])})
    return build(Job, tree, Path(path).parent.absolute(), {}, any_slice=True).gates


def stored_gates(keys: Sequence[object]) -> tuple[Gate, ...]:
    """Gates of the texts and mappings that a report keeps under `job.gates`.

    Raises:
        JobError: if this version does not know one of them.
    """
    tree = tree_of({**_REST, "gates": _without_fields(keys)}, "job")
    return build(Job, tree, Path().absolute(), {}, any_slice=True).gates


def _without_fields(value: Any) -> Any:
    """The same with braces doubled: the variables of a stored job are filled, what is in braces is text."""
    if isinstance(value, str):
        return value.replace("{", "{{").replace("}", "}}")
    if isinstance(value, dict):
        return {key: _without_fields(item) for key, item in value.items()}
    return [_without_fields(item) for item in value] if isinstance(value, list) else value
