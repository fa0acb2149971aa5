"""The run folder: which runs may use it, and in which order its files appear.

checkpoint/    while it runs: whose it is, and what was counted
plan.json      identity, slices and the frozen plan
predictions/   a file a shard, if the job asks for them and names no other folder
metrics.csv    the report as a table
report.json    last: if it is there, the run is complete
report.html    made of it afterwards, and again whenever it is asked for
"""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from ortbatch.data.atomic import remove, write_bytes
from ortbatch.data.storage import exists, is_remote, read_bytes
from ortbatch.engine.checkpoint import Checkpoint
from ortbatch.engine.epochs import Epoch, begin
from ortbatch.errors import OrtbatchError, RunFolderError, StorageError
from ortbatch.job.redaction import redact
from ortbatch.metrics.slices import Cut

if TYPE_CHECKING:
    from ortbatch.engine import predictions
    from ortbatch.engine.prepared import Prepared, Settled
    from ortbatch.job import Job

REPORT = "report.json"
PLAN = "plan.json"
TABLE = "metrics.csv"
PAGE = "report.html"
_CHECKPOINT = "checkpoint"
_ANY = "\0"
_IDENTITY_FIRST, _CUTS_NEXT = '{"identity": ', ', "cuts": '
_NAMES = {"evaluation": "what is evaluated (inputs, labels, classes, positive class, threshold, slices)"}


@dataclass(frozen=True)
class RunFolder:
    """A folder, by path or URI."""

    uri: str

    def file(self, name: str) -> str:
        """Where a file of the folder is."""
        head, question, query = self.uri.partition("?") if "://" in self.uri else (self.uri, "", "")
        return f"{head.rstrip('/')}/{name}{question}{query}"

    def occupied(self) -> bool:
        """Is there a run, finished or not?"""
        return exists(self.file(PLAN)) or self.holds_report()

    def holds_report(self) -> bool:
        """Is there a finished run?"""
        return exists(self.file(REPORT))

    def unfinished(self) -> bool:
        """Is there a run that did not come to its end?"""
        return exists(self.file(PLAN)) and not self.holds_report()

    def read_report(self) -> bytes:
        """The text of report.json; raises RunFolderError if there is none."""
        if not self.holds_report():
            raise RunFolderError(
                f"{redact(self.uri)}: no finished run here ({REPORT} is missing). Give the folder of a run, or run "
                "the job."
            )
        return read_bytes(self.file(REPORT))

    def open(self, prepared: Prepared, *, afresh: bool, tell: Callable[[str], None]) -> Checkpoint:
        """Take the folder for a run: go on with what an unfinished run of the same identity counted, or start.

        Args:
            prepared: the run.
            afresh: whatever is there; what it left goes first, as a report says that this run is done.
            tell: told what is waited for.

        Raises:
            RunFolderError: if an unfinished run of another identity is there, another run is at work, or the folder
                cannot be written.
        """
        from ortbatch.engine import predictions

        found = None if afresh else self._unfinished()
        if found is not None and found != parts_of(prepared):
            raise RunFolderError(
                f"{redact(self.uri)}: holds an unfinished run of something else: "
                f"{differing(found, parts_of(prepared))}. Give another folder with --run-dir, or start over with "
                "--force."
            )
        try:
            # From here on the folder belongs to this run: nobody else writes what follows.
            epoch = begin(self.file(_CHECKPOINT), self._kept, afresh=afresh or found is None, tell=tell)
            if found is None:
                self._write_plan(prepared)
            # The report first: while it is there, this run passes for done.
            for name in (REPORT, TABLE, PAGE) if afresh else ():
                remove(self.file(name))
            if prepared.evaluation.sink is not None:
                predictions.begin(prepared.evaluation.sink)
            elif afresh:
                predictions.clear(self._sink())
        except StorageError as error:
            raise RunFolderError(
                f"the run folder cannot be written: {error}. Give another with --run-dir, or `run_dir` in the job."
            ) from None
        return self._checkpoint(epoch, prepared)

    def _checkpoint(self, epoch: Epoch, prepared: Prepared) -> Checkpoint:
        return Checkpoint(self.file(_CHECKPOINT), self._kept, epoch, parts_of(prepared))

    def _kept(self, name: str) -> str:
        return self.file(f"{_CHECKPOINT}/{name}")

    def _write_plan(self, prepared: Prepared) -> None:
        cuts = json.dumps([asdict(cut) for cut in prepared.evaluation.cuts])
        head = f'{_IDENTITY_FIRST}{json.dumps(parts_of(prepared))}{_CUTS_NEXT}{cuts}, "plan": '
        parts = chain([head], prepared.plan.json_parts(), ["}"])
        write_bytes(self.file(PLAN), b"".join(part.encode() for part in parts))

    def with_sink(self, prepared: Prepared) -> Prepared:
        """The same, with predictions going where the job asks for them, by default to this folder."""
        asked = prepared.job.predictions
        apart = None if asked is None else asked.path
        sink = self._sink() if apart is None else _sink_at(prepared.job.locate(apart))
        return prepared.with_sink(sink.folder, sink.options, apart=apart is not None)

    def _sink(self) -> predictions.Sink:
        """Where predictions would go."""
        from ortbatch.engine import predictions

        return _sink_at(self.file(predictions.FOLDER))

    def finish(self, report: str, table: str) -> None:
        """Write the results, report.json last; raises StorageError if they cannot be written."""
        write_bytes(self.file(TABLE), table.encode())
        write_bytes(self.file(REPORT), report.encode())

    def settled(self) -> Settled:
        """What the run in the folder, finished or not, found out; nothing if there is none, or it cannot be read."""
        from ortbatch.engine.prepared import Settled

        try:
            if exists(self.file(PLAN)):
                identity, cuts = self._head()
            else:
                identity, cuts = json.loads(self.read_report())["provenance"]["identity"], ()
            return Settled(int(identity["batch_size"]), identity.get("data", ""), cuts)
        except (OrtbatchError, ValueError, KeyError, TypeError, AttributeError):
            return Settled()

    def _unfinished(self) -> dict[str, str] | None:
        if not exists(self.file(PLAN)):
            return None
        try:
            return self._head()[0]
        except (ValueError, KeyError, TypeError):
            return {}

    def _head(self) -> tuple[dict[str, str], tuple[Cut, ...]]:
        """Identity and slices; the plan behind them can be 0.2 GB, and three times that once it is parsed."""
        text = read_bytes(self.file(PLAN)).decode()
        if not text.startswith(_IDENTITY_FIRST):
            raise ValueError(f"{PLAN} does not begin with an identity")
        decoder = json.JSONDecoder()
        identity, end = decoder.raw_decode(text, len(_IDENTITY_FIRST))
        if not text.startswith(_CUTS_NEXT, end):
            return dict(identity), ()
        cuts, _ = decoder.raw_decode(text, end + len(_CUTS_NEXT))
        return dict(identity), tuple(map(_cut_of, cuts))


def _sink_at(uri: str) -> predictions.Sink:
    """A folder of predictions, by path or URI."""
    from ortbatch.engine import predictions

    head, question, query = uri.partition("?") if is_remote(uri) else (uri, "", "")
    return predictions.Sink(head.rstrip("/"), question + query, "", {})


def _cut_of(data: Mapping[str, Any]) -> Cut:
    values = tuple(tuple(map(str, texts)) for texts in data["values"])
    return Cut(tuple(map(str, data["by"])), values, int(data["pooled"]), tuple(map(str, data["bins"])))


def newest_unfinished(job: Job) -> RunFolder:
    """The newest folder of a job that holds an unfinished run, by its `run_dir`.

    Raises:
        RunFolderError: if there is none.
    """
    start, mark, end = job.run_folder(_ANY).partition(_ANY)
    if is_remote(start):
        raise RunFolderError(f"{redact(start)}: say which run is to go on, with --run-dir")
    pattern = glob.escape(start) + ("*" + glob.escape(end) if mark else "")
    for path in sorted(glob.glob(pattern), reverse=True):  # noqa: PTH207  (escapes have no like in pathlib)
        if (folder := RunFolder(path)).unfinished():
            return folder
    raise RunFolderError(f"{pattern}: no unfinished run here. Leave --resume out to begin one.")


def parts_of(prepared: Prepared) -> dict[str, str]:
    """The identity of a run, with the hashes of model and data that its evaluation digest covers."""
    return {"model": prepared.model.sha256, "data": prepared.plan.digest(), **prepared.identity}


def differing(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Which parts of two identities differ, in words.

    >>> differing({"batch_size": "64"}, {"batch_size": "128"})
    'batch_size is 64 there, 128 here'
    """
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if "model" in names or "data" in names:
        # The digest of all that counts depend on: it differs because they do.
        names = [name for name in names if name != "evaluation"]
    return "; ".join(f"{_NAMES.get(n, n)} is {_short(old.get(n))} there, {_short(new.get(n))} here" for n in names)


def _short(value: str | None) -> str:
    return "unknown" if value is None else value[:12] if len(value) == 64 else value
