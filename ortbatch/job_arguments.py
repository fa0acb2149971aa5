"""The arguments of every command about a job: JOB, --var and --set."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ortbatch.job import Job

F = TypeVar("F", bound=Callable[..., Any])


def job_arguments(command: F) -> F:
    """Give a command JOB, --var and --set."""
    command = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the job.")(
        command
    )
    command = click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="Fill {NAME} in the job.")(
        command
    )
    return click.argument("job", type=click.Path(dir_okay=False))(command)


def load_asked(job: str, variables: tuple[str, ...], overrides: tuple[str, ...]) -> Job:
    """The job that these arguments name."""
    from ortbatch.job import load_job

    pairs = {}
    for entry in variables:
        name, equals, value = entry.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--var {entry}: expected NAME=VALUE")
        pairs[name] = value
    return load_job(job, pairs, overrides)
