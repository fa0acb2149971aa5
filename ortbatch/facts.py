"""From a finished pass to what its report says besides the counts: findings and provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ortbatch.data.binding import InputBinding
from ortbatch.engine.driver import Completed, LeftOut
from ortbatch.engine.latency import SingleLatency
from ortbatch.engine.predictions import FOLDER, schema_of
from ortbatch.engine.prepared import THREADS, Prepared
from ortbatch.job.redaction import redact
from ortbatch.metrics.tally import Tally
from ortbatch.model.source import ModelSource
from ortbatch.model.torch_model import TorchSource
from ortbatch.report.build import RunFacts
from ortbatch.version import versions_of

_MANY_DISAGREE = 0.05
_VERSIONED = ("ortbatch", "onnxruntime", "numpy", "pyarrow", "scikit-learn", "onnx", "ray")


@dataclass(frozen=True)
class Timing:
    """Which run, and when.

    Args:
        id: of the run.
        started_at: RFC 3339, UTC.
        duration_s: seconds until now.
    """

    id: str
    started_at: str
    duration_s: float


@dataclass(frozen=True)
class Latencies:
    """Times of single predictions, of the model and of each baseline that has a session, by name."""

    single: SingleLatency
    baselines: Mapping[str, SingleLatency]


def run_facts(
    prepared: Prepared, completed: Completed, latencies: Latencies, engine: Mapping[str, object], timing: Timing
) -> RunFacts:
    """What the report says of a run besides its counts."""
    single = latencies.single
    plan, evaluation = prepared.plan, prepared.evaluation
    return RunFacts(
        id=timing.id,
        started_at=timing.started_at,
        duration_s=timing.duration_s,
        pass_s=completed.seconds,
        pass_rows=completed.rows,
        evaluation_digest=prepared.evaluation_digest,
        identity=prepared.identity,
        files=[redact(file.uri) for file in plan.files],
        shards=len(plan.shards),
        rows=plan.rows,
        predictions=_predictions(prepared, completed),
        quarantined=[_quarantined(prepared, left_out) for left_out in completed.quarantined],
        positive=evaluation.decision.positive,
        batch_size=evaluation.batch_size,
        single=single.histogram,
        single_facts=_single(single),
        transform=single.transform,
        findings=_findings(prepared, completed.state.tally),
        provenance=_provenance(prepared, completed, engine),
        baseline_facts=_of_baselines(prepared, latencies),
        join=_join(prepared),
    )


def _join(prepared: Prepared) -> dict[str, Any] | None:
    join, joined = prepared.evaluation.inputs.join, prepared.joined
    if join is None or joined is None:
        return None
    about = {"column": join.column, "model_sha256": joined.model_sha256, "whole": joined.whole}
    return {**about, **asdict(joined.met)}


def _of_baselines(prepared: Prepared, latencies: Latencies) -> dict[str, dict[str, Any]]:
    """What is known of each baseline besides its counts."""
    facts = {}
    for baseline, about in zip(prepared.evaluation.baselines, prepared.baselines, strict=True):
        single = latencies.baselines.get(baseline.name)
        facts[baseline.name] = {
            "kind": baseline.kind,
            "model": dict(about.about),
            "batch_dependent": about.dependence is not None and about.dependence.matters,
            "quantized": _quantized(about.model.source),
            "single": None if single is None else single.histogram,
            "single_facts": None if single is None else _single(single),
        }
    return facts


def _single(single: SingleLatency) -> dict[str, Any]:
    """How single predictions were measured, and what the start cost."""
    return {
        "threads": single.threads,
        "rows": single.rows,
        "warm_up": single.warm_up.runs,
        "warm_up_s": round(single.warm_up.seconds, 6),
        "stable": single.warm_up.stable,
        "session_s": round(single.session_s, 6),
        "first_ms": None if single.first_ns is None else single.first_ns / 1e6,
    }


def _quantized(source: ModelSource | TorchSource | None) -> bool:
    return isinstance(source, ModelSource) and source.graph.quantized


def _findings(prepared: Prepared, tally: Tally) -> list[dict[str, str]]:
    """What the reader should know first, each a sentence with its numbers."""
    return [*_bound_by_order(prepared), *_batch_dependent(prepared), *_own_label(prepared, tally)]


def _batch_dependent(prepared: Prepared) -> list[dict[str, str]]:
    found = prepared.dependence
    if not found.matters:
        return []
    alone = prepared.batch_size_by == "batch_dependent"
    done = "rows are evaluated one at a time" if alone else f"the batch size is {prepared.evaluation.batch_size:,}"
    seen = f"{found.labels:,} of {found.rows:,} rows got another label" if found.labels else "scores changed"
    text = (
        f"predictions depend on the batch: {seen} in other company or another batch size; {done}. Models quantised "
        "dynamically do this: quantise statically, or serve one row at a time."
    )
    return [{"severity": "warning", "code": "batch_dependent", "text": text}]


def _own_label(prepared: Prepared, tally: Tally) -> list[dict[str, str]]:
    own = tally.own_label
    if not own.disagreeing:
        return []
    decision = prepared.evaluation.decision
    many = own.disagreeing > _MANY_DISAGREE * own.rows
    rule = "the largest score" if decision.positive is None else f"the threshold {decision.threshold:g}"
    text = (
        f"output {decision.output.own_label} of the model puts out another label than {rule} gives for "
        f"{own.disagreeing:,} of {own.rows:,} rows; the metrics are those of {rule}."
    )
    return [{"severity": "warning" if many else "info", "code": "own_label_differs", "text": text}]


def _bound_by_order(prepared: Prepared) -> list[dict[str, str]]:
    by_order = [binding for binding in prepared.evaluation.inputs.bound if binding.how == "order"]
    return [
        {
            "severity": "warning",
            "code": "bound_by_order",
            "text": f"input {binding.name} takes the {len(binding.columns)} numeric columns in file order, as no "
            f"column has its name: {', '.join(binding.columns[:8])}{', …' if len(binding.columns) > 8 else ''}. "
            "Name them in `model.inputs` if that is not what you mean.",
        }
        for binding in by_order
    ]


def _predictions(prepared: Prepared, completed: Completed) -> dict[str, Any] | None:
    kept, parts = prepared.evaluation.kept, completed.state.parts
    if kept is None:
        return None
    columns, asked = schema_of(kept).names, prepared.job.predictions
    folder = FOLDER if asked is None or asked.path is None else redact(asked.path)
    return {"folder": folder, "files": len(parts), "rows": sum(part.rows for part in parts), "columns": columns}


def _quarantined(prepared: Prepared, left_out: LeftOut) -> dict[str, Any]:
    shard = prepared.plan.shards[left_out.shard]
    files = [redact(prepared.plan.files[piece.file].uri) for piece in shard.pieces]
    why = {"reason": left_out.reason, "fault": left_out.fault.value}
    return {"shard": shard.id, "rows": shard.rows, "files": files, **why}


def _provenance(prepared: Prepared, completed: Completed, engine: Mapping[str, object]) -> dict[str, Any]:
    model, evaluation, tuning = prepared.model, prepared.evaluation, prepared.tuning
    host = {"cpus": engine.get("cpus", [])}
    workers = {key: value for key, value in engine.items() if key != "cpus"}
    return {
        "model": {
            "path": redact(prepared.job.model.path),
            "sha256": model.sha256,
            **({} if prepared.joined is None else {"scores_of": prepared.joined.model_sha256}),
            **({} if model.source.registered is None else {"registered": model.source.registered.as_json()}),
            "bytes": model.source.size,
            "producer": model.graph.producer,
            "opset": model.graph.opset,
            "inputs": [str(spec) for spec in model.inputs],
            "outputs": [str(spec) for spec in model.outputs],
            "providers": list(model.providers),
            "threads": THREADS,
            "quantized": model.graph.quantized,
        },
        "data": {"plan_digest": prepared.plan.digest(), "bytes": sum(file.size for file in prepared.plan.files)},
        "binding": {
            "inputs": [_binding(binding) for binding in evaluation.inputs.bound],
            "label": {"column": evaluation.labels.column, "by": evaluation.labels.by},
            "output": asdict(evaluation.decision.output),
            "batch_size": {
                "rows": evaluation.batch_size,
                "how": prepared.batch_size_by,
                "scores_depend_on_batch": prepared.dependence.scores,
            },
        },
        "batch_size": {
            "rows": evaluation.batch_size,
            "how": prepared.batch_size_by,
            "why": tuning.why,
            "seconds": round(tuning.seconds, 6),
            "streams": tuning.streams,
            "ladder": [asdict(rung) for rung in tuning.rungs],
        },
        "versions": versions_of(_VERSIONED),
        "engine": {**workers, "workers_joined": completed.workers},
        "host": host,
        "retries": completed.retries,
        "restored_shards": completed.restored,
        "faults": list(completed.faults),
    }


def _binding(binding: InputBinding) -> dict[str, Any]:
    columns = list(binding.columns)
    return {
        "input": binding.name,
        "columns": columns if len(columns) <= 100 else [*columns[:100], f"… {len(columns)} in all"],
        "row_shape": list(binding.row_shape),
        "dtype": binding.cast.dtype,
        "list": binding.is_list,
        "by_columns": binding.by_columns,
        "how": binding.how,
    }
