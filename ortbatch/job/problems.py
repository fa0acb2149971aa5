"""pydantic's findings in people's words: what was expected, what was given, which key was probably meant."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from ortbatch.job.part import TAG
from ortbatch.job.schema import allowed_keys, choices, description, expected
from ortbatch.job.tree import Complaint, Path
from ortbatch.job.wording import did_you_mean, got, nearest, shortened

_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def explain(error: ValidationError, schema: dict[str, Any]) -> list[Complaint]:
    """One complaint for each mistake; a key that is missing because it is misspelt counts once."""
    found = [(_path(line), line) for line in error.errors(include_url=False)]
    meant = {
        (*path[:-1], nearest(str(path[-1]), allowed_keys(schema, path[:-1])))
        for path, line in found
        if line["type"] == "extra_forbidden"
    }
    return [
        Complaint(path, _message(path, line, schema))
        for path, line in found
        if not (line["type"] == "missing" and path in meant)
    ]


def unknown_key(key: str, allowed: list[str]) -> str:
    """The message about a key that no mapping of its kind has."""
    return f"unknown key `{shortened(key)}`{did_you_mean(key, allowed) or '.'} Allowed: {', '.join(allowed)}"


def _path(line: Any) -> Path:
    """The keys that lead to an error: its location without the tags of unions and the mark of a wrong key."""
    location = line["loc"]
    if location[-1:] == ("[key]",) and line["type"] != "extra_forbidden":
        location = location[:-1]
    return tuple(part for part in location if not (isinstance(part, str) and part.startswith(TAG)))


def _message(path: Path, line: Any, schema: dict[str, Any]) -> str:
    kind, value, context = line["type"], line["input"], line.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown_key(str(path[-1]), allowed_keys(schema, path[:-1]))
    if kind == "missing":
        about = description(schema, path)
        return f"missing; expected {expected(schema, path)}" + (f": {about}" if about else "")
    if kind == "value_error":
        return str(context["error"])
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"expected {words} {context[bound]:g}, got {got(value)}"
    if kind == "literal_error":
        hint = did_you_mean(value, choices(schema, path)) if isinstance(value, str) else ""
        return f"expected {expected(schema, path)}, got {got(value)}{hint}"
    if kind == "string_too_short":
        return f"expected text that is not empty, got {got(value)}"
    if kind == "too_short":
        return f"expected a list of at least {context['min_length']}, got {got(value)}"
    if kind == "finite_number":
        return f"expected a finite number, got {got(value)}"
    return f"expected {expected(schema, path)}, got {got(value)}"
