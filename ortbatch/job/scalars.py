"""What a plain word of YAML 1.2 means: the core schema, so `no`, `on` and dates are text.

References:
    YAML 1.2.2, section 10.3.2 "Tag Resolution".
"""

from __future__ import annotations

import re

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
_NAN = frozenset({".nan", ".NaN", ".NAN"})

MAX_DIGITS = 40
"""A longer number is refused: no key takes one, and reading it takes quadratic time."""


def resolve(text: str) -> str | int | float | bool | None:
    """The value of a word that stands without quotes.

    Raises:
        ValueError: a number written so that its text would be lost (`007`, `0x1F`), or too long.

    >>> [resolve(word) for word in ("no", "1", "1.0", "true", "~")]
    ['no', 1, 1.0, True, None]
    """
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise ValueError(f"a number of {len(text)} characters is too long; {MAX_DIGITS} are allowed")
        return float(text)
    if _INFINITY.fullmatch(text):
        return float("-inf") if text.startswith("-") else float("inf")
    return float("nan") if text in _NAN else text


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits is too long; put it in quotes if it is text")
    value = int(text, 0) if text.startswith(("0x", "0o")) else int(text)
    if str(value) != text:
        raise ValueError(f'`{text}` is the number {value} in YAML; write {value}, or "{text}" if it is text')
    return value
