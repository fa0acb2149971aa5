"""The command line: arguments, wiring, progress, exit codes. No arithmetic.

Results go to stdout, everything else to stderr. Heavy modules are imported by the command that needs them.
"""

from __future__ import annotations

import errno
import os
import shlex
import sys
import threading
import traceback
from contextlib import suppress
from typing import Any

import click

from ortbatch import __version__
from ortbatch.check_command import check_command
from ortbatch.completion_command import PROGRAM, VARIABLE, completion_command
from ortbatch.earlier_commands import compare_command, history_command
from ortbatch.errors import Interrupted, JobError, OrtbatchError
from ortbatch.init_command import init_command
from ortbatch.latency_command import latency_command
from ortbatch.run_command import run_command
from ortbatch.schema_command import schema_command
from ortbatch.submit_command import logs_command, status_command, stop_command, submit_command
from ortbatch.terminal import drawn, put, reader_has_left, say, tell
from ortbatch.track_command import track_command
from ortbatch.verdict import for_ci, leave, print_report, shown_path, write_for_ci

_USAGE = 2
_UNEXPECTED = 5
_INTERRUPTED = 130
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DEBUG = "--debug"  # wherever it stands
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
        end_process(leave.code if isinstance(leave.code, int) else _UNEXPECTED)


def end_process(code: int) -> None:
    """End this process with a code, now, whatever its streams are doing."""
    if not any(thread.name == STREAM for thread in threading.enumerate()):
        sys.exit(code)
    # The interpreter must not be taken down around what it runs.
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _run_command(arguments: list[str]) -> int:
    if asked := os.environ.get(VARIABLE):
        from click.shell_completion import shell_complete

        return shell_complete(_commands, {}, PROGRAM, VARIABLE, asked)
    # click's own `main` makes 0 of every exit code, and 1, which says that a gate failed, of a broken pipe.
    try:
        with _commands.make_context("ortbatch", [word for word in arguments if word != _DEBUG]) as context:
            _commands.invoke(context)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        tell(error.show)
        return _USAGE
    return 0


def _failed(error: Exception) -> int:
    """Say what went wrong; return the exit code."""
    if _DEBUG in sys.argv:
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
@click.option("--debug", is_flag=True, help="Show the traceback of an error; may stand anywhere.")
def _commands(debug: bool) -> None:
    """Evaluate ONNX models over labelled Parquet, on this machine or on Ray.

    Exit codes: 0 passed or no gates, 1 a gate failed, 2 bad usage, job, model or data, 3 incomplete, 4 inconclusive,
    5 tool, storage or cluster failure, 130 interrupted.
    """


@_commands.command("report")
@click.argument("run", type=click.Path())
@click.option("--html", "page", metavar="FILE", help="Write the page here instead of beside the report.")
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of the summary; no page is made.")
def _report(run: str, page: str | None, as_json: bool) -> None:
    """Print the report of a finished RUN (its folder), and make report.html again."""
    from ortbatch.api import read_report
    from ortbatch.pages import page_beside, write_page, write_page_if_possible

    report = read_report(run)
    print_report(report, as_json)
    if page is not None:
        where = shown_path(write_page(report, page))
    elif as_json or not write_page_if_possible(report, say):
        return
    else:
        where = shown_path(page_beside(report))
    say(f"page: {where}") if as_json else put(f"page: {where}\n")


@_commands.command("gate")
@click.argument("run", type=click.Path())
@click.option(
    "--gates",
    "gates",
    type=click.Path(),
    metavar="FILE",
    help="Other gates: a job file, or any YAML file with `gates`.",
)
@click.option("--inconclusive", type=click.Choice(["pass", "fail"]), help="Exit with 0 or 1 where it would be 4.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
@for_ci
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
    write_for_ci(judged, junit, markdown)
    leave(judged, inconclusive)


@_commands.command("thresholds")
@click.argument("run", type=click.Path())
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


_commands.add_command(init_command)
_commands.add_command(run_command)
_commands.add_command(check_command)
_commands.add_command(completion_command)
_commands.add_command(compare_command)
_commands.add_command(history_command)
_commands.add_command(latency_command)
_commands.add_command(schema_command)
_commands.add_command(submit_command)
_commands.add_command(status_command)
_commands.add_command(logs_command)
_commands.add_command(stop_command)
_commands.add_command(track_command)


def _again(folder: str) -> str:
    """The command that goes on with an interrupted run: the same, in its folder."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    named = any(word == "--run-dir" or word.startswith("--run-dir=") for word in words)
    return shlex.join(["ortbatch", *words, *([] if named else ["--run-dir", shown_path(folder)])])
