"""`compare --html` and `history --html`: a page beside what is printed, written whole, its path on standard error."""

from __future__ import annotations

from pathlib import Path

import pytest

from ortbatch.report.encode import encode
from tests.command_line import Done, call
from tests.unit.report.made import label_tally, report


def write_run(folder: Path, night: int, right: int) -> Path:
    """A finished run of 100 rows, `right` + 45 of them right."""
    folder.mkdir(parents=True)
    started = f"2026-11-2{night}T00:00:00Z"
    data = report(label_tally([[right, 50 - right], [5, 45]]), id=f"run-{night}", started_at=started)
    (folder / "report.json").write_text(encode(data) + "\n")
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    return write_run(tmp_path / "runs" / "a", 1, 45), write_run(tmp_path / "runs" / "b", 2, 40)


def compared(runs: tuple[Path, Path], *options: object) -> Done:
    return call("compare", *runs, *options)


def test_compare_writes_its_page_and_says_where(runs: tuple[Path, Path], tmp_path: Path) -> None:
    done = compared(runs, "--html", tmp_path / "new" / "page.html")
    assert (done.code, done.err) == (0, f"page: {tmp_path / 'new' / 'page.html'}\n")
    assert "run-2 against run-1" in (tmp_path / "new" / "page.html").read_text()


def test_what_is_printed_is_the_same_with_a_page(runs: tuple[Path, Path], tmp_path: Path) -> None:
    for options in ((), ("--json",)):
        assert compared(runs, *options, "--html", tmp_path / "page.html").out == compared(runs, *options).out


def test_a_limit_that_is_broken_ends_with_1_and_the_page_says_failed(runs: tuple[Path, Path], tmp_path: Path) -> None:
    done = compared(runs, "--max-drop", "accuracy=0.01", "--html", tmp_path / "page.html")
    assert done.code == 1
    assert '<p class="status status-failed">' in (tmp_path / "page.html").read_text()


def test_history_writes_its_page_and_says_where(runs: tuple[Path, Path], tmp_path: Path) -> None:
    done = call("history", tmp_path / "runs", "--html", tmp_path / "page.html")
    assert (done.code, done.err) == (0, f"page: {tmp_path / 'page.html'}\n")
    page = (tmp_path / "page.html").read_text()
    assert page.index(">run-2<") < page.index(">run-1<")


def test_an_old_page_is_replaced_and_nothing_is_left_beside_it(runs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "page.html").write_text("old")
    compared(runs, "--html", tmp_path / "out" / "page.html")
    assert (tmp_path / "out" / "page.html").read_text().startswith("<!doctype html>")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_written_ends_with_5_and_says_which(runs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = compared(runs, "--html", tmp_path / "file" / "page.html")
    assert done.code == 5
    assert f"{tmp_path / 'file' / 'page.html'}: cannot be written" in done.err
