"""What survives the driver: segments of what was counted, written while the run goes on.

    leased → returned → merged → durable

Every few seconds what came since the last time is written as one segment, whole or not at all, in a thread; an
interrupted run loses what came after the last one. The time between them grows with the run, to a hundredth of it, so
that a long run is a few hundred segments and loses a hundredth at most.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from ortbatch.data.atomic import names, remove, remove_folder, write_bytes
from ortbatch.data.storage import read_bytes
from ortbatch.engine.epochs import BEAT_SECONDS, Beat, Epoch, epochs_in, number_of, write_beat
from ortbatch.engine.segment import SegmentError, decode_segment, encode_segment
from ortbatch.engine.state import RunState
from ortbatch.errors import DataError, OrtbatchError, RunFolderError, StorageError
from ortbatch.job.redaction import redact

_FLUSH_SECONDS = 2.0
_FLUSH_SHARE = 0.01
_FLUSH_AT_MOST = 60.0
_NOTES = 100
_LATER = sys.maxsize


class Checkpoint:
    """Segments of a run folder, written by the owner of its latest epoch; a context manager that stops its threads.

    Args:
        folder_uri: the folder of epochs and segments.
        folder: where a file of it is.
        epoch: this driver's.
        identity: of the run.
    """

    def __init__(
        self, folder_uri: str, folder: Callable[[str], str], epoch: Epoch, identity: Mapping[str, str]
    ) -> None:
        self._uri, self._folder, self.epoch, self._identity = folder_uri, folder, epoch, dict(identity)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self._written = 0
        self._began = self._flushed = time.monotonic()
        self._stop = threading.Event()
        self._beats = 0
        self._heart: threading.Thread | None = None
        self.superseded = False
        self.notes: list[str] = []

    def __enter__(self) -> Checkpoint:
        write_beat(self._folder, self.epoch, Beat(0))
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; whoever comes next need not wait to see that nobody is here."""
        self._stop.set()
        if self._heart is not None:
            self._heart.join()
        self._writer.shutdown()
        try:
            write_beat(self._folder, self.epoch, Beat(self._beats + 1, ended=True))
        except OrtbatchError as error:
            self._note(str(error))

    def _note(self, text: str) -> None:
        if len(self.notes) < _NOTES:
            self.notes.append(text)

    def restored(self) -> Iterator[RunState]:
        """States of the segments that count, in the order of their names; what cannot be read is noted and left out.

        Raises:
            RunFolderError: if a segment belongs to another run.
            StorageError: if storage failed.
        """
        for name in self.epoch.accepted:
            try:
                state, identity = decode_segment(read_bytes(self._folder(name)))
            except (SegmentError, DataError) as error:
                self._note(f"{name} is left out, its shards are done again: {error}")
                continue
            if identity != self._identity:
                raise RunFolderError(
                    f"{redact(self._folder(name))}: a segment of another run than the folder says. Start over with "
                    "--force."
                )
            yield state

    def due(self) -> bool:
        """Is it time for a segment?

        Raises:
            StorageError: if the last one could not be written.
            RunFolderError: if another run has taken the folder over.
        """
        if self.superseded:
            raise RunFolderError(
                f"{redact(self._uri)}: another run has taken this folder over; this one stops. Wait for that one."
            )
        if self._writing is not None:
            if not self._writing.done():
                return False
            writing, self._writing = self._writing, None
            writing.result()
        now = time.monotonic()
        between = min(_FLUSH_AT_MOST, max(_FLUSH_SECONDS, _FLUSH_SHARE * (now - self._began)))
        return now - self._flushed >= between

    def write(self, state: RunState, *, wait: bool = False) -> None:
        """Write a segment, in a thread; with `wait`, return when it is there.

        Raises:
            StorageError: if it, or the one before, could not be written; without `wait` `due` raises it.
        """
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()
        self._written += 1
        self._flushed = time.monotonic()
        name = self.epoch.segment(self._written)
        writing = self._writer.submit(self._write, name, state)
        if wait:
            writing.result()
        else:
            self._writing = writing

    def _write(self, name: str, state: RunState) -> None:
        try:
            write_bytes(self._folder(name), encode_segment(state, self._identity))
        except StorageError as error:
            raise StorageError(f"what was counted cannot be kept: {error}. Run again in the same folder.") from None

    def discard(self) -> None:
        """Remove all files up to this epoch: the report is there. What cannot be removed does no harm."""
        try:
            mine = [name for name in names(self._uri) if (number_of(name) or _LATER) <= self.epoch.number]
            for name in sorted(mine, key=lambda name: name.endswith(".epoch")):
                remove(self._folder(name))
            remove_folder(self._uri)
        except OrtbatchError as error:
            self._note(str(error))

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            self._beats += 1
            try:
                write_beat(self._folder, self.epoch, Beat(self._beats))
                # Once for all: the later run may take its files away.
                self.superseded |= any(name > self.epoch.file for name in epochs_in(names(self._uri)))
            except OrtbatchError as error:
                # A beat that is missed costs at most a refusal to start; the next may be heard.
                self._note(str(error))
