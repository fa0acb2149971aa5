"""What goes where on a terminal and elsewhere: quiet, without progress, coloured or not, with tracebacks or without."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

import ortbatch.engine.driver
from ortbatch.errors import StorageError
from tests.command_line import Done, call, command, make_job, process, write_rows

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")


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


@pytest.mark.parametrize("option", ["-q", "--quiet"])
def test_a_quiet_run_prints_nothing_and_leaves_its_report(job: Path, tmp_path: Path, option: str) -> None:
    done = run(job, tmp_path, option)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert (tmp_path / "report.json").is_file()


def test_a_quiet_run_keeps_its_exit_code(job: Path, tmp_path: Path) -> None:
    done = run(job, tmp_path, "-q", "--set", "gates=[accuracy >= 0.99]")
    assert (done.code, done.out, done.err) == (1, "", "")


def test_a_quiet_run_still_tells_errors(job: Path, tmp_path: Path) -> None:
    done = run(job, tmp_path, "-q", "--set", "data.label=gone")
    assert (done.code, done.out) == (2, "")
    assert "column `gone` is missing" in done.err


def test_a_quiet_run_prints_json_if_asked_and_nothing_else(job: Path, tmp_path: Path) -> None:
    done = run(job, tmp_path, "--quiet", "--json")
    assert (json.loads(done.out)["status"], done.err) == ("passed", "")


def test_a_quiet_run_that_was_finished_before_says_nothing(job: Path, folder: Path) -> None:
    assert run(job, folder, "-q").err == ""


def test_without_progress_the_summary_stays(job: Path, tmp_path: Path) -> None:
    done = run(job, tmp_path, "--no-progress")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(" PASSED   small")


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_works_before_and_after_the_command(job: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def drive(*_: object) -> None:
        raise StorageError("no")

    monkeypatch.setattr(ortbatch.engine.driver, "drive", drive)
    words = ["run", str(job), "--run-dir", str(job.parent / place), "--engine", "inline"]
    done = call(*(["--debug", *words] if place == "before" else [*words, "--debug"]))
    assert done.code == 5
    assert "Traceback (most recent call last)" in done.err


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
    ids=["pipe", "forced", "both"],
)
def test_a_pipe_has_colours_only_if_they_are_forced(folder: Path, variables: dict[str, str], coloured: bool) -> None:
    clean = {"TERM": "xterm-256color", "NO_COLOR": "", "COLUMNS": "80", **variables}
    assert bool(COLOUR.search(process("gate", folder, **clean).out)) == coloured


@pytest.mark.parametrize("arguments", [("report", "--json"), ("gate", "--json")])
def test_json_is_never_coloured(folder: Path, arguments: tuple[str, str]) -> None:
    done = process(arguments[0], folder, arguments[1], FORCE_COLOR="1", TERM="xterm-256color")
    assert "\x1b" not in done.out
    json.loads(done.out)


def on_terminal(job: Path, folder: Path, *options: str) -> str:
    """What a run writes to a terminal that is its stderr."""
    ours, theirs = pty.openpty()
    words = command("run", job, "--run-dir", folder, "--engine", "inline", *options)
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs, env=environment) as started:
        os.close(theirs)
        text = b""
        while part := _read(ours):
            text += part
    os.close(ours)
    assert started.returncode == 0
    return text.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 100_000)
    except OSError:
        return b""  # nobody writes any more


def test_a_terminal_sees_stages_shards_and_speed(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    write_rows(tmp_path / "job" / "data" / "long.parquet", rows=60_000, group=5_000)
    text = on_terminal(job, tmp_path / "run", "--set", "model.batch_size=8")
    assert "checking the job…" in text
    assert re.search(r"\d+%, \d+/\d+ shards, [\d,]+ rows/s", text)
    assert "timing single predictions…" in text


@pytest.mark.parametrize("option", ["--no-progress", "--quiet"])
def test_a_terminal_sees_no_bar_if_none_is_wanted(job: Path, tmp_path: Path, option: str) -> None:
    assert on_terminal(job, tmp_path / "run", option) == ""
