"""One command on a Ray that it starts itself, and that is gone when it ends."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.command_line import Done, call, make_job, process


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_job(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def on_ray(job: Path) -> Iterator[tuple[Path, Done, str]]:
    """The run's folder, what it printed, and a mark that its processes carry in their environment."""
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="ob-", dir="/tmp", ignore_cleanup_errors=True) as ray:
        folder = job.parent / "ray"
        done = process("run", job, "--run-dir", folder, "--engine", "ray", RAY_TMPDIR=ray, ORTBATCH_TEST_MARK=mark)
        yield folder, done, mark


def test_a_run_on_ray_prints_what_any_run_prints(on_ray: tuple[Path, Done, str]) -> None:
    _, done, _ = on_ray
    assert done.code == 0
    assert done.out.startswith(" PASSED   small: 2 passed of 2 gates\n")
    assert done.err.splitlines()[-1].startswith("100%, 3 of 3 shards, ")


def test_nothing_but_our_messages_is_on_stderr(on_ray: tuple[Path, Done, str]) -> None:
    _, done, _ = on_ray
    assert all("shards" in line or "ready" in line for line in done.err.splitlines())


def test_its_quality_is_that_of_one_process(job: Path, on_ray: tuple[Path, Done, str], tmp_path: Path) -> None:
    folder, _, _ = on_ray
    call("run", job, "--run-dir", tmp_path, "--engine", "inline")
    one, other = (json.loads((path / "report.json").read_text()) for path in (folder, tmp_path))
    assert one["provenance"]["engine"]["engine"] == "ray"
    assert json.dumps(one["quality"]) == json.dumps(other["quality"])


def test_no_process_of_it_stays_behind(on_ray: tuple[Path, Done, str]) -> None:
    _, _, mark = on_ray
    assert [process for process in psutil.process_iter(["name"]) if mark in marks_of(process)] == []


def marks_of(process: psutil.Process) -> str:
    try:
        return process.environ().get("ORTBATCH_TEST_MARK", "")
    except psutil.Error:
        return ""
