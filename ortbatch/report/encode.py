"""JSON that people can read and diff: indented, but every estimate and every row of numbers on one line."""

from __future__ import annotations

import json
import re
from dataclasses import is_dataclass
from typing import Any

from ortbatch.metrics.estimate import Estimate

_ONE_LINE = 100
_HALF_PAIR = re.compile("[\ud800-\udfff]")


def plain(value: Any) -> Any:
    """The same value in JSON's own types.

    >>> plain({"accuracy": Estimate(0.5, (0.25, 0.75))})
    {'accuracy': {'value': 0.5, 'ci': [0.25, 0.75]}}
    """
    if isinstance(value, Estimate):
        short: dict[str, Any] = {"value": value.value, "ci": None if value.ci is None else list(value.ci)}
        return short if value.reason is None else {**short, "reason": value.reason}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if is_dataclass(value) or not (value is None or isinstance(value, bool | int | float | str)):
        raise TypeError(f"{type(value).__name__} is no JSON value: {value!r}")
    return value


def encode(value: Any, indent: str = "") -> str:
    """Strict JSON text: NaN and Infinity are refused; a container of scalars that is short stays on one line."""
    if not isinstance(value, dict | list) or not value or _fits(value, indent):
        return _on_one_line(value)
    inner = indent + "  "
    if isinstance(value, list):
        items = [inner + encode(item, inner) for item in value]
        return "[\n" + ",\n".join(items) + f"\n{indent}]"
    pairs = [f"{inner}{_on_one_line(key)}: {encode(item, inner)}" for key, item in value.items()]
    return "{\n" + ",\n".join(pairs) + f"\n{indent}}}"


def is_estimate(item: object) -> bool:
    """Is a decoded value a number with its interval?"""
    return isinstance(item, dict) and "value" in item and "ci" in item


def _on_one_line(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # UTF-8 cannot hold half a surrogate pair, which is how Python reads a byte that is no text.
    return _HALF_PAIR.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _fits(value: dict[str, Any] | list[Any], indent: str) -> bool:
    if is_estimate(value):
        return True
    items = list(value.values()) if isinstance(value, dict) else value
    if any(isinstance(item, dict | list) for item in items):
        return False
    # Matrix rows are read across, however long they are.
    numbers = isinstance(value, list) and all(isinstance(item, int | float) for item in items)
    return numbers or len(indent) + len(_on_one_line(value)) <= _ONE_LINE
