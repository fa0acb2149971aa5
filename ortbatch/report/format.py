"""Numbers, intervals and names as people read them in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_DECIMALS = 4
_MOST_DECIMALS = 12
_JOINERS = "\u200c\u200d"  # scripts and emoji need them; they move no cursor


def number(value: float | None, apart_from: float | None = None) -> str:
    """Four decimals; more where they would hide that a share is not 0 or 1, or on which side of a limit it lies.

    >>> number(0.98442714), number(0.99996), number(0.94996, apart_from=0.95), number(None)
    ('0.9844', '0.99996', '0.94996', '–')
    """
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.2f}"
    edges = [edge for edge in (0.0, 1.0, apart_from) if edge is not None and edge != value]
    enough = (d for d in range(_DECIMALS, _MOST_DECIMALS) if all(round(value, d) != round(edge, d) for edge in edges))
    return f"{value:.{next(enough, _MOST_DECIMALS)}f}"


def interval(ci: Sequence[float] | None) -> str:
    """Both ends; empty without interval."""
    return "" if ci is None else f"{number(ci[0])}–{number(ci[1])}"


def margin(gate: Mapping[str, Any]) -> str:
    """How far a value is on the good side of its gate's limit; negative: by how much it misses.

    >>> margin({"op": "<=", "value": 12.5, "limit": 10.0}), margin({"op": ">=", "value": 0.96, "limit": 0.95})
    ('-2.5', '+0.01')
    """
    if gate["value"] is None:
        return "–"
    difference = gate["limit"] - gate["value"] if gate["op"].startswith("<") else gate["value"] - gate["limit"]
    return f"{round(difference, _MOST_DECIMALS):+.2g}" if difference else "0"


def name(text: str, width: int = 40) -> str:
    """A text on one line and inert: what would move the cursor is escaped, what is too long is cut in its middle.

    >>> name("x" * 50, 11)
    'xxxxxxx…xxx'
    """
    line = "".join(c if c.isprintable() or c in _JOINERS else c.encode("unicode_escape").decode() for c in text)
    if len(line) <= width:
        return line
    tail = width // 3
    return f"{line[: width - 1 - tail]}…{line[len(line) - tail :]}"
