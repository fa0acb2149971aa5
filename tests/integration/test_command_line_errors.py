"""What goes wrong ends in its exit code, with a message on stderr and nothing half-written."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import ortbatch.engine.driver
from ortbatch.errors import ClusterError, MergeError, ShardError, StorageError
from tests.command_line import JOB, Done, call, command, files_of, make_job, process, write_rows


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """job.yaml of the small job; do not write beside it."""
    return make_job(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def folder(job: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; read only."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    assert run(job, folder).code == 0
    return folder


def run(job: Path, folder: Path, *options: str) -> Done:
    return call("run", job, "--run-dir", folder, "--engine", "inline", *options)


WRONG = {
    "no such command": (("walk",), "No such command 'walk'"),
    "no such option": (("run", "job.yaml", "--fast"), "No such option"),
    "no job": (("run",), "Missing argument 'JOB'"),
    "no such engine": (("run", "job.yaml", "--engine", "spark"), "'spark' is not one of 'auto', 'ray', 'inline'"),
    "an address for inline": (
        ("run", "job.yaml", "--engine", "inline", "--address", "auto"),
        "--engine inline runs in this process",
    ),
    "a variable without value": (("run", "job.yaml", "--var", "date"), "--var date: expected NAME=VALUE"),
    "no such job file": (("run", "gone.yaml"), "gone.yaml: cannot read the job file: No such file or directory"),
    "a folder as job": (("run", "."), "is a directory"),
    "no such run": (("report", "gone"), "gone: no finished run here (report.json is missing)"),
    "no such run to gate": (("gate", "gone"), "gone: no finished run here"),
    "no such schema": (("schema", "run"), "'run' is not one of 'job', 'report'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_bad_usage_ends_with_2(what: str, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(job.parent)
    arguments, message = WRONG[what]
    done = call(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


UNFIT = {
    "an unknown key": ("data.lable=x", "data.lable: unknown key `lable`; did you mean `label`?"),
    "a missing model": ("model.path=gone.onnx", "gone.onnx: no such file"),
    "a model that is none": ("model.path=job.yaml", "job.yaml"),
    "missing data": ("data.path=gone", "gone: no such file or folder"),
    "a missing label": ("data.label=truth", "truth"),
    "a missing input": ("model.inputs.x=[f0, f1, f2, f9]", "f9"),
    "a gate on a class that there is not": ("gates=['recall[7] >= 0.5']", '"7" (text) is none of the classes 0, 1, 2'),
    "fewer files than expected": ("data.expect.files=4", "data.expect.files: expected 4, found 3"),
}


@pytest.mark.parametrize("verb", ["run", "check"])
@pytest.mark.parametrize("what", UNFIT)
def test_a_job_that_cannot_run_ends_with_2_and_writes_nothing(tmp_path: Path, verb: str, what: str) -> None:
    job = make_job(tmp_path / "job")
    before = files_of(tmp_path)
    done = call(verb, job, "--set", UNFIT[what][0])
    assert (done.code, done.out) == (2, "")
    assert UNFIT[what][1] in done.err
    assert files_of(tmp_path) == before


def test_every_problem_of_a_job_is_told_at_once(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", JOB.replace("name: small", "nam: small").replace("accuracy", "acuracy"))
    done = call("run", job)
    assert done.err.startswith("error: the job has 2 problems:\n")


def test_a_run_folder_that_cannot_be_written_ends_with_2(job: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(job, tmp_path / "file" / "run")
    assert done.code == 2
    assert "the run folder cannot be written" in done.err


def test_bad_rows_end_with_3_and_are_told_with_files_and_counts(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    write_rows(job.parent / "data" / "part-1.parquet", rows=40, nulls=5)
    write_rows(job.parent / "data" / "part-2.parquet", rows=40, nulls=2)
    done = run(job, tmp_path / "run", "--set", "data.max_bad_rows=6")
    text = " ".join(done.out.replace("\n", "").split())
    assert done.code == 3
    assert "INCOMPLETE small: 7 bad rows in 2 files, 6 allowed" in text
    assert text.index("part-1.parquet: 5") < text.index("part-2.parquet: 2")


def test_as_many_bad_rows_as_allowed_do_not_end_with_3(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    write_rows(job.parent / "data" / "part-1.parquet", rows=40, nulls=6)
    gates = "gates=[accuracy >= 0.5]"
    assert run(job, tmp_path / "run", "--set", "data.max_bad_rows=5%", "--set", gates).code == 0


@pytest.fixture
def fails(job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """A run whose pass raises."""

    def failing(error: BaseException, *options: str) -> Done:
        def drive(*_: object) -> None:
            raise error

        monkeypatch.setattr(ortbatch.engine.driver, "drive", drive)
        return run(job, tmp_path / "run", *options)

    return failing


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("shapes differ"), "error: ValueError: shapes differ\nThis is a defect of ortbatch"),
        (KeyError("x"), "error: KeyError: 'x'\nThis is a defect of ortbatch"),
        (OSError(5, "Input/output error"), "error: OSError: [Errno 5] Input/output error\n"),
        (MemoryError(), "error: out of memory. Lower `model.batch_size`"),
        (MergeError("classes differ"), "error: classes differ\n"),
        (StorageError("put failed"), "error: put failed\n"),
        (ClusterError("no node"), "error: no node\n"),
        (RecursionError("deep"), "error: RecursionError: deep\n"),
    ],
)
def test_what_nobody_foresaw_ends_with_5_without_traceback(
    fails: Callable[..., Done], error: Exception, message: str
) -> None:
    done = fails(error)
    assert (done.code, done.out) == (5, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_failed_shard_ends_with_3(fails: Callable[..., Done]) -> None:
    assert fails(ShardError("shard 7")).code == 3


def test_after_a_failure_there_is_a_plan_and_no_report(fails: Callable[..., Done], tmp_path: Path) -> None:
    fails(ValueError("no"))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoint", "plan.json"]


@pytest.mark.parametrize("error", [ValueError("no"), StorageError("no")])
def test_debug_shows_the_traceback(job: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def drive(*_: object) -> None:
        raise error

    monkeypatch.setattr(ortbatch.engine.driver, "drive", drive)
    done = call("--debug", "run", job, "--run-dir", job.parent / "debug", "--engine", "inline")
    assert done.code == 5
    assert "Traceback (most recent call last)" in done.err


def test_a_pipe_that_breaks_inside_the_run_is_no_failed_gate(job: Path, tmp_path: Path) -> None:
    code = (
        "import sys, ortbatch.cli, ortbatch.engine.driver\n"
        "def drive(*_): raise BrokenPipeError(32, 'Broken pipe')\n"
        "ortbatch.engine.driver.drive = drive\n"
        f"sys.argv = ['ortbatch', 'run', {str(job)!r}, '--run-dir', {str(tmp_path)!r}, '--engine', 'inline']\n"
        "ortbatch.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (5, "")


def test_ctrl_c_ends_with_130_soon_and_leaves_no_report(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    write_rows(job.parent / "data" / "long.parquet", rows=400_000, group=5_000)
    slow = ("--set", "model.batch_size=1", "--set", "execution.shard_rows=5000")
    with subprocess.Popen(
        command("run", job, "--run-dir", tmp_path / "run", "--engine", "inline", *slow),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        wait_for(tmp_path / "run" / "plan.json")
        time.sleep(0.3)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=10)
    assert (running.returncode, out) == (130, "")
    assert err.splitlines()[-2] == "interrupted; what was done is kept. Go on with:"
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoint", "plan.json"]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def leaving(*arguments: object) -> tuple[int, str]:
    """Exit code and stderr of a command whose reader is gone before it writes."""
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        started.stdout.close()
        err = started.stderr.read().decode()
    return started.returncode, err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("report", "RUN"), 0),
        (("report", "RUN", "--json"), 0),
        (("gate", "RUN", "--gates", "GATES"), 1),
        (("schema", "report"), 0),
        (("run", "-h"), 0),
        (("--version",), 0),
    ],
)
def test_a_reader_that_leaves_changes_no_exit_code(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    (tmp_path / "gates.yaml").write_text("gates: [accuracy >= 0.99]")
    places = {"RUN": folder, "GATES": tmp_path / "gates.yaml"}
    assert leaving(*(places.get(argument, argument) for argument in arguments)) == (code, "")


def test_a_run_whose_reader_leaves_finishes(job: Path, tmp_path: Path) -> None:
    code, err = leaving("run", job, "--run-dir", tmp_path, "--engine", "inline")
    assert (code, err.count("\n")) == (0, 1)
    assert (tmp_path / "report.json").exists()


def test_a_run_finishes_when_nobody_reads_its_messages(job: Path, tmp_path: Path) -> None:
    started = subprocess.Popen(
        command("run", job, "--run-dir", tmp_path, "--engine", "inline"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert started.stderr is not None
    started.stderr.close()
    assert started.wait(timeout=60) == 0
    assert (tmp_path / "report.json").exists()


def test_a_full_disk_under_stdout_ends_with_5(folder: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command("report", folder), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 5
    assert done.stderr == "error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_are_for_terminals_and_no_color_is_respected(folder: Path, no_color: str, coloured: bool) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": no_color, "COLUMNS": "80"}
    with subprocess.Popen(command("gate", folder), stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as done:
        os.close(theirs)
        text = os.read(ours, 100_000)
    os.close(ours)
    assert done.returncode == 0
    assert (b"\x1b[32m" in text or b";32m" in text) == coloured


def test_nothing_is_coloured_in_a_pipe(folder: Path) -> None:
    assert "\x1b" not in process("report", folder).out


def test_json_of_a_failed_command_is_no_output(tmp_path: Path) -> None:
    done = call("report", tmp_path, "--json")
    assert (done.code, done.out) == (2, "")


def test_a_stored_report_that_is_damaged_ends_with_2(folder: Path, tmp_path: Path) -> None:
    data = json.loads((folder / "report.json").read_text())
    del data["quality"]["accuracy"]
    (tmp_path / "report.json").write_text(json.dumps(data))
    done = call("report", tmp_path)
    assert done.code == 2
    assert "not a valid report: quality: 'accuracy' is a required property" in done.err


def test_several_workers_in_one_process_are_refused_with_the_way_out(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", JOB + "execution: {workers: 3}\n")
    done = call("run", job, "--engine", "inline", "--run-dir", tmp_path / "run")
    assert done.code == 2
    assert "execution.workers: 3 asked for, and engine inline is one process" in done.err
    assert "--set execution.workers=auto" in done.err
    assert not (tmp_path / "run").exists()
    both = ("--engine", "inline", "--set", "execution.workers=auto")
    assert call("run", job, *both, "--run-dir", tmp_path / "run").code == 0
