"""The parts of the report's schema about the training data: `leakage` and `overfitting`."""

from __future__ import annotations

from typing import Any

from ortbatch.metrics.checked import GAPS, QUALITY
from ortbatch.report.latency_schema import COUNT, closed

_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
_ESTIMATE = {"$ref": "#/$defs/estimate"}
_CLASS = {"type": ["string", "null"]}


def _list(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": closed(properties)}


_TRAINING = {
    "files": {**COUNT, "description": "Files of the training data."},
    "same_files": {**COUNT, "description": "Those that are files of the evaluation data too, by size and footer."},
    "plan_digest": _TEXT,
    "rows": {**COUNT, "description": "Rows by the footers."},
    "no_labels": {"type": ["string", "null"], "description": "Why their labels are not known; null if they are."},
}
_ROW: dict[str, Any] = {"file": _TEXT, "row": COUNT}
_OF_TRAINING: dict[str, Any] = {"training_file": _TEXT, "training_row": COUNT}
# Of two classes precision, recall and F1 are those of the positive one; of more there are none.
_POSITIVE = ("precision", "recall", "f1")
_OF_POSITIVE: dict[str, Any] = {
    "support": {**COUNT, "description": "Rows of the positive class."},
    "predicted": {**COUNT, "description": "Rows predicted as it."},
}
_QUALITY = closed(
    {"rows": COUNT, **_OF_POSITIVE, **dict.fromkeys(QUALITY, _ESTIMATE)}, *_OF_POSITIVE, *_POSITIVE
)  # fmt: skip

LEAKAGE: dict[str, Any] = closed(
    {
        "compared": {**COUNT, "description": "Evaluation rows whose inputs the model can be given."},
        "distinct": {**COUNT, "description": "Different inputs among them."},
        "training": closed(
            {
                **_TRAINING,
                "looked_at": {**COUNT, "description": "Training rows that were compared."},
                "unusable": {**COUNT, "description": "Those of them without inputs that the model can be given."},
                "left_out": {**COUNT, "description": "Rows of shards that could not be read."},
                "matching": {**COUNT, "description": "Training rows whose inputs are those of an evaluation row."},
            }
        ),
        "rows": {**COUNT, "description": "Leaked rows: evaluation rows whose inputs stand in the training data."},
        "share": _ESTIMATE,
        "examples": _list({**_ROW, **_OF_TRAINING}),
        "duplicates": {**COUNT, "description": "Evaluation rows beyond the first of their inputs."},
        "duplicate_share": _ESTIMATE,
        "duplicate_examples": _list({**_ROW, "first_file": _TEXT, "first_row": COUNT}),
        "conflicts": {**COUNT, "description": "Evaluation rows whose inputs stand with another label too."},
        "conflict_examples": _list(
            {**_ROW, "class": _CLASS, "other_file": _TEXT, "other_row": COUNT, "other_class": _CLASS}
        ),
        "training_conflicts": {
            "type": ["integer", "null"],
            "minimum": 0,
            "description": "Evaluation rows whose inputs have another label in the training data.",
        },
        "training_conflict_examples": _list({**_ROW, "class": _CLASS, **_OF_TRAINING, "training_class": _CLASS}),
        "without": {**_QUALITY, "description": "Of the evaluated rows that are not leaked."},
        "leaked": {**_QUALITY, "description": "Of those that are."},
        "difference": {
            **closed({name: {"type": ["number", "null"]} for name in QUALITY}, *_POSITIVE),
            "description": "Of all rows minus of those that are not leaked.",
        },
        "columns": {
            **_list(
                {
                    "column": _TEXT,
                    "input": _TEXT,
                    "measure": {"enum": ["roc_auc", "accuracy"]},
                    "value": _NUMBER,
                    "majority": {**_NUMBER, "description": "Share of the largest class in the sample."},
                    "rows": {**COUNT, "description": "Rows of the sample."},
                }
            ),
            "description": "Columns that tell the label by themselves.",
        },
    },
    "leaked",
)

OVERFITTING: dict[str, Any] = closed(
    {
        "training": closed(_TRAINING),
        "sampled": {"type": ["integer", "null"], "minimum": 1, "description": "Rows drawn; null for all of them."},
        "seed": COUNT,
        "rows": {**COUNT, "description": "Training rows that were evaluated."},
        "rejected": {
            "type": "object",
            "additionalProperties": COUNT,
            "description": "Training rows that could not be, by reason.",
        },
        "left_out": {**COUNT, "description": "Rows of shards that could not be done."},
        "quality": closed(dict.fromkeys(QUALITY, _ESTIMATE), *_POSITIVE),
        "gaps": {
            **closed({f"{name}_gap": _ESTIMATE for name in GAPS}, "f1_gap", "f1_macro_gap"),
            "description": "Of training rows minus of evaluated rows.",
        },
    },
    "quality",
)
