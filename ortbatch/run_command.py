"""The command `run`: evaluate, judge, write the report. Arguments in, exit codes out.

The summary goes to stdout, progress and messages to stderr. `--quiet` leaves only errors and, with `--json`, the JSON.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import click

from ortbatch.job_arguments import job_arguments, load_asked
from ortbatch.terminal import put, say
from ortbatch.verdict import for_ci, leave, print_report, shown_path, write_for_ci


@dataclass(frozen=True)
class _Printed:
    """What is printed: JSON in place of the summary, nothing but errors, no progress."""

    as_json: bool
    quiet: bool
    no_progress: bool

    def tell(self, message: str) -> None:
        """Say a sentence on stderr."""
        if not self.quiet:
            say(message)


@click.command("run")
@job_arguments
@click.option("--run-dir", type=click.Path(), metavar="DIR", help="Folder of this run, instead of the job's `run_dir`.")
@click.option("--resume", is_flag=True, help="Go on with the unfinished run in DIR, or the newest of this job.")
@click.option("--force", is_flag=True, help="Start over, even if the folder holds a run.")
@click.option("--engine", type=click.Choice(["auto", "ray", "inline"]), default="auto", show_default=True)
@click.option("--address", metavar="ADDR", help="Ray cluster to run on.")
@click.option("--inconclusive", type=click.Choice(["pass", "fail"]), help="Exit with 0 or 1 where it would be 4.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json on stdout instead of the summary.")
@click.option(
    "-q", "--quiet", is_flag=True, help="Print nothing but errors; the exit code and the report say the rest."
)
@click.option("--page/--no-page", default=True, help="Write report.html beside report.json (the default).")
@click.option("--no-progress", is_flag=True, help="No bar and no lines of progress.")
@for_ci
def run_command(
    job: str,
    variables: tuple[str, ...],
    overrides: tuple[str, ...],
    inconclusive: str | None,
    junit: str | None,
    markdown: str | None,
    **options: Any,
) -> None:
    """Run JOB: evaluate its model on its data, judge its gates, write the report."""
    from ortbatch.api import Options, publish, run_job
    from ortbatch.progress import no_progress, progress_to

    printed = _Printed(*(options.pop(name) for name in ("as_json", "quiet", "no_progress")))
    if options["engine"] == "inline" and options["address"] is not None:
        raise click.UsageError("--engine inline runs in this process; leave out --address, or run on Ray")
    if options["force"] and options["resume"]:
        raise click.UsageError("--force starts over and --resume goes on; give one of them")
    loaded = load_asked(job, variables, overrides)
    silent = printed.quiet or printed.no_progress
    asked = Options(**options, tell=printed.tell, warn=say)
    with no_progress() if silent else progress_to(sys.stderr) as show:
        outcome = run_job(loaded, replace(asked, show=show, begin=show.begin))
    if outcome.repeated:
        printed.tell("this run is finished already: nothing was done (--force runs it again)")
    if printed.as_json or not printed.quiet:
        print_report(outcome.report, printed.as_json)
    write_for_ci(outcome.report, junit, markdown)
    page = publish(outcome, asked)
    where = "" if page is None else f"page: {shown_path(page)}\n"
    where += f"report: {shown_path(outcome.report.path)}\n"
    if printed.as_json:
        printed.tell(where.rstrip("\n"))
    elif not printed.quiet:
        put(where)
    leave(outcome.report, inconclusive)
