"""Stored scores that met rows by id: what the report says of it, its finding and its line in the summary.

Every count is of all rows that were planned, whatever filter and labels make of them afterwards: `coverage` tells that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ortbatch.report.latency_schema import COUNT, closed

JOIN: dict[str, Any] = {
    **closed(
        {
            "column": {"type": "string", "description": "Of the ids."},
            "model_sha256": {"type": "string", "description": "Of the model that made the predictions."},
            "whole": {"type": "boolean", "description": "Do they hold all that it put out?"},
            "predictions": {**COUNT, "description": "Rows of the predictions."},
            "scored": {**COUNT, "description": "Those of them that have scores."},
            "rows": {**COUNT, "description": "Rows of the data, also those that the filter leaves out."},
            "matched": {**COUNT, "description": "Rows whose id has scores, and stands once here and there."},
            "unmatched_predictions": {**COUNT, "description": "Scored rows that no row of the data asked for."},
            "unmatched_rows": {**COUNT, "description": "Rows whose id has no scores."},
            "duplicate_ids": {**COUNT, "description": "Ids that stand twice, in the predictions or in the data."},
            "duplicate_rows": {**COUNT, "description": "Rows of the data with such an id."},
            "null_ids": {**COUNT, "description": "Rows of the data without an id."},
        }
    ),
    "description": "How rows and stored scores met by id, where no model is run.",
}
"""Schema of the section `join`."""


def join_findings(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows that found nobody, ids that stand twice, and what the predictions cannot tell."""
    join = report.get("join")
    if join is None:
        return
    alone = join["rows"] - join["matched"]
    if alone:
        parts = {"have no stored scores": "unmatched_rows", "an id that stands twice": "duplicate_rows"}
        told = [f"{join[key]:,} {text}" for text, key in (parts | {"no id": "null_ids"}).items() if join[key]]
        twice = f" {join['duplicate_ids']:,} ids stand twice." if join["duplicate_ids"] else ""
        text = f"{alone:,} of {join['rows']:,} rows are not joined by `{join['column']}`: {', '.join(told)}.{twice}"
        yield {"severity": "warning", "code": "rows_not_joined", "text": text}
    if not join["whole"]:
        text = (
            "the stored predictions do not hold what the model put out, so metrics of its scores are rounded or "
            "undefined. Write them with `predictions: {scores: true}` to have all of them."
        )
        yield {"severity": "info", "code": "scores_not_kept", "text": text}


def join_line(report: Mapping[str, Any]) -> str | None:
    """One line for a terminal; None where a model was run. A column's name is as it is in the data."""
    join = report.get("join")
    if join is None:
        return None
    return (
        f"joined by {join['column']}: {join['matched']:,} of {join['rows']:,} rows with {join['predictions']:,} "
        f"predictions; {join['unmatched_predictions']:,} of these have no row"
    )
