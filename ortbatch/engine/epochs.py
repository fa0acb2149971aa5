"""Epochs: each start of a driver in a run folder, one after another, one at a time.

    checkpoint/000002.epoch     created once, never changed: whose it is, and which segments of earlier epochs count
    checkpoint/000002.alive     its owner's heartbeat

Creating the next number is what makes a driver the owner: of two that try, one succeeds. A driver that is seen to live
is left alone. One that is thought dead and is not goes on writing segments of its own epoch, which the list of the new
one does not name: it can lose time, but not change a count.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from ortbatch.data.atomic import create_bytes, names, write_bytes
from ortbatch.data.storage import read_bytes
from ortbatch.engine.owner import Owner
from ortbatch.errors import DataError, OrtbatchError, RunFolderError
from ortbatch.job.redaction import redact

BEAT_SECONDS = 5.0
SILENT_SECONDS = 4 * BEAT_SECONDS
_EPOCH, _ALIVE, _SEGMENT = ".epoch", ".alive", ".segment"
_OURS = re.compile(r"(\d{6})(?:\.epoch|\.alive|-[0-9a-f]+-\d{6}\.segment)")


@dataclass(frozen=True)
class Epoch:
    """One start of a driver.

    Args:
        number: 1, 2, ...
        token: tells its segments from those of an epoch of the same number in an earlier life of the folder.
        owner: whose it is.
        accepted: names of the segments of earlier epochs that count.
    """

    number: int
    token: str
    owner: Owner
    accepted: tuple[str, ...]

    @property
    def file(self) -> str:
        """Its file."""
        return f"{self.number:06}{_EPOCH}"

    @property
    def heart(self) -> str:
        """The file of its heartbeat."""
        return f"{self.number:06}{_ALIVE}"

    def segment(self, number: int) -> str:
        """Name of one of its own segments."""
        return f"{self.number:06}-{self.token}-{number:06}{_SEGMENT}"

    def owns(self, name: str) -> bool:
        """Is this one of its own segments?"""
        return name.startswith(f"{self.number:06}-{self.token}-") and name.endswith(_SEGMENT)


@dataclass(frozen=True)
class Beat:
    """A heartbeat: how many there were, and whether it was the last on purpose."""

    count: int
    ended: bool = False


def number_of(name: str) -> int | None:
    """The epoch that a file is of; None if it is no file of ours."""
    found = _OURS.fullmatch(name)
    return None if found is None else int(found[1])


def epochs_in(there: list[str]) -> list[str]:
    """Names of files of epochs among others."""
    return [name for name in there if name.endswith(_EPOCH) and number_of(name) is not None]


def latest(folder: Callable[[str], str], there: list[str]) -> Epoch | None:
    """The newest epoch of a folder.

    Args:
        folder: where a file of it is.
        there: names of its files.

    Raises:
        RunFolderError: if its file is damaged.
    """
    found = epochs_in(there)
    if not found:
        return None
    uri = folder(found[-1])
    try:
        kept = json.loads(read_bytes(uri))
        return Epoch(kept["number"], kept["token"], Owner.of(kept["owner"]), tuple(kept["accepted"]))
    except (ValueError, KeyError, TypeError, RecursionError, DataError) as error:
        raise RunFolderError(f"{redact(uri)}: damaged: {error}. Start over with --force.") from None


def begin(folder_uri: str, folder: Callable[[str], str], *, afresh: bool, tell: Callable[[str], None]) -> Epoch:
    """Become the owner of a folder.

    Args:
        folder_uri: the folder of epochs and segments.
        folder: where a file of it is.
        afresh: build on nothing that is there.
        tell: told what is waited for.

    Raises:
        RunFolderError: if another run is at work there.
    """
    there = names(folder_uri)
    before = _latest_or_none(folder, there) if afresh else latest(folder, there)
    if before is not None and _lives(before, folder, tell):
        raise RunFolderError(
            f"{redact(folder_uri)}: another run is at work here ({before.owner}). Wait for it or end it, or give "
            "another folder with --run-dir."
        )
    number = 1 + max((number_of(name) or 0 for name in epochs_in(there)), default=0)
    accepted: tuple[str, ...] = ()
    if before is not None and not afresh:
        # Looked at again: until now its driver may have been alive.
        accepted = (*before.accepted, *filter(before.owns, names(folder_uri)))
    epoch = Epoch(number, secrets.token_hex(4), Owner.here(), accepted)
    if not create_bytes(folder(epoch.file), json.dumps(asdict(epoch)).encode()):
        raise RunFolderError(
            f"{redact(folder_uri)}: another run has just begun here. Give another folder with --run-dir."
        )
    return epoch


def _latest_or_none(folder: Callable[[str], str], there: list[str]) -> Epoch | None:
    try:
        return latest(folder, there)
    except RunFolderError:
        return None


def write_beat(folder: Callable[[str], str], epoch: Epoch, beat: Beat) -> None:
    """Say that the owner lives, or that it ended; raises StorageError."""
    write_bytes(folder(epoch.heart), json.dumps(asdict(beat)).encode())


def _read_beat(folder: Callable[[str], str], epoch: Epoch) -> Beat:
    try:
        kept: Mapping[str, object] = json.loads(read_bytes(folder(epoch.heart)))
        return Beat(int(str(kept["count"])), bool(kept["ended"]))
    except (OrtbatchError, ValueError, KeyError, TypeError):
        return Beat(0)


def _lives(epoch: Epoch, folder: Callable[[str], str], tell: Callable[[str], None]) -> bool:
    """Is the owner of an epoch still at work? Waits to hear its heart where that is the only way to know."""
    beat = _read_beat(folder, epoch)
    if beat.ended:
        return False
    lives = epoch.owner.lives()
    if lives is not None:
        return lives
    tell(f"waiting {SILENT_SECONDS:.0f} s to see whether the run of {epoch.owner} is still at work here")
    end = time.monotonic() + SILENT_SECONDS
    while time.monotonic() < end:
        time.sleep(0.5)
        now = _read_beat(folder, epoch)
        if now.ended:
            return False
        if now != beat:
            return True
    return False
