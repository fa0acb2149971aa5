"""Where a run goes: its folder, and what a finished run that is there already says of this one.

A run is never taken for another: model, data and whatever counts depend on are compared, then what judged them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ortbatch.data.storage import is_remote
from ortbatch.engine.folder import RunFolder, differing, newest_unfinished, parts_of
from ortbatch.errors import RunFolderError
from ortbatch.job import Job
from ortbatch.job.redaction import redact
from ortbatch.report.report import Report

if TYPE_CHECKING:
    from ortbatch.engine.prepared import Prepared
    from ortbatch.engine.training import Training

# What a stored exit code depends on besides the identity of the run.
_JUDGED_BY = ("gates", "data.max_bad_rows", "latency", "baselines", "checks")


def folder_of(job: Job, run_dir: str | None, started: datetime, *, resume: bool) -> RunFolder:
    """The run's folder; one named by the time gets a number if two runs start in the same second.

    Args:
        job: whose `run_dir` is used where none is given.
        run_dir: a folder instead, relative to the working folder.
        started: when the run began.
        resume: only a folder with a run in it.

    Raises:
        RunFolderError: if there is nothing to go on with.
    """
    if run_dir is not None:
        folder = RunFolder(run_dir if is_remote(run_dir) else str(Path(run_dir).absolute()))
        if resume and not folder.occupied():
            raise RunFolderError(f"{redact(folder.uri)}: no run here to go on with. Leave --resume out to begin one.")
        return folder
    if resume:
        return newest_unfinished(job)
    stamp = f"{started:%Y%m%dT%H%M%SZ}"
    folder = RunFolder(job.run_folder(stamp))
    if "{started}" not in job.run_dir:
        return folder
    number = 2
    while folder.occupied():
        folder = RunFolder(job.run_folder(f"{stamp}-{number}"))
        number += 1
    return folder


def stored_report(folder: RunFolder, prepared: Prepared, training: Training | None) -> Report:
    """The report of a finished run of the same identity and the same gates.

    Raises:
        RunFolderError: if it is the run of something else.
    """
    report = Report.decode(folder.read_report(), folder.file("report.json"))
    provenance = report.data["provenance"]
    there = {"model": provenance["model"]["sha256"], "data": provenance["data"]["plan_digest"]}
    there |= provenance["identity"]
    if there != parts_of(prepared):
        raise RunFolderError(
            f"{redact(folder.uri)}: holds the finished run of something else: {differing(there, parts_of(prepared))}. "
            "Give another folder with --run-dir, or run again with --force."
        )
    asked = prepared.job.resolved()
    changed = [key for key in _JUDGED_BY if _part(report.data["job"], key) != _part(asked, key)]
    changed += ["training data"] if training is not None and training.differs_from(report.data) else []
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
