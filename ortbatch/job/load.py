"""Read a job file: YAML, then `--set`, then `--var`, then every check at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ortbatch.job.build import build
from ortbatch.job.document import read_document
from ortbatch.job.job import Job
from ortbatch.job.overrides import override


def load_job(path: str | Path, variables: Mapping[str, str] | None = None, overrides: Sequence[str] = ()) -> Job:
    """Load a job file.

    Args:
        path: the YAML file; relative paths in it count from its folder.
        variables: what fills `{name}` in texts, as `--var` gives it.
        overrides: `key=value` as `--set` gives them, applied in order.

    Raises:
        JobError: with every problem at once, each with file and line, in the order of the file.
    """
    path = Path(path)
    tree = override(read_document(path), overrides)
    return build(Job, tree, path.parent.absolute(), variables or {})


def job_of(job: Job | str | Path, variables: Mapping[str, str], overrides: Sequence[str]) -> Job:
    """A job as Python users give it: itself, or its file with what fills and overrides it.

    Raises:
        JobError: as `load_job` does.
        ValueError: if a `Job` comes with either; it is built with them.
    """
    if not isinstance(job, Job):
        return load_job(job, variables, overrides)
    if variables or overrides:
        raise ValueError("variables and overrides are for job files; build the Job with them")
    return job
