"""What commands that end in a verdict have in common: the report printed, the verdict for CI systems, the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ortbatch.job_arguments import F
from ortbatch.terminal import drawn, put

if TYPE_CHECKING:
    from ortbatch.report.report import Report

_INCONCLUSIVE = 4


def for_ci(command: F) -> F:
    """Give a command --junit and --markdown."""
    command = click.option(
        "--markdown", type=click.Path(), metavar="FILE", help="Write the verdict as Markdown, for a CI summary."
    )(command)
    return click.option(
        "--junit", type=click.Path(), metavar="FILE", help="Write the verdicts as JUnit XML, a gate a test."
    )(command)


def write_for_ci(report: Report, junit: str | None, markdown: str | None) -> None:
    """Write the files that were asked for."""
    from ortbatch.data.atomic import write_bytes
    from ortbatch.report.junit import junit_xml
    from ortbatch.report.markdown import markdown_summary

    for path, made in ((junit, junit_xml), (markdown, markdown_summary)):
        if path is not None:
            write_bytes(path, made(report.data).encode())


def print_report(report: Report, as_json: bool) -> None:
    """Print the summary, or report.json as it is."""
    if as_json:
        put(report.encode().encode())
        return
    from ortbatch.report.summary import print_summary

    put(drawn(lambda console: print_summary(report.data, console)))


def shown_path(path: str) -> str:
    """A path without secrets; one below the working folder, without that."""
    from ortbatch.job.redaction import redact

    return redact(str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path)


def leave(report: Report, inconclusive: str | None) -> None:
    """End with the report's exit code; `inconclusive` says what becomes of 4."""
    code = report.exit_code
    if code == _INCONCLUSIVE and inconclusive is not None:
        code = 0 if inconclusive == "pass" else 1
    raise click.exceptions.Exit(code)
