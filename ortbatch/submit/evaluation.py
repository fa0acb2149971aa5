"""An evaluation on a cluster, seen by who asked for it: begun once, followed at will, its report brought home."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Protocol

from ortbatch.errors import ClusterError, RunFolderError
from ortbatch.submit.following import LogReader
from ortbatch.submit.handover import report_in
from ortbatch.submit.jobs_api import Described
from ortbatch.submit.package import Package
from ortbatch.submit.submission import Submission, attempt_id, attempts_of

_PATIENCE_SECONDS = 300.0
_PAUSE_SECONDS = 1.0
_INTERRUPTED = 130
_WITHOUT_REPORT = (2, 3, 5, _INTERRUPTED)
_LOST = 5


class Cluster(Protocol):
    """What is asked of a cluster; `JobsApi` is one."""

    def names(self) -> list[str | None]:
        """Names of all submissions."""

    def describe(self, name: str) -> Described:
        """One of them."""

    def log(self, name: str) -> str:
        """All that it wrote."""

    def submit(self, name: str, command: str, working_dir: Path, module: Path) -> bool:
        """Start one; False if the name is taken."""

    def tail(self, name: str, show: Callable[[str], None]) -> None:
        """Show its log from the start, as it grows."""


@dataclass(frozen=True)
class Begun:
    """Which submission does the work.

    Args:
        id: its name.
        found: was it there already?
    """

    id: str
    found: bool


def begin(cluster: Cluster, submission: Submission, package: Package, python: str) -> Begun:
    """Start an evaluation, or find the submission that does it or did it.

    An attempt that ended without a report is followed by another, in the same folder: what it did is not done again.

    Raises:
        RunFolderError: if it is to start over while it runs.
        ClusterError: if the cluster cannot be asked.
    """
    while True:
        attempts = attempts_of(submission.base, cluster.names())
        newest = max(attempts, default=0)
        if newest:
            described = cluster.describe(attempts[newest])
            if submission.force and not described.ended:
                raise RunFolderError(f"{described.id}: is at work; `ortbatch stop {described.id}` first, or follow it")
            if not submission.force and (not described.ended or report_in(cluster.log(described.id)) is not None):
                return Begun(described.id, True)
        name = attempt_id(submission.base, newest + 1)
        if _sent(cluster, name, submission.command(python), package):
            return Begun(name, False)


def _sent(cluster: Cluster, name: str, command: str, package: Package) -> bool:
    """The job's folder and this very ortbatch travel; whatever version the cluster has, this one runs."""
    here = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory(prefix="ortbatch-submit-") as folder:
        job, module = Path(folder, "job"), Path(folder, here.name)
        job.mkdir()
        package.write(job)
        copytree(here, module, ignore=ignore_patterns("__pycache__", ".*"))
        return cluster.submit(name, command, job, module)


def follow(cluster: Cluster, name: str, show: Callable[[str], None], tell: Callable[[str], None]) -> Described:
    """Show each line of the log once until the submission has ended; a connection that breaks is made again.

    Raises:
        ClusterError: if the cluster was out of reach for five minutes.
    """
    reader, lost_since = LogReader(), 0.0

    def feed(piece: str) -> None:
        for line in reader.feed(piece):
            show(line)

    while True:
        try:
            reader.begin_again()
            cluster.tail(name, feed)
            if (described := cluster.describe(name)).ended:
                reader.begin_again()
                feed(cluster.log(name))
                for line in reader.rest():
                    show(line)
                return described
            lost_since = 0.0
        except ClusterError as error:
            if not lost_since:
                lost_since = time.monotonic()
                tell(f"connection lost, trying again ({error})")
            elif time.monotonic() - lost_since > _PATIENCE_SECONDS:
                raise
            time.sleep(_PAUSE_SECONDS)


def exit_code(described: Described) -> int:
    """The exit code of a run that ended on a cluster without a report: refused, failed, stopped or lost.

    0, 1 and 4 are judgements, which come with a report. Ray ends a driver that lost its node with 1.
    """
    if described.status == "STOPPED":
        return _INTERRUPTED
    return described.exit_code if described.exit_code in _WITHOUT_REPORT else _LOST


def report_of(cluster: Cluster, described: Described) -> bytes | None:
    """The report that a submission handed over; None if its run came to none.

    Raises:
        ClusterError: if it came to one, but the log does not hold it.
    """
    report = report_in(cluster.log(described.id))
    if report is None and described.status == "SUCCEEDED":
        raise ClusterError(f"{described.id}: ended well, but its log holds no report; read it in its run folder")
    return report
