"""Gates from a file: a job file, or any YAML file with a key `gates`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ortbatch.errors import JobError, Problem
from ortbatch.job.build import build
from ortbatch.job.document import read_document
from ortbatch.job.gates import Gate
from ortbatch.job.job import Job


def load_gates(path: str | Path) -> tuple[Gate, ...]:
    """Read the gates of a file; its other keys are not looked at.

    Raises:
        JobError: if there is no `gates`, or one of them is wrong; with file and line.
    """
    tree = read_document(Path(path))
    if "gates" not in tree.value and not tree.complaints:
        raise JobError([Problem(str(path), "gates", "missing; expected a list of gates")])
    # Gates are checked as part of a job: this one asks for nothing else.
    rest = {"name": "gates", "model": "model.onnx", "data": {"path": "data", "label": "label"}}
    tree = replace(tree, value={**rest, "gates": tree.value.get("gates", [])})
    return build(Job, tree, Path(path).parent.absolute(), {}).gates
