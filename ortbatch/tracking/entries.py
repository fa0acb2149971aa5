"""What MLflow is told of a run: metrics, parameters, tags and the data, as functions of its report.

Undefined metrics are left out. Of thousands of classes and slices the first metrics are told; metrics.csv, which lies
beside them there, has all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ortbatch.job.redaction import redact
from ortbatch.metrics.reference import MetricRef
from ortbatch.report.frames import rows_of
from ortbatch.report.markdown import markdown_summary
from ortbatch.tracking.names import mlflow_name

RUN_ID = "ortbatch.run_id"
MOST_METRICS = 2_000
_LONGEST_VALUE = 500
_LONGEST_NOTE = 8_000
_VERDICT_METRICS = ("accuracy", "precision", "recall", "f1", "f1_macro", "roc_auc", "average_precision", "log_loss")
_DIGEST = 36


@dataclass(frozen=True)
class DataEntry:
    """The evaluated data, as a dataset there.

    Args:
        name: where they lie.
        digest: the first characters of the plan's.
        kind: `local`, or the scheme of their URI.
        rows: planned.
        files: planned.
    """

    name: str
    digest: str
    kind: str
    rows: int
    files: int


def metrics_of(report: Mapping[str, Any]) -> dict[str, float]:
    """Name there → value: of all rows first, then of classes, then of slices."""
    lines = rows_of(report, "metrics")
    lines.sort(key=lambda line: (bool(line["slice"]), bool(line["class"])))
    found: dict[str, float] = {}
    for line in lines:
        if line["value"] is not None:
            found.setdefault(mlflow_name(_ref(line)), line["value"])
    return dict(list(found.items())[:MOST_METRICS])


def left_out(report: Mapping[str, Any]) -> int:
    """Metrics that MLflow is not told."""
    told = sum(line["value"] is not None for line in rows_of(report, "metrics"))
    return max(0, told - MOST_METRICS)


def _ref(line: Mapping[str, Any]) -> MetricRef:
    """A line of metrics.csv as one reference."""
    ref = MetricRef.parse(line["metric"])
    ref = replace(ref, class_name=line["class"]) if line["class"] else ref
    # Any metric reads the slice as this one does.
    return replace(ref, slice=MetricRef.parse(f"accuracy@{line['slice']}").slice) if line["slice"] else ref


def parameters_of(report: Mapping[str, Any]) -> dict[str, str]:
    """What the numbers depend on."""
    job, provenance, quality = report["job"], report["provenance"], report["quality"]
    given = {
        "model.path": job["model"]["path"],
        "model.sha256": provenance["model"]["sha256"],
        "batch_size": provenance["identity"]["batch_size"],
        "data.path": ", ".join(job["data"]["path"]),
        "data.label": job["data"]["label"],
        "data.plan_digest": provenance["data"]["plan_digest"],
        "classes": len(quality["classes"]),
        "rows": quality["rows"],
        "engine": provenance["engine"]["engine"],
        "job_digest": job["job_digest"],
    }
    if "positive" in quality:
        given |= {"threshold": job["threshold"], "positive": quality["positive"]}
    return {key: _short(value) for key, value in given.items()}


def tags_of(report: Mapping[str, Any]) -> dict[str, str]:
    """Status, exit code and what tells the run from others; the summary as its description."""
    note, more = markdown_summary(report), left_out(report)
    tags = {
        RUN_ID: report["run"]["id"],
        "ortbatch.job": report["run"]["name"],
        "ortbatch.status": report["status"],
        "ortbatch.exit_code": str(report["exit_code"]),
        "ortbatch.version": report["provenance"]["versions"]["ortbatch"],
        "ortbatch.evaluation_digest": report["job"]["evaluation_digest"],
        "mlflow.source.type": "JOB",
        "mlflow.source.name": f"ortbatch run {report['run']['name']}",
    }
    tags |= {"ortbatch.metrics_left_out": str(more)} if more else {}
    tags |= {"mlflow.note.content": note} if len(note) <= _LONGEST_NOTE else {}
    return {key: value if key.startswith("mlflow.") else _short(value) for key, value in tags.items()}


def verdict_of(report: Mapping[str, Any]) -> dict[str, str]:
    """Tags of the version of a registered model that was evaluated."""
    quality = report["quality"]
    told = {"status": report["status"], "exit_code": report["exit_code"], "run_id": report["run"]["id"]}
    told |= {"evaluated_at": report["run"]["started_at"], "rows": quality["rows"]}
    told |= {
        name: repr(quality[name]["value"]) for name in _VERDICT_METRICS if name in quality and _known(quality[name])
    }
    return {f"ortbatch.{key}": str(value) for key, value in told.items()}


def _known(estimate: Mapping[str, Any]) -> bool:
    return estimate["value"] is not None


def data_of(report: Mapping[str, Any]) -> DataEntry:
    """The data that were evaluated."""
    first = redact(report["job"]["data"]["path"][0])
    scheme, mark, _ = first.partition("://")
    coverage = report["coverage"]
    digest = report["provenance"]["data"]["plan_digest"][:_DIGEST]
    kind = scheme if mark else "local"
    return DataEntry(_short(first), digest, kind, coverage["rows"]["planned"], coverage["files"]["planned"])


def times_of(report: Mapping[str, Any]) -> tuple[int, int]:
    """Start and end of the run, in milliseconds since 1970."""
    run = report["run"]
    started = datetime.strptime(run["started_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    begun = int(started.timestamp() * 1_000)
    return begun, begun + round(run["duration_s"] * 1_000)


def artifacts() -> Iterator[str]:
    """Files of the run folder that are kept there, if they are there; the report first."""
    yield from ("report.json", "report.html", "metrics.csv")


def _short(value: object) -> str:
    text = redact(str(value))
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
