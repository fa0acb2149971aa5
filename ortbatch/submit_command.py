"""The commands `submit`, `status`, `logs` and `stop`: a run on a cluster that goes on without this machine.

The log goes to stderr as it grows, the summary to stdout at the end; the exit code is the run's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ortbatch.errors import ClusterError
from ortbatch.job_arguments import job_arguments, load_asked
from ortbatch.terminal import put, say
from ortbatch.verdict import for_ci, leave, print_report, shown_path, write_for_ci

if TYPE_CHECKING:
    from ortbatch.job import Job
    from ortbatch.report.report import Report
    from ortbatch.submit.jobs_api import Described, JobsApi
    from ortbatch.submit.package import Package
    from ortbatch.submit.submission import Submission

F = TypeVar("F", bound=Callable[..., Any])

_INTERRUPTED = 130
_ON_THE_HEAD = "~/ortbatch"


def _address_option(command: F) -> F:
    return click.option(
        "--address", metavar="URL", help="The head's dashboard, as http://127.0.0.1:8265; else RAY_API_SERVER_ADDRESS."
    )(command)


@click.command("submit")
@job_arguments
@_address_option
@click.option("--run-dir", metavar="DIR", help="Folder of the run: a URI, or a path on the head.")
@click.option("--follow/--no-wait", "following", default=True, help="Stay until it ends (the default), or not.")
@click.option("--force", is_flag=True, help="Run again although this evaluation is done.")
@click.option("--out", type=click.Path(), metavar="DIR", help="Where its report goes here; else runs/NAME/ID.")
@click.option("--python", default="python", show_default=True, metavar="WORD", help="The interpreter on the cluster.")
@click.option("--inconclusive", type=click.Choice(["pass", "fail"]), help="Exit with 0 or 1 where it would be 4.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json on stdout instead of the summary.")
@for_ci
def submit_command(
    job: str, variables: tuple[str, ...], overrides: tuple[str, ...], address: str | None, **options: Any
) -> None:
    """Run JOB on a Ray cluster through its Jobs API, follow it, fetch its report, end with its exit code.

    The same job with the same settings is one run: submitted again, it is followed, or its report is fetched.
    """
    from ortbatch.submit.evaluation import begin, follow

    loaded = load_asked(job, variables, overrides)
    settings = {"--var": variables, "--set": overrides}
    submission, package = _prepared(loaded, Path(job).name, settings, options)
    cluster = _cluster(address)
    begun = begin(cluster, submission, package, options["python"])
    did = "is there already" if begun.found else f"is submitted, {package.size / 1e6:.1f} MB"
    with _going_on(cluster, begun.id):
        say(f"{begun.id}: {did}; run folder {shown_path(submission.folder)}")
        if not options["following"]:
            put(f"{begun.id}\n")
            return
        described = follow(cluster, begun.id, say, say)
    out = options["out"] or str(loaded.folder / "runs" / loaded.name / submission.base)
    report = _fetched(cluster, described, out)
    if report is None:
        _leave_without_report(described)
    else:
        print_report(report, options["as_json"])
        write_for_ci(report, options["junit"], options["markdown"])
        leave(report, options["inconclusive"])


def _prepared(
    job: Job, file: str, settings: Mapping[str, tuple[str, ...]], options: Mapping[str, Any]
) -> tuple[Submission, Package]:
    """What is asked, and what travels; neither holds a secret."""
    from ortbatch.submit.package import pack
    from ortbatch.submit.screening import refuse_secrets, secrets_of, texts_of
    from ortbatch.submit.submission import Submission

    package = pack(job, file)
    run_dir = options["run_dir"] or _run_dir(job)
    words = tuple(f"{option}={text}" for option, texts in settings.items() for text in texts)
    given = [(" ".join(word.split("=")[:2]), word) for word in words]
    given += [("--run-dir", run_dir), ("--python", options["python"])]
    given += texts_of(job.model_dump(mode="json", by_alias=True, exclude={"folder", "variables"}))
    refuse_secrets(given, package.files, secrets_of(os.environ))
    return Submission(job.name, file, package.digest, words, run_dir, options["force"]), package


def _run_dir(job: Job) -> str:
    """The job's folder of runs, with the evaluation's name for the time; a relative one lies in the head's home."""
    from ortbatch.data.storage import is_remote
    from ortbatch.job.templates import fill

    filled = fill(job.run_dir, {"name": job.name, "started": "{id}"})
    return filled if is_remote(filled) or Path(filled).is_absolute() else f"{_ON_THE_HEAD}/{filled}"


def _cluster(address: str | None) -> JobsApi:
    from ortbatch.submit.jobs_api import ADDRESSES, JobsApi

    named = address or next((os.environ[name] for name in ADDRESSES if os.environ.get(name)), None)
    if named is None:
        raise click.UsageError("no cluster is named: give --address URL, or set RAY_API_SERVER_ADDRESS")
    if not re.match(r"https?://[^/]", named):
        raise click.UsageError(
            f"--address {shown_path(named)}: expected the head's dashboard, such as http://127.0.0.1:8265 (`ray "
            "dashboard cluster.yaml` opens a tunnel to it)"
        )
    return JobsApi(named, say)


@contextmanager
def _going_on(cluster: JobsApi, name: str) -> Iterator[None]:
    """Who leaves hears that the run does not."""
    try:
        yield
    except KeyboardInterrupt:
        where = f"{name} --address {shown_path(cluster.address)}"
        say(f"the run goes on. Look again: ortbatch logs --follow {where}; end it: ortbatch stop {where}")
        raise click.exceptions.Exit(_INTERRUPTED) from None


def _fetched(cluster: JobsApi, described: Described, out: str) -> Report | None:
    """The report of an ended submission, written here with its table and its page."""
    from ortbatch.engine.folder import REPORT, RunFolder
    from ortbatch.pages import page_beside, write_page_if_possible
    from ortbatch.report.report import Report
    from ortbatch.report.table import metrics_table
    from ortbatch.submit.evaluation import report_of

    text = report_of(cluster, described)
    if text is None:
        return None
    folder = RunFolder(out)
    report = Report.decode(text, folder.file(REPORT))
    folder.finish(text.decode(), metrics_table(report.data))
    if write_page_if_possible(report, say):
        say(f"page: {shown_path(page_beside(report))}")
    say(f"report: {shown_path(report.path)}")
    return report


def _leave_without_report(described: Described) -> None:
    """Say why there is none, where the log did not; end with the exit code."""
    from ortbatch.submit.evaluation import exit_code

    code = exit_code(described)
    if described.status == "STOPPED":
        say(f"{described.id}: was stopped; what was done is kept, submit it again to go on")
    elif described.exit_code != code:
        said = " ".join(described.message.split())[:300]
        say(f"error: {described.id}: its driver is lost ({said}). Submit it again: it goes on.")
    raise click.exceptions.Exit(code)


def _existing(cluster: JobsApi, name: str) -> str:
    """The submission of a name, or the newest attempt of an evaluation."""
    from ortbatch.submit.submission import newest_of

    found = newest_of(name, names := cluster.names())
    if found is None:
        others = ", ".join(sorted(filter(None, names))[:5]) or "none"
        raise ClusterError(f"{shown_path(cluster.address)}: no submission {name} there; it knows {others}.")
    return found


@click.command("status")
@click.argument("name", metavar="ID")
@_address_option
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def status_command(name: str, address: str | None, as_json: bool) -> None:
    """Say how a submitted run is doing: ID, or its newest attempt."""
    from dataclasses import asdict

    from ortbatch.report.encode import encode
    from ortbatch.submit.following import readable

    cluster = _cluster(address)
    described = cluster.describe(_existing(cluster, name))
    if as_json:
        put(f"{encode(asdict(described))}\n".encode())
        return
    lines = [f"{described.id}: {described.status.lower()}{_since(described)}"]
    if described.exit_code is not None:
        lines.append(f"exit code {described.exit_code}")
    lines += [f"last line: {line}" for line in readable(cluster.log(described.id)).splitlines()[-1:]]
    for line in lines:
        put(f"{line}\n")


def _since(described: Described) -> str:
    times = [
        None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
        for ms in (described.started_ms, described.ended_ms)
    ]
    begun, ended = times
    said = "" if begun is None else f", begun {begun:%Y-%m-%d %H:%M:%S} UTC"
    return said if ended is None else f"{said}, ended {ended:%H:%M:%S}"


@click.command("logs")
@click.argument("name", metavar="ID")
@_address_option
@click.option("--follow", "following", is_flag=True, help="Stay until the run ends; end with its exit code.")
def logs_command(name: str, address: str | None, following: bool) -> None:
    """Print the log of a submitted run: ID, or its newest attempt."""
    from ortbatch.report.report import Report
    from ortbatch.submit.evaluation import follow, report_of
    from ortbatch.submit.following import readable

    cluster = _cluster(address)
    found = _existing(cluster, name)
    if not following:
        put(readable(cluster.log(found)))
        return
    with _going_on(cluster, found):
        described = follow(cluster, found, say, say)
    text = report_of(cluster, described)
    if text is None:
        _leave_without_report(described)
    else:
        report = Report.decode(text, found)
        print_report(report, as_json=False)
        leave(report, None)


@click.command("stop")
@click.argument("name", metavar="ID")
@_address_option
def stop_command(name: str, address: str | None) -> None:
    """Stop a submitted run; what it did is kept, and submitting it again goes on."""
    cluster = _cluster(address)
    found = _existing(cluster, name)
    say(f"{found}: is asked to stop" if cluster.stop(found) else f"{found}: has ended already")
