"""The part of the report's schema about latency, which other documents about times share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ortbatch.report.latency import PERCENTILES

COUNT = {"type": "integer", "minimum": 0}
SECONDS = {"type": "number", "minimum": 0}
_ESTIMATE = {"$ref": "#/$defs/estimate"}


def closed(properties: Mapping[str, Any], *optional: str) -> dict[str, Any]:
    """A closed object; all of these keys are required but the optional ones."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


VALUES: dict[str, Any] = {
    "count": {**COUNT, "description": "Runs that were timed."},
    **dict.fromkeys(("mean_ms", *PERCENTILES, "max_ms"), _ESTIMATE),
    "histogram": {"type": ["string", "null"], "description": "HdrHistogram V2, compressed, base64; nanoseconds."},
}
"""Keys of a histogram of times."""

COLD: dict[str, Any] = {
    "warm_up": {**COUNT, "description": "Runs before the first that counts."},
    "warm_up_s": {**SECONDS, "description": "How long they took."},
    "stable": {"type": "boolean", "description": "Had runs become steady by then?"},
    "session_s": {**SECONDS, "description": "How long it took to load the session."},
}
"""Keys of what came before the runs that count."""

BATCH = closed({**VALUES, "batch_size": COUNT})
SINGLE = closed(
    {
        **VALUES,
        "batch_size": COUNT,
        "threads": COUNT,
        "rows": COUNT,
        **COLD,
        "first_ms": {"type": ["number", "null"], "minimum": 0, "description": "The first prediction of the session."},
        "transform": {**closed(VALUES), "description": "The job's function between columns and inputs, one row."},
    },
    # Reports of earlier versions have none of these.
    "warm_up_s", "stable", "session_s", "first_ms", "transform",
)  # fmt: skip
