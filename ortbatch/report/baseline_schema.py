"""The part of the report's schema about earlier runs that gates are held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXT = {"type": "string"}
_VALUE = {"type": ["number", "null"]}


def _object(properties: Mapping[str, Any], *optional: str) -> dict[str, Any]:
    """A closed object."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


_KEPT = _object({"estimate": {"$ref": "#/$defs/estimate"}, "rows": {"type": "integer", "minimum": 0}})
_PICKED = _object(
    {
        "run_id": _TEXT,
        "path": _TEXT,
        "started_at": _TEXT,
        "status": _TEXT,
        "model_sha256": _TEXT,
        "data_digest": _TEXT,
        "metrics": {"type": "object", "additionalProperties": {"oneOf": [_KEPT, _object({"missing": _TEXT})]}},
        "skipped": {"type": "array", "items": _TEXT, "description": "Newer runs that could not be read, and why."},
    },
    "skipped",
)
_MISSING = _object({"missing": _TEXT, "if_missing": {"enum": ["pass", "fail"]}})

BASELINES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"oneOf": [_PICKED, _MISSING]},
    "description": "What gates with `versus` are held against; kept, so that they can be judged again.",
}

VERSUS: dict[str, Any] = {
    **_object({"baseline": _TEXT, "old": _VALUE, "new": _VALUE}),
    "description": "Of a gate against an earlier run, whose value is the difference: what of what.",
}
