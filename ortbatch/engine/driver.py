"""The driver's loop: the schedule decides, a fleet of workers does, the reducer counts, the checkpoint keeps.

    fleet ──event──▶ schedule ──decisions──▶ fleet
      └────state────▶ reducer ──▶ checkpoint

The loop is the same for workers in this process and on Ray.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ortbatch.engine.checkpoint import Checkpoint
from ortbatch.engine.events import (
    Decision,
    Dismiss,
    Event,
    Fault,
    Give,
    Joined,
    Kill,
    Lost,
    Quarantine,
    Returned,
    Room,
    StartWorker,
    Stop,
    Tick,
    Want,
)
from ortbatch.engine.fleet import Fleet, Message
from ortbatch.engine.predictions import there
from ortbatch.engine.prepared import Prepared
from ortbatch.engine.reducer import Reducer
from ortbatch.engine.rules import Rules
from ortbatch.engine.schedule import Schedule
from ortbatch.engine.size import Size
from ortbatch.engine.state import RunState
from ortbatch.errors import ClusterError, Interrupted, OrtbatchError, ShardError, StorageError
from ortbatch.job.redaction import redact
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.tally import Tally

QUARANTINED = "quarantined_shard"
_TICK_SECONDS = 0.2
_FAULTS_TOLD = 1_000


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    rows: int
    total_rows: int
    shards: int
    total_shards: int
    workers: int
    retries: int
    quarantined: int = 0


@dataclass(frozen=True)
class Steering:
    """What a run is told from outside.

    Args:
        show: called whenever something was counted.
        tell: told what else happens, a sentence at a time.
        stopped: asked often: is the run to stop?
        order: shard ids in the order to hand them out.
        counted: called with each state that is counted, once.
    """

    show: Callable[[Progress], None] = lambda _: None
    tell: Callable[[str], None] = lambda _: None
    stopped: Callable[[], bool] = lambda: False
    order: Sequence[int] | None = None
    counted: Callable[[RunState], None] = lambda _: None


@dataclass(frozen=True)
class LeftOut:
    """A shard that was quarantined."""

    shard: int
    reason: str
    fault: Fault


@dataclass(frozen=True)
class Completed:
    """A pass over all shards.

    Args:
        state: all counts.
        seconds: from the first lease given to the last returned.
        rows: that were done in these seconds; others were done by an earlier driver.
        workers: most workers at once.
        retries: shards that were handed out again.
        restored: shards that an earlier driver did.
        quarantined: shards that are left out, by id.
        faults: what went wrong on the way, one line each.
    """

    state: RunState
    seconds: float
    rows: int
    workers: int
    retries: int
    restored: int
    quarantined: tuple[LeftOut, ...]
    faults: tuple[str, ...]


def drive(
    prepared: Prepared, fleet: Fleet, steering: Steering | None = None, checkpoint: Checkpoint | None = None
) -> Completed:
    """Evaluate every shard of a plan once. What was counted is kept in the checkpoint, however this ends.

    Args:
        prepared: the job.
        fleet: the workers, none started yet.
        steering: what the run is told from outside.
        checkpoint: what an earlier driver counted, and where to keep what this one does; None: nothing is kept.

    Raises:
        ShardError: if a shard failed.
        ClusterError: if the workers did.
        StorageError: if storage did.
        Interrupted: if the run was told to stop.
        OrtbatchError: if something unforeseen happened.
    """
    return _Drive(prepared, fleet, steering or Steering(), checkpoint).run()


class _Drive:
    def __init__(
        self, prepared: Prepared, fleet: Fleet, steering: Steering, checkpoint: Checkpoint | None
    ) -> None:  # fmt: skip
        self._prepared, self._fleet, self._steering, self._checkpoint = prepared, fleet, steering, checkpoint
        self._shards = prepared.plan.shards
        self._reducer = Reducer(prepared.evaluation.empty())
        self._restore()
        self._restored, self._restored_rows = self._reducer.done, self._reducer.rows
        fleet.open(self._steering.tell, self._steering.stopped)
        self._schedule = Schedule(
            self._shards.rows_of_shards, workers=fleet.workers, streams=fleet.streams, rules=_rules(prepared),
            order=steering.order, done=self._reducer.counted(len(self._shards)),
            size=Size(fleet.streams, _expected_rate(prepared, fleet.streams)),
        )  # fmt: skip
        self._alive: set[int] = set()
        self._workers = 0
        self._faults: list[str] = []
        self._left_out: dict[int, LeftOut] = {}
        self._first_lease = self._ticked = 0.0

    def _restore(self) -> None:
        """Count what an earlier driver kept; of segments that overlap one, and none whose predictions are gone."""
        if self._checkpoint is None:
            return
        sink = self._prepared.evaluation.sink
        written = set() if sink is None else there(sink)
        for state in self._checkpoint.restored():
            whole = sink is None or all(sink.name(part.shard) in written for part in state.parts)
            if whole and not self._reducer.overlaps(state):
                self._reducer.accept(state)
                self._steering.counted(state)
        if self._reducer.take() is not None:
            self._steering.tell(f"going on: {self._reducer.done:,} of {len(self._shards):,} shards were done before")

    def run(self) -> Completed:
        try:
            self._loop()
        except BaseException:
            self._keep(last=True)
            raise
        seconds = time.perf_counter() - self._first_lease if self._first_lease else 0.0
        state = self._reducer.state
        left_out = tuple(self._left_out[shard] for shard in sorted(self._left_out))
        state = replace(state, tally=state.tally.merge(self._of_left_out(left_out)))
        if state.tally.coverage.planned != self._prepared.plan.rows:
            rows = f"{self._prepared.plan.rows:,} rows planned, {state.tally.coverage.planned:,} accounted for"
            raise OrtbatchError(f"rows were lost or counted twice (a defect of ortbatch): {rows}")
        notes = [] if self._checkpoint is None else self._checkpoint.notes
        return Completed(
            state, seconds, self._reducer.rows - self._restored_rows, self._workers, self._schedule.retries,
            self._restored, left_out, (*self._faults, *notes),
        )  # fmt: skip

    def _of_left_out(self, left_out: Sequence[LeftOut]) -> Tally:
        """Rows of quarantined shards: planned, and rejected."""
        rejected: Counter[tuple[int, str]] = Counter()
        for piece in (piece for each in left_out for piece in self._shards[each.shard].pieces):
            rejected[piece.file, QUARANTINED] += piece.rows
        coverage = Coverage(planned=rejected.total(), rejected_rows=dict(rejected))
        return replace(self._prepared.evaluation.empty(), coverage=coverage)

    def _loop(self) -> None:
        if not self._schedule.finished:
            for _ in range(self._fleet.workers):
                self._fleet.start_worker()
        self._steering.show(self._progress())
        while not self._schedule.finished:
            if self._steering.stopped():
                raise Interrupted("interrupted")
            message = self._fleet.wait()
            if message is not None:
                self._take(message)
            if message is None or time.monotonic() - self._ticked >= _TICK_SECONDS:
                self._ticked = time.monotonic()
                self._do_all(Tick())
                self._keep()

    def _keep(self, *, last: bool = False) -> None:
        """Write what was counted since the last time, if it is time for it."""
        checkpoint = self._checkpoint
        if checkpoint is None or not (last or checkpoint.due()):
            return
        state = self._reducer.take()
        if state is not None:
            checkpoint.write(state, wait=last)

    def _take(self, message: Message) -> None:
        """Count what came, then do what the schedule says."""
        event = message.event
        if isinstance(event, Joined):
            self._alive.add(event.worker)
            self._workers = max(self._workers, len(self._alive))
        elif isinstance(event, Lost):
            self._alive.discard(event.worker)
            self._fault(f"worker {event.worker} lost ({event.fault.value}): {event.reason}")
        elif isinstance(event, Returned):
            # A lease that was taken back is being done again by somebody else: counting it too would count it twice.
            if not self._schedule.holds(event.worker, event.lease):
                self._do_all(event)
                return
            for failure in event.failures:
                self._fault(f"{self._name(failure.shard)} failed ({failure.fault.value}): {failure.reason}")
            if message.state is not None and self._reducer.accept(message.state):
                self._steering.counted(message.state)
        self._do_all(event)
        if not isinstance(event, Room):
            self._steering.show(self._progress())

    def _do_all(self, event: Event) -> None:
        for decision in self._schedule.handle(event, time.monotonic()):
            self._do(decision)

    def _do(self, decision: Decision) -> None:
        if isinstance(decision, Give):
            self._first_lease = self._first_lease or time.perf_counter()
            shards = [self._shards[shard] for shard in decision.shards]
            self._fleet.give(decision.worker, decision.lease, shards, alone=decision.alone)
        elif isinstance(decision, StartWorker):
            self._fleet.start_worker()
        elif isinstance(decision, Dismiss):
            self._alive.discard(decision.worker)
            self._fleet.dismiss(decision.worker)
        elif isinstance(decision, Want):
            self._fleet.want(decision.workers)
        elif isinstance(decision, Kill):
            self._alive.discard(decision.worker)
            self._fault(f"worker {decision.worker} ended: {decision.reason}")
            self._fleet.kill(decision.worker)
        elif isinstance(decision, Quarantine):
            self._left_out[decision.shard] = LeftOut(decision.shard, decision.reason, decision.fault)
        else:
            raise self._error(decision)

    def _fault(self, text: str) -> None:
        if len(self._faults) < _FAULTS_TOLD:
            self._faults.append(text)

    def _error(self, stop: Stop) -> OrtbatchError:
        if stop.shard is None:
            return ClusterError(stop.reason)
        text = f"{self._name(stop.shard)}: {stop.reason}"
        if stop.fault is Fault.STORAGE:
            return StorageError(text)
        if stop.fault is Fault.UNEXPECTED:
            # A defect: nothing that is known to be wrong with the shard.
            return OrtbatchError(text)
        return ShardError(text)

    def _name(self, shard: int) -> str:
        """A shard in words: its number, and what it reads."""
        planned, pieces = self._prepared.plan.files, self._shards[shard].pieces
        shown = [f"{redact(planned[p.file].uri)} row groups {p.first_group} to {p.end_group - 1}" for p in pieces[:3]]
        more = f" and {len(pieces) - 3} more files" if len(pieces) > 3 else ""
        return f"shard {shard} ({'; '.join(shown)}{more})"

    def _progress(self) -> Progress:
        reducer, plan = self._reducer, self._prepared.plan
        return Progress(
            reducer.rows, plan.rows, reducer.done, len(plan.shards), len(self._alive),
            self._schedule.retries, len(self._left_out),
        )  # fmt: skip


def _expected_rate(prepared: Prepared, streams: int) -> float | None:
    """Rows a second of a worker, if the model was timed."""
    work = prepared.work
    return None if work.rate is None or not work.rows else streams * work.rows / work.stream_seconds


def _rules(prepared: Prepared) -> Rules:
    execution, dependence = prepared.job.execution, prepared.dependence
    seconds = execution.shard_seconds
    return Rules(
        quarantine=execution.on_bad_shard == "quarantine",
        speculate=not (dependence.matters or dependence.scores),
        shard_seconds=None if seconds == "auto" else seconds,
    )
