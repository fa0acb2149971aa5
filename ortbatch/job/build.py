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


def build(
    model: type[M], tree: Tree, folder: Path, variables: Mapping[str, str], *, any_slice: bool = False
) -> M:  # fmt: skip
    """Check the tree, whose root is a mapping, and make the job of it.

    Args:
        model: the kind of job.
        tree: what is given.
        folder: where relative paths begin.
        variables: what fills `{name}`.
        any_slice: gates may be about slices that are not asked for here.

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
        known_slices = None if any_slice else _known_slices(keys)
        names = None if any_slice else _known_names(keys.get("baselines"))
        context = {"classes": _known_classes(keys), "slices": known_slices, "baselines": names}
        context["beside"] = None if any_slice else _known_beside(keys.get("baselines"))
        job = model.model_validate({**keys, **given}, context=context)
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


def _known_names(baselines: object) -> tuple[str, ...] | None:
    """Names of the baselines, if there may be any."""
    if baselines is None:
        return ()
    return tuple(map(str, baselines)) if isinstance(baselines, dict) else None


def _known_beside(baselines: object) -> tuple[str, ...] | None:
    """Names of the baselines that are no earlier runs, if there may be any."""
    if baselines is None:
        return ()
    if not isinstance(baselines, dict):
        return None
    return tuple(str(name) for name, spec in baselines.items() if not (isinstance(spec, dict) and "run" in spec))


def _known_slices(keys: dict[str, Any]) -> list[list[str]] | None:
    """Columns of each of the slices, if they are well written."""
    slices = keys.get("slices", [])
    if not isinstance(slices, list | tuple):
        return None
    known: list[list[str]] = []
    for spec in slices:
        column = spec.get("column") if isinstance(spec, dict) else spec
        columns = [column] if isinstance(column, str) else column
        if not isinstance(columns, list | tuple) or not all(isinstance(name, str) for name in columns):
            return None
        known.append(list(columns))
    return known
