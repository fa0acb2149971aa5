"""Standard output and standard error: results go to one, messages to the other.

A reader that has left (`| head -1`) is no error: the exit code says the rest. Whatever happens to standard error, the
work goes on. Names and values from data and models stand in what is written: nothing in them reaches a terminal as a
command.
"""

from __future__ import annotations

import io
import os
import re
import select
import sys
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

import click

from ortbatch.errors import StorageError

if TYPE_CHECKING:
    from rich.console import Console


_KEPT = "\n\t\u200c\u200d"  # the last two join letters and emoji, and move no cursor
_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")


def inert(text: str) -> str:
    r"""The text with everything spelt out that a terminal obeys, or that turns the direction of writing; lines stay.

    >>> print(inert("a\x1b]0;b\x07\u202ec"))
    a\x1b]0;b\x07\u202ec
    """
    return "".join(character if _is_inert(character) else _spelt(character) for character in text)


def _is_inert(character: str) -> bool:
    return character.isprintable() or character in _KEPT or unicodedata.category(character) == "Zs"


def _spelt(character: str) -> str:
    return character.encode("unicode_escape").decode()


def put(result: str | bytes) -> None:
    """Write to standard output; bytes as they are.

    Raises:
        StorageError: if it cannot be written for another reason than a reader that has left.
    """
    if isinstance(result, str):
        result = result.encode(getattr(sys.stdout, "encoding", None) or "utf-8", "backslashreplace")
    try:
        click.echo(result, nl=False)
    except BrokenPipeError:
        abandon(sys.stdout)
    except OSError as error:
        abandon(sys.stdout)
        raise StorageError(f"standard output cannot be written: {error.strerror}") from None


def say(message: str) -> None:
    """Write a line to standard error, inert, if anybody reads it."""
    tell(lambda: click.echo(inert(message), err=True))


def tell(write: Callable[[], None]) -> None:
    """Let `write` write to standard error, if anybody reads it."""
    try:
        write()
    except OSError:
        abandon(sys.stderr)


class _Page(io.StringIO):
    """Memory that a console takes for standard output."""

    def isatty(self) -> bool:
        return bool(sys.stdout) and sys.stdout.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has a plain attribute
        return getattr(sys.stdout, "encoding", None) or "utf-8"


def drawn(draw: Callable[[Console], None]) -> str:
    """What `draw` prints, inert, laid out for standard output: its width, and colours if it is a terminal."""
    from rich.console import Console

    page = _Page()
    draw(Console(file=page, highlight=False))
    parts = _STYLE.split(page.getvalue())
    return "".join(part if place % 2 else inert(part) for place, part in enumerate(parts))


def reader_has_left() -> bool:
    """Is standard output a pipe that nobody reads any more? What is left to write is then thrown away."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    left = any(event & select.POLLERR for _, event in poll.poll(0))
    if left:
        abandon(sys.stdout)
    return left


def abandon(stream: TextIO) -> None:
    """Send the rest nowhere: Python would fail on it once more when it exits, and end with 120."""
    try:
        number = stream.fileno()
    except (OSError, AttributeError):
        return  # no file, as in a notebook
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
