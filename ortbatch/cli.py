"""The command line: arguments, wiring, progress, exit codes. No arithmetic.

Results go to stdout, everything else to stderr. Heavy modules are imported by the command that needs them.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ortbatch import __version__
from ortbatch.earlier_commands import compare_command, history_command
from ortbatch.errors import Interrupted, JobError, OrtbatchError
from ortbatch.job_arguments import F, job_arguments, load_asked
from ortbatch.latency_command import latency_command
from ortbatch.terminal import drawn, put, reader_has_left, say, tell

if TYPE_CHECKING:
    from ortbatch.report.report import Report

_USAGE = 2
_INCONCLUSIVE = 4
_UNEXPECTED = 5
_INTERRUPTED = 130
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
STREAM = "stream"  # name of the threads that evaluate


def main() -> None:
    """Run the command line; every error ends in its exit code, one that nobody foresaw in 5."""
    try:
        code = _run_command(sys.argv[1:])
    except BrokenPipeError as error:
        # Only the help is written without care for a reader that has left.
        code = 0 if reader_has_left() else _failed(error)
    except Interrupted as stopped:
        say(f"interrupted; what was done is kept. Go on with:\n  {_again(stopped.folder)}")
        code = _INTERRUPTED
    except (KeyboardInterrupt, click.Abort):
        say("interrupted")
        code = _INTERRUPTED
    except Exception as error:
        code = _failed(error)
    sys.exit(code)


def program() -> None:
    """The command line as a process of its own: it ends now, though a stream may be in the middle of a batch."""
    try:
        main()
    except SystemExit as leave:
        if not any(thread.name == STREAM for thread in threading.enumerate()):
            raise
        # The interpreter must not be taken down around what it runs.
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(leave.code if isinstance(leave.code, int) else _UNEXPECTED)


def _run_command(arguments: list[str]) -> int:
    # click's own `main` makes 0 of every exit code, and 1, which says that a gate failed, of a broken pipe.
    try:
        with _commands.make_context("ortbatch", arguments) as context:
            _commands.invoke(context)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        tell(error.show)
        return _USAGE
    return 0


def _failed(error: Exception) -> int:
    """Say what went wrong; return the exit code."""
    if "--debug" in sys.argv:
        say("".join(traceback.format_exception(error)))
    if isinstance(error, JobError):
        count = len(error.problems)
        say(f"error: the job has {count} problem{'s' if count != 1 else ''}:\n{error}")
    elif isinstance(error, OrtbatchError):
        say(f"error: {error}")
    elif isinstance(error, MemoryError):
        say("error: out of memory. Lower `model.batch_size` or `execution.cpus_per_worker`, or free some.")
    elif isinstance(error, OSError) and error.errno in _NO_ROOM:
        say(f"error: no room left: {error}. Free some, or set TMPDIR to a folder that has some.")
    else:
        say(
            f"error: {type(error).__name__}: {error}\nThis is a defect of ortbatch, not of your job. Run again with "
            "`ortbatch --debug …` for the traceback, and please report it."
        )
    return error.exit_code if isinstance(error, OrtbatchError) else _UNEXPECTED


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="ortbatch %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def _commands(debug: bool) -> None:
    """Evaluate ONNX models over labelled Parquet, on this machine or on Ray.

    Exit codes: 0 passed or no gates, 1 a gate failed, 2 bad usage, job, model or data, 3 incomplete, 4 inconclusive,
    5 tool, storage or cluster failure, 130 interrupted.
    """


def _for_ci(command: F) -> F:
    """--junit and --markdown."""
    command = click.option("--markdown", metavar="FILE", help="Write the verdict as Markdown, for a CI summary.")(
        command
    )
    return click.option("--junit", metavar="FILE", help="Write the verdicts as JUnit XML, a gate a test.")(command)


def _write_for_ci(report: Report, junit: str | None, markdown: str | None) -> None:
    from ortbatch.data.atomic import write_bytes
    from ortbatch.report.junit import junit_xml
    from ortbatch.report.markdown import markdown_summary

    for path, made in ((junit, junit_xml), (markdown, markdown_summary)):
        if path is not None:
            write_bytes(path, made(report.data).encode())


@_commands.command("run")
@job_arguments
@click.option("--run-dir", metavar="DIR", help="Folder of this run, instead of the job's `run_dir`.")
@click.option("--resume", is_flag=True, help="Go on with the unfinished run in DIR, or the newest of this job.")
@click.option("--force", is_flag=True, help="Start over, even if the folder holds a run.")
@click.option("--engine", type=click.Choice(["auto", "ray", "inline"]), default="auto", show_default=True)
@click.option("--address", metavar="ADDR", help="Ray cluster to run on.")
@click.option("--inconclusive", type=click.Choice(["pass", "fail"]), help="Exit with 0 or 1 where it would be 4.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json on stdout instead of the summary.")
@_for_ci
def _run(
    job: str,
    variables: tuple[str, ...],
    overrides: tuple[str, ...],
    inconclusive: str | None,
    as_json: bool,
    junit: str | None,
    markdown: str | None,
    **options: Any,
) -> None:
    """Run JOB: evaluate its model on its data, judge its gates, write the report."""
    from ortbatch.api import Options, run_job
    from ortbatch.progress import progress_to

    if options["engine"] == "inline" and options["address"] is not None:
        raise click.UsageError("--engine inline runs in this process; leave out --address, or run on Ray")
    if options["force"] and options["resume"]:
        raise click.UsageError("--force starts over and --resume goes on; give one of them")
    loaded = load_asked(job, variables, overrides)
    with progress_to(sys.stderr) as show:
        outcome = run_job(loaded, Options(**options, show=show, tell=say))
    if outcome.repeated:
        say("this run is finished already: nothing was done (--force runs it again)")
    _print(outcome.report, as_json)
    _write_for_ci(outcome.report, junit, markdown)
    where = f"report: {_shown(outcome.report.path)}"
    say(where) if as_json else put(f"{where}\n")
    _exit(outcome.report, inconclusive)


@_commands.command("check")
@job_arguments
def _check(job: str, variables: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """Check JOB against its model and its data, with one real batch; nothing is run or written."""
    from ortbatch.api import check
    from ortbatch.preflight_text import print_prepared

    prepared = check(load_asked(job, variables, overrides))
    put(drawn(lambda console: print_prepared(prepared, console)))


@_commands.command("report")
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of the summary.")
def _report(run: str, as_json: bool) -> None:
    """Print the report of a finished RUN (its folder)."""
    from ortbatch.api import read_report

    _print(read_report(run), as_json)


@_commands.command("gate")
@click.argument("run")
@click.option("--gates", "gates", metavar="FILE", help="Other gates: a job file, or any YAML file with `gates`.")
@click.option("--inconclusive", type=click.Choice(["pass", "fail"]), help="Exit with 0 or 1 where it would be 4.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
@_for_ci
def _gate(
    run: str, gates: str | None, inconclusive: str | None, as_json: bool, junit: str | None, markdown: str | None
) -> None:
    """Judge a finished RUN again, by its own or by other gates; nothing is run or written."""
    from ortbatch.api import judge_again, read_report
    from ortbatch.job.gates_file import load_gates
    from ortbatch.report.encode import encode
    from ortbatch.report.summary import print_verdict

    report = read_report(run)
    judged = judge_again(report, None if gates is None else load_gates(gates))
    if as_json:
        verdict = {key: judged.data[key] for key in ("status", "exit_code", "gates")}
        put(f"{encode(verdict)}\n".encode())
    else:
        put(drawn(lambda console: print_verdict(judged.data, console)))
    _write_for_ci(judged, junit, markdown)
    _exit(judged, inconclusive)


@_commands.command("thresholds")
@click.argument("run")
@click.option("--class", "class_name", metavar="NAME", help="Class of a model of many, against the rest.")
@click.option("--min-recall", type=float, metavar="X", help="Best precision with at least this recall.")
@click.option("--min-precision", type=float, metavar="X", help="Best recall with at least this precision.")
@click.option("--cost", metavar="fn=A,fp=B", help="Least cost, at A a row missed and B a false alarm.")
@click.option("--confirm", is_flag=True, help="Choose on one half of the rows and judge on the other.")
@click.option("--json", "as_json", is_flag=True, help="Print the choice as JSON.")
def _thresholds(run: str, class_name: str | None, confirm: bool, as_json: bool, **asked: Any) -> None:
    """Choose a threshold from the report of a finished RUN: the best F1, unless an option asks for something else."""
    from ortbatch.api import pick_threshold, read_report
    from ortbatch.metrics.operating import Aim, costs
    from ortbatch.report.encode import encode, plain

    given = {name: value for name, value in asked.items() if value is not None}
    options = [f"--{name.replace('_', '-')}" for name in given]
    if len(given) > 1:
        raise click.UsageError(f"a threshold is chosen for one thing; give one of {' and '.join(options)}")
    try:
        aim = Aim(**({"cost": costs(given["cost"])} if "cost" in given else given))
    except ValueError as error:
        raise click.UsageError(f"{options[0]}: {error}") from None
    choice = pick_threshold(read_report(run), aim, class_name=class_name, confirm=confirm)
    if as_json:
        put(f"{encode(plain(choice.as_json()))}\n".encode())
        return
    from ortbatch.report.threshold_text import print_choice

    put(drawn(lambda console: print_choice(choice, console)))


@_commands.command("schema")
@click.argument("what", type=click.Choice(["job", "report", "latency"]))
def _schema(what: str) -> None:
    """Print the JSON Schema of the job file, of report.json or of a latency curve."""
    if what == "job":
        from ortbatch.job import job_schema

        schema = job_schema()
    elif what == "latency":
        from ortbatch.report.latency_curve_schema import CURVE_SCHEMA

        schema = CURVE_SCHEMA
    else:
        from ortbatch.report.schema import REPORT_SCHEMA

        schema = REPORT_SCHEMA
    put(json.dumps(schema, indent=2) + "\n")


_commands.add_command(compare_command)
_commands.add_command(history_command)
_commands.add_command(latency_command)


def _print(report: Report, as_json: bool) -> None:
    if as_json:
        put(report.encode().encode())
        return
    from ortbatch.report.summary import print_summary

    put(drawn(lambda console: print_summary(report.data, console)))


def _again(folder: str) -> str:
    """The command that goes on with an interrupted run: the same, in its folder."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    named = any(word == "--run-dir" or word.startswith("--run-dir=") for word in words)
    return shlex.join(["ortbatch", *words, *([] if named else ["--run-dir", _shown(folder)])])


def _shown(path: str) -> str:
    """A path without secrets; one below the working folder, without that."""
    from ortbatch.job.redaction import redact

    return redact(str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path)


def _exit(report: Report, inconclusive: str | None) -> None:
    code = report.exit_code
    if code == _INCONCLUSIVE and inconclusive is not None:
        code = 0 if inconclusive == "pass" else 1
    raise click.exceptions.Exit(code)
