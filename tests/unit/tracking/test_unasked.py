"""Nothing of a tracker, a notebook or a plot is imported before it is asked for, and what is missing is said early."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ortbatch import api
from ortbatch.engine.folder import RunFolder
from ortbatch.errors import JobError, ReportError
from ortbatch.job import load_job
from ortbatch.job.tracking_spec import MlflowSpec
from ortbatch.report.report import Report
from ortbatch.tracking import track
from tests.command_line import JOB, call, make_job
from tests.unit.report.made import binary

RUN = """
import json, sys
import ortbatch
report = ortbatch.run(sys.argv[1], options=ortbatch.Options(engine="inline"))
report._repr_html_()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_a_run_without_a_tracker_imports_neither_mlflow_nor_a_package_for_notebooks(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    done = subprocess.run([sys.executable, "-c", RUN, str(job)], capture_output=True, text=True, check=True)
    assert not {"mlflow", "matplotlib"} & set(json.loads(done.stdout))


def test_a_report_is_read_and_shown_without_pandas(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(Report(binary("accuracy >= 0.5")).encode())
    code = "import sys, ortbatch; ortbatch.read_report(sys.argv[1])._repr_html_(); print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_job_with_a_tracker_is_refused_before_the_run_where_mlflow_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "has_mlflow", lambda: False)
    job = load_job(make_job(tmp_path / "job", f"{JOB}tracking: {{mlflow: 'http://127.0.0.1:9'}}\n"))
    with pytest.raises(JobError, match=r"tracking\.mlflow: logging needs mlflow, .*pip install 'ortbatch\[mlflow\]'"):
        api.run_job(job, api.Options(engine="inline"))
    assert not (tmp_path / "job" / "runs").exists()


def test_logging_a_run_without_mlflow_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(track, "has_mlflow", lambda: False)
    with pytest.raises(ReportError, match=r"tracking needs mlflow, .*pip install 'ortbatch\[mlflow\]'"):
        track.track(Report(binary()), RunFolder(str(tmp_path)), MlflowSpec(uri="http://h"))


@pytest.mark.parametrize("hostile", ["a' or 'b", "a b", ""])
def test_a_report_whose_id_is_none_is_not_looked_for(hostile: str, tmp_path: Path) -> None:
    made = binary()
    made["run"]["id"] = hostile
    with pytest.raises(ReportError, match=r"r\.json: run\.id is no id of a run of ortbatch"):
        track.track(Report(made, "r.json"), RunFolder(str(tmp_path)), MlflowSpec(uri="http://127.0.0.1:9"))


def test_a_failure_that_nobody_foresaw_does_not_lose_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise KeyError("of http://me:hush@h/x")

    monkeypatch.setattr(track, "track", broken)
    job = make_job(tmp_path / "job", f"{JOB}tracking: {{mlflow: 'http://127.0.0.1:9'}}\n")
    done = call("run", job, "--engine", "inline", "--run-dir", tmp_path / "run", "--quiet")
    assert done.code == 0
    assert "NOT LOGGED to MLflow: KeyError: " in done.err
    assert "hush" not in done.err


def test_quiet_leaves_out_that_a_run_was_logged_but_not_that_it_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track, "track", lambda *_: "there")
    job = make_job(tmp_path / "job", f"{JOB}tracking: {{mlflow: 'http://127.0.0.1:9'}}\n")
    assert "logged" not in call("run", job, "--engine", "inline", "--run-dir", tmp_path / "a", "--quiet").err
    assert "logged to MLflow: there\n" in call("run", job, "--engine", "inline", "--run-dir", tmp_path / "b").err


def test_a_run_that_was_finished_before_is_not_logged_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(track, "track", lambda *_: told.append(1) or "there")
    job = make_job(tmp_path / "job", f"{JOB}tracking: {{mlflow: 'http://127.0.0.1:9'}}\n")
    for _ in range(2):
        assert call("run", job, "--engine", "inline", "--run-dir", tmp_path / "run").code == 0
    assert told == [1]
