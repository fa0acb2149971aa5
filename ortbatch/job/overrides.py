"""`--set data.label=y`: one key of the job set from the command line, its value written as in the job file.

A key that holds dots stands in quotes (`--set 'model.inputs."a.b".cast=lossy'`), an item of a list has its index
(`--set gates.0='f1 >= 0.9'`). Whether the key exists is judged with the rest of the job.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ortbatch.errors import JobError
from ortbatch.job.document import parse
from ortbatch.job.tree import MAX_DEPTH, Complaint, Path, Place, Tree, dotted
from ortbatch.job.wording import got, printable

ORDER = 1_000_000_000
"""Problems of `--set` are told after those of the file."""

_SEGMENT = re.compile(r'"([^"]*)"|([^".=\s]+)')


def override(tree: Tree, overrides: Sequence[str]) -> Tree:
    """Apply each `path=value` in turn; what cannot be applied becomes a complaint."""
    for index, text in enumerate(overrides):
        place = Place(ORDER + index, f"--set {printable(text)}")
        try:
            tree = _applied(tree, text, place)
        except JobError as error:
            tree = tree.complaining(*(Complaint((), problem.message, place) for problem in error.problems))
        except ValueError as error:
            tree = tree.complaining(Complaint((), str(error), place))
    return tree


def _applied(tree: Tree, text: str, place: Place) -> Tree:
    keys, written = _split(text)
    new = parse(written, lambda _: place)
    value, path = _replaced(tree.value, keys, new.value, ())
    places = {known: at for known, at in tree.places.items() if known[: len(path)] != path}
    for length in range(1, len(path) + 1):
        places.setdefault(path[:length], place)
    return Tree(value, places, tree.complaints).complaining(
        *(replace(complaint, path=path + complaint.path) for complaint in new.complaints)
    )


def _split(text: str) -> tuple[tuple[str, ...], str]:
    """Path and YAML text of one override."""
    keys: list[str] = []
    position = 0
    while match := _SEGMENT.match(text, position):
        keys.append(match[2] if match[1] is None else match[1])
        position = match.end()
        if not text.startswith(".", position):
            break
        position += 1
    if not keys or not text.startswith("=", position):
        raise ValueError("expected KEY=VALUE with the dotted path of a key, such as data.label=y")
    if len(keys) > MAX_DEPTH:
        raise ValueError(f"a path of {len(keys)} keys is deeper than any key of a job")
    return tuple(keys), text[position + 1 :]


def _replaced(value: Any, keys: tuple[str, ...], new: Any, path: Path) -> tuple[Any, Path]:
    """`value`, which stands at `path`, with `new` at `keys` below it, and the whole path of `new`."""
    if not keys:
        return new, path
    key = keys[0]
    value = _long_form(value, path)
    if isinstance(value, dict):
        part, done = _replaced(value.get(key), keys[1:], new, (*path, key))
        return {**value, key: part}, done
    if isinstance(value, list):
        if not value:
            raise ValueError(f"`{dotted(path)}` is an empty list; it has no item `{key}`")
        if not key.isdecimal() or int(key) >= len(value):
            last = len(value) - 1
            raise ValueError(f"`{dotted(path)}` is {got(value)}; expected an index from 0 to {last}, got `{key}`")
        index = int(key)
        part, done = _replaced(value[index], keys[1:], new, (*path, index))
        return [*value[:index], part, *value[index + 1 :]], done
    raise ValueError(f"`{dotted(path)}` is {got(value)} and has no key `{key}`")


def _long_form(value: Any, path: Path) -> Any:
    """The mapping that a short form stands for."""
    if value is None:
        return {}
    if path == ("model",) and isinstance(value, str):
        return {"path": value}
    if path == ("tracking", "mlflow") and isinstance(value, str):
        return {"uri": value}
    if len(path) == 3 and path[:2] == ("model", "inputs"):
        if isinstance(value, str):
            return {"column": value}
        if isinstance(value, list):
            return {"columns": value}
    return value
