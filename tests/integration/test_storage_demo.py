"""`make demo-s3` runs a script that leaves a report, and no server."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.command_line import Done

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "runs"


@pytest.fixture(scope="module")
def demo(digits: Path, out: Path) -> Done:
    command = [sys.executable, str(ROOT / "jobs" / "remote" / "demo.py"), "--digits", digits.parent, "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=out.parent)
    return Done(done.returncode, done.stdout, done.stderr)


def test_it_passes_and_shows_the_summary(demo: Done) -> None:
    assert demo.code == 0, demo.err
    assert "PASSED" in demo.out


def test_it_says_where_the_report_is_and_it_is_there(demo: Done, out: Path) -> None:
    assert str(out / "report.html") in demo.out
    assert json.loads((out / "report.json").read_text())["status"] == "passed"
    assert (out / "report.html").read_text().startswith("<!doctype html>")


def test_all_of_the_run_was_in_the_bucket(demo: Done) -> None:
    for name in ("report.json", "report.html", "metrics.csv", "plan.json", "predictions/_SUCCESS"):
        assert f"/{name} " in demo.out


def test_its_server_has_ended(demo: Done) -> None:
    left = []
    for child in psutil.Process().children(recursive=True):
        # Of some that have ended nobody has taken notice yet.
        with suppress(psutil.NoSuchProcess):
            left += [child.name()] if "demo.py" in " ".join(child.cmdline()) else []
    assert left == []


def test_make_starts_it() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "demo-s3: $(VENV)/.with-test" in makefile
    assert "$(BIN)/python jobs/remote/demo.py" in makefile
