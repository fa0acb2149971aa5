"""Tables of a report as rows of plain values, and as pandas DataFrames.

Every number is that of report.json; an interval stands in two columns, `lo` and `hi`. What is undefined is missing
(NaN in a frame), never 0. A table that the report does not have is refused: it is not empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ortbatch.errors import ReportError
from ortbatch.metrics.reference import MetricRef
from ortbatch.report.encode import is_estimate
from ortbatch.report.slices import written
from ortbatch.report.table import metrics_table

if TYPE_CHECKING:
    import pandas

    from ortbatch.report.report import Report

Row = dict[str, Any]


def frame_of(report: Report, table: str) -> pandas.DataFrame:
    """A table of a report; `confusion_matrix` has classes on both sides, rows = true, columns = predicted.

    Raises:
        ReportError: without pandas, for a name that is none, or a table that this report does not have.
    """
    require("pandas", "a table of a report")
    import pandas

    if table == "confusion_matrix":
        names = [pandas.Index(report.classes, name=side) for side in ("true", "predicted")]
        return pandas.DataFrame(report.confusion_matrix, index=names[0], columns=names[1])
    rows = rows_of(report.data, table)
    return pandas.DataFrame(rows) if rows else pandas.DataFrame(columns=list(_EMPTY.get(table, ())))


def rows_of(report: Mapping[str, Any], table: str) -> list[Row]:
    """The rows of a table of a decoded report; all have the same keys.

    Raises:
        ReportError: for a name that is none, or a table that this report does not have.
    """
    if table not in _TABLES:
        known = ", ".join(sorted([*_TABLES, "confusion_matrix"]))
        raise ReportError(f"no table `{table}` in a report; it has {known}.")
    rows = list(_TABLES[table](report))
    if not rows and table in _ASKED_BY:
        raise ReportError(f"this report has no table `{table}`: {_ASKED_BY[table]}.")
    keys = dict.fromkeys(key for row in rows for key in row)
    return [{key: row.get(key) for key in keys} for row in rows]


def require(module: str, what: str) -> None:
    """Refuse what needs a package that is not installed; raises ReportError."""
    if find_spec(module) is None:
        raise ReportError(f"{what} needs {module}, which is not installed: pip install 'ortbatch[notebook]'.")


def _metrics(report: Mapping[str, Any]) -> Iterator[Row]:
    """The lines of metrics.csv, numbers as numbers."""
    for line in csv.DictReader(io.StringIO(metrics_table(report), newline="")):
        numbers = {key: float(line[key]) if line[key] else None for key in ("value", "lo", "hi")}
        yield {**line, **numbers, "n": int(line["n"])}


def _per_class(report: Mapping[str, Any]) -> Iterator[Row]:
    return (_flat(row) for row in report["quality"]["per_class"])


def _slices(report: Mapping[str, Any]) -> Iterator[Row]:
    for entry in report.get("slices", []):
        worse = ", ".join(item["metric"] for item in entry["worse"])
        yield {"slice": entry["name"], "rows": entry["rows"], "worse": worse} | _flat(entry, only_estimates=True)


def _gates(report: Mapping[str, Any]) -> Iterator[Row]:
    return (_flat({**gate, "ci": None}) | _limits(gate["ci"]) for gate in report["gates"])


def _findings(report: Mapping[str, Any]) -> Iterator[Row]:
    return (_flat(finding) for finding in report["findings"])


def _thresholds(report: Mapping[str, Any]) -> Iterator[Row]:
    """A row a point of each curve, thresholds rising."""
    for curve in report.get("thresholds", {}).get("curves", []):
        columns = curve["points"]
        for values in zip(*columns.values(), strict=True):
            yield {"class": curve["class"], **dict(zip(columns, values, strict=True))}


def _latency(report: Mapping[str, Any]) -> Iterator[Row]:
    for kind, section in report["latency"].items():
        for statistic, item in section.items():
            if is_estimate(item):
                yield {"kind": kind, "statistic": statistic, **_numbers(item), "n": section["count"]}


def _fidelity(report: Mapping[str, Any]) -> Iterator[Row]:
    for line in _metrics(report):
        if line["metric"].startswith("fidelity"):
            ref = MetricRef.parse(line["metric"])
            yield {"baseline": ref.class_name, "metric": ref.name.removeprefix("fidelity.")} | {
                key: line[key] for key in ("slice", "value", "lo", "hi", "n")
            }


def _calibration(report: Mapping[str, Any]) -> Iterator[Row]:
    return (_flat(each) for each in report.get("calibration", {}).get("bins", []))


def _rejected(report: Mapping[str, Any]) -> Iterator[Row]:
    return ({"reason": reason, "rows": rows} for reason, rows in report["coverage"]["rows"]["rejected"].items())


def _flat(item: Mapping[str, Any], *, only_estimates: bool = False) -> Row:
    """Scalars as they are, an estimate as value, `_lo` and `_hi`; nested parts but a slice's are left out."""
    row: Row = {}
    for key, value in item.items():
        if is_estimate(value):
            row |= {key: value["value"]} | {f"{key}_{end}": limit for end, limit in _limits(value["ci"]).items()}
        elif key == "slice" and isinstance(value, Mapping):
            row[key] = written(value)
        elif not isinstance(value, list | Mapping) and key != "ci" and not only_estimates:
            row[key] = value
    return row


def _numbers(estimate: Mapping[str, Any]) -> Row:
    return {"value": estimate["value"], **_limits(estimate["ci"])}


def _limits(ci: Sequence[float] | None) -> Row:
    low, high = ci or (None, None)
    return {"lo": low, "hi": high}


_TABLES: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Row]]] = {
    "metrics": _metrics,
    "per_class": _per_class,
    "slices": _slices,
    "gates": _gates,
    "findings": _findings,
    "thresholds": _thresholds,
    "latency": _latency,
    "fidelity": _fidelity,
    "calibration": _calibration,
    "rejected": _rejected,
}

# Tables that may be empty: nothing was asked, found or rejected. Of the others nothing means that there is no table.
_EMPTY: Mapping[str, Sequence[str]] = {
    "gates": ("gate", "metric", "op", "limit", "value", "rows", "outcome", "why", "volatile", "lo", "hi"),
    "findings": ("severity", "code", "text"),
    "rejected": ("reason", "rows"),
}
_ASKED_BY: Mapping[str, str] = {
    "slices": "the job asks for none; name columns in `slices` and run it again",
    "thresholds": "no scores were kept, as the model puts out labels only or has too many classes for curves",
    "fidelity": "no other model ran beside this one; name it in `baselines` and run the job again",
    "calibration": "the model puts out no probabilities",
}
