"""How columns may feed a model: proposals, the surest first, each with a reason for every input.

By name, by name but for case and punctuation, a list of the right length, as many columns of the right type as the
input is wide. Two inputs that could be exchanged are never told apart by their order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ortbatch.data.binding import TensorSpec, bind_inputs
from ortbatch.data.columns import Cast, castable, feature_family
from ortbatch.data.lists import fits, is_list, leaf, lengths_of
from ortbatch.draft.sight import Column, Sight
from ortbatch.errors import DataError, PreflightError

_ID = re.compile(r"(^|_)(id|ids|uuid|guid|key|index|idx|row|rowid|timestamp|date|time)(_|$)")
_NUMBERED = re.compile(r"(.*?)(\d+)")
_LISTED_AT_MOST = 40


@dataclass(frozen=True)
class Proposal:
    """What feeds each input.

    Args:
        inputs: what `model.inputs` says; None: nothing, names or the order of columns decide.
        columns: input name → its columns; none of one that is made.
        why: input name → by what.
    """

    inputs: dict[str, Any] | None
    columns: dict[str, tuple[str, ...]]
    why: dict[str, str]


@dataclass(frozen=True)
class _Fed:
    """One input and what may feed it."""

    columns: tuple[str, ...]
    given: dict[str, Any]
    why: str


def looks_like_id(column: Column) -> bool:
    """Does a column count or name rows?"""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", column.name).casefold()
    counts = column.unique and column.distinct > 1 and feature_family(column.kind) != "float"
    return bool(_ID.search(snake)) or counts


def proposals(sight: Sight, label: str, others: Sequence[str] = ()) -> Iterator[Proposal]:
    """Ways to feed the model.

    Args:
        sight: what there is.
        label: the label, which feeds nothing.
        others: columns that might be the label as well, which are features only if nothing else will do.
    """
    default = _default(sight, label)
    if default is not None:
        yield default
    for fed in _assigned(sight, label, set(others), list(sight.inputs), {}):
        columns = {name: each.columns for name, each in fed.items()}
        if default is None or columns != default.columns:
            inputs = {name: each.given for name, each in fed.items()}
            yield Proposal(inputs, columns, {name: each.why for name, each in fed.items()})


def _default(sight: Sight, label: str) -> Proposal | None:
    """What a job that does not say gets; columns in file order are named in it, lest another column change them."""
    try:
        bound = bind_inputs(sight.inputs, sight.schema, {}, label)
    except (DataError, PreflightError):
        return None
    columns = {binding.name: binding.columns for binding in bound}
    if all(binding.how == "name" for binding in bound):
        return Proposal(None, columns, dict.fromkeys(columns, "a column of its name"))
    (binding,) = bound
    why = f"the {len(binding.columns)} columns that hold numbers, in file order"
    if any("*" in column for column in binding.columns):
        return Proposal(None, columns, {binding.name: why})  # in a list it would be a pattern
    return Proposal({binding.name: given_columns(sight, label, binding.columns)}, columns, {binding.name: why})


def _assigned(
    sight: Sight, label: str, others: set[str], left: list[TensorSpec], fed: dict[str, _Fed]
) -> Iterator[dict[str, _Fed]]:  # fmt: skip
    """Every way to feed the inputs that are left, in the order of the model's inputs."""
    if not left:
        yield {spec.name: fed[spec.name] for spec in sight.inputs}
        return
    named = next((spec for spec in left if _by_name(sight, label, spec, fed)), None)
    # What may be made beside a padded input waits for it.
    spec = named or min(left, key=_may_be_made)
    rest = [each for each in left if each is not spec]
    by_name = _by_name(sight, label, spec, fed)
    ways = [by_name] if by_name else _by_type(sight, label, others, spec, fed, rest)
    for way in ways:
        yield from _assigned(sight, label, others, rest, {**fed, spec.name: way})


def _by_name(sight: Sight, label: str, spec: TensorSpec, fed: Mapping[str, _Fed]) -> _Fed | None:
    """The one column of the same name, or of the same letters and digits."""
    taken = {name for each in fed.values() for name in each.columns} | {label}
    exact = [name for name in (spec.name,) if name in sight.columns and name not in taken]
    alike = [name for name in sight.columns if _letters(name) == _letters(spec.name) and name not in taken]
    for names, why in ((exact, "a column of its name"), (alike, "a column of its name, but for case and punctuation")):
        if len(names) == 1 and (given := _single(sight.columns[names[0]], spec)) is not None:
            return _Fed((names[0],), given, why)
    return None


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def _single(column: Column, spec: TensorSpec) -> dict[str, Any] | None:
    """What says that one column feeds an input; None if it cannot."""
    if len(spec.shape) < 1 or not _takes(spec, leaf(column.kind) if is_list(column.kind) else column.kind):
        return None
    dims = spec.shape[1:]
    if not is_list(column.kind):
        return {"column": column.name} if math.prod(dim or 1 for dim in dims) == 1 else None
    lengths = lengths_of(column.kind)
    if None not in dims:
        width = math.prod(dim for dim in dims if dim is not None)
        seen = not column.lengths or column.lengths == {width}
        return {"column": column.name} if fits(lengths, [dim or 1 for dim in dims]) and seen else None
    if len(dims) == 1 and len(lengths) == 1 and lengths[0] is None:
        return {"column": column.name, "pad": 0}
    return {"column": column.name} if None not in lengths else None


def _takes(spec: TensorSpec, kind: Any) -> bool:
    try:
        return castable(kind, Cast(spec.dtype))
    except (KeyError, TypeError):
        return False  # an input that is no tensor


def _by_type(
    sight: Sight, label: str, others: set[str], spec: TensorSpec, fed: Mapping[str, _Fed], rest: Sequence[TensorSpec]
) -> list[_Fed]:  # fmt: skip
    """Ways to feed an input that no column is named like."""
    if (made := _made(spec, fed)) is not None:
        return [made]
    if any(_alike(spec, other) for other in rest if not _may_be_made(other)):
        return []  # two inputs that could be exchanged
    taken = {name for each in fed.values() for name in each.columns} | {label}
    free = [column for column in sight.columns.values() if column.name not in taken and not column.folder]
    lists = [column for column in free if is_list(column.kind)]
    listed = [(column, given) for column in lists if (given := _single(column, spec)) is not None]
    if len(listed) == 1:
        column, given = listed[0]
        return [_Fed((column.name,), given, "the only column of lists that fits")]
    scalars = [column for column in free if not is_list(column.kind) and _takes(spec, column.kind)]
    return list(_tabular(sight, label, others, spec, scalars))


def _may_be_made(spec: TensorSpec) -> bool:
    """Is it called like a mask or like token types?"""
    return "mask" in spec.name or "type" in spec.name


def _made(spec: TensorSpec, fed: Mapping[str, _Fed]) -> _Fed | None:
    """A mask beside a padded input, or token types."""
    padded = [name for name, each in fed.items() if "pad" in each.given]
    if len(padded) != 1 or len(spec.shape) != 2 or spec.shape[1] is not None:
        return None
    if "mask" in spec.name:
        return _Fed((), {"mask_of": padded[0]}, f"made: where `{padded[0]}` is no padding")
    if "type" in spec.name:
        return _Fed((), {"fill": 0}, "made: 0 throughout")
    return None


def _alike(one: TensorSpec, other: TensorSpec) -> bool:
    return one.dtype == other.dtype and one.shape[1:] == other.shape[1:]


def _tabular(
    sight: Sight, label: str, others: set[str], spec: TensorSpec, scalars: Sequence[Column]
) -> Iterator[_Fed]:  # fmt: skip
    """Columns side by side for an input of one dimension a row."""
    if len(spec.shape) not in (1, 2):
        return
    width = spec.shape[1] if len(spec.shape) == 2 else 1
    plain = [column for column in scalars if not looks_like_id(column) and column.name not in others]
    what = "text" if spec.dtype == "string" else "numbers"
    sets: list[tuple[Sequence[Column], str]] = [
        (scalars, f"all columns of {what}, in file order"),
        (plain, f"columns of {what} that are no ids, times or labels, in file order"),
        ([c for c in plain if feature_family(c.kind) == "float"], "columns of fractions, in file order"),
        *((family, f"columns called {stem}{family[0].name[len(stem) :]} and so on, by number")
          for stem, family in _families(scalars).items()),
    ]  # fmt: skip
    if width is None:
        sets = sets[1:2]
    seen: list[tuple[str, ...]] = []
    for columns, why in sets:
        names = tuple(column.name for column in columns)
        if names and len(names) == (len(names) if width is None else width) and names not in seen:
            seen.append(names)
            yield _Fed(names, given_columns(sight, label, names), why)


def _families(columns: Sequence[Column]) -> dict[str, list[Column]]:
    """Columns whose names are one text and a number, by that text, in the order of their numbers."""
    numbered: dict[str, list[tuple[int, Column]]] = {}
    for column in columns:
        if match := _NUMBERED.fullmatch(column.name):
            numbered.setdefault(match[1], []).append((int(match[2]), column))
    return {
        stem: [column for _, column in sorted(found, key=lambda pair: pair[0])] for stem, found in numbered.items()
    }  # fmt: skip


def given_columns(sight: Sight, label: str, names: tuple[str, ...]) -> dict[str, Any]:
    """What `model.inputs` says of columns; of many a pattern, where one takes these and no other in this order."""
    if len(names) == 1:
        return {"column": names[0]}
    stem = re.sub(r"\d+$", "", names[0])
    free = [name for name, column in sight.columns.items() if name != label and not column.folder]
    if len(names) > _LISTED_AT_MOST and "*" not in stem and tuple(n for n in free if n.startswith(stem)) == names:
        return {"columns": [f"{stem}*"]}
    return {"columns": list(names)}
