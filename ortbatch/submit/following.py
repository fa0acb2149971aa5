"""What is shown of a log while it grows: each line once, whole, however often it is read from its start again.

No IO in here. A log comes in pieces that end anywhere; after a broken connection it comes from its start.
"""

from __future__ import annotations

from ortbatch.submit.handover import MARK


class LogReader:
    """Lines of a log as they come; those that carry the report, and the summary behind it, are not shown."""

    def __init__(self) -> None:
        self._skip = 0  # characters of this reading that were read before
        self._read = 0  # characters that are read
        self._partial = ""
        self._handed_over = False

    def begin_again(self) -> None:
        """The next piece is the start of the log."""
        self._skip = self._read

    def feed(self, piece: str) -> list[str]:
        """Lines that are whole now, without their ends."""
        known = min(self._skip, len(piece))
        self._skip -= known
        fresh = piece[known:]
        self._read += len(fresh)
        *lines, self._partial = (self._partial + fresh).split("\n")
        return self._shown(lines)

    def rest(self) -> list[str]:
        """What stands behind the last end of a line, when no more will come."""
        last, self._partial = self._partial, ""
        return self._shown([last] if last else [])

    def _shown(self, lines: list[str]) -> list[str]:
        shown = []
        for line in lines:
            self._handed_over = self._handed_over or line.startswith(MARK)
            if not self._handed_over:
                shown.append(line)
        return shown


def readable(log: str) -> str:
    r"""A log as people read it: without the line that carries the report.

    >>> readable("a\nortbatch-report 2 ...\nb\n")
    'a\nb\n'
    """
    return "".join(line for line in log.splitlines(keepends=True) if not line.startswith(MARK))
