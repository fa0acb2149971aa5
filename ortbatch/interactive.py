"""`ortbatch.run`: what scripts and notebooks call.

Nothing is shown unless asked for; what must not be missed (a tracker that could not be told) is a warning then.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ortbatch.api import Options, publish, run_job
from ortbatch.job import Job
from ortbatch.job.load import job_of
from ortbatch.report.report import Report


def run(
    job: Job | str | Path,
    *,
    variables: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    options: Options | None = None,
    progress: bool = False,
) -> Report:
    """Run a job and return its report.

    Args:
        job: a `Job`, or the path of a job file.
        variables: values for `{name}` in the job file.
        overrides: `key=value`, as `--set`.
        options: how to run it.
        progress: show a bar on standard error, or a line now and then where that is no terminal, as in a notebook; in
            place of what `options` would be told.

    Raises:
        OrtbatchError: one of its kinds; see `ortbatch.errors`.
    """
    job = job_of(job, variables or {}, overrides)
    options = options or Options()
    return _shown(job, options) if progress else _run(job, options)


def _shown(job: Job, options: Options) -> Report:
    from ortbatch.progress import progress_to
    from ortbatch.terminal import say

    with progress_to(sys.stderr) as shown:
        return _run(job, replace(options, show=shown, tell=say, warn=say, begin=shown.begin))


def _run(job: Job, options: Options) -> Report:
    outcome = run_job(job, options)
    options.begin("making report.html")
    publish(outcome, options)
    return outcome.report
