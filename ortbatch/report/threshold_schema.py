"""The part of the report's schema about thresholds, and what a JSON Schema cannot count in it.

Columns hold up to tens of thousands of numbers: `without_columns` checks them by hand, as jsonschema takes long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_COUNT = {"type": "integer", "minimum": 0}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_ESTIMATE = {"$ref": "#/$defs/estimate"}
_COUNTED = ("tp", "fp", "fn", "tn")
_RATES = ("precision", "recall", "f1", "fpr")
_CELLS = ("cell", "negative_0", "positive_0", "negative_1", "positive_1")


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A closed object with all of these keys."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _columns(names: tuple[str, ...], items: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"type": "array", "items": dict(items)} for name in names}


_POINTS = _object(
    {
        **_columns(("threshold",), _SHARE),
        **_columns(_COUNTED, _COUNT),
        **_columns(_RATES, {"anyOf": [_SHARE, {"type": "null"}]}),
    }
)
_CURVE = _object(
    {
        "class": {"type": "string"},
        "bins": {**_COUNT, "minimum": 2, "description": "Of the histogram; it has 4 cells more."},
        "points": {**_POINTS, "description": "Columns, by rising threshold."},
        "recommended": {
            "type": "object",
            "additionalProperties": {"$ref": "#/$defs/pick"},
            "description": "What is asked of a threshold → the threshold that does it best.",
        },
        "operating_points": {
            "type": "array",
            "items": _object({"metric": {"type": "string"}, "rows": _COUNT, "estimate": _ESTIMATE}),
        },
        "histogram": {**_object(_columns(_CELLS, _COUNT)), "description": "Columns, a place for each cell with rows."},
    }
)

THRESHOLDS = _object(
    {
        "threshold": {
            "anyOf": [_SHARE, {"type": "null"}],
            "description": "The job's; null where the prediction is the class of largest score.",
        },
        "curves": {"type": "array", "items": _CURVE, "minItems": 1},
    }
)
PICK = {
    "description": "A threshold and what it does; null with a reason where no threshold does what is asked.",
    "type": "object",
    "properties": {
        "threshold": {"anyOf": [_SHARE, {"type": "null"}]},
        "reason": {"type": "string"},
        "confusion": _object(dict.fromkeys(_COUNTED, _COUNT)),
        **dict.fromkeys(("precision", "recall", "f1"), _ESTIMATE),
    },
    "required": ["threshold"],
    "additionalProperties": False,
    "if": {"properties": {"threshold": {"type": "null"}}},
    "then": {"required": ["reason"]},
    "else": {"required": ["confusion", "precision", "recall", "f1"], "properties": {"reason": False}},
}


def without_columns(report: dict[str, Any]) -> dict[str, Any]:
    """A decoded report whose columns of thresholds are left out where all of their numbers are good."""
    section = report.get("thresholds")
    curves = section.get("curves") if isinstance(section, dict) else None
    if not isinstance(section, dict) or not isinstance(curves, list):
        return report
    return {**report, "thresholds": {**section, "curves": [_emptied(curve) for curve in curves]}}


def _emptied(curve: object) -> object:
    if not isinstance(curve, dict):
        return curve
    changed = dict(curve)
    for part in ("points", "histogram"):
        columns = curve.get(part)
        if isinstance(columns, dict):
            changed[part] = {name: [] if _is_good(name, column) else column for name, column in columns.items()}
    return changed


def _is_good(name: str, column: object) -> bool:
    if not isinstance(column, list):
        return False
    if name in _COUNTED or name in _CELLS:
        return _are_counts(column)
    if name in _RATES:
        return _are_shares([number for number in column if number is not None])
    return name == "threshold" and _are_shares(column)


def _are_counts(column: list[Any]) -> bool:
    return set(map(type, column)) <= {int} and min(column, default=0) >= 0


def _are_shares(column: list[Any]) -> bool:
    return set(map(type, column)) <= {int, float} and all(0 <= number <= 1 for number in column)


def wrong_thresholds(report: Mapping[str, Any]) -> Iterator[str]:
    """Columns of unlike length or that do not rise, cells beyond the histogram, and classes that there are not."""
    classes = report["quality"]["classes"]
    for place, curve in enumerate(report.get("thresholds", {}).get("curves", [])):
        where = f"thresholds.curves.{place}"
        if curve["class"] not in classes:
            yield f"{where}.class: none of the classes"
        for part, key in (("points", "threshold"), ("histogram", "cell")):
            columns = curve[part]
            if len({len(column) for column in columns.values()}) > 1 or not columns[key]:
                yield f"{where}.{part}: expected columns of one length, of at least one"
            elif any(a >= b for a, b in zip(columns[key], columns[key][1:], strict=False)):
                yield f"{where}.{part}.{key}: expected rising numbers"
        cells = curve["histogram"]["cell"]
        if cells and cells[-1] >= curve["bins"] + 4:
            yield f"{where}.histogram.cell: a cell is beyond the {curve['bins']:,} bins"
