"""The driver's loop with fleets that misbehave in ways Ray does: late, doubled, lost; the counts must not notice."""

from __future__ import annotations

import pickle
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ortbatch.data.plan import Shard
from ortbatch.engine.driver import Completed, Steering, drive
from ortbatch.engine.evaluate import Stream
from ortbatch.engine.events import Fault, Joined, Lost, Returned, Room, ShardFailure
from ortbatch.engine.fleet import Message
from ortbatch.engine.inline import InlineFleet
from ortbatch.engine.latency import SingleLatency, SingleSetup
from ortbatch.engine.prepare import open_model, prepare
from ortbatch.engine.prepared import Prepared
from ortbatch.engine.state import RunState, ShardSet
from ortbatch.errors import ClusterError, OrtbatchError, ShardError
from ortbatch.job import load_job
from ortbatch.metrics.scores import halves
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.tally import Tally


@pytest.fixture(scope="module")
def prepared(digits: Path) -> Prepared:
    return prepare(load_job(digits))


@pytest.fixture(scope="module")
def expected(prepared: Prepared) -> Tally:
    """The plan's tally, shard after shard in one thread."""
    stream = Stream(prepared.evaluation, open_model(prepared.job)[1])
    total = prepared.evaluation.empty()
    for shard in prepared.plan.shards:
        total = total.merge(stream.evaluate([shard]))
    return counts(total)


def counts(tally: Tally) -> Tally:
    """A tally without what the clock put into it."""
    empty = Tally.empty(tally.confusion.classes, tally.scores.curves)
    return replace(tally, latency=empty.latency, stages=StageTimes())


class TroubledFleet:
    """Evaluates leases at once in this thread, and reports them with the trouble that a script asks for."""

    workers = 2
    streams = 2

    def __init__(self, prepared: Prepared, seed: int, *, double: bool = False, lose: int = 0) -> None:
        self._stream = Stream(prepared.evaluation, open_model(prepared.job)[1])
        self._random = random.Random(seed)
        self._double, self._lose = double, lose
        self._messages: list[Message] = []
        self._next = 0

    def open(self, tell: object, stopped: object) -> None: ...

    def start_worker(self) -> None:
        self._messages.append(Message(Joined(self._next)))
        self._next += 1

    def give(self, worker: int, lease: int, shards: Sequence[Shard], *, alone: bool) -> None:
        tally = self._stream.evaluate(shards)
        done = Message(Returned(worker, lease, 0.01), RunState(ShardSet.of(s.id for s in shards), tally))
        if self._lose and self._random.random() < 0.3:
            # The worker dies, and its result arrives all the same, before or after the news of its death.
            self._lose -= 1
            news = [Message(Lost(worker, "killed")), done]
            self._messages += news if self._random.random() < 0.5 else news[::-1]
            return
        self._messages += [done, done] if self._double else [done]

    def wait(self) -> Message | None:
        return self._messages.pop(self._random.randrange(len(self._messages))) if self._messages else None

    def kill(self, worker: int) -> None:
        raise NotImplementedError

    def measure(self, setup: SingleSetup) -> SingleLatency:
        raise NotImplementedError

    def describe(self) -> dict[str, object]:
        return {}

    def close(self) -> None:
        pass


def finish(prepared: Prepared, fleet: TroubledFleet, order: Sequence[int] | None = None) -> Completed:
    return drive(prepared, fleet, Steering(order=order))


@pytest.mark.parametrize("seed", range(5))
def test_duplicated_results_are_counted_once(prepared: Prepared, expected: Tally, seed: int) -> None:
    completed = finish(prepared, TroubledFleet(prepared, seed, double=True))
    assert counts(completed.state.tally) == expected


@pytest.mark.parametrize("seed", range(10))
def test_lost_workers_and_their_late_results_change_no_count(prepared: Prepared, expected: Tally, seed: int) -> None:
    completed = finish(prepared, TroubledFleet(prepared, seed, lose=4))
    assert counts(completed.state.tally) == expected
    assert len(completed.state.shards) == len(prepared.plan.shards)


def test_faults_are_told(prepared: Prepared) -> None:
    completed = finish(prepared, TroubledFleet(prepared, 1, lose=4))
    assert completed.retries > 0
    assert completed.faults[0].endswith("lost (worker): killed")


@pytest.mark.parametrize("seed", range(3))
def test_a_shuffled_order_changes_no_count(prepared: Prepared, expected: Tally, seed: int) -> None:
    order = [shard.id for shard in prepared.plan.shards]
    random.Random(seed).shuffle(order)
    assert counts(finish(prepared, TroubledFleet(prepared, seed), order).state.tally) == expected


class MovingFleet(TroubledFleet):
    """Its nodes come and go with notice: now and then it says so, with any worker on a node that drains."""

    def __init__(self, prepared: Prepared, seed: int, *, lose: int = 0) -> None:
        super().__init__(prepared, seed, lose=lose)
        self._going: set[int] = set()
        self.dismissed: list[int] = []
        self.wanted: list[int] = []

    def wait(self) -> Message | None:
        if self._random.random() < 0.3:
            self._going |= {worker for worker in range(self._next) if self._random.random() < 0.3}
            return Message(Room(self._random.randrange(1, 5), 50, frozenset(self._going)))
        return super().wait()

    def give(self, worker: int, lease: int, shards: Sequence[Shard], *, alone: bool) -> None:
        assert worker not in self.dismissed
        super().give(worker, lease, shards, alone=alone)

    def dismiss(self, worker: int) -> None:
        assert worker in self._going
        self.dismissed.append(worker)

    def want(self, workers: int) -> None:
        self.wanted.append(workers)


@pytest.mark.parametrize("seed", range(10))
def test_nodes_that_come_and_go_change_no_count(prepared: Prepared, expected: Tally, seed: int) -> None:
    fleet = MovingFleet(prepared, seed)
    completed = finish(prepared, fleet)
    assert counts(completed.state.tally) == expected
    assert (completed.retries, completed.faults) == (0, ())


@pytest.mark.parametrize("seed", range(10))
def test_nodes_that_come_and_go_and_die_change_no_count(prepared: Prepared, expected: Tally, seed: int) -> None:
    completed = finish(prepared, MovingFleet(prepared, seed, lose=4))
    assert counts(completed.state.tally) == expected


class WatchingFleet(TroubledFleet):
    """Looks at what each lease carries."""

    def give(self, worker: int, lease: int, shards: Sequence[Shard], *, alone: bool) -> None:
        self.carried = [*getattr(self, "carried", []), pickle.loads(pickle.dumps(shards))]
        super().give(worker, lease, self.carried[-1], alone=alone)


def test_a_lease_carries_the_files_of_its_shards_and_no_others(prepared: Prepared, expected: Tally) -> None:
    fleet = WatchingFleet(prepared, 0)
    assert counts(finish(prepared, fleet).state.tally) == expected
    for shard in (shard for shards in fleet.carried for shard in shards):
        assert shard.files == {piece.file: prepared.plan.files[piece.file] for piece in shard.pieces}
    assert len(fleet.carried[0][0].files) < len(prepared.plan.files)


class FailingFleet(TroubledFleet):
    """One shard fails wherever it is tried; the others of its lease are done."""

    fault = Fault.SHARD
    bad = 3

    def give(self, worker: int, lease: int, shards: Sequence[Shard], *, alone: bool) -> None:
        good = [shard for shard in shards if shard.id != self.bad]
        failures = () if len(good) == len(shards) else (ShardFailure(self.bad, "page is corrupt", self.fault),)
        state = RunState(ShardSet.of(s.id for s in good), self._stream.evaluate(good)) if good else None
        self._messages.append(Message(Returned(worker, lease, 0.01, failures), state))


def test_an_error_in_a_shard_names_shard_and_file(prepared: Prepared) -> None:
    with pytest.raises(ShardError, match=r"shard 3 \(.*part-0\d\.parquet row groups .*\): page is corrupt") as caught:
        finish(prepared, FailingFleet(prepared, 0))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("fault", [Fault.STORAGE, Fault.UNEXPECTED])
def test_a_failure_that_says_nothing_of_the_shard_ends_with_5(
    prepared: Prepared, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ortbatch.engine.schedule.STORAGE_ERRORS_OF_A_SHARD", 1)
    fleet = FailingFleet(prepared, 0)
    fleet.fault = fault
    with pytest.raises(OrtbatchError, match="page is corrupt") as caught:
        finish(prepared, fleet)
    assert caught.value.exit_code == 5


def test_a_quarantined_shard_is_planned_and_rejected_and_the_rest_is_counted(prepared: Prepared) -> None:
    execution = prepared.job.execution.model_copy(update={"on_bad_shard": "quarantine"})
    lenient = replace(prepared, job=prepared.job.model_copy(update={"execution": execution}))
    completed = finish(lenient, FailingFleet(lenient, 0))
    rows = prepared.plan.shards[3].rows
    assert [(left.shard, left.reason) for left in completed.quarantined] == [(3, "page is corrupt")]
    assert completed.state.tally.coverage.rejected == {"quarantined_shard": rows}
    assert completed.state.tally.coverage.evaluated == prepared.plan.rows - rows
    assert len(completed.state.shards) == len(prepared.plan.shards) - 1


class LosingFleet(TroubledFleet):
    """Leaves the last row of a lease out."""

    def give(self, worker: int, lease: int, shards: Sequence[Shard], *, alone: bool) -> None:
        state = RunState(ShardSet.of(s.id for s in shards), self._stream.evaluate(shards[1:]))
        self._messages.append(Message(Returned(worker, lease, 0.01), state))


def test_rows_that_are_missing_are_never_silently_so(prepared: Prepared) -> None:
    with pytest.raises(OrtbatchError, match=r"rows were lost or counted twice .*: 1,797|planned"):
        finish(prepared, LosingFleet(prepared, 0))


class DyingFleet(TroubledFleet):
    """No worker ever becomes ready."""

    def start_worker(self) -> None:
        self._messages.append(Message(Lost(self._next, "no memory")))
        self._next += 1


def test_workers_that_all_die_end_the_run_with_the_reason(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ortbatch.engine.rules.LONGEST_DELAY", 0.0)
    with pytest.raises(ClusterError, match="no worker is left; last: no memory"):
        finish(prepared, DyingFleet(prepared, 0))


def test_the_inline_fleet_gives_the_plain_loops_counts(prepared: Prepared, expected: Tally) -> None:
    fleet = InlineFleet(prepared)
    try:
        completed = drive(prepared, fleet)
    finally:
        fleet.close()
    assert counts(completed.state.tally) == expected


def test_halves_follow_from_a_rows_place_in_its_file(prepared: Prepared, expected: Tally) -> None:
    second = sum(
        int(halves(int(file.footer_sha256[:16], 16), np.arange(file.rows)).sum()) for file in prepared.plan.files
    )
    rows_of_halves = expected.scores.counts[0].sum(axis=(1, 2)).tolist()
    assert rows_of_halves == [prepared.plan.rows - second, second]


def test_progress_reaches_the_whole(prepared: Prepared) -> None:
    seen = []
    fleet = InlineFleet(prepared)
    try:
        drive(prepared, fleet, Steering(show=seen.append))
    finally:
        fleet.close()
    assert [progress.rows for progress in seen] == sorted(progress.rows for progress in seen)
    assert (seen[-1].rows, seen[-1].shards) == (prepared.plan.rows, len(prepared.plan.shards))
