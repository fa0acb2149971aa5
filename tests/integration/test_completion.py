"""Shells complete commands, options and paths: bash itself is asked, with the script that ortbatch prints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import call, process

ASK = """
eval "$(ortbatch completion bash)"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_ortbatch_completion ortbatch
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on PATH with `ortbatch` in it, some files, and a folder."""
    folder = tmp_path_factory.mktemp("shell")
    (folder / "ortbatch").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ortbatch "$@"\n')
    (folder / "ortbatch").chmod(0o755)
    for name in ("job.yaml", "jobs/one/job.yaml", "runs/night/report.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


def completed(folder: Path, *words: str) -> list[str]:
    """What bash offers for the last of these words."""
    if shutil.which("bash") is None:
        pytest.fail("bash is not installed")
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(Path.cwd())}
    command = ["bash", "-c", ASK, "bash", "ortbatch", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return sorted(done.stdout.split())


def test_bash_completes_commands(folder: Path) -> None:
    assert completed(folder, "h") == ["history"]
    assert {"run", "check", "init", "report", "gate", "thresholds", "compare", "history", "latency", "schema",
            "completion"} <= set(completed(folder, ""))  # fmt: skip


def test_bash_completes_options_and_what_they_take(folder: Path) -> None:
    assert completed(folder, "run", "--no-pr") == ["--no-progress"]
    assert completed(folder, "run", "--engine", "r") == ["ray"]
    assert completed(folder, "schema", "c") == ["check"]


@pytest.mark.parametrize("words", [("run", "jo"), ("check", "jo"), ("report", "jo"), ("compare", "a", "jo")])
def test_paths_are_left_to_bash(folder: Path, words: tuple[str, ...]) -> None:
    environment = {"_ORTBATCH_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("ortbatch", *words))}
    done = process(**environment, COMP_CWORD=str(len(words)))
    assert (done.code, done.out.strip()) == (0, "file,jo")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_defines_a_completion_of_ortbatch(shell: str) -> None:
    done = call("completion", shell)
    assert done.code == 0
    assert f"_ORTBATCH_COMPLETE={shell}_complete" in done.out


def test_bash_reads_the_script_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "script").write_text(call("completion", "bash").out)
    done = subprocess.run(["bash", "-eu", str(tmp_path / "script")], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_another_shell_is_bad_usage() -> None:
    done = call("completion", "tcsh")
    assert done.code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in done.err
