"""Commands and code in the documents do what the documents say: they are run, in a copy of the checkout."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (
    (ROOT / "docs", "*.md"),
    (ROOT / "docs" / "commands", "*.md"),
    (ROOT / "docs" / "how-to", "*.md"),
    (ROOT / "jobs", "*/README.md"),
)
DOCUMENTS = [ROOT / "README.md", *(path for folder, names in FOLDERS for path in sorted(folder.glob(names)))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXIT = re.compile(r"exit code (\d+)")


@dataclass(frozen=True)
class Command:
    """A line of a `sh` block; its comment may name the exit code."""

    document: str
    line: str

    @property
    def exit_code(self) -> int:
        match = EXIT.search(self.line.partition("#")[2])
        return int(match[1]) if match else 0

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line, comments=True)

    def __str__(self) -> str:
        return f"{self.document}: {' '.join(self.words)}"


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (str(document.relative_to(ROOT)), body)
        for document in DOCUMENTS
        for found, body in FENCE.findall(document.read_text())
        if found == language
    ]


def commands() -> list[Command]:
    lines = [Command(name, line) for name, body in blocks("sh") for line in body.splitlines()]
    return [command for command in lines if command.words]


@pytest.fixture(scope="module")
def checkout(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a checkout after `prepare.py`."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(digits.parent, folder / "jobs" / "digits")
    for source in (ROOT / "jobs").glob("*.py"):
        shutil.copy(source, folder / "jobs")
    (folder / "jobs" / "quantized").mkdir()
    for source in ("digits/prepare.py", "quantized/prepare.py", "quantized/job.yaml"):
        shutil.copy(ROOT / "jobs" / source, folder / "jobs" / source)
    for name in ("fraud", "nightly"):
        (folder / "jobs" / name).mkdir()
        for source in (*(ROOT / "jobs" / name).glob("*.py"), *(ROOT / "jobs" / name).glob("*.yaml")):
            shutil.copy(source, folder / "jobs" / name)
    return folder


def test_every_command_is_one_that_is_run_or_a_target_of_make() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in commands():
        program = command.words[0]
        assert program in ("ortbatch", "python", "make"), str(command)
        assert program != "make" or command.words[1] in targets


@pytest.mark.parametrize("command", [c for c in commands() if c.words[0] != "make"], ids=str)
def test_a_documented_command_ends_as_documented(command: Command, checkout: Path) -> None:
    words = command.words
    run = [sys.executable, "-m", *words] if words[0] == "ortbatch" else [sys.executable, *words[1:]]
    run = [latest_run(checkout) if word in ("RUN", "OLD", "NEW") else word for word in run]
    done = subprocess.run(run, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == command.exit_code, done.stdout + done.stderr


def latest_run(checkout: Path) -> str:
    """What a reader would put for RUN."""
    folders = sorted((checkout / "jobs" / "digits" / "runs" / "digits").glob("*"))
    if not folders:
        command = [sys.executable, "-m", "ortbatch", "run", "jobs/digits/job.yaml"]
        subprocess.run(command, cwd=checkout, capture_output=True, check=True)
        return latest_run(checkout)
    return str(folders[-1])


@pytest.mark.parametrize(("document", "code"), blocks("python"))
def test_documented_python_runs(document: str, code: str, checkout: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_documents_point_at_files_that_exist() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            # A document of another feature may come later, but a link to nothing never.
            assert (document.parent / target).exists(), f"{document.name} → {target}"
