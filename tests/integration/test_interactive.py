"""`ortbatch.run` as scripts and notebooks call it: silent unless asked, and the same report either way."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import ortbatch
from ortbatch import progress
from tests.command_line import make_job

INLINE = ortbatch.Options(engine="inline")


def lasting(report: ortbatch.Report) -> dict[str, Any]:
    return {key: report.data[key] for key in ("coverage", "quality", "confusion_matrix", "job")}


def test_nothing_is_shown_unless_asked_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = ortbatch.run(make_job(tmp_path / "job"), options=INLINE)
    assert report.status == "passed"
    assert capfd.readouterr() == ("", "")


def test_progress_is_shown_on_standard_error_and_changes_no_number(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    job = make_job(tmp_path / "job")
    shown = ortbatch.run(job, options=INLINE, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "100%, " in err.splitlines()[-1] or any("100%, " in line for line in err.splitlines())
    assert lasting(shown) == lasting(ortbatch.run(job, options=INLINE))


def test_progress_is_written_as_lines_where_there_is_no_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ortbatch.run(make_job(tmp_path / "job"), options=INLINE, progress=True)
    err = capfd.readouterr().err
    assert "\r" not in err
    assert "\x1b" not in err


def test_a_standard_error_that_nobody_reads_does_not_end_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        encoding = "utf-8"

        def isatty(self) -> bool:
            return False

        def write(self, _: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    assert ortbatch.run(make_job(tmp_path / "job"), options=INLINE, progress=True).status == "passed"


def test_options_still_say_how_to_run(tmp_path: Path) -> None:
    options = ortbatch.Options(engine="inline", run_dir=str(tmp_path / "here"))
    report = ortbatch.run(make_job(tmp_path / "job"), options=options, progress=True)
    assert Path(report.path) == tmp_path / "here" / "report.json"


def test_what_must_not_be_missed_is_a_warning_by_default() -> None:
    with pytest.warns(UserWarning, match="not logged"):
        ortbatch.Options().warn("not logged")
