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
