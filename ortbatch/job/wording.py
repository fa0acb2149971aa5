"""How messages name a value that was given, and the word that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from ortbatch.job.redaction import redact

SHOWN_CHARACTERS = 60
"""A longer value is cut in a message."""


def got(value: object) -> str:
    """Name a value and its type, without secrets.

    >>> got(3), got("3"), got(None), got([1])
    ('3 (integer)', '"3" (text)', 'nothing (null)', 'a list of 1')
    """
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"{str(value).lower()} (boolean)"
    if isinstance(value, int):
        return f"{value if value.bit_length() <= 64 else 'a number beyond 64 bits'} (integer)"
    if isinstance(value, float):
        return f"{value!r} (number)"
    if isinstance(value, str):
        return f'"{shortened(value)}" (text)'
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        keys = ", ".join(str(key) for key in value)
        return f"a mapping with the keys {shortened(keys)}" if keys else "an empty mapping"
    return f"a value of type {type(value).__name__}"


def is_unusable(text: str) -> bool:
    """Whether no file and no log can hold the text: NUL, or half a surrogate pair, stands in it."""
    return any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


def printable(text: str) -> str:
    """The text on one line, without secrets; what cannot be printed is replaced."""
    return "".join(character if character.isprintable() else "\ufffd" for character in redact(text))


def shortened(text: str) -> str:
    """`printable(text)`, cut to `SHOWN_CHARACTERS`."""
    line = printable(text)
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that `word` was probably meant to be, or None.

    >>> nearest("lable", ["label", "path"])
    'label'
    """
    near = difflib.get_close_matches(word[:100], list(allowed), n=1, cutoff=0.6)
    return near[0] if near else None


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """A clause that names the nearest allowed word; empty if none is near."""
    near = nearest(word, allowed)
    return f"; did you mean `{shortened(near)}`?" if near else ""
