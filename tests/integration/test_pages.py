"""report.html beside the report: when it is made, and what becomes of a run whose page cannot be made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ortbatch.report.page.page as page_module
from ortbatch.pages import page_beside
from ortbatch.report.report import Report
from tests.command_line import call, make_job
from tests.s3 import S3


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_job(tmp_path_factory.mktemp("small"))


@pytest.fixture
def run(job: Path, tmp_path: Path) -> Path:
    """A finished run without a page."""
    assert call("run", job, "--run-dir", tmp_path / "run", "--engine", "inline", "--no-page").code == 0
    return tmp_path / "run"


def broken(report: object) -> str:
    raise KeyError("curves")


def test_a_run_without_a_page_has_none(run: Path) -> None:
    assert not (run / "report.html").exists()


def test_report_makes_the_page_of_a_finished_run(run: Path) -> None:
    done = call("report", run)
    assert done.out.endswith(f"page: {run}/report.html\n")
    assert (run / "report.html").read_text().startswith("<!doctype html>")


def test_the_page_goes_where_it_is_asked_for(run: Path, tmp_path: Path) -> None:
    done = call("report", run, "--html", tmp_path / "here.html", "--json")
    assert json.loads(done.out)["status"] == "passed"
    assert done.err == f"page: {tmp_path}/here.html\n"
    assert (tmp_path / "here.html").exists()
    assert not (run / "report.html").exists()


def test_a_page_of_one_report_has_the_same_bytes_each_time(run: Path, tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        call("report", run, "--html", tmp_path / name)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_a_page_that_cannot_be_made_loses_no_run(job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "report_page", broken)
    done = call("run", job, "--run-dir", tmp_path / "run", "--engine", "inline")
    assert done.code == 0
    assert "the run is complete, but its page could not be made: KeyError: 'curves'" in done.err
    assert done.out.endswith(f"report: {tmp_path}/run/report.json\n")


def test_a_page_that_cannot_be_written_ends_report_with_5_if_it_was_asked_for(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = call("report", run, "--html", tmp_path / "file" / "page.html")
    assert done.code == 5
    assert "cannot be written" in done.err


def test_a_run_over_one_that_failed_half_way_shows_no_page_of_before(job: Path, tmp_path: Path) -> None:
    where = ("--run-dir", tmp_path / "run", "--engine", "inline")
    call("run", job, *where)
    call("run", job, *where, "--force", "--no-page")
    assert not (tmp_path / "run" / "report.html").exists()


def test_the_page_of_a_run_on_an_object_store_lies_beside_its_report(job: Path, s3: S3) -> None:
    done = call("run", job, "--run-dir", s3.uri("pages/run"), "--engine", "inline")
    assert done.code == 0, done.err
    assert s3.objects("pages/run")["report.html"].startswith(b"<!doctype html>")


@pytest.mark.parametrize(
    ("report", "page"),
    [
        ("/runs/a/report.json", "/runs/a/report.html"),
        ("report.json", "report.html"),
        ("s3://bucket/a/report.json?region=eu", "s3://bucket/a/report.html?region=eu"),
        ("/runs/what?/report.json", "/runs/what?/report.html"),
    ],
)
def test_a_page_lies_beside_its_report(report: str, page: str) -> None:
    assert page_beside(Report({}, report)) == page
