"""What a report holds by the ten thousand, checked by hand: jsonschema takes 70 µs an estimate.

A part that is found good here is one that the schema allows; anything else is left to the schema and its messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from ortbatch.report.threshold_schema import without_columns

_ESTIMATE_KEYS = frozenset({"value", "ci", "reason", "method", "caution", "bound"})


def without_wellformed(report: object, estimates: Sequence[str]) -> object:
    """A decoded report whose cells of the matrix, and whose rows by class, are left out where all of them are good.

    Args:
        report: as decoded; not changed.
        estimates: names of the estimates of a class.
    """
    if not isinstance(report, dict):
        return report
    rest = without_columns(_emptied(report, "confusion_matrix", "cells", _is_cell))
    keys = {"class", "support", "predicted", *estimates}
    return _emptied(rest, "quality", "per_class", lambda row: _is_class_row(row, keys, estimates))


def _emptied(report: dict[str, Any], section: str, key: str, is_good: Callable[[Any], bool]) -> dict[str, Any]:
    inner = report.get(section)
    items = inner.get(key) if isinstance(inner, dict) else None
    if not isinstance(items, list) or not all(map(is_good, items)):
        return report
    return {**report, section: {**cast(dict[str, Any], inner), key: []}}


def _is_cell(cell: object) -> bool:
    return isinstance(cell, list) and len(cell) == 3 and all(map(_is_count, cell))


def _is_class_row(row: object, keys: set[str], estimates: Sequence[str]) -> bool:
    return (
        isinstance(row, dict)
        and row.keys() == keys
        and isinstance(row["class"], str)
        and _is_count(row["support"])
        and _is_count(row["predicted"])
        and all(is_estimate(row[name]) for name in estimates)
    )


def is_estimate(item: object) -> bool:
    """As `#/$defs/estimate` of the schema has it."""
    if not isinstance(item, dict) or not item.keys() <= _ESTIMATE_KEYS or not {"value", "ci"} <= item.keys():
        return False
    value, ci = item["value"], item["ci"]
    if "reason" in item:
        # Only a value without interval has a reason.
        good = isinstance(item["reason"], str) and ci is None and (value is None or _is_number(value))
    else:
        good = _is_number(value) and (ci is None or _is_pair(ci))
    if "method" in item:
        good = good and isinstance(item["method"], str) and _is_pair(ci)
    if "caution" in item:
        good = good and isinstance(item["caution"], str) and "method" in item
    return good and ("bound" not in item or _is_pair(item["bound"]))


def _is_count(item: object) -> bool:
    return type(item) is int and item >= 0


def _is_number(item: object) -> bool:
    return type(item) is float or type(item) is int


def _is_pair(item: object) -> bool:
    return isinstance(item, list) and len(item) == 2 and all(map(_is_number, item))
