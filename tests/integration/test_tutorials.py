"""A tutorial does what it says when it is followed from top to bottom in an empty folder; the site has all pages."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
EXIT = re.compile(r"exit code (\d+)")


def follow(tutorial: Path, folder: Path) -> None:
    """Run its code and its commands in order; a block with a title is a file, there before anything runs."""
    blocks = FENCE.findall(tutorial.read_text())
    for _, title, body in blocks:
        if title:
            (folder / title).write_text(body)
    for language, title, body in blocks:
        if language == "python":
            call([sys.executable, "-c", body], folder)
        elif language == "sh":
            for line in body.splitlines():
                follow_command(line, folder)
        else:
            assert title, f"{tutorial.name}: a block of {language} without a title is followed by nobody"


def follow_command(line: str, folder: Path) -> None:
    match = EXIT.search(line.partition("#")[2])
    words = shlex.split(line, comments=True)
    assert words[0] == "ortbatch", line
    call([sys.executable, "-m", *words], folder, int(match[1]) if match else 0)


def call(command: list[str], folder: Path, code: int = 0) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module", params=TUTORIALS, ids=lambda path: path.stem)
def followed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param.stem)
    follow(request.param, folder)
    return folder


def test_a_tutorial_ends_with_reports_to_look_at(followed: Path) -> None:
    reports = sorted(followed.glob("runs/*/report.json"))
    assert len(reports) == 2
    assert all(json.loads(report.read_text())["status"] == "ungated" for report in reports)
    assert all((report.parent / "report.html").exists() for report in reports)


def test_the_site_is_made_without_a_warning_and_has_every_document(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    documents = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    assert documents <= {path.relative_to(tmp_path).with_suffix("") for path in tmp_path.rglob("*.html")}


def test_no_page_of_the_site_asks_another_host(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    loaded = re.compile(r'<(?:script|img|iframe)[^>]+src="https?://|<link rel="stylesheet"[^>]+href="https?://')
    for page in tmp_path.rglob("*.html"):
        assert not loaded.search(page.read_text()), page.name
