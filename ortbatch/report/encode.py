"""JSON that people can read and diff: indented, but every estimate and every row of numbers on one line."""

from __future__ import annotations

import json
import re
from dataclasses import is_dataclass
from typing import Any

from ortbatch.metrics.estimate import Estimate

_ONE_LINE = 100
_NUMBERS = {int, float, bool, type(None)}
_HALF_PAIR = re.compile("[\ud800-\udfff]")


def plain(value: Any) -> Any:
    """The same value in JSON's own types.

    >>> plain({"accuracy": Estimate(0.5, (0.25, 0.75), method="wilson")})
    {'accuracy': {'value': 0.5, 'ci': [0.25, 0.75], 'method': 'wilson'}}
    """
    if isinstance(value, Estimate):
        return {"value": value.value, "ci": plain(value.ci), **_told(value)}
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


def _told(estimate: Estimate) -> dict[str, Any]:
    """What else is known of an estimate."""
    told = {key: plain(getattr(estimate, key)) for key in ("reason", "method", "caution", "bound")}
    return {key: item for key, item in told.items() if item is not None}


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
    numbers = isinstance(value, list) and set(map(type, items)) <= _NUMBERS
    return numbers or len(indent) + len(_on_one_line(value)) <= _ONE_LINE
