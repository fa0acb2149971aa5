"""Values as YAML 1.2 on one line: whatever a column, a class or a path is called, it is read back as it was.

Text stands plain where that is read as the same text and looks like a word, else in double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ortbatch.job.scalars import resolve

_WORD = re.compile(r"[\w./*-][\w./*@+ -]*", re.ASCII)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def quoted(text: str) -> str:
    r"""Text as YAML.

    >>> print(quoted("amount"), quoted("no: 1"), quoted("1.0"), quoted("a\nb"))
    amount "no: 1" "1.0" "a\nb"
    """
    if _WORD.fullmatch(text) and text[0] not in "-*" and text.strip() == text and _is_text(text):
        return text
    return '"' + "".join(_ESCAPES.get(c, c) if c.isprintable() or c in _ESCAPES else _escaped(c) for c in text) + '"'


def _is_text(word: str) -> bool:
    try:
        return resolve(word) == word
    except ValueError:
        return False


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def flow(value: Any) -> str:
    """A value of a job as YAML on one line.

    >>> flow({"columns": ["a", "b, c"], "pad": 0})
    '{columns: [a, "b, c"], pad: 0}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quoted(key)}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else repr(value)


def escaped(value: Any) -> Any:
    """The value with braces doubled in its texts, which `{name}` would be filled in; keys are never filled."""
    if isinstance(value, str):
        return value.replace("{", "{{").replace("}", "}}")
    if isinstance(value, Mapping):
        return {key: escaped(part) for key, part in value.items()}
    return [escaped(part) for part in value] if isinstance(value, list | tuple) else value
