"""What is asked of runs that are done: two compared, many listed, one picked to judge the next by.

Finds and reads their files, and leaves the rest to `report`: no model is loaded, no data read but kept predictions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ortbatch.data.storage import read_bytes, read_start
from ortbatch.engine.folder import REPORT, RunFolder
from ortbatch.engine.runs import is_pattern, runs_below, runs_named, same_folder
from ortbatch.errors import DataError, JobError, OrtbatchError, Problem, ReportError, StorageError
from ortbatch.job import Gate, Job, MetricRef
from ortbatch.job.gates import check_class
from ortbatch.job.planned import RunBaseline
from ortbatch.job.redaction import redact
from ortbatch.metrics.checked import is_of_checks
from ortbatch.metrics.pairs import PairedRows
from ortbatch.metrics.reference import OPERATING, check, is_fidelity
from ortbatch.report.compare import OLD, Comparison, compare_reports, other_rows
from ortbatch.report.gates import look_up
from ortbatch.report.glance import glance, glance_at_start
from ortbatch.report.history import Glanced, History, history_of
from ortbatch.report.report import Report

_SKIPPED = 5
_START_BYTES = 16_384


def run_folder(run: str) -> RunFolder:
    """The folder of a run, given by itself or by the path of its report.json."""
    return RunFolder(run.removesuffix(REPORT).rstrip("/") or ".")


def read_run(run: str) -> Report:
    """The report of a finished run.

    Raises:
        RunFolderError: if there is none.
        ReportError: if it cannot be read.
    """
    folder = run_folder(run)
    return Report.decode(folder.read_report(), folder.file(REPORT))


def compare(
    old: str,
    new: str,
    *,
    max_drop: Mapping[str, float] | None = None,
    confidence: float | None = None,
    unpaired: bool = False,
) -> Comparison:
    """Compare two finished runs.

    Args:
        old: run folder or report.json, path or URI.
        new: of the other run.
        max_drop: metric → largest loss allowed.
        confidence: level of the intervals, which then decide about `max_drop`; None: 95%, and the values decide.
        unpaired: take the rows for other rows even where both kept predictions of the same.

    Raises:
        ValueError: an unknown metric, a negative loss, a confidence that is none.
        ReportError, RunFolderError: if a report cannot be read, or has no such class.
        DataError: if predictions are damaged.
        StorageError: if storage failed.
    """
    limits = limits_of(max_drop or {}, confidence)
    reports = [read_run(run) for run in (old, new)]
    for gate in limits:
        try:
            check_class(gate, list(dict.fromkeys(reports[1].classes + reports[0].classes)))
        except ValueError as error:
            raise ReportError(f"{redact(reports[1].path)}: {gate.metric}: {error}") from None
    pairs = "asked not to" if unpaired else _pairs((run_folder(old), run_folder(new)), reports)
    return compare_reports(reports[0].data, reports[1].data, pairs, limits, confidence)


def limits_of(max_drop: Mapping[str, float], confidence: float | None) -> list[Gate]:
    """Limits on a loss, by the name of the metric; raises ValueError as `compare`."""
    if confidence is not None and not 0.5 < confidence < 1:
        raise ValueError(f"confidence lies between 0.5 and 1, got {confidence:g}")
    limits = []
    for name, loss in max_drop.items():
        ref = MetricRef.parse(name)
        check(ref)
        if not 0 <= loss < math.inf:
            raise ValueError(f"{name}: the largest loss allowed is a number of at least 0, got {loss:g}")
        limits.append(Gate.on_drop(ref, loss, OLD, confidence))
    return limits


def _pairs(folders: tuple[RunFolder, RunFolder], reports: Sequence[Report]) -> PairedRows | str:
    """Rows of both runs side by side; a sentence if there is nothing to pair."""
    from ortbatch.engine.pairs import pair, predictions_of

    if (why := other_rows(reports[0].data, reports[1].data)) is not None:
        return f"not the same rows: {why}"
    old, new = (predictions_of(folder, report.data) for folder, report in zip(folders, reports, strict=True))
    if isinstance(old, str):
        return f"the same rows, but the old run {old}"
    if isinstance(new, str):
        return f"the same rows, but the new run {new}"
    pairs = pair(old, new, reports[0].classes)
    rows = pairs.joint.rows
    for folder, report, alone in zip(folders, reports, (pairs.only_old, pairs.only_new), strict=True):
        if rows + alone != report.data["quality"]["rows"]:
            raise DataError(
                f"{redact(folder.uri)}: its predictions hold {rows + alone:,} evaluated rows, its report "
                f"{report.data['quality']['rows']:,}. Compare without predictions (--unpaired)."
            )
    return pairs


def history(folder: str, *, metrics: Sequence[str] = (), limit: int | None = None) -> History:
    """All finished runs below a folder, in order of time.

    Args:
        folder: path or URI.
        metrics: names as gates write them; none: those usual for the tasks.
        limit: newest runs to show; None: all.

    Raises:
        ValueError: an unknown metric, or a limit below 1.
        DataError: if there is no such folder.
        StorageError: if storage failed.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"a limit is at least 1, got {limit}")
    refs = metrics_of(metrics)
    also = (*(("slices",) if any(ref.slice for ref in refs) else ()),)
    also += ("thresholds",) if any(ref.name in OPERATING for ref in refs) else ()
    also += ("fidelity",) if any(is_fidelity(ref.name) for ref in refs) else ()
    also += tuple({ref.name.partition(".")[0]: None for ref in refs if is_of_checks(ref.name)})
    runs, closed = runs_below(folder)
    found, older = _newest(runs, also, len(runs) if limit is None else limit)
    found += [Glanced(redact(path), None, why) for path, why in closed]
    return history_of(redact(folder), found, refs, limit, older)


def _newest(runs: Sequence[RunFolder], also: tuple[str, ...], limit: int) -> tuple[list[Glanced], int]:
    """The newest runs and the one before them, all that cannot be read, and the number of the others.

    Of those others no more is read than which they are; the counts of scores are read once it is known of which runs.
    """
    found, dated = [], []
    for run in runs:
        head = _glanced(run, also, scores=False) if limit >= len(runs) else _head(run)
        if head.when is None:
            found.append(head)
        else:
            dated.append((head.when, head, run))
    dated.sort(key=lambda item: item[0], reverse=True)
    readable = 0
    for place, (_, head, run) in enumerate(dated):
        if readable > limit:
            return found, len(dated) - place
        whole = _glanced(run, also, scores=False) if limit < len(runs) else head
        readable += not whole.lacks
        found.append(whole)
    return found, 0


def metrics_of(names: Iterable[str]) -> list[MetricRef]:
    """Metrics by their names; raises ValueError for an unknown one."""
    refs = [MetricRef.parse(name) for name in names]
    for ref in refs:
        check(ref)
    return refs


def _glanced(run: RunFolder, also: tuple[str, ...] = (), *, scores: bool) -> Glanced:
    path = redact(run.file(REPORT))
    again = None if scores else lambda: _glanced(run, scores=True)
    try:
        return Glanced(path, glance(read_bytes(run.file(REPORT)), path, also, scores=scores), again=again)
    except (ReportError, DataError) as error:
        return Glanced(path, None, str(error).removeprefix(f"{path}: "))


def _head(run: RunFolder) -> Glanced:
    """Which run it is and how it ended; the whole report is read where its start does not say it."""
    path = run.file(REPORT)
    try:
        found = glance_at_start(read_start(path, _START_BYTES))
    except DataError:
        found = None
    return _glanced(run, scores=False) if found is None else Glanced(redact(path), found)


def baselines_of(job: Job, own: RunFolder | None) -> dict[str, Any]:
    """The section `baselines` of a run's report: what its gates are held against.

    Args:
        job: with its baselines.
        own: folder of the run; it is no baseline of itself.

    Raises:
        JobError: if a run that must be there is not, or cannot be read: every one of them.
        StorageError: if storage failed.
    """
    section, problems = {}, []
    for name, baseline in job.baselines.items():
        if not isinstance(baseline, RunBaseline):
            continue
        refs = [gate.metric for gate in job.gates if gate.versus == name]
        entry = _picked(job, baseline, own, refs)
        if "missing" in entry and baseline.if_missing == "fail":
            said = f"{entry['missing']}. Make one first, or say `if_missing: pass`."
            problems.append(Problem(job.name, f"baselines.{name}.run", said))
        section[name] = entry
    if problems:
        raise JobError(problems)
    return section


def _picked(job: Job, baseline: RunBaseline, own: RunFolder | None, refs: Iterable[MetricRef]) -> dict[str, Any]:
    found = runs_named(baseline.run, job.folder)
    others = [run for run in found if own is None or not same_folder(run, own)]
    skipped: list[str] = []
    for run in _by_age(others, baseline, skipped):
        try:
            report = read_run(run.uri)
        except StorageError:
            raise
        except OrtbatchError as error:
            skipped.append(str(error))
            continue
        return {**_entry(report, refs), **({"skipped": skipped[:_SKIPPED]} if skipped else {})}
    several = is_pattern(baseline.run)
    what = f"no run that passed at {redact(baseline.run)}" if several and baseline.pick == "latest_passed" else ""
    why = what or f"no finished run at {redact(baseline.run)}"
    why += " but this one itself" if len(others) < len(found) and not others else ""
    why += f" ({len(skipped):,} unreadable: {skipped[0]})" if skipped else ""
    return {"missing": why, "if_missing": baseline.if_missing}


def _by_age(runs: Sequence[RunFolder], baseline: RunBaseline, skipped: list[str]) -> list[RunFolder]:
    """Runs to choose from, newest first."""
    if not is_pattern(baseline.run):
        return list(runs)
    dated = []
    for run in runs:
        glanced = _head(run)
        if glanced.report is None:
            skipped.append(f"{glanced.path}: {glanced.why}")
            continue
        if glanced.when is None:
            skipped.append(f"{glanced.path}: not a valid report: no `run.started_at`")
        elif baseline.pick == "latest" or glanced.report.get("status") == "passed":
            dated.append((glanced.when, run))
    return [run for _, run in sorted(dated, key=lambda item: item[0], reverse=True)]


def _entry(report: Report, refs: Iterable[MetricRef]) -> dict[str, Any]:
    data = report.data
    metrics: dict[str, Any] = {}
    for ref in refs:
        found = look_up(ref, data)
        metrics[str(ref)] = (
            {"missing": found} if isinstance(found, str) else {"estimate": dict(found.estimate), "rows": found.rows}
        )
    return {
        "run_id": data["run"]["id"],
        "path": redact(report.path),
        "started_at": data["run"]["started_at"],
        "status": data["status"],
        "model_sha256": data["provenance"]["model"]["sha256"],
        "data_digest": data["provenance"]["data"]["plan_digest"],
        "metrics": metrics,
    }
