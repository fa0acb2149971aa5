"""An evaluation is begun once, followed through any break, and ends in its own exit code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import ortbatch.submit.evaluation
from ortbatch.errors import ClusterError, RunFolderError
from ortbatch.submit.evaluation import begin, exit_code, follow, report_of
from ortbatch.submit.handover import line_of
from ortbatch.submit.jobs_api import Described
from ortbatch.submit.package import Package
from ortbatch.submit.submission import Submission, attempt_id

ASKED = Submission("a", "job.yaml", "d", (), "~/{id}")
EMPTY = Package({}, "d", 0)
REPORT = f"{line_of(b'{}')}\n"


@dataclass
class Jobs:
    """A cluster in memory: its jobs, each with what it wrote; readings that break off after so many letters."""

    jobs: dict[str, Described] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    breaks: list[int | None] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def add(self, number: int, status: str, code: int | None = None, log: str = "") -> Jobs:
        name = attempt_id(ASKED.base, number)
        self.jobs[name], self.logs[name] = Described(name, status, code), log
        return self

    def names(self) -> list[str | None]:
        return [None, *self.jobs]

    def describe(self, name: str) -> Described:
        return self.jobs[name]

    def log(self, name: str) -> str:
        return self.logs[name]

    def submit(self, name: str, command: str, working_dir: Path, module: Path) -> bool:
        assert (module / "cli.py").exists()
        if name in self.taken:
            self.add(1, "RUNNING")
            return False
        self.add(int(name.rpartition("-")[2]) if name != ASKED.base else 1, "PENDING")
        return True

    def tail(self, name: str, show: Callable[[str], None]) -> None:
        end = self.breaks.pop(0) if self.breaks else None
        for letter in self.logs[name][:end]:
            show(letter)
        if end is not None:
            raise ClusterError("away")


def test_what_nobody_asked_for_yet_is_submitted() -> None:
    jobs = Jobs()
    begun = begin(jobs, ASKED, EMPTY, "python")
    assert (begun.id, begun.found, list(jobs.jobs)) == (ASKED.base, False, [ASKED.base])


@pytest.mark.parametrize("status", ["PENDING", "RUNNING"])
def test_what_is_at_work_is_followed(status: str) -> None:
    jobs = Jobs().add(1, "FAILED", 5).add(2, status)
    begun = begin(jobs, ASKED, EMPTY, "python")
    assert (begun.id, begun.found, len(jobs.jobs)) == (f"{ASKED.base}-2", True, 2)


@pytest.mark.parametrize(("status", "code"), [("SUCCEEDED", 0), ("FAILED", 1), ("FAILED", 3), ("FAILED", 4)])
def test_what_came_to_a_report_is_done(status: str, code: int) -> None:
    jobs = Jobs().add(1, status, code, REPORT)
    assert begin(jobs, ASKED, EMPTY, "python").found
    assert len(jobs.jobs) == 1


@pytest.mark.parametrize(
    ("status", "code"), [("STOPPED", None), ("FAILED", None), ("FAILED", 2), ("FAILED", 5), ("FAILED", 130)]
)
def test_what_came_to_no_report_is_tried_again_under_the_next_number(status: str, code: int | None) -> None:
    jobs = Jobs().add(1, "STOPPED").add(2, status, code, "no report")
    begun = begin(jobs, ASKED, EMPTY, "python")
    assert (begun.id, begun.found) == (f"{ASKED.base}-3", False)


def test_starting_over_is_another_attempt() -> None:
    jobs = Jobs().add(1, "SUCCEEDED", 0, REPORT)
    assert begin(jobs, replace(ASKED, force=True), EMPTY, "python").id == f"{ASKED.base}-2"


def test_what_is_at_work_is_not_started_over() -> None:
    with pytest.raises(RunFolderError, match=rf"{ASKED.base}: is at work; `ortbatch stop {ASKED.base}` first"):
        begin(Jobs().add(1, "RUNNING"), replace(ASKED, force=True), EMPTY, "python")


def test_who_comes_second_with_a_name_follows_the_first() -> None:
    jobs = Jobs(taken=[ASKED.base])
    assert begin(jobs, ASKED, EMPTY, "python").found


def test_a_log_is_shown_once_through_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ortbatch.submit.evaluation, "_PAUSE_SECONDS", 0)
    jobs = Jobs(breaks=[0, 3, 9, 2, 12]).add(1, "FAILED", 1, f"one\ntwo\nthree\n{REPORT}summary\n")
    shown: list[str] = []
    told: list[str] = []
    assert follow(jobs, ASKED.base, shown.append, told.append).exit_code == 1
    assert (shown, told) == (["one", "two", "three"], ["connection lost, trying again (away)"])


def test_a_cluster_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ortbatch.submit.evaluation, "_PAUSE_SECONDS", 0)
    monkeypatch.setattr(ortbatch.submit.evaluation, "_PATIENCE_SECONDS", 0)
    with pytest.raises(ClusterError, match="away"):
        follow(Jobs(breaks=[0] * 9).add(1, "RUNNING"), ASKED.base, print, print)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [("FAILED", 1, 5), ("FAILED", 2, 2), ("FAILED", 3, 3), ("FAILED", 4, 5), ("FAILED", 5, 5), ("FAILED", 130, 130),
     ("STOPPED", None, 130), ("STOPPED", 0, 130), ("FAILED", None, 5), ("FAILED", -9, 5), ("FAILED", 137, 5),
     ("FAILED", 127, 5)],
)  # fmt: skip
def test_without_a_report_the_exit_code_is_no_judgement(status: str, code: int | None, expected: int) -> None:
    assert exit_code(Described("a", status, code)) == expected


def test_a_run_that_ended_well_without_a_report_is_an_error() -> None:
    jobs = Jobs().add(1, "SUCCEEDED", 0, "nothing\n")
    with pytest.raises(ClusterError, match="ended well, but its log holds no report; read it in its run folder"):
        report_of(jobs, jobs.describe(ASKED.base))


def test_a_run_that_failed_may_have_none() -> None:
    jobs = Jobs().add(1, "FAILED", 2, "error\n").add(2, "FAILED", 1, REPORT)
    assert report_of(jobs, jobs.describe(ASKED.base)) is None
    assert report_of(jobs, jobs.describe(f"{ASKED.base}-2")) == b"{}"
