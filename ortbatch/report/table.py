"""metrics.csv: the report as one flat table, a line a number, for spreadsheets and trackers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

COLUMNS = ("run_id", "date", "metric", "class", "slice", "value", "lo", "hi", "n")


def metrics_table(report: Mapping[str, Any]) -> str:
    """CSV with a header; undefined values are empty cells."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    head = (report["run"]["id"], report["run"]["started_at"])
    for metric, class_name, estimate, rows in _lines(report):
        low, high = estimate.get("ci") or ("", "")
        value = "" if estimate["value"] is None else repr(estimate["value"])
        writer.writerow([*head, metric, class_name, "", value, low, high, rows])
    return text.getvalue()


def _lines(report: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any], int]]:
    """(metric, class, estimate, rows) of every estimate."""
    quality = report["quality"]
    for name, item in quality.items():
        if _is_estimate(item):
            yield name, "", item, quality["rows"]
    for row in quality["per_class"]:
        for name, item in row.items():
            if _is_estimate(item):
                yield name, row["class"], item, row["support"] if name == "recall" else quality["rows"]
    yield "coverage", "", report["coverage"]["fraction"], report["coverage"]["rows"]["planned"]
    for kind, section in report["latency"].items():
        for name, item in section.items():
            if _is_estimate(item):
                yield f"latency.{kind}.{name}", "", item, section["count"]
    yield "throughput.rows_per_s", "", report["throughput"]["rows_per_s"], quality["rows"]


def _is_estimate(item: Any) -> bool:
    return isinstance(item, dict) and "value" in item and "ci" in item
