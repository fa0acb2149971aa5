"""What the command line and Python users call: one function a verb, each wiring the layers together.

The engine is imported by the functions that run something: reading and judging a stored report needs no model.
"""

from __future__ import annotations

import importlib
import os
import secrets
import shlex
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ortbatch.earlier import baselines_of, read_run
from ortbatch.engine.signals import StopRequest, stop_on_signals
from ortbatch.errors import Interrupted, JobError, OrtbatchError, Problem, ReportError
from ortbatch.job import Gate, Job, TrackingSpec
from ortbatch.job.gates import check_baseline, check_class
from ortbatch.job.gates_file import stored_gates
from ortbatch.job.redaction import redact
from ortbatch.metrics.intervals import rows_for_quantile
from ortbatch.metrics.operating import Aim
from ortbatch.mlflow_client import INSTALL, has_mlflow
from ortbatch.pages import page_beside, write_page_if_possible
from ortbatch.placing import folder_of, stored_report
from ortbatch.report.build import build_report, judged
from ortbatch.report.report import Report
from ortbatch.report.schema import problems_of
from ortbatch.report.table import metrics_table

if TYPE_CHECKING:
    from ortbatch.engine.checkpoint import Checkpoint
    from ortbatch.engine.driver import Completed, Progress
    from ortbatch.engine.latency import SingleSetup
    from ortbatch.engine.live_metrics import LiveMetrics
    from ortbatch.engine.passes import PassFleet
    from ortbatch.engine.prepared import Prepared
    from ortbatch.engine.training import Training
    from ortbatch.facts import Latencies
    from ortbatch.metrics.leakage import Checked
    from ortbatch.report.choose import ThresholdChoice

_ENGINES = ("auto", "ray", "inline")
QUANTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99, "p99_9_ms": 0.999}


@dataclass(frozen=True)
class Options:
    """How a job is run, apart from what it asks.

    Args:
        run_dir: folder of the run instead of the job's; relative to the working folder.
        engine: `auto`, `ray` or `inline`.
        address: of a Ray cluster.
        force: run even if the folder holds a run.
        resume: only go on with an unfinished run; without `run_dir` with the newest of this job.
        show: told of progress.
        tell: told what else happens, a sentence at a time.
        warn: told what must not be missed though the run goes on; a Python warning by default.
        begin: told what begins besides the pass and may last, in a few words.
        order: shard ids in the order to hand them out.
        page: write report.html beside the report.

    Raises:
        ValueError: another engine, or an address for `inline`.
    """

    run_dir: str | None = None
    engine: str = "auto"
    address: str | None = None
    force: bool = False
    resume: bool = False
    show: Callable[[Progress], None] = lambda _: None
    tell: Callable[[str], None] = lambda _: None
    warn: Callable[[str], None] = lambda text: warnings.warn(text, stacklevel=2)
    begin: Callable[[str], None] = lambda _: None
    order: Sequence[int] | None = None
    page: bool = True

    def __post_init__(self) -> None:
        if self.force and self.resume:
            raise ValueError("force starts over and resume goes on; give one of them")
        if self.engine not in _ENGINES:
            raise ValueError(f"engine {self.engine!r}; expected one of {', '.join(_ENGINES)}")
        if self.engine == "inline" and self.address is not None:
            raise ValueError(f"engine inline runs in this process; it cannot go to the cluster at {self.address}")


@dataclass(frozen=True)
class Outcome:
    """A finished run: its report, its folder, whether it had been finished before, and who is to hear of it."""

    report: Report
    folder: str
    repeated: bool = False
    tracking: TrackingSpec | None = None


def run_job(job: Job, options: Options) -> Outcome:
    """Run a job, go on with an unfinished run of the same identity, or give the stored outcome if it is finished.

    Raises:
        Interrupted: on SIGINT or SIGTERM; what was counted is kept, and the same call goes on with it.
    """
    from ortbatch.engine import predictions
    from ortbatch.engine.prepare import prepare
    from ortbatch.engine.training import plan_training
    from ortbatch.facts import Timing, run_facts

    started = datetime.now(UTC)
    begun = time.perf_counter()
    _check_engine(job, options)
    _check_tracker(job)
    folder = folder_of(job, options.run_dir, started, resume=options.resume)
    with stop_on_signals() as stop:
        options.begin("checking the job" + (" and looking for its slices" if job.slices else ""))
        prepared = prepare(job, None if options.force else folder.settled())
        training = plan_training(prepared)
        if not options.force and folder.holds_report():
            return Outcome(stored_report(folder, prepared, training), folder.uri, repeated=True)
        baselines = baselines_of(job, folder)
        prepared = folder.with_sink(prepared)
        try:
            with folder.open(prepared, afresh=options.force, tell=options.tell) as checkpoint:
                run_id = f"{started:%Y%m%dT%H%M%SZ}-{prepared.evaluation_digest[:8]}-{secrets.token_hex(2)}"
                made = _evaluate((prepared, training), options, run_id, checkpoint, stop)
                completed, latencies, described, checked = made
                timing = Timing(run_id, f"{started:%Y-%m-%dT%H:%M:%SZ}", time.perf_counter() - begun)
                facts = run_facts(prepared, completed, latencies, described, timing)
                facts = replace(facts, baselines=baselines, checked=checked)
                data = build_report(job, completed.state.tally, len(completed.state.shards), facts)
                if problems := problems_of(data):
                    raise OrtbatchError(f"the report breaks its own schema (a defect of ortbatch): {problems[0]}")
                report = Report(data, folder.file("report.json"))
                if prepared.evaluation.sink is not None:
                    predictions.finish(prepared.evaluation.sink, completed.state.parts)
                folder.finish(report.encode(), metrics_table(data))
        except (KeyboardInterrupt, Interrupted):
            raise Interrupted("interrupted", folder.uri) from None
    checkpoint.discard()
    return Outcome(report, folder.uri, tracking=job.tracking)


def _track(outcome: Outcome, options: Options) -> None:
    """Tell the job's tracker; a run is not lost with it."""
    if outcome.tracking is None:
        return
    from ortbatch.engine.folder import RunFolder
    from ortbatch.tracking.track import track

    options.begin("logging to MLflow")
    try:
        where = track(outcome.report, RunFolder(outcome.folder), outcome.tracking.mlflow)
        options.tell(f"logged to MLflow: {where}")
    except Exception as error:
        said = str(error) if isinstance(error, OrtbatchError) else f"{type(error).__name__}: {redact(str(error))}"
        again = shlex.join(["ortbatch", "track", redact(outcome.folder)])
        options.warn(f"NOT LOGGED to MLflow: {said}\nThe run is done and its report is kept. Log it with:\n  {again}")


def publish(outcome: Outcome, options: Options) -> str | None:
    """Show a new run: write report.html beside its report, tell the tracker, and return where the page is, if anywhere.

    A call of its own, as it may take seconds: whoever waits for the verdict has it before.
    """
    if outcome.repeated:
        return None
    written = options.page and write_page_if_possible(outcome.report, options.warn)
    _track(outcome, options)
    return page_beside(outcome.report) if written else None


def _evaluate(
    job: tuple[Prepared, Training | None], options: Options, run_id: str, checkpoint: Checkpoint, stop: StopRequest
) -> tuple[Completed, Latencies, dict[str, object], Checked | None]:
    """The pass over the data, checks and single predictions after it, and what did all."""
    from ortbatch.engine.checks import run_checks
    from ortbatch.engine.driver import Steering, drive
    from ortbatch.engine.passes import Passes

    prepared, training = job
    engine, why = choose_engine(prepared, options)
    if engine == "ray":
        options.begin("starting Ray")
        # What the report is made with takes 0.6 s to import; while Ray starts this process waits anyway.
        threading.Thread(target=importlib.import_module, args=("sklearn.metrics",), daemon=True).start()
    with closing(_fleet(prepared, engine, options.address, run_id)) as fleet:
        stop.listen()
        with stop.deferred():
            steering = Steering(options.show, options.tell, stop, options.order)
            live = _live_metrics(prepared.job, run_id) if engine == "ray" else None
            completed = drive(prepared, fleet, steering if live is None else live.beside(steering), checkpoint)
            if live is not None:
                live.finish(completed)
            if training is not None:
                options.begin("checking against the training data")
            checked = run_checks(prepared, training, completed, Passes(fleet, stop, options.tell)) if training else None
        latencies = _latencies(prepared, completed, fleet, options)
        return completed, latencies, {**fleet.describe(), "by": why}, checked


def _latencies(prepared: Prepared, completed: Completed, fleet: PassFleet, options: Options) -> Latencies:
    """Single predictions of the model and of each baseline that has a session; none where scores are stored."""
    from ortbatch.engine.latency import nothing_timed
    from ortbatch.facts import Latencies

    if prepared.joined is not None:
        return Latencies(nothing_timed(prepared.job.latency.threads), {})
    setup = _single_setup(prepared, completed)
    options.begin("timing single predictions")
    single = fleet.measure(setup)
    timed = [place for place, baseline in enumerate(prepared.baselines) if baseline.model.source is not None]
    beside = {prepared.evaluation.baselines[place].name: fleet.measure_baseline(place, setup) for place in timed}
    return Latencies(single, beside)


def check(job: Job) -> Prepared:
    """Everything that can be known before a run; raises what a run would."""
    from ortbatch.engine.prepare import prepare
    from ortbatch.engine.training import plan_training

    prepared = prepare(job)
    plan_training(prepared)
    baselines_of(job, None)
    return prepared


def read_report(run_folder: str) -> Report:
    """The report of a finished run, by its folder or by the path of its report.json."""
    return read_run(run_folder)


def judge_again(report: Report, gates: Sequence[Gate] | None) -> Report:
    """A stored report judged by other gates; None for its own. Nothing is run and nothing written.

    Raises:
        JobError: if a gate is about a class that the report does not have.
        ReportError: if this version does not know one of its own gates.
    """
    if gates is None:
        try:
            gates = stored_gates(report.data["job"].get("gates", []))
        except JobError as error:
            raise ReportError(
                f"{redact(report.path)}: this version cannot judge its gates ({error.problems[0].message}). Give "
                "others with --gates."
            ) from None
    problems = []
    for number, gate in enumerate(gates):
        try:
            check_class(gate, report.classes)
            beside = list(report.data.get("fidelity", {}))
            check_baseline(gate, [*report.data.get("baselines", {}), *beside], beside)
        except ValueError as error:
            problems.append(Problem(str(gate), f"gates[{number}]", str(error)))
    if problems:
        raise JobError(problems)
    return Report(judged(gates, report.data), report.path)


def pick_threshold(
    report: Report, aim: Aim | None = None, *, class_name: str | None = None, confirm: bool = False
) -> ThresholdChoice:
    """Choose a threshold from a stored report; nothing is run and nothing written.

    Args:
        report: of a model with scores.
        aim: what it is chosen for; the best F1 if None.
        class_name: class of a multiclass model, against the rest; None for the positive class.
        confirm: choose on one half of the rows and judge on the other, instead of both on all.

    Raises:
        ReportError: if the report has no scores of the class, or no threshold does what is asked.
    """
    from ortbatch.report.choose import choose_threshold

    return choose_threshold(report, aim or Aim(), class_name, confirm=confirm)


def _live_metrics(job: Job, run_id: str) -> LiveMetrics:
    from ortbatch.engine.live_metrics import LiveMetrics

    return LiveMetrics(job.name, run_id)


def _fleet(prepared: Prepared, engine: str, address: str | None, run_id: str) -> PassFleet:
    if engine == "ray":
        from ortbatch.engine.cluster import RayFleet

        return RayFleet(prepared, address, run_id)
    from ortbatch.engine.inline import InlineFleet

    return InlineFleet(prepared)


def _check_engine(job: Job, options: Options) -> None:
    """Refuse several workers in one process; raises JobError."""
    workers = job.execution.workers
    if options.engine == "inline" and workers not in ("auto", 1):
        said = f"{workers} asked for, and engine inline is one process; run on Ray, or add --set execution.workers=auto"
        raise JobError([Problem(job.name, "execution.workers", said)])


def _check_tracker(job: Job) -> None:
    """Refuse early what could not be logged in the end; raises JobError."""
    if job.tracking is not None and not has_mlflow():
        raise JobError([Problem(job.name, "tracking.mlflow", f"logging {INSTALL}, or take `tracking` out")])


def choose_engine(prepared: Prepared, options: Options) -> tuple[str, str]:
    """`auto`: Ray if there is a cluster to go to or the job wants several workers, else what ends first; and why."""
    from ortbatch.engine.host import available_cpus
    from ortbatch.engine.layout import ends_first

    if options.engine != "auto":
        return options.engine, "asked for"
    if options.address:
        return "ray", "an address is given"
    if os.environ.get("RAY_ADDRESS"):
        return "ray", "RAY_ADDRESS is set"
    if prepared.job.execution.workers not in ("auto", 1):
        return "ray", f"`execution.workers` asks for {prepared.job.execution.workers}"
    return ends_first(prepared.work, available_cpus())


def _single_setup(prepared: Prepared, completed: Completed) -> SingleSetup:
    """1,000 samples, or as many as a gated percentile needs, of shards that could be done."""
    from ortbatch.engine.latency import SAMPLES, SingleSetup, pick_row_groups

    job = prepared.job
    gated = [g.metric.name.rpartition(".")[2] for g in job.gates if g.metric.name.startswith("latency.single.")]
    needed = max((rows_for_quantile(QUANTILES[name]) for name in gated if name in QUANTILES), default=0)
    shard = pick_row_groups(prepared.plan, [left_out.shard for left_out in completed.quarantined])
    return SingleSetup(shard, max(SAMPLES, needed), job.latency.threads, job.latency.max_seconds)
