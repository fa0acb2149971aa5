"""From a tree of plain values to a checked job: every step adds its complaints, all are raised together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ortbatch.errors import JobError
from ortbatch.job.classes import class_name, read_named_classes
from ortbatch.job.problems import explain, unknown_key
from ortbatch.job.schema import NOT_KEYS, allowed_keys, schema_of
from ortbatch.job.templates import fill_tree
from ortbatch.job.tree import Complaint, Tree, refuse_odd_scalars

M = TypeVar("M", bound=BaseModel)


def build(model: type[M], tree: Tree, folder: Path, variables: Mapping[str, str]) -> M:
    """Check the tree, whose root is a mapping, and make the job of it.

    Raises:
        JobError: with every problem, in the order of the file.
    """
    tree = read_named_classes(refuse_odd_scalars(fill_tree(tree, variables)), folder)
    reserved = [key for key in NOT_KEYS if key in tree.value]
    keys = {key: value for key, value in tree.value.items() if key not in reserved}
    given = {"folder": folder, "variables": {str(name): str(value) for name, value in variables.items()}}
    known: list[Complaint] = []
    job: M | None = None
    try:
        job = model.model_validate({**keys, **given}, context={"classes": _known_classes(keys)})
    except ValidationError as error:
        known = explain(error, schema_of(model))
    known += [Complaint((key,), unknown_key(key, allowed_keys(schema_of(model), ()))) for key in reserved]
    settled = {complaint.path for complaint in tree.complaints if complaint.settles}
    tree = tree.complaining(*(complaint for complaint in known if complaint.path not in settled))
    if job is None or tree.complaints:
        raise JobError(tree.problems())
    return job


def _known_classes(keys: dict[str, Any]) -> tuple[str, ...] | None:
    """The classes, if they are well written: gates are checked against them even if other keys are wrong."""
    data = keys.get("data")
    classes = data.get("classes") if isinstance(data, dict) else None
    if not isinstance(classes, list) or not classes:
        return None
    try:
        return tuple(class_name(name) for name in classes)
    except ValueError:
        return None
