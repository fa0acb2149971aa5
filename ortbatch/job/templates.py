"""`{date}` in a text of the job is filled from `--var date=...`, and from nothing else: never from today's date.

`{{` and `}}` are literal braces. `run_dir` keeps two fields, `{name}` and `{started}`, filled when a run starts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ortbatch.job.tree import Complaint, Path, Place, Tree
from ortbatch.job.wording import did_you_mean, got, shortened

BUILT_IN = ("name", "started")
"""Fields of `run_dir` that each run fills itself."""

ORDER = 2_000_000_000
"""Problems of `--var` are told last, after those of `--set`."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")


def fill_tree(tree: Tree, variables: Mapping[str, str]) -> Tree:
    """Fill every text of the job; complain about unfilled fields, stray braces and variables that nothing uses."""
    used: set[str] = set()

    def fill_leaf(path: Path, value: Any) -> tuple[Any, list[Complaint]]:
        if not isinstance(value, str):
            return value, []
        used.update(match[1] for match in _TOKEN.finditer(value) if match[1])
        if path == ("run_dir",):
            escaped = {name: str(text).replace("{", "{{").replace("}", "}}") for name, text in variables.items()}
            escaped |= {name: f"{{{name}}}" for name in BUILT_IN}
            return _TOKEN.sub(lambda match: escaped.get(match[1], match[0]) if match[1] else match[0], value), []
        try:
            return fill(value, variables), []
        except ValueError as error:
            return value, [Complaint(path, str(error))]

    return tree.mapped(fill_leaf).complaining(*_misused(variables, used))


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace each `{field}` by its value and `{{` by a brace.

    Raises:
        ValueError: a field without value, or a single brace.

    >>> fill("data/{date}/{{x}}", {"date": "2026-11-23"})
    'data/2026-11-23/{x}'
    """

    def replacement(match: re.Match[str]) -> str:
        token, field = match[0], match[1]
        if token in ("{{", "}}"):
            return token[0]
        if field is None:
            raise ValueError(
                f'a single `{token}` in "{shortened(text)}"; write `{token}{token}` for the character itself'
            )
        if field in values:
            return str(values[field])
        if field in BUILT_IN:
            raise ValueError(f"`{{{field}}}` is filled in run_dir only")
        hint = did_you_mean(field, values)
        raise ValueError(f"`{{{field}}}` is not filled{hint or f'; give --var {field}=VALUE'}")

    return _TOKEN.sub(replacement, text)


def _misused(variables: Mapping[str, str], used: set[str]) -> list[Complaint]:
    complaints = []
    for index, (name, value) in enumerate(variables.items()):
        place = Place(ORDER + index, f"--var {shortened(str(name))}")
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            message = "a variable's name is made of letters, digits and underscores"
        elif not isinstance(value, str):
            message = f"expected text, got {got(value)}"
        elif name in BUILT_IN:
            message = f"`{name}` is filled by each run itself and cannot be set"
        elif name not in used:
            message = f"nothing in the job uses `{{{name}}}`" + did_you_mean(name, sorted(used))
        else:
            continue
        complaints.append(Complaint((), message, place))
    return complaints
