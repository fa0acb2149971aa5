"""Where a value and its interval lie beside the limit of a gate, for a picture a line high.

Shares of its width for drawing only; the numbers stand in words beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WIDTH = 120.0
_ROOM = 0.12  # of the width, on either side


@dataclass(frozen=True)
class Strip:
    """Places from left to right, 0 to `WIDTH`.

    Args:
        value, limit: of the gate.
        low, high: of the interval; both at the value if there is none.
        good: from where to where the gate passes.
    """

    value: float
    limit: float
    low: float
    high: float
    good: tuple[float, float]


def strip(gate: Mapping[str, Any]) -> Strip | None:
    """The strip of a gate as report.json has it; None without value."""
    if gate["value"] is None:
        return None
    low, high = gate["ci"] or (gate["value"], gate["value"])
    value, limit, low, high = _placed((gate["value"], gate["limit"], low, high))
    side = {">": (limit, WIDTH), "<": (0.0, limit)}.get(gate["op"][0], (limit - 1, limit + 1))
    return Strip(value, limit, low, high, side)


def _placed(values: tuple[float, ...]) -> tuple[float, ...]:
    """In proportion, with room on both sides; in the middle if all are equal."""
    least, most = min(values), max(values)
    if least == most:
        return (WIDTH / 2,) * len(values)
    inner = WIDTH * (1 - 2 * _ROOM)
    return tuple(round(WIDTH * _ROOM + inner * (value - least) / (most - least), 2) for value in values)
