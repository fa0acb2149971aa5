"""What `ortbatch check --json` prints, version 1: its values and its JSON Schema, side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ortbatch.preflight import Preflight, needed
from ortbatch.report.encode import encode, plain
from ortbatch.report.latency_schema import closed

if TYPE_CHECKING:
    from ortbatch.data.binding import InputBinding

_TEXT, _FLAG = {"type": "string"}, {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "number", "minimum": 0}
_TEXTS = {"type": "array", "items": _TEXT}


def _or_null(kind: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [kind, {"type": "null"}]}


_INPUT = closed(
    {
        "name": _TEXT,
        "dtype": _TEXT,
        "row_shape": {"type": "array", "items": _or_null(_COUNT)},
        "columns": _TEXTS,
        "how": {"enum": ["job", "name", "order", "transform"]},
    }
)
_ESTIMATE = closed(
    {
        "rows_timed": _COUNT,
        "read_s_per_row": _NUMBER,
        "other_s_per_row": _NUMBER,
        "rows_per_s": _NUMBER,
        "pass_s": _NUMBER,
        "start_s": _NUMBER,
        "single_s_at_most": _NUMBER,
        "worker_bytes": _COUNT,
        "base_bytes": _COUNT,
        "session_bytes": _COUNT,
        "groups_bytes": _COUNT,
        "batch_bytes": _COUNT,
    }
)

PREFLIGHT_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "ortbatch check",
    **closed(
        {
            "schema_version": {"const": 1},
            "job": _TEXT,
            "data": closed({"rows": _COUNT, "files": _COUNT, "shards": _COUNT, "largest_group_rows": _COUNT}),
            "model": closed(
                {"sha256": _TEXT, "bytes": _COUNT, "opset": _COUNT, "producer": _TEXT, "providers": _TEXTS}
            ),
            "inputs": {"type": "array", "items": _INPUT},
            "output": closed({"name": _TEXT, "kind": _TEXT, "columns": _or_null(_COUNT), "by": _TEXT}),
            "label": closed({"column": _TEXT, "by": _TEXT}),
            "classes": _TEXTS,
            "task": {"enum": ["binary", "multiclass"]},
            "positive": _or_null(_TEXT),
            "slices": {"type": "array", "items": closed({"columns": _TEXTS, "slices": _COUNT})},
            "batch_size": closed({"rows": _COUNT, "by": _TEXT, "why": _TEXT}),
            "batch_dependent": closed({"rows": _COUNT, "labels": _COUNT}),
            "baselines": {"type": "array", "items": closed({"name": _TEXT, "kind": _TEXT, "run": _or_null(_TEXT)})},
            "training_data": _or_null(
                closed({"rows": _COUNT, "files": _COUNT, "leakage": _FLAG, "overfitting": _FLAG})
            ),
            "first_rows": closed({"good": _COUNT, "rejected": {"type": "object", "additionalProperties": _COUNT}}),
            "gates": {"type": "array", "items": closed({"gate": _TEXT, "needs": _TEXT, "undecidable": _FLAG})},
            "engine": closed({"engine": _TEXT, "why": _TEXT, "workers": _COUNT, "streams_per_worker": _COUNT}),
            "estimate": _or_null(_ESTIMATE),
            "not_estimated": _or_null(_TEXT),
        }
    ),
}


def as_json(found: Preflight) -> str:
    """What was found, as JSON text that keeps the schema."""
    return f"{encode(plain(_values(found)))}\n"


def _values(found: Preflight) -> dict[str, Any]:
    prepared, plan = found.prepared, found.prepared.plan
    evaluation, decision = prepared.evaluation, prepared.evaluation.decision
    positive = decision.positive
    return {
        "schema_version": 1,
        "job": prepared.job.name,
        "data": {
            "rows": plan.rows, "files": len(plan.files), "shards": len(plan.shards),
            "largest_group_rows": max(rows for file in plan.files for rows in file.group_rows),
        },
        "model": _model(found),
        "inputs": _inputs(found),
        "output": {"name": decision.output.name, "kind": decision.output.kind, "columns": decision.output.columns,
                   "by": decision.output.inferred},
        "label": {"column": evaluation.labels.column, "by": evaluation.labels.by},
        "classes": list(decision.classes),
        "task": "multiclass" if positive is None else "binary",
        "positive": None if positive is None else decision.classes[positive],
        "slices": [{"columns": list(cut.by), "slices": cut.slices} for cut in evaluation.cuts],
        "batch_size": {
            "rows": evaluation.batch_size, "by": prepared.batch_size_by, "why": prepared.tuning.why,
        },
        "batch_dependent": {"rows": prepared.dependence.rows, "labels": prepared.dependence.labels},
        "baselines": _baselines(found),
        "training_data": _training(found),
        "first_rows": {
            "good": len(prepared.decoded.labels),
            "rejected": {reason: len(rows) for reason, rows in prepared.decoded.rejected.items()},
        },
        "gates": _gates(found),
        "engine": {"engine": found.engine, "why": found.why, "workers": found.layout.workers,
                   "streams_per_worker": found.layout.streams},
        "estimate": _estimate(found),
        "not_estimated": found.not_timed,
    }  # fmt: skip


def _model(found: Preflight) -> dict[str, Any]:
    model = found.prepared.model
    return {
        "sha256": model.sha256,
        "bytes": model.source.size,
        "opset": model.graph.opset,
        "producer": model.graph.producer,
        "providers": list(model.providers),
    }


def _inputs(found: Preflight) -> list[dict[str, Any]]:
    inputs = found.prepared.evaluation.inputs
    columns = list(inputs.transform.columns) if inputs.transform is not None else []
    return [
        *(_bound(binding) for binding in inputs.bound),
        *(
            {"name": s.name, "dtype": s.dtype, "row_shape": list(s.shape[1:]), "columns": columns, "how": "transform"}
            for s in inputs.made
        ),
    ]


def _bound(binding: InputBinding) -> dict[str, Any]:
    shape = [size or None for size in binding.row_shape]
    named = {"name": binding.name, "dtype": binding.cast.dtype, "row_shape": shape}
    return {**named, "columns": list(binding.columns), "how": binding.how}


def _baselines(found: Preflight) -> list[dict[str, Any]]:
    beside = [{"name": each.name, "kind": each.kind, "run": None} for each in found.prepared.evaluation.baselines]
    runs = [{"name": name, "kind": "run", "run": entry.get("path")} for name, entry in found.earlier.items()]
    return [*beside, *runs]


def _training(found: Preflight) -> dict[str, Any] | None:
    training = found.training
    if training is None:
        return None
    asked = {"leakage": training.checks.leakage, "overfitting": training.checks.overfitting is not None}
    return {"rows": training.plan.rows, "files": len(training.plan.files), **asked}


def _gates(found: Preflight) -> list[dict[str, Any]]:
    plan, size = found.prepared.plan, found.prepared.evaluation.batch_size
    pairs = [(gate, needed(gate, plan.rows, size)) for gate in found.prepared.job.gates]
    return [{"gate": str(gate), "needs": needs, "undecidable": lacks} for gate, (needs, lacks) in pairs]


def _estimate(found: Preflight) -> dict[str, Any] | None:
    rehearsal, expected = found.rehearsal, found.forecast
    if rehearsal is None or expected is None:
        return None
    return {
        "rows_timed": rehearsal.rows,
        "read_s_per_row": rehearsal.read_s / rehearsal.group_rows,
        "other_s_per_row": rehearsal.other_s / rehearsal.rows,
        "rows_per_s": expected.rows_per_s,
        "pass_s": expected.pass_s,
        "start_s": expected.start_s,
        "single_s_at_most": found.prepared.job.latency.max_seconds,
        "worker_bytes": math.ceil(expected.worker_bytes),
        "base_bytes": expected.base_bytes,
        "session_bytes": expected.session_bytes,
        "groups_bytes": expected.groups_bytes,
        "batch_bytes": expected.batch_bytes,
    }
