"""The command `check`: how a job fits its model and its data. Arguments in, exit codes out."""

from __future__ import annotations

import click

from ortbatch.job_arguments import job_arguments, load_asked
from ortbatch.terminal import drawn, put


@click.command("check")
@job_arguments
@click.option(
    "--json", "as_json", is_flag=True, help="Print what was found as JSON; `ortbatch schema check` describes it."
)
def check_command(job: str, variables: tuple[str, ...], overrides: tuple[str, ...], as_json: bool) -> None:
    """Check JOB against its model and its data, with some real rows; nothing is run or written.

    Shows how columns feed the model, and about how long a run takes, and how much memory.
    """
    from ortbatch.preflight import preflight
    from ortbatch.preflight_schema import as_json as encoded
    from ortbatch.preflight_text import print_preflight

    found = preflight(load_asked(job, variables, overrides))
    put(encoded(found) if as_json else drawn(lambda console: print_preflight(found, console)))
