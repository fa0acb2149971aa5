"""What the command line and Python users call: one function a verb, each wiring the layers together."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from ortbatch.data.storage import is_remote
from ortbatch.engine.driver import Completed, Fleet, Progress, drive
from ortbatch.engine.folder import RunFolder, differing
from ortbatch.engine.latency import SAMPLES, SingleLatency, SingleSetup, pick_row_groups
from ortbatch.engine.prepare import THREADS, Prepared, prepare
from ortbatch.errors import OrtbatchError, RunFolderError
from ortbatch.job import Gate, Job, load_job
from ortbatch.job.redaction import redact
from ortbatch.metrics.intervals import rows_for_quantile
from ortbatch.report.build import RunFacts, build_report, judged
from ortbatch.report.report import Report
from ortbatch.report.schema import problems_of
from ortbatch.report.table import metrics_table

_RAY_FROM_BYTES = 10 << 30
# What a stored exit code depends on besides the identity of the run.
_JUDGED_BY = ("gates", "data.max_bad_rows", "latency")
_VERSIONED = ("ortbatch", "onnxruntime", "numpy", "pyarrow", "scikit-learn", "onnx", "ray")
_QUANTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99, "p99_9_ms": 0.999}


@dataclass(frozen=True)
class Options:
    """How a job is run, apart from what it asks.

    Args:
        run_dir: folder of the run instead of the job's; relative to the working folder.
        engine: `auto`, `ray` or `inline`.
        address: of a Ray cluster.
        force: run even if the folder holds a run.
        show: told of progress.
        order: shard ids in the order to hand them out.
    """

    run_dir: str | None = None
    engine: str = "auto"
    address: str | None = None
    force: bool = False
    show: Callable[[Progress], None] = lambda _: None
    order: Sequence[int] | None = None


@dataclass(frozen=True)
class Outcome:
    """A finished run: its report, its folder, and whether it had been finished before."""

    report: Report
    folder: str
    repeated: bool = False


def run(
    job: Job | str | Path,
    *,
    variables: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    options: Options | None = None,
) -> Report:
    """Run a job and return its report.

    Args:
        job: a `Job`, or the path of a job file.
        variables: values for `{name}` in the job file.
        overrides: `key=value`, as `--set`.
        options: how to run it.

    Raises:
        OrtbatchError: one of its kinds; see `ortbatch.errors`.
    """
    if not isinstance(job, Job):
        job = load_job(job, variables or {}, overrides)
    elif variables or overrides:
        raise ValueError("variables and overrides are for job files; build the Job with them")
    return run_job(job, options or Options()).report


def run_job(job: Job, options: Options) -> Outcome:
    """Run a job, or give the stored outcome if this very run is finished already."""
    started = datetime.now(UTC)
    begun = time.perf_counter()
    prepared = prepare(job)
    folder = _folder(job, options, started)
    if not options.force and folder.holds_report():
        return Outcome(_stored(folder, prepared), folder.uri, repeated=True)
    folder.claim(prepared) if options.force else folder.begin(prepared)
    run_id = f"{started:%Y%m%dT%H%M%SZ}-{prepared.evaluation_digest[:8]}-{secrets.token_hex(2)}"
    with closing(_fleet(prepared, options, run_id)) as fleet:
        completed = drive(prepared, fleet, options.show, options.order)
        single = fleet.measure(_single_setup(prepared))
        engine = fleet.describe()
    facts = _facts(prepared, completed, single, engine)
    facts = replace(
        facts, id=run_id, started_at=f"{started:%Y-%m-%dT%H:%M:%SZ}", duration_s=time.perf_counter() - begun
    )
    data = build_report(job, completed.state.tally, len(completed.state.shards), facts)
    if problems := problems_of(data):
        raise OrtbatchError(f"the report breaks its own schema (a defect of ortbatch): {problems[0]}")
    report = Report(data, folder.file("report.json"))
    folder.finish(report.encode(), metrics_table(data))
    return Outcome(report, folder.uri)


def check(job: Job) -> Prepared:
    """Everything that can be known before a run; raises what a run would."""
    return prepare(job)


def read_report(run_folder: str) -> Report:
    """The report of a finished run, by its folder or by the path of its report.json."""
    folder = RunFolder(run_folder.removesuffix("report.json").rstrip("/") or ".")
    return Report.decode(folder.read_report(), folder.file("report.json"))


def judge_again(report: Report, gates: Sequence[Gate] | None) -> Report:
    """A stored report judged by other gates; None for its own. Nothing is run and nothing written."""
    keys = {key: value for key, value in report.data["job"].items() if key not in ("job_digest", "evaluation_digest")}
    if gates is not None:
        keys["gates"] = [gate.as_key() for gate in gates]
    return Report(judged(Job.from_mapping(keys), report.data), report.path)


def _folder(job: Job, options: Options, started: datetime) -> RunFolder:
    """The run's folder; one named by the time gets a number if two runs start in the same second."""
    if options.run_dir is not None:
        return RunFolder(options.run_dir if is_remote(options.run_dir) else str(Path(options.run_dir).absolute()))
    stamp = f"{started:%Y%m%dT%H%M%SZ}"
    folder = RunFolder(job.run_folder(stamp))
    if "{started}" not in job.run_dir:
        return folder
    number = 2
    while folder.occupied():
        folder = RunFolder(job.run_folder(f"{stamp}-{number}"))
        number += 1
    return folder


def _stored(folder: RunFolder, prepared: Prepared) -> Report:
    """The report of a finished run of the same identity and the same gates.

    Raises:
        RunFolderError: if it is the run of something else.
    """
    report = Report.decode(folder.read_report(), folder.file("report.json"))
    identity = report.data["provenance"]["identity"]
    if identity != prepared.identity:
        raise RunFolderError(
            f"{redact(folder.uri)}: holds the finished run of something else: "
            f"{differing(identity, prepared.identity)}. Give another folder with --run-dir, or run again with --force."
        )
    asked = prepared.job.resolved()
    changed = [key for key in _JUDGED_BY if _part(report.data["job"], key) != _part(asked, key)]
    if changed:
        raise RunFolderError(
            f"{redact(folder.uri)}: holds a finished run of the same model and data that was judged by other "
            f"{', '.join(changed)}. Judge that run again with `ortbatch gate RUN --gates JOB`, or run again with "
            "--force."
        )
    return report


def _part(job: Mapping[str, Any], dotted: str) -> Any:
    for key in dotted.split("."):
        job = job[key]
    return job


def _fleet(prepared: Prepared, options: Options, run_id: str) -> Fleet:
    if _engine(prepared, options) == "ray":
        from ortbatch.engine.cluster import RayFleet

        return RayFleet(prepared, options.address, run_id)
    from ortbatch.engine.inline import InlineFleet

    return InlineFleet(prepared)


def _engine(prepared: Prepared, options: Options) -> str:
    """`auto`: Ray when there is a cluster to go to or the data are large, else this process."""
    if options.engine != "auto":
        return options.engine
    size = sum(sum(file.group_bytes) for file in prepared.plan.files)
    return "ray" if options.address or os.environ.get("RAY_ADDRESS") or size >= _RAY_FROM_BYTES else "inline"


def _single_setup(prepared: Prepared) -> SingleSetup:
    """1,000 samples, or as many as a gated percentile needs."""
    job = prepared.job
    gated = [g.metric.name.rpartition(".")[2] for g in job.gates if g.metric.name.startswith("latency.single.")]
    needed = max((rows_for_quantile(_QUANTILES[name]) for name in gated if name in _QUANTILES), default=0)
    shard = pick_row_groups(prepared.plan)
    return SingleSetup(shard, max(SAMPLES, needed), job.latency.threads, job.latency.max_seconds)


def _facts(prepared: Prepared, completed: Completed, single: SingleLatency, engine: dict[str, object]) -> RunFacts:
    plan, evaluation = prepared.plan, prepared.evaluation
    return RunFacts(
        id="",
        started_at="",
        duration_s=0.0,
        pass_s=completed.seconds,
        evaluation_digest=prepared.evaluation_digest,
        identity=prepared.identity,
        files=[redact(file.uri) for file in plan.files],
        shards=len(plan.shards),
        rows=plan.rows,
        positive=evaluation.decision.positive,
        batch_size=evaluation.batch_size,
        single=single.histogram,
        single_facts={"threads": single.threads, "rows": single.rows, "warm_up": single.warm_up},
        findings=_findings(prepared),
        provenance=_provenance(prepared, completed, engine),
    )


def _findings(prepared: Prepared) -> list[dict[str, str]]:
    by_order = [binding for binding in prepared.evaluation.inputs if binding.how == "order"]
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


def _provenance(prepared: Prepared, completed: Completed, engine: dict[str, object]) -> dict[str, Any]:
    model, evaluation = prepared.model, prepared.evaluation
    cpus = engine.pop("cpus", [])
    return {
        "model": {
            "path": redact(prepared.job.model.path),
            "sha256": model.sha256,
            "bytes": len(model.content),
            "producer": model.graph.producer,
            "opset": model.graph.opset,
            "inputs": [str(spec) for spec in model.inputs],
            "outputs": [str(spec) for spec in model.outputs],
            "providers": list(model.providers),
            "threads": THREADS,
        },
        "data": {"plan_digest": prepared.plan.digest(), "bytes": sum(file.size for file in prepared.plan.files)},
        "binding": {
            "inputs": [_binding(binding) for binding in evaluation.inputs],
            "label": {"column": evaluation.labels.column, "by": evaluation.labels.by},
            "output": asdict(evaluation.decision.output),
            "batch_size": {
                "rows": evaluation.batch_size,
                "how": "rule" if prepared.job.model.batch_size == "auto" else "job",
            },
        },
        "versions": {name: metadata.version(name) for name in _VERSIONED},
        "engine": {**engine, "workers_joined": completed.workers},
        "host": {"cpus": cpus},
        "retries": completed.retries,
        "faults": list(completed.faults),
    }


def _binding(binding: Any) -> dict[str, Any]:
    columns = list(binding.columns)
    return {
        "input": binding.name,
        "columns": columns if len(columns) <= 100 else [*columns[:100], f"… {len(columns)} in all"],
        "row_shape": list(binding.row_shape),
        "dtype": binding.cast.dtype,
        "list": binding.is_list,
        "how": binding.how,
    }
