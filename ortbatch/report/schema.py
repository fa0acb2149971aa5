"""The JSON Schema of report.json, version 1: a promise to whoever reads reports. Every report is held to it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

from ortbatch.metrics.reference import TOP
from ortbatch.report.baseline_schema import BASELINES, VERSUS
from ortbatch.report.checks_schema import LEAKAGE, OVERFITTING
from ortbatch.report.fidelity_schema import FIDELITY, baselines_latency, without_good_classes, wrong_classes
from ortbatch.report.join import JOIN
from ortbatch.report.latency_schema import BATCH, SINGLE
from ortbatch.report.threshold_schema import PICK, THRESHOLDS, wrong_thresholds
from ortbatch.report.wellformed import without_wellformed

_COUNT = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
_PAIR = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}
_ESTIMATE = {"$ref": "#/$defs/estimate"}


def _object(properties: Mapping[str, Any], *, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """A closed object."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _map(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": dict(values)}


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


_BINARY_ONLY = ("positive", "precision", "recall", "f1", "specificity")
_AVERAGES = [f"{name}_{average}" for average in ("macro", "weighted") for name in ("precision", "recall", "f1")]
_OVERALL = [
    "accuracy", "balanced_accuracy", *_AVERAGES, "matthews_corrcoef", "cohen_kappa", "majority_class_accuracy",
    "log_loss", "brier", "ece", "roc_auc", "average_precision",
]  # fmt: skip
_RANKING = [f"top_{k}_accuracy" for k in TOP]
_PER_CLASS = ["precision", "recall", "f1", "specificity", "roc_auc", "average_precision"]

_QUALITY = _object(
    {
        "task": {"enum": ["binary", "multiclass"]},
        "classes": {**_list(_TEXT), "minItems": 2},
        "rows": {**_COUNT, "description": "Rows in the confusion matrix."},
        "positive": _TEXT,
        **dict.fromkeys((*_BINARY_ONLY[1:], *_OVERALL, *_RANKING), _ESTIMATE),
        "own_label": {
            **_object({"rows": _COUNT, "disagreements": _COUNT}),
            "description": "The model's own label output against the prediction.",
        },
        "per_class": _list(
            _object({"class": _TEXT, "support": _COUNT, "predicted": _COUNT, **dict.fromkeys(_PER_CLASS, _ESTIMATE)})
        ),
    },
    optional=(*_BINARY_ONLY, *_RANKING, "own_label"),
)
_RELIABILITY_BIN = _object(
    {
        "low": {**_NUMBER, "description": "Scores of this bin are at least this."},
        "high": {**_NUMBER, "description": "And below this; 1 is in the last bin."},
        "rows": _COUNT,
        "mean_score": _NUMBER,
        "share": {**_ESTIMATE, "description": "Rows of the positive class, or rows predicted right."},
    }
)
_CALIBRATION = _object(
    {
        "of": {"enum": ["positive class", "predicted class"]},
        "ece": _ESTIMATE,
        "ece_if_calibrated": {**_NUMBER, "description": "What chance alone shows on so many rows."},
        "largest_gap": _NUMBER,
        "overconfidence": {**_NUMBER, "description": "Above 0: scores lie farther out than they should."},
        "mean_score": _NUMBER,
        "share": _ESTIMATE,
        "bins": _list(_RELIABILITY_BIN),
        "brier": _object(dict.fromkeys(("reliability", "resolution", "uncertainty", "within_bins"), _NUMBER)),
        "risk_coverage": _list(_object({"confidence": _NUMBER, "coverage": _NUMBER, "accuracy": _ESTIMATE})),
    },
    optional=("brier", "risk_coverage"),
)
_MATRIX: dict[str, Any] = {
    **_object(
        {
            "classes": _list(_TEXT),
            "rows": {"const": "true"},
            "columns": {"const": "predicted"},
            "format": {
                "enum": ["dense", "coo"],
                "description": "coo above 100 classes: the matrix of 10,000 would be 100,000,000 numbers.",
            },
            "counts": {**_list(_list(_COUNT)), "description": "Row = true class, column = predicted class."},
            "cells": {
                **_list({**_list(_COUNT), "minItems": 3, "maxItems": 3}),
                "description": "[true, predicted, rows] of each cell that is not empty, classes by index from 0.",
            },
            "most_confused": _list(_object({"true": _TEXT, "predicted": _TEXT, "rows": _COUNT, "share": _ESTIMATE})),
        },
        optional=("counts", "cells"),
    ),
    "if": {"properties": {"format": {"const": "dense"}}},
    "then": {"required": ["counts"], "properties": {"cells": False}},
    "else": {"required": ["cells"], "properties": {"counts": False}},
}
_QUARANTINED = _object({"shard": _COUNT, "rows": _COUNT, "files": _list(_TEXT), "reason": _TEXT, "fault": _TEXT})
_COVERAGE = _object(
    {
        "files": _object({"listed": _COUNT, "planned": _COUNT, "rejected": _COUNT}),
        "shards": _object({"planned": _COUNT, "done": _COUNT, "quarantined": _list(_QUARANTINED)}),
        "rows": _object(
            {
                "planned": _COUNT,
                "evaluated": _COUNT,
                "unlabelled": _COUNT,
                "filtered": _COUNT,
                "rejected": {**_map(_COUNT), "description": "Reason → rows."},
            }
        ),
        "bad_rows": _object(
            {
                "count": _COUNT,
                "allowed": _COUNT,
                "files": {**_COUNT, "description": "Files with rejected rows."},
                "worst_files": _list(_object({"file": _TEXT, "rows": _COUNT})),
                "by_class": {
                    **_list(_object({"class": _TEXT, "rejected": _COUNT, "evaluated": _COUNT})),
                    "description": "Rejected rows whose label is known.",
                },
            }
        ),
        "fraction": _ESTIMATE,
    }
)
_GATE = _object(
    {
        "gate": _TEXT,
        "metric": _TEXT,
        "op": {"enum": [">=", ">", "<=", "<", "=="]},
        "limit": _NUMBER,
        "value": {"type": ["number", "null"]},
        "ci": {"anyOf": [_PAIR, {"type": "null"}]},
        "rows": {**_COUNT, "description": "Rows, or timed runs, that the value rests on."},
        "outcome": {"enum": ["passed", "failed", "inconclusive"]},
        "why": _TEXT,
        "volatile": {"type": "boolean", "description": "May the value differ between two runs of the same thing?"},
        "confidence": {**_NUMBER, "description": "How sure the outcome must be."},
        "limits": {**_PAIR, "description": "The interval of the value at that confidence."},
        "rows_missing": {**_COUNT, "description": "So many rows more like these would decide it."},
        "versus": VERSUS,
    },
    optional=("confidence", "limits", "rows_missing", "versus"),
)
_FINDING = _object(
    {
        "severity": {"enum": ["info", "warning", "error"]},
        "code": _TEXT,
        "text": _TEXT,
        "volatile": {"const": True, "description": "It may differ between two runs of the same thing."},
    },
    optional=("volatile",),
)
_RUNG = _object(
    {
        "rows": _COUNT,
        "rows_per_s": {"type": ["number", "null"], "description": "Best of several timings, all streams together."},
        "same_scores": {"type": "boolean", "description": "Did the rows tried get the same bits as by the rule?"},
    }
)
_BATCH_SIZE = _object(
    {
        "rows": _COUNT,
        "how": {"enum": ["job", "model", "rule", "batch_dependent", "tuned", "folder"]},
        "why": _TEXT,
        "seconds": {**_NUMBER, "description": "Time that the tuning took."},
        "streams": {**_COUNT, "description": "Streams timed at once."},
        "ladder": _list(_RUNG),
    }
)
_PROVENANCE = _object(
    {
        "identity": {**_map(_TEXT), "description": "What the counts are a function of."},
        "model": {"type": "object", "properties": {"sha256": _TEXT}, "required": ["sha256"]},
        "data": {"type": "object", "properties": {"plan_digest": _TEXT}, "required": ["plan_digest"]},
        "binding": {"type": "object"},
        "batch_size": {**_BATCH_SIZE, "description": "How the batch size was found."},
        "versions": _map(_TEXT),
        "engine": {
            "type": "object",
            "properties": {"engine": _TEXT, "by": _TEXT, "workers": _COUNT, "streams_per_worker": _COUNT},
            "required": ["engine", "workers", "streams_per_worker"],
        },
        "host": {"type": "object"},
        "retries": _COUNT,
        "restored_shards": _COUNT,
        "faults": _list(_TEXT),
    },
    optional=("batch_size",),
)
_OF_SLICES = ("accuracy", "precision", "recall", "f1", "specificity", "roc_auc", "average_precision")
_OF_SLICES_OF_MANY = ("balanced_accuracy", "f1_macro")
_WORSE = _object(
    {
        "metric": {"enum": ["accuracy", "recall", "precision"]},
        **dict.fromkeys(("value", "rest", "difference", "p_value", "p_adjusted"), _NUMBER),
    }
)
_SLICE = _object(
    {
        "by": {**_list(_TEXT), "description": "Columns that cut the rows."},
        "slice": {**_map(_TEXT), "description": "Column → value, as text."},
        "name": {**_TEXT, "description": "As a gate writes it behind its @."},
        "rows": _COUNT,
        "small": {"type": "boolean", "description": "Fewer than 50 rows."},
        "pooled": {**_COUNT, "description": "Of (other): values found in the data that have no slice of their own."},
        **dict.fromkeys((*_OF_SLICES, *_OF_SLICES_OF_MANY), _ESTIMATE),
        "per_class": _list(
            _object(
                {
                    "class": _TEXT,
                    "support": _COUNT,
                    "predicted": _COUNT,
                    **dict.fromkeys(("precision", "recall", "f1"), _ESTIMATE),
                }
            )
        ),
        "worse": {**_list(_WORSE), "description": "By more than chance, against all other rows of the same columns."},
    },
    optional=("pooled", *_OF_SLICES[1:], *_OF_SLICES_OF_MANY, "per_class"),
)

_OPTIONAL = (
    "sampled", "calibration", "thresholds", "predictions", "slices", "fidelity", "leakage", "overfitting", "baselines",
    "join",
)  # fmt: skip

REPORT_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "ortbatch report",
    "$defs": {
        "estimate": {
            "description": "A number with its 95% interval; null with a reason where the data do not define it.",
            **_object(
                {
                    "value": {"type": ["number", "null"]},
                    "ci": {"anyOf": [_PAIR, {"type": "null"}]},
                    "reason": _TEXT,
                    "method": {**_TEXT, "description": "How the interval was found."},
                    "caution": {**_TEXT, "description": "Why the interval may be too narrow."},
                    "bound": {**_PAIR, "description": "The value of the raw scores is proven to lie in it."},
                },
                optional=("reason", "method", "caution", "bound"),
            ),
            "if": {"properties": {"value": {"type": "null"}}},
            "then": {"required": ["reason"]},
            "dependentSchemas": {
                "reason": {"properties": {"ci": {"type": "null"}}},
                "method": {"properties": {"ci": _PAIR}},
                "caution": {"required": ["method"]},
            },
        },
        "pick": PICK,
    },
    **_object(
        {
            "schema_version": {"const": 1},
            "status": {"enum": ["passed", "failed", "inconclusive", "incomplete", "ungated"]},
            "exit_code": {"enum": [0, 1, 3, 4]},
            "sampled": {"const": True, "description": "Only a sample of the rows was looked at."},
            "run": _object(
                {"id": _TEXT, "name": _TEXT, "started_at": _TEXT, "duration_s": _NUMBER, "vars": _map(_TEXT)}
            ),
            "job": {
                "type": "object",
                "properties": {"threshold": _NUMBER},
                "required": ["name", "model", "data", "threshold", "job_digest", "evaluation_digest"],
            },
            "coverage": _COVERAGE,
            "quality": _QUALITY,
            "calibration": _CALIBRATION,
            "confusion_matrix": _MATRIX,
            "thresholds": THRESHOLDS,
            "latency": _object(
                {"batch": BATCH, "single": SINGLE, "baselines": baselines_latency(BATCH, SINGLE)},
                optional=("baselines",),
            ),
            "throughput": _object({"rows_per_s": _ESTIMATE, "pass_s": _NUMBER, "seconds": _map(_NUMBER)}),
            "predictions": _object({"folder": _TEXT, "files": _COUNT, "rows": _COUNT, "columns": _list(_TEXT)}),
            "join": JOIN,
            "slices": _list(_SLICE),
            "fidelity": FIDELITY,
            "leakage": LEAKAGE,
            "overfitting": OVERFITTING,
            "baselines": BASELINES,
            "gates": _list(_GATE),
            "findings": _list(_FINDING),
            "provenance": _PROVENANCE,
        },
        optional=_OPTIONAL,
    ),
}


def problems_of(report: object) -> list[str]:
    """Where a decoded report breaks the schema, or its own sizes, in words; empty if nowhere."""
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(REPORT_SCHEMA)
    shortened = without_good_classes(without_wellformed(report, _PER_CLASS))
    errors = sorted(validator.iter_errors(shortened), key=lambda error: str(list(error.path)))
    problems = [f"{'.'.join(map(str, error.path)) or 'report'}: {error.message[:300]}" for error in errors]
    return problems or [*_not_finite(report, "report"), *_wrong_sizes(cast(dict[str, Any], report))]


def _not_finite(value: object, where: str) -> Iterator[str]:
    """NaN and infinities are numbers to a JSON Schema, but no JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{where}: {value} is not finite"
    elif isinstance(value, dict) or (isinstance(value, list) and not set(map(type, value)) <= {int}):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _not_finite(item, f"{where}.{key}")


def _wrong_sizes(report: Mapping[str, Any]) -> Iterator[str]:
    """Lists with an entry a class, and places in the matrix; a JSON Schema cannot count them."""
    quality, matrix = report["quality"], report["confusion_matrix"]
    classes = quality["classes"]
    if matrix["classes"] != classes or [row["class"] for row in quality["per_class"]] != classes:
        yield "report: quality.classes, quality.per_class and confusion_matrix.classes are not the same classes"
    yield from wrong_thresholds(report)
    yield from wrong_classes(report)
    size = len(classes)
    if "counts" in matrix and [len(row) for row in matrix["counts"]] != [size] * size:
        yield f"confusion_matrix.counts: expected {size} rows of {size} counts"
    if any(cell[0] >= size or cell[1] >= size for cell in matrix.get("cells", [])):
        yield f"confusion_matrix.cells: a class is beyond the {size} classes"
