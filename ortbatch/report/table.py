"""metrics.csv: the report as one flat table, a line a number, for spreadsheets and trackers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ortbatch.metrics.checked import CHECKED
from ortbatch.metrics.reference import FIDELITY, FIDELITY_OF_SLICES, MetricRef
from ortbatch.report.encode import is_estimate
from ortbatch.report.fidelity_gates import of_baseline
from ortbatch.report.leakage import of_checks
from ortbatch.report.quality import POSITIVE, positive_row, rows_behind
from ortbatch.report.slices import written

COLUMNS = ("run_id", "date", "metric", "class", "slice", "value", "lo", "hi", "n")


def metrics_table(report: Mapping[str, Any]) -> str:
    """CSV with a header; undefined values are empty cells."""
    head = (report["run"]["id"], report["run"]["started_at"])
    lines = [_line(COLUMNS)]
    for metric, class_name, estimate, rows in _estimates(report):
        lines.append(_line((*head, metric, class_name, "", *_numbers(estimate), rows)))
    for entry in report.get("slices", []):
        for metric, class_name, estimate, rows in _estimates_of_slice(entry, report["quality"].get("positive")):
            lines.append(_line((*head, metric, class_name, entry["name"], *_numbers(estimate), rows)))
    for metric, rows, estimate in _checks(report):
        lines.append(_line((*head, metric, "", "", *_numbers(estimate), rows)))
    for ref, rows, estimate in _fidelity(report):
        where = written(dict(ref.slice)) if ref.slice else ""
        lines.append(_line((*head, str(replace(ref, slice=())), "", where, *_numbers(estimate), rows)))
    return "".join(lines)


def _checks(report: Mapping[str, Any]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """(metric, rows, estimate) of what gates may ask of the checks against the training data."""
    for name in sorted(CHECKED):
        found = of_checks(name, report)
        if not isinstance(found, str):
            estimate, rows = found
            yield name, rows, estimate


def _fidelity(report: Mapping[str, Any]) -> Iterator[tuple[MetricRef, int, Mapping[str, Any]]]:
    """What gates may ask of each baseline, of all rows and of slices."""
    for name, entry in report.get("fidelity", {}).items():
        slices = [tuple(part["slice"].items()) for part in entry.get("slices", [])]
        refs = [MetricRef(metric, class_name=name) for metric in sorted(FIDELITY)]
        of_slices = [replace(ref, slice=slice_) for slice_ in slices for ref in refs if ref.name in FIDELITY_OF_SLICES]
        for ref in (*refs, *of_slices):
            found = of_baseline(ref, report)
            if not isinstance(found, str):
                yield ref, found.rows, found.estimate


def _numbers(estimate: Mapping[str, Any]) -> tuple[object, ...]:
    low, high = estimate["ci"] or ("", "")
    return ("" if estimate["value"] is None else repr(estimate["value"])), low, high


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
    yield from _operating_points(report)
    yield "coverage", "", report["coverage"]["fraction"], planned
    for kind, section in report["latency"].items():
        for name, item in section.items():
            if is_estimate(item):
                yield f"latency.{kind}.{name}", "", item, section["count"]
    yield "throughput.rows_per_s", "", report["throughput"]["rows_per_s"], planned


def _operating_points(report: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any], int]]:
    """(metric, class, estimate, rows) of every operating point; of the positive class also without the class."""
    for curve in report.get("thresholds", {}).get("curves", []):
        whose = ["", curve["class"]] if "positive" in report["quality"] else [curve["class"]]
        for class_name in whose:
            for point in curve["operating_points"]:
                yield point["metric"], class_name, point["estimate"], point["rows"]


def _estimates_of_slice(
    entry: Mapping[str, Any], positive: str | None
) -> Iterator[tuple[str, str, Mapping[str, Any], int]]:  # fmt: skip
    """(metric, class, estimate, rows) of every estimate of a slice."""
    per_class = entry.get("per_class", [])
    row = next((row for row in per_class if row["class"] == positive), None)
    for name, item in entry.items():
        if is_estimate(item):
            yield name, "", item, rows_behind(name, row if name in POSITIVE else None, entry["rows"])
    for row in per_class:
        for name, item in row.items():
            if is_estimate(item):
                yield name, row["class"], item, rows_behind(name, row, entry["rows"])
