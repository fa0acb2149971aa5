"""Progress on a terminal as a bar, elsewhere as plain lines now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from ortbatch.engine.driver import Progress

_LINE_SECONDS = 10.0


@contextmanager
def progress_to(stream: TextIO) -> Iterator[Callable[[Progress], None]]:
    """A function that shows progress on a stream."""
    if stream.isatty():
        with _bar(stream) as show:
            yield show
    else:
        yield _lines(stream)


@contextmanager
def _bar(stream: TextIO) -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[shards]} shards"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[notes]}"),
    )
    with Bar(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("", total=None, shards="0", speed="starting", notes="")
        rate = _Rate()

        def show(progress: Progress) -> None:
            bar.update(
                task, total=progress.total_rows, completed=progress.rows,
                shards=f"{progress.shards:,}/{progress.total_shards:,}", speed=rate.text(progress),
                notes=_notes(progress),
            )  # fmt: skip

        yield show


def _lines(stream: TextIO) -> Callable[[Progress], None]:
    rate = _Rate()
    last = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal last
        text = rate.text(progress)
        if time.monotonic() - last < _LINE_SECONDS and progress.shards < progress.total_shards:
            return
        last = time.monotonic()
        share = progress.rows / progress.total_rows if progress.total_rows else 1.0
        # Nobody may be reading any more: the run goes on.
        with suppress(OSError):
            print(
                f"{share:.0%}, {progress.shards:,} of {progress.total_shards:,} shards, {text}{_notes(progress)}",
                file=stream, flush=True,
            )  # fmt: skip

    return show


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
    return f", {progress.retries:,} shards retried" if progress.retries else ""
