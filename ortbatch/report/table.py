"""metrics.csv: the report as one flat table, a line a number, for spreadsheets and trackers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ortbatch.report.encode import is_estimate
from ortbatch.report.quality import POSITIVE, positive_row, rows_behind

COLUMNS = ("run_id", "date", "metric", "class", "slice", "value", "lo", "hi", "n")


def metrics_table(report: Mapping[str, Any]) -> str:
    """CSV with a header; undefined values are empty cells."""
    head = (report["run"]["id"], report["run"]["started_at"])
    lines = [_line(COLUMNS)]
    for metric, class_name, estimate, rows in _estimates(report):
        low, high = estimate["ci"] or ("", "")
        value = "" if estimate["value"] is None else repr(estimate["value"])
        lines.append(_line((*head, metric, class_name, "", value, low, high, rows)))
    return "".join(lines)


def _line(cells: Sequence[object]) -> str:
    text = io.StringIO()
    # Python 3.11 quotes a carriage return only if it is part of the line end.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _estimates(report: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any], int]]:
    """(metric, class, estimate, rows) of every estimate."""
    quality, planned = report["quality"], report["coverage"]["rows"]["planned"]
    positive = positive_row(quality)
    for name, item in quality.items():
        if is_estimate(item):
            yield name, "", item, rows_behind(name, positive if name in POSITIVE else None, quality["rows"])
    for row in quality["per_class"]:
        for name, item in row.items():
            if is_estimate(item):
                yield name, row["class"], item, rows_behind(name, row, quality["rows"])
    yield "coverage", "", report["coverage"]["fraction"], planned
    for kind, section in report["latency"].items():
        for name, item in section.items():
            if is_estimate(item):
                yield f"latency.{kind}.{name}", "", item, section["count"]
    yield "throughput.rows_per_s", "", report["throughput"]["rows_per_s"], planned
