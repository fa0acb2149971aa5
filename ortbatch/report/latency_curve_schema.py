"""The JSON Schema of a latency curve, version 1: what `ortbatch latency --json` promises."""

from __future__ import annotations

from typing import Any

from ortbatch.report.gates import FAILED, INCONCLUSIVE, PASSED, UNGATED
from ortbatch.report.latency_schema import COLD, COUNT, SECONDS, VALUES, closed
from ortbatch.report.schema import REPORT_SCHEMA

_SIZE = {"type": "integer", "minimum": 1}
_TEXT = {"type": "string"}
_ESTIMATE = {"$ref": "#/$defs/estimate"}
_NULL = {"type": "null"}
_POINT = closed(
    {
        "batch_size": _SIZE,
        "threads": _SIZE,
        **VALUES,
        "rows_per_s_at_p50": {**_ESTIMATE, "description": "If every batch took the median."},
        "rows_per_s": {**_ESTIMATE, "description": "Rows of all runs over the time of all runs."},
        "rows": {**COUNT, "description": "Distinct rows in its batches."},
        **COLD,
    }
)
_NAMED = {"threads": _SIZE, "batch_size": _SIZE, "p99_ms": _ESTIMATE, "rows_per_s": _ESTIMATE}
_KEPT = closed(
    {
        "threads": _SIZE,
        **{name: {"anyOf": [kind, _NULL]} for name, kind in _NAMED.items() if name != "threads"},
        "surely": {"type": "boolean", "description": "Does the whole interval of p99 keep the limit?"},
        "undecided": {
            "type": "array",
            "items": _SIZE,
            "description": "Larger sizes whose p99 keeps it, but rests on too few runs.",
        },
    }
)

CURVE_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "ortbatch latency curve",
    "$defs": {"estimate": REPORT_SCHEMA["$defs"]["estimate"]},
    **closed(
        {
            "schema_version": {"const": 1},
            "job": _TEXT,
            "model_sha256": _TEXT,
            "started_at": _TEXT,
            "seconds": {**SECONDS, "description": "That were asked for."},
            "took_s": {**SECONDS, "description": "From reading rows to the last run."},
            "rows": {**COUNT, "description": "Distinct rows that batches were made of."},
            "points": {"type": "array", "items": _POINT, "minItems": 1, "description": "By threads, then by size."},
            "knees": {
                "type": "array",
                "items": closed({**_NAMED, "share_of_best": {"type": ["number", "null"]}}),
                "description": "For each number of threads the smallest size with 90% of the most rows a second.",
            },
            "max_p99_ms": {"type": ["number", "null"], "description": "The limit that was asked for."},
            "within": {"type": "array", "items": _KEPT, "description": "The largest size that keeps the limit."},
            "outcome": {"enum": [PASSED, FAILED, INCONCLUSIVE, UNGATED]},
            "notes": {"type": "array", "items": _TEXT},
            "host": closed({"cpu": _TEXT, "cpus": _SIZE}),
            "versions": {"type": "object", "additionalProperties": _TEXT},
        }
    ),
}


def problems_of_curve(data: object) -> list[str]:
    """Where a decoded curve breaks the schema, in words; empty if nowhere."""
    from jsonschema import Draft202012Validator

    errors = Draft202012Validator(CURVE_SCHEMA).iter_errors(data)
    return [f"{'.'.join(map(str, error.path)) or 'curve'}: {error.message[:300]}" for error in errors]
