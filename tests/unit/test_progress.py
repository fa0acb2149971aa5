"""Progress is for people: seldom, whole lines, and never the end of a run."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from dataclasses import replace
from typing import NoReturn

import pytest

from ortbatch.engine.driver import Progress
from ortbatch.progress import no_progress, progress_to

START = Progress(rows=0, total_rows=1_000, shards=0, total_shards=10, workers=1, retries=0)
HALF = replace(START, rows=500, shards=5)
DONE = replace(START, rows=1_000, shards=10)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def lines(clock: Clock, *steps: tuple[float, Progress]) -> list[str]:
    """What is written to a file; each step is the second at which something happened."""
    stream = io.StringIO()
    with progress_to(stream) as show:
        for clock.now, progress in steps:
            show(progress)
    assert stream.getvalue().endswith("\n") or not stream.getvalue()
    return stream.getvalue().splitlines()


def test_nothing_is_written_within_ten_seconds(clock: Clock) -> None:
    assert lines(clock, (0, START), (9, HALF)) == []


def test_a_line_tells_share_shards_speed_and_time_left(clock: Clock) -> None:
    assert lines(clock, (0, START), (20, HALF)) == ["50%, 5 of 10 shards, 25 rows/s, 20 s left"]


def test_lines_are_ten_seconds_apart(clock: Clock) -> None:
    assert len(lines(clock, (0, START), *((second, HALF) for second in range(1, 35)))) == 3


def test_the_end_is_always_told(clock: Clock) -> None:
    assert lines(clock, (0, START), (2, DONE)) == ["100%, 10 of 10 shards, 500 rows/s"]


def test_before_the_first_row_the_workers_are_counted(clock: Clock) -> None:
    assert lines(clock, (11, START), (22, replace(START, workers=3))) == [
        "0%, 0 of 10 shards, 1 worker ready",
        "0%, 0 of 10 shards, 3 workers ready",
    ]


def test_shards_that_were_retried_are_told(clock: Clock) -> None:
    assert lines(clock, (0, START), (2, replace(DONE, retries=2)))[0].endswith(", 2 shards retried")


def test_no_rows_at_all_are_everything(clock: Clock) -> None:
    empty = Progress(rows=0, total_rows=0, shards=0, total_shards=0, workers=1, retries=0)
    assert lines(clock, (0, empty)) == ["100%, 0 of 0 shards, 1 worker ready"]


class Closed(io.StringIO):
    """A stream that nobody reads."""

    def write(self, text: str) -> NoReturn:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_stream_that_nobody_reads_does_not_end_the_run() -> None:
    with progress_to(Closed()) as show:
        show(DONE)


LEFT = """
import sys
from ortbatch.engine.driver import Progress
from ortbatch.progress import progress_to
sys.stdin.read()
with progress_to(sys.stderr) as show:
    show(Progress(rows=9, total_rows=9, shards=1, total_shards=1, workers=1, retries=0))
"""


def test_a_process_whose_messages_nobody_reads_ends_as_any_other() -> None:
    """What stays in Python's buffer would fail once more when it exits: 120."""
    code = [sys.executable, "-c", LEFT]
    with subprocess.Popen(code, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.close()
        process.communicate(b"", timeout=60)
    assert process.returncode == 0


class Terminal(io.StringIO):
    """A terminal that keeps what it is sent."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with progress_to(stream) as show:
        show(HALF)
    assert "5/10 shards" in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[2K")


def test_one_shard_that_was_retried_is_one_shard(clock: Clock) -> None:
    assert lines(clock, (0, START), (2, replace(DONE, retries=1)))[0].endswith(", 1 shard retried")


def test_shards_that_are_quarantined_are_told(clock: Clock) -> None:
    assert lines(clock, (0, START), (2, replace(DONE, retries=3, quarantined=2)))[0].endswith(
        ", 3 shards retried, 2 shards quarantined"
    )


@pytest.mark.parametrize(("second", "told"), [(9, []), (10, ["starting Ray…"])])
def test_what_begins_is_told_where_nothing_was_for_ten_seconds(clock: Clock, second: float, told: list[str]) -> None:
    stream = io.StringIO()
    with progress_to(stream) as show:
        clock.now = second
        show.begin("starting Ray")
    assert stream.getvalue().splitlines() == told


def test_a_terminal_says_what_goes_on_in_place_of_a_bar_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with progress_to(stream) as show:
        show(DONE)
        show.begin("timing single predictions")
    assert "timing single predictions…" in stream.getvalue()


def test_text_of_a_stage_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with progress_to(stream) as show:
        show.begin("timing [bold]x[/]")
    assert "timing [bold]x[/]…" in stream.getvalue()


def test_without_progress_nothing_is_shown() -> None:
    with no_progress() as show:
        show(DONE)
        show.begin("anything")
