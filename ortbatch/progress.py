"""Progress on a terminal as a bar, elsewhere as plain lines now and then.

What is shown is called with how far the run is; `begin` names what goes on besides the pass (starting Ray, timing
single predictions), so that a bar that does not move says why. Knows nothing of rows but their number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from ortbatch.terminal import abandon

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from ortbatch.engine.driver import Progress

_LINE_SECONDS = 10.0


@dataclass(frozen=True)
class Shown:
    """Shows how far a run is, when called, and what begins.

    Args:
        show: takes progress.
        begin: takes the name of what begins and may last.
    """

    show: Callable[[Progress], None]
    begin: Callable[[str], None]

    def __call__(self, progress: Progress) -> None:
        """Show progress."""
        self.show(progress)


@contextmanager
def progress_to(stream: TextIO) -> Iterator[Shown]:
    """Progress on a stream."""
    if stream.isatty():
        with _bar(stream) as shown:
            yield shown
    else:
        lines = _Lines(stream)
        yield Shown(lines.show, lines.begin)


@contextmanager
def no_progress() -> Iterator[Shown]:
    """Nothing is shown."""
    yield Shown(lambda _: None, lambda _: None)


@contextmanager
def _bar(stream: TextIO) -> Iterator[Shown]:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        rate = _Rate()

        def show(progress: Progress) -> None:
            rows = f"{progress.rows / progress.total_rows:.0%}, " if progress.total_rows else ""
            shards = f"{progress.shards:,}/{progress.total_shards:,} shards"
            text = f"{rows}{shards}, {rate.text(progress)}{_notes(progress)}"
            bar.update(task, description=text, total=progress.total_rows, completed=progress.rows)

        yield Shown(show, lambda stage: _pulse(bar, task, stage))


def _pulse(bar: Bar, task: TaskID, stage: str) -> None:
    """A bar that moves to and fro: how long this takes is not known."""
    bar.reset(task, description=f"{stage}…", total=None)


class _Lines:
    """Whole lines, at least ten seconds apart, but for the last."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._rate, self._last = stream, _Rate(), time.monotonic()

    def show(self, progress: Progress) -> None:
        """Write a line if it is time for one, or all is done."""
        text = self._rate.text(progress)
        if not self._due() and progress.shards < progress.total_shards:
            return
        share = progress.rows / progress.total_rows if progress.total_rows else 1.0
        shards = f"{progress.shards:,} of {progress.total_shards:,} shards"
        self._write(f"{share:.0%}, {shards}, {text}{_notes(progress)}")

    def begin(self, stage: str) -> None:
        """Name what begins, if nothing was written for a while."""
        if self._due():
            self._write(f"{stage}…")

    def _due(self) -> bool:
        return time.monotonic() - self._last >= _LINE_SECONDS

    def _write(self, line: str) -> None:
        self._last = time.monotonic()
        try:
            print(line, file=self._stream, flush=True)
        except OSError:
            # Nobody may be reading any more: the run goes on.
            abandon(self._stream)


class _Rate:
    """Rows per second since the first worker was ready, and the time that is left."""

    def __init__(self) -> None:
        self._started: float | None = None

    def text(self, progress: Progress) -> str:
        now = time.monotonic()
        if self._started is None:
            self._started = now
        spent = now - self._started
        if not progress.rows or spent <= 0:
            return f"{progress.workers:,} worker{'' if progress.workers == 1 else 's'} ready"
        rate = progress.rows / spent
        left = (progress.total_rows - progress.rows) / rate
        return f"{rate:,.0f} rows/s" + (f", {left:,.0f} s left" if left else "")


def _notes(progress: Progress) -> str:
    """What did not go as it should."""
    counts = ((progress.retries, "retried"), (progress.quarantined, "quarantined"))
    return "".join(f", {number:,} shard{'' if number == 1 else 's'} {what}" for number, what in counts if number)
