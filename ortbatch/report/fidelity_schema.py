"""The part of the report's schema about models that run beside the one that is evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ortbatch.metrics.gaps import BANDS, TOLERANCES
from ortbatch.report.fidelity_parts import PERCENTILES
from ortbatch.report.wellformed import is_estimate

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "number"}
_YES_OR_NO = {"type": "boolean"}
_VALUE = {"type": ["number", "null"]}
_ESTIMATE = {"$ref": "#/$defs/estimate"}
_JOINT_COUNTS = dict.fromkeys(("both_right", "only_model_right", "only_baseline_right", "both_wrong"), _COUNT)


def _object(properties: Mapping[str, Any], *optional: str) -> dict[str, Any]:
    """A closed object."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


_BOTH: dict[str, Any] = {
    **_object({"model": _VALUE, "baseline": _VALUE, "difference": _ESTIMATE}),
    "description": "A metric of both on the same rows; the difference is the model's less the baseline's.",
}
_ABOVE = {**_list(_COUNT), "minItems": BANDS - 1, "maxItems": BANDS - 1, "description": "Rows above each tolerance."}
_SCORES = _object(
    {
        "rows": {**_COUNT, "description": "Rows that both gave scores."},
        **dict.fromkeys(("mean", "rms", "max", *PERCENTILES), _ESTIMATE),
        "above": {
            **_list(_object({"tolerance": {"enum": list(TOLERANCES)}, "rows": _COUNT, "share": _ESTIMATE})),
            "description": "Rows whose probabilities differ by more than that.",
        },
        "by_class": {
            **_list(_object({"class": _TEXT, "above": _ABOVE})),
            "description": "By the class whose probability differs most; up to 20, most rows first.",
        },
    },
    "by_class",
)
_ROW = _object(
    {
        "file": _TEXT,
        "row": {**_COUNT, "description": "Its number in the file, from 0."},
        **dict.fromkeys(("label", "predicted", "baseline"), _TEXT),
        "difference": _NUMBER,
        "class": {**_TEXT, "description": "Whose probability differs most."},
        "score": {**_NUMBER, "description": "What the model gives that class."},
        "baseline_score": _NUMBER,
    },
    "difference",
    "class",
    "score",
    "baseline_score",
)
_MOVED = _object({"baseline": _TEXT, "model": _TEXT, "rows": _COUNT, "of_baseline": _COUNT, "of_model": _COUNT})
_SLICE = _object(
    {
        "by": _list(_TEXT),
        "slice": {"type": "object", "additionalProperties": _TEXT},
        "name": _TEXT,
        "rows": _COUNT,
        "agreement": _ESTIMATE,
        "joint": _object(_JOINT_COUNTS),
        "accuracy": _BOTH,
        "above": _ABOVE,
    },
    "above",
)
_CLASS_COUNTS = ("support", "flips", *_JOINT_COUNTS)
_CLASS = _object(
    {"class": _TEXT, **dict.fromkeys(_CLASS_COUNTS, _COUNT), "recall": _BOTH, "f1": _BOTH},
)
_ENTRY = _object(
    {
        "kind": {"enum": ["onnx", "torch", "function", "scores"]},
        "model": {"type": "object", "description": "Where the baseline comes from."},
        "batch_dependent": _object(dict.fromkeys(("model", "baseline"), _YES_OR_NO)),
        "quantized": _object(dict.fromkeys(("model", "baseline"), _YES_OR_NO)),
        "rows": {**_COUNT, "description": "Evaluated rows that both could do."},
        "unusable": {
            "type": "object",
            "additionalProperties": _COUNT,
            "description": "Reason → evaluated rows that the baseline could not do.",
        },
        "agreement": {**_ESTIMATE, "description": "Share of rows whose predictions are the same."},
        "flips": {**_COUNT, "description": "Rows whose predictions differ."},
        "joint": _object({**_JOINT_COUNTS, "mcnemar_p": _NUMBER}),
        "metrics": _object(dict.fromkeys(("accuracy", "balanced_accuracy", "f1_macro", "f1"), _BOTH), "f1"),
        "scores": {**_SCORES, "description": "Differences of the probabilities, the largest of each row."},
        "permutation": {
            **_object({"explains": _NUMBER, "moved": _list(_MOVED)}),
            "description": "Other names of the baseline's classes, with which more rows would agree.",
        },
        "worst": {**_list(_ROW), "description": "Rows of the largest differences, up to 20."},
        "flipped": {**_list(_ROW), "description": "Rows whose predictions differ, up to 20."},
        "slices": _list(_SLICE),
        "per_class": _list(_CLASS),
        "differ_most": {
            **_list(_object({"class": _TEXT, "flips": _COUNT})),
            "description": "Classes that only one of the two predicts, up to 20, most rows first.",
        },
    },
    "kind",
    "model",
    "scores",
    "permutation",
    "slices",
)

FIDELITY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": _ENTRY,
    "description": "Models that ran on the same rows, by name: how far they and the model differ.",
}


def baselines_latency(batch: Mapping[str, Any], single: Mapping[str, Any]) -> dict[str, Any]:
    """Of the part `latency.baselines`, from the schemas of both measurements."""
    beside = _object({"batch": batch, "single": single, "batch_ratio": _ESTIMATE, "single_ratio": _ESTIMATE}, "single")
    return {
        "type": "object",
        "additionalProperties": beside,
        "description": "Of models that ran on the same rows, by name; ratios are baseline to model, of the medians.",
    }


def without_good_classes(report: object) -> object:
    """A decoded report without the rows by class of its baselines, where all of them are good; see `wellformed`."""
    fidelity = report.get("fidelity") if isinstance(report, dict) else None
    if not isinstance(report, dict) or not isinstance(fidelity, dict):
        return report
    return {**report, "fidelity": {name: _emptied(entry) for name, entry in fidelity.items()}}


def _emptied(entry: object) -> object:
    rows = entry.get("per_class") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(rows, list) or not all(map(_is_class, rows)):
        return entry
    return {**entry, "per_class": []}


def _is_class(row: object) -> bool:
    return (
        isinstance(row, dict)
        and row.keys() == _CLASS["properties"].keys()
        and isinstance(row["class"], str)
        and all(type(row[name]) is int and row[name] >= 0 for name in _CLASS_COUNTS)
        and _is_both(row["recall"])
        and _is_both(row["f1"])
    )


def _is_both(item: object) -> bool:
    return (
        isinstance(item, dict)
        and item.keys() == _BOTH["properties"].keys()
        and all(item[side] is None or type(item[side]) in (int, float) for side in ("model", "baseline"))
        and is_estimate(item["difference"])
    )


def wrong_classes(report: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the lists by class of the baselines; a JSON Schema cannot count them."""
    classes = report["quality"]["classes"]
    for name, entry in report.get("fidelity", {}).items():
        if [row["class"] for row in entry["per_class"]] != classes:
            yield f"fidelity.{name}.per_class: its classes are not those of quality.classes"
