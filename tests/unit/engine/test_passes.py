"""Passes with fleets that misbehave: late answers of earlier passes, lost workers, shards that fail."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from ortbatch.data.plan import Piece, PlannedFile, Shard, Shards
from ortbatch.engine.events import Fault, Joined, Lost, Returned, Room, ShardFailure
from ortbatch.engine.fleet import Message
from ortbatch.engine.latency import SingleLatency, SingleSetup
from ortbatch.engine.passes import Pass, Passes
from ortbatch.engine.rules import Rules
from ortbatch.errors import Interrupted, ShardError, StorageError

FILES = [PlannedFile(f"data/{n}.parquet", f"{n}.parquet", 1, "0" * 64, (10,), (10,)) for n in range(30)]
SHARDS = Shards.of(FILES, [[Piece(n, 0, 1, 0, 10)] for n in range(30)])


@dataclass(frozen=True)
class Look:
    key: str = "look"

    def pool(self, model: Any, streams: int) -> Any:
        raise NotImplementedError


@dataclass
class Fleet:
    """Answers each lease with the ids of its shards, unless a script says otherwise."""

    there: dict[int, bool] = field(default_factory=lambda: {0: True, 1: True})
    workers: int = 2
    streams: int = 1
    lose: int = 0
    fail: dict[int, list[Fault]] = field(default_factory=dict)
    stale: list[Message] = field(default_factory=list)
    given: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)
    dismissed: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.messages: deque[Message] = deque(self.stale)
        self.started = max(self.there, default=-1)

    def members(self) -> dict[int, bool]:
        return dict(self.there)

    def start_worker(self) -> None:
        self.started += 1
        self.there[self.started] = True
        self.messages.append(Message(Joined(self.started)))

    def give_other(self, worker: int, lease: int, shards: Sequence[Shard], task: Any, *, alone: bool) -> None:
        ids = tuple(shard.id for shard in shards)
        self.given.append((worker, lease, ids))
        if self.lose:
            self.lose -= 1
            self.there.pop(worker, None)
            self.messages.append(Message(Lost(worker, "gone")))
            return
        failures = [ShardFailure(n, "no", self.fail[n].pop(0)) for n in ids if self.fail.get(n)]
        failed = {failure.shard for failure in failures}
        found = {n: n for n in ids if n not in failed}
        self.messages.append(Message(Returned(worker, lease, 0.01, tuple(failures)), None, found))

    def wait(self) -> Message | None:
        return self.messages.popleft() if self.messages else None

    def kill(self, worker: int) -> None:
        self.killed.append(worker)

    def dismiss(self, worker: int) -> None:
        self.there.pop(worker)
        self.dismissed.append(worker)

    def want(self, workers: int) -> None: ...

    def open(self, tell: object, stopped: object) -> None: ...

    def give(self, worker: int, lease: int, shards: Sequence[Shard], *, alone: bool) -> None: ...

    def measure(self, setup: SingleSetup) -> SingleLatency:
        raise NotImplementedError

    def measure_baseline(self, place: int, setup: SingleSetup) -> SingleLatency:
        raise NotImplementedError

    def describe(self) -> dict[str, object]:
        return {}

    def close(self) -> None: ...


def made(fleet: Fleet, rules: Rules | None = None, passes: int = 1, **options: Any) -> list[int]:
    """Ids of the shards that came of the last of some passes, as they came."""
    making, seen = Passes(fleet, options.pop("stopped", lambda: False)), list[int]()
    for _ in range(passes):
        seen.clear()
        making.make(Pass(Look(), SHARDS, FILES, rules or Rules(), **options), lambda told: seen.extend(told.found))
    return seen


ALL = list(range(30))


def test_every_shard_is_done_once() -> None:
    assert sorted(made(Fleet())) == ALL


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_worker_that_dies_loses_no_shard_and_doubles_none(lost: int) -> None:
    assert sorted(made(Fleet(lose=lost))) == ALL


def test_a_worker_is_started_where_none_is_left() -> None:
    fleet = Fleet(there={})
    assert sorted(made(fleet)) == ALL
    assert {worker for worker, _, _ in fleet.given} == {0}


def test_workers_of_a_node_that_goes_are_let_go_and_those_of_one_that_comes_are_used() -> None:
    fleet = Fleet(stale=[Message(Room(3, 3, frozenset({0})))])
    assert sorted(made(fleet)) == ALL
    assert fleet.dismissed == [0]
    assert max(worker for worker, _, _ in fleet.given) >= 2


def test_a_worker_that_is_still_starting_is_given_work_when_it_joins() -> None:
    fleet = Fleet(there={0: False})
    fleet.messages.append(Message(Joined(0)))
    assert sorted(made(fleet)) == ALL


def test_answers_to_leases_of_the_run_itself_are_not_taken_for_those_of_the_pass() -> None:
    late = [Message(Returned(worker, lease, 0.1), None, {99: 99}) for worker in (0, 1) for lease in range(4)]
    assert sorted(made(Fleet(stale=late))) == ALL


def test_leases_of_two_passes_have_different_numbers() -> None:
    fleet = Fleet()
    assert sorted(made(fleet, passes=2)) == ALL
    numbers = [lease for _, lease, _ in fleet.given]
    assert len(set(numbers)) == len(numbers)


def test_shards_that_are_done_already_are_left_out() -> None:
    import numpy as np

    done = np.zeros(30, np.bool_)
    done[[3, 4]] = True
    assert sorted(made(Fleet(), done=done)) == [n for n in ALL if n not in (3, 4)]


def test_a_shard_that_fails_once_is_tried_again() -> None:
    assert sorted(made(Fleet(fail={5: [Fault.SHARD]}))) == ALL


def test_a_shard_that_fails_twice_ends_the_run_with_its_file() -> None:
    with pytest.raises(ShardError, match=r"look: data/5\.parquet: no"):
        made(Fleet(fail={5: [Fault.SHARD] * 2}))


def test_a_shard_that_fails_twice_is_left_out_where_the_job_says_so() -> None:
    fleet = Fleet(fail={5: [Fault.SHARD] * 2})
    seen: list[int] = []
    left_out = Passes(fleet).make(
        Pass(Look(), SHARDS, FILES, Rules(quarantine=True)), lambda message: seen.extend(message.found)
    )
    assert [each.shard for each in left_out] == [5]
    assert sorted(seen) == [n for n in ALL if n != 5]


def test_a_store_that_fails_for_good_is_a_failure_of_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    from ortbatch.engine import schedule

    monkeypatch.setattr(schedule, "STORAGE_ERRORS_OF_A_SHARD", 1)
    with pytest.raises(StorageError, match=r"data/5\.parquet"):
        made(Fleet(fail={5: [Fault.STORAGE]}))


def test_a_pass_ends_when_the_run_is_told_to_stop() -> None:
    with pytest.raises(Interrupted):
        made(Fleet(), stopped=lambda: True)
