"""A job as plain values, with the place where each was written and the complaints about it so far.

Every step of loading takes a tree and returns a tree: nothing raises half-way, so that all problems are told at once.
Plain values are dict (text keys), list, str, int, float, bool and None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from ortbatch.errors import Problem
from ortbatch.job.wording import got, is_unusable, printable, shortened

Path = tuple[str | int, ...]

MAX_DEPTH = 32
"""Deepest nesting of a job; far beyond what any key needs, far below what recursion can bear."""

MAX_BITS = 64

_UNUSABLE = "holds a character that no file name can hold (NUL, or half a surrogate pair)"


@dataclass(frozen=True, order=True)
class Place:
    """Where a value was written.

    Args:
        order: problems are told in this order; the line in a file, larger for options of the command line.
        where: as in `Problem.where`.
    """

    order: int
    where: str


@dataclass(frozen=True)
class Complaint:
    """Something wrong with the value at `path`.

    Args:
        place: only if it is not where that value stands.
        settles: whether later steps have nothing to add about this value.
    """

    path: Path
    message: str
    place: Place | None = None
    settles: bool = True


@dataclass(frozen=True)
class Tree:
    """Plain values and where they stand; `places` holds at least the place of the root, `()`."""

    value: Any
    places: Mapping[Path, Place]
    complaints: tuple[Complaint, ...] = field(default=())

    def place(self, path: Path) -> Place:
        """Place of the value at `path`, or of the nearest value around it that has one."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]

    def complaining(self, *complaints: Complaint) -> Tree:
        """The same tree with more complaints."""
        return replace(self, complaints=self.complaints + complaints)

    def problems(self) -> tuple[Problem, ...]:
        """Every complaint with its place, in the order of the file."""
        placed = [(complaint.place or self.place(complaint.path), complaint) for complaint in self.complaints]
        placed.sort(key=lambda pair: pair[0].order)
        return tuple(
            Problem(place.where, dotted(complaint.path), printable(complaint.message)) for place, complaint in placed
        )

    def mapped(self, change: Callable[[Path, Any], tuple[Any, list[Complaint]]]) -> Tree:
        """Replace every value that is neither mapping nor list by what `change` makes of it."""
        complaints: list[Complaint] = []

        def visit(path: Path, value: Any) -> Any:
            if isinstance(value, dict):
                return {key: visit((*path, key), part) for key, part in value.items()}
            if isinstance(value, list):
                return [visit((*path, index), part) for index, part in enumerate(value)]
            changed, more = change(path, value)
            complaints.extend(more)
            return changed

        return replace(self, value=visit((), self.value)).complaining(*complaints)


def dotted(path: Path) -> str:
    """The path as messages write it.

    >>> dotted(("gates", 2, "class"))
    'gates[2].class'
    """
    parts = [f"[{part}]" if isinstance(part, int) else f".{shortened(part)}" for part in path]
    return "".join(parts).removeprefix(".")


def tree_of(mapping: Mapping[str, object], where: str) -> Tree:
    """Make a tree of Python values: mappings, lists and tuples, paths and scalars."""
    complaints: list[Complaint] = []

    def visit(path: Path, value: object) -> Any:
        if len(path) > MAX_DEPTH:
            complaints.append(Complaint(path[:2], f"nested more than {MAX_DEPTH} deep"))
            return None
        if isinstance(value, Mapping):
            odd = [key for key in value if not isinstance(key, str)]
            complaints.extend(Complaint(path, f"a key must be text, got {got(key)}") for key in odd)
            return {key: visit((*path, key), part) for key, part in value.items() if isinstance(key, str)}
        if isinstance(value, (list, tuple)):
            return [visit((*path, index), part) for index, part in enumerate(value)]
        return str(value) if isinstance(value, PurePath) else value

    return Tree(visit((), mapping), {(): Place(0, where)}).complaining(*complaints)


def refuse_odd_scalars(tree: Tree) -> Tree:
    """Complain about texts that no file name or log can hold, and about integers beyond 64 bits."""
    complaints: list[Complaint] = []

    def visit(path: Path, value: Any) -> Any:
        if isinstance(value, dict):
            complaints.extend(Complaint((*path, key), _UNUSABLE) for key in value if is_unusable(key))
            return {key: visit((*path, key), part) for key, part in value.items() if not is_unusable(key)}
        if isinstance(value, list):
            return [visit((*path, index), part) for index, part in enumerate(value)]
        if isinstance(value, str) and is_unusable(value):
            complaints.append(Complaint(path, _UNUSABLE))
            return printable(value)
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            complaints.append(Complaint(path, f"expected an integer of at most {MAX_BITS} bits, got {got(value)}"))
        return value

    return replace(tree, value=visit((), tree.value)).complaining(*complaints)
