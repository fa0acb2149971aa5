"""One driver at a time owns a run folder, and decides once which segments count."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ortbatch.engine import epochs, owner
from ortbatch.engine.epochs import BEAT_SECONDS, SILENT_SECONDS, Beat, Epoch, begin, latest, write_beat
from ortbatch.engine.owner import Owner
from ortbatch.errors import RunFolderError

ROOT = Path(__file__).parents[3]
AT_WORK = "another run is at work here"
HERE = Owner.here()
DEAD = replace(HERE, began="0")  # the same id, another process
ELSEWHERE = replace(HERE, host="node7", machine="another boot")


@dataclass
class Place:
    """A checkpoint folder."""

    path: Path
    told: list[str] = field(default_factory=list)

    def __call__(self, name: str) -> str:
        return str(self.path / name)

    def begin(self, *, afresh: bool = False) -> Epoch:
        return begin(str(self.path), self, afresh=afresh, tell=self.told.append)

    def refusal(self, *, afresh: bool = False) -> str:
        """Why nobody can begin; nothing is changed by trying."""
        before = self.files()
        with pytest.raises(RunFolderError) as refused:
            self.begin(afresh=afresh)
        assert self.files() == before
        return str(refused.value)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.path.iterdir()}

    def left_by(self, owner: Owner, number: int = 1, token: str = "aaaaaaaa", accepted: tuple[str, ...] = ()) -> Epoch:
        """An epoch as another process leaves it, by the documented form of its file."""
        kept = {"number": number, "token": token, "owner": vars(owner), "accepted": list(accepted)}
        self.put(f"{number:06}.epoch", json.dumps(kept).encode())
        return Epoch(number, token, owner, accepted)

    def put(self, name: str, content: bytes = b"") -> str:
        self.path.mkdir(exist_ok=True)
        (self.path / name).write_bytes(content)
        return name

    def end(self, epoch: Epoch) -> None:
        write_beat(self, epoch, Beat(1, ended=True))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "checkpoint")


class Clock:
    """Time in which somebody else acts while one waits."""

    def __init__(self) -> None:
        self.now = 100.0
        self.act: Callable[[float], object] = lambda now: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.act(self.now - 100)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(epochs, "time", clock)
    return clock


def test_the_first_epoch_of_a_folder_that_is_not_there_yet_accepts_nothing(place: Place) -> None:
    epoch = place.begin()
    assert (epoch.number, epoch.accepted) == (1, ())
    assert list(place.files()) == ["000001.epoch"]


def test_the_file_of_an_epoch_says_all_of_it(place: Place) -> None:
    epoch = place.begin()
    assert latest(place, ["000001.epoch"]) == epoch
    assert json.loads(place.files()["000001.epoch"])["owner"]["pid"] == os.getpid()


def test_a_folder_without_epochs_has_no_latest(place: Place) -> None:
    assert latest(place, ["000001-aaaaaaaa-000001.segment", "000001.alive"]) is None


def test_the_latest_epoch_is_that_of_the_highest_number(place: Place) -> None:
    numbers = [place.left_by(DEAD, number).file for number in (1, 2, 10)]
    found = latest(place, sorted(numbers))
    assert found is not None
    assert found.number == 10
    assert place.begin().number == 11


def test_while_the_owner_lives_a_second_one_is_refused_and_told_who_it_is(place: Place) -> None:
    epoch = place.begin()
    refusal = place.refusal()
    assert AT_WORK in refusal
    assert f"process {os.getpid()} on {epoch.owner.host}, since {epoch.owner.since}" in refusal
    assert str(place.path) in refusal
    assert "--run-dir" in refusal


def test_while_the_owner_lives_starting_over_is_refused_too(place: Place) -> None:
    place.begin()
    assert AT_WORK in place.refusal(afresh=True)


def test_an_owner_that_beats_is_still_there(place: Place) -> None:
    write_beat(place, place.begin(), Beat(7))
    assert AT_WORK in place.refusal()


def test_an_owner_that_ended_on_purpose_lets_the_next_begin(place: Place) -> None:
    place.end(place.begin())
    assert place.begin().number == 2


def test_an_owner_on_another_machine_that_ended_on_purpose_is_not_waited_for(place: Place, clock: Clock) -> None:
    place.end(place.left_by(ELSEWHERE))
    assert place.begin().number == 2
    assert (clock.now, place.told) == (100.0, [])


BEGINNER = """
import sys
from ortbatch.engine.epochs import begin
folder = sys.argv[1]
print(begin(folder, lambda name: f"{folder}/{name}", afresh=False, tell=print).file, flush=True)
sys.stdin.read()
"""


@contextmanager
def driver(place: Place) -> Iterator[subprocess.Popen[str]]:
    """Another process that took the folder; it ends with the block."""
    command = [sys.executable, "-c", BEGINNER, str(place.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "000001.epoch\n"
            yield started
        finally:
            started.kill()


def test_another_process_keeps_the_folder_until_it_is_killed(place: Place) -> None:
    with driver(place) as other:
        assert f"process {other.pid} on" in place.refusal()
        other.kill()
        other.wait()
        assert place.begin().number == 2
    assert place.told == []


def test_a_killed_process_that_its_parent_has_not_waited_for_is_dead(place: Place) -> None:
    with driver(place) as other:
        os.kill(other.pid, signal.SIGKILL)
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert place.begin().number == 2


def test_an_id_that_another_process_has_by_now_is_a_dead_owner(place: Place) -> None:
    place.left_by(DEAD)
    assert place.begin().number == 2
    assert place.told == []


def test_the_owner_is_the_process_that_asks() -> None:
    assert (HERE.pid, HERE.lives()) == (os.getpid(), True)
    assert HERE.machine
    assert HERE.began


def test_an_owner_whose_start_is_not_known_lives_while_its_id_does() -> None:
    assert replace(HERE, began="").lives() is True


def test_a_process_of_somebody_else_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", denied)
    assert HERE.lives() is True


def test_a_process_of_somebody_else_whose_start_cannot_be_seen_is_not_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", denied)
    monkeypatch.setattr(owner, "_began", lambda pid: "")
    assert HERE.lives() is not False


@pytest.mark.parametrize("machine", ["another boot", ""])
def test_whether_a_process_of_another_machine_lives_cannot_be_seen(machine: str) -> None:
    assert replace(HERE, machine=machine).lives() is None


def test_no_machine_is_known_where_nothing_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "_machine", lambda: "")
    assert replace(HERE, machine="").lives() is None


def test_a_process_whose_name_holds_brackets_and_spaces_began_when_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    stat = f"7 (a) b) S {' '.join(str(place) for place in range(4, 53))}"
    monkeypatch.setattr(Path, "read_text", lambda path: stat)
    assert owner._began(7) == "22"


@pytest.mark.parametrize("machine", ["another boot", ""])
def test_an_owner_elsewhere_that_is_silent_is_taken_over_after_four_beats(
    place: Place, clock: Clock, machine: str
) -> None:
    write_beat(place, place.left_by(replace(ELSEWHERE, machine=machine)), Beat(7))
    assert place.begin().number == 2
    assert 4 * BEAT_SECONDS <= clock.now - 100 <= SILENT_SECONDS + 1
    assert place.told == [
        f"waiting 20 s to see whether the run of process {HERE.pid} on node7, since {HERE.since} is still at work here"
    ]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"count": 1}', b'{"count": "x", "ended": true}', b"\xff"])
def test_a_heartbeat_that_cannot_be_read_is_none(place: Place, clock: Clock, content: bytes) -> None:
    place.put(place.left_by(ELSEWHERE).heart, content)
    assert place.begin().number == 2
    assert clock.now - 100 >= SILENT_SECONDS


@pytest.mark.parametrize("first", [0.5, BEAT_SECONDS, SILENT_SECONDS - 0.5])
def test_an_owner_elsewhere_that_beats_is_left_alone(place: Place, clock: Clock, first: float) -> None:
    there = place.left_by(ELSEWHERE)
    write_beat(place, there, Beat(7))
    clock.act = lambda now: write_beat(place, there, Beat(8)) if now >= first else None
    with pytest.raises(RunFolderError, match=AT_WORK):
        place.begin()
    assert clock.now - 100 == first
    assert sorted(place.files()) == ["000001.alive", "000001.epoch"]


def test_an_owner_elsewhere_that_beats_for_the_first_time_is_left_alone(place: Place, clock: Clock) -> None:
    there = place.left_by(ELSEWHERE)
    clock.act = lambda now: write_beat(place, there, Beat(1))
    with pytest.raises(RunFolderError, match=AT_WORK):
        place.begin()


def test_an_owner_elsewhere_that_ends_while_it_is_waited_for_is_waited_for_no_more(place: Place, clock: Clock) -> None:
    there = place.left_by(ELSEWHERE)
    clock.act = lambda now: place.end(there) if now >= 3 else None
    assert place.begin().number == 2
    assert clock.now - 100 == 3


@pytest.mark.parametrize("beats", [True, False])
def test_a_heart_is_listened_to_in_real_time(place: Place, monkeypatch: pytest.MonkeyPatch, beats: bool) -> None:
    monkeypatch.setattr(epochs, "SILENT_SECONDS", 0.2)
    there = place.left_by(ELSEWHERE)
    write_beat(place, there, Beat(1))
    later = threading.Timer(0.1, lambda: write_beat(place, there, Beat(1 + beats)))
    later.start()
    with pytest.raises(RunFolderError, match=AT_WORK) if beats else nullcontext():
        place.begin()
    later.join()


def race(place: Place, rivals: int = 20) -> list[Epoch]:
    """The epochs of those who succeed when all begin at once."""
    start = threading.Barrier(rivals)
    place.path.mkdir(exist_ok=True)

    def one(_: int) -> Epoch | None:
        start.wait()
        try:
            return place.begin()
        except RunFolderError:
            return None

    with ThreadPoolExecutor(rivals) as pool:
        return [epoch for epoch in pool.map(one, range(rivals)) if epoch is not None]


@pytest.mark.parametrize("attempt", range(5))
def test_of_many_that_begin_at_once_one_succeeds(place: Place, attempt: int) -> None:
    assert [epoch.number for epoch in race(place)] == [1]


@pytest.mark.parametrize("attempt", range(5))
def test_of_many_that_take_a_dead_run_over_at_once_one_succeeds(place: Place, attempt: int) -> None:
    place.put(place.left_by(DEAD).segment(1))
    (winner,) = race(place)
    assert (winner.number, len(winner.accepted)) == (2, 1)
    assert sorted(place.files()) == ["000001-aaaaaaaa-000001.segment", "000001.epoch", "000002.epoch"]


def test_of_processes_that_begin_at_once_one_succeeds(place: Place) -> None:
    command = [sys.executable, "-c", BEGINNER, str(place.path)]
    pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
    rivals = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=quiet, text=True, cwd=ROOT) for _ in range(4)
    ]  # fmt: skip
    said = [rival.stdout.readline() for rival in rivals if rival.stdout is not None]
    for rival in rivals:
        rival.communicate("")
    assert sorted(said) == ["", "", "", "000001.epoch\n"]
    assert sorted(rival.returncode for rival in rivals) == [0, 1, 1, 1]


def test_who_begins_between_the_look_of_another_and_its_step_wins(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(uri: str, content: bytes) -> bool:
        place.left_by(HERE, 1, "bbbbbbbb")
        return create(uri, content)

    create = epochs.create_bytes
    monkeypatch.setattr(epochs, "create_bytes", overtaken)
    with pytest.raises(RunFolderError, match="another run has just begun here"):
        place.begin()
    assert json.loads(place.files()["000001.epoch"])["token"] == "bbbbbbbb"


def test_who_takes_over_while_another_still_listens_wins(place: Place, clock: Clock) -> None:
    place.left_by(ELSEWHERE)
    clock.act = lambda now: place.left_by(HERE, 2, "bbbbbbbb")
    with pytest.raises(RunFolderError, match="another run has just begun here"):
        place.begin()
    assert json.loads(place.files()["000002.epoch"])["token"] == "bbbbbbbb"


def test_segments_of_a_dead_epoch_count_in_their_order(place: Place) -> None:
    dead = place.left_by(DEAD)
    kept = [place.put(dead.segment(number)) for number in (2, 11, 1)]
    assert place.begin().accepted == tuple(sorted(kept))


def test_segments_of_all_dead_epochs_count(place: Place) -> None:
    first = place.left_by(DEAD)
    old = place.put(first.segment(1))
    second = place.left_by(DEAD, 2, "bbbbbbbb", (old,))
    new = place.put(second.segment(1))
    assert place.begin().accepted == (old, new)


def test_a_segment_that_was_accepted_stays_so_though_it_is_gone(place: Place) -> None:
    second = place.left_by(DEAD, 2, "bbbbbbbb", ("000001-aaaaaaaa-000001.segment",))
    assert place.begin().accepted == second.accepted


def test_a_segment_of_an_epoch_that_appears_after_the_next_began_never_counts(place: Place) -> None:
    first = place.left_by(DEAD)
    kept = place.put(first.segment(1))
    second = place.begin()
    place.put(first.segment(2))
    assert second.accepted == (kept,)
    assert latest(place, ["000002.epoch"]) == second
    place.end(second)
    third = place.begin()
    assert (third.number, third.accepted) == (3, (kept,))


def test_a_segment_that_is_written_while_its_owner_is_listened_for_counts(place: Place, clock: Clock) -> None:
    there = place.left_by(ELSEWHERE)
    clock.act = lambda now: place.put(there.segment(1))
    assert place.begin().accepted == (there.segment(1),)


def test_starting_over_accepts_nothing(place: Place) -> None:
    dead = place.left_by(DEAD, 2, "bbbbbbbb", ("000001-aaaaaaaa-000001.segment",))
    place.put(dead.segment(1))
    epoch = place.begin(afresh=True)
    assert (epoch.number, epoch.accepted) == (3, ())


def test_what_came_before_a_start_over_never_counts_again(place: Place) -> None:
    place.put(place.left_by(DEAD).segment(1))
    over = place.begin(afresh=True)
    kept = place.put(over.segment(1))
    place.end(over)
    assert place.begin().accepted == (kept,)


DAMAGED = {
    "empty": b"",
    "cut": b'{"number": 1, "tok',
    "list": b"[]",
    "number": b"5",
    "no keys": b"{}",
    "not UTF-8": b"\xff\xfe",
    "no owner": b'{"number": 1, "token": "a", "accepted": []}',
    "no list": json.dumps({"number": 1, "token": "a", "owner": vars(DEAD)}).encode(),
    "half an owner": b'{"number": 1, "token": "a", "owner": {"pid": 1}, "accepted": []}',
}
damaged = pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)


@damaged
def test_a_damaged_epoch_is_an_error_that_names_its_file_and_the_way_out(place: Place, content: bytes) -> None:
    place.put("000003.epoch", content)
    refusal = place.refusal()
    assert refusal.startswith(f"{place('000003.epoch')}: damaged: ")
    assert refusal.endswith("Start over with --force.")


@damaged
def test_starting_over_passes_by_a_damaged_epoch(place: Place, content: bytes) -> None:
    place.put("000003.epoch", content)
    place.put("000003-aaaaaaaa-000001.segment")
    epoch = place.begin(afresh=True)
    assert (epoch.number, epoch.accepted) == (4, ())


def test_a_damaged_epoch_that_is_not_the_latest_does_no_harm(place: Place) -> None:
    place.put("000001.epoch", b"{")
    place.left_by(DEAD, 2)
    assert place.begin().number == 3


WRONG_TYPES: list[dict[str, Any]] = [{"pid": "x"}, {"pid": 2**70}]


@pytest.mark.parametrize("wrong", WRONG_TYPES, ids=str)
def test_an_epoch_with_an_id_that_is_none_is_damaged(place: Place, wrong: dict[str, Any]) -> None:
    place.left_by(replace(HERE, **wrong))
    assert "damaged" in place.refusal()


def test_a_file_of_somebody_else_does_no_harm_though_it_is_called_epoch(place: Place) -> None:
    place.put("x.epoch")
    assert place.begin(afresh=True).number == 1


def test_files_of_somebody_else_are_neither_epochs_nor_segments(place: Place) -> None:
    dead = place.left_by(DEAD)
    for name in ("README", f".{dead.segment(1)}.k3j", f"{dead.segment(1)}.bak", ".000009.epoch.k3j", dead.heart):
        place.put(name)
    epoch = place.begin()
    assert (epoch.number, epoch.accepted) == (2, ())


def test_an_epoch_does_not_own_segments_of_its_number_from_before_the_folder_was_emptied(place: Place) -> None:
    first = place.left_by(DEAD)
    old = first.segment(1)
    (place.path / first.file).unlink()
    again = place.begin()
    late, own = place.put(old), place.put(again.segment(1))
    assert (again.number, again.owns(late), again.owns(own)) == (1, False, True)
    place.end(again)
    assert place.begin().accepted == (own,)


def test_epochs_have_tokens_of_their_own(tmp_path: Path) -> None:
    tokens = {Place(tmp_path / str(number)).begin().token for number in range(20)}
    assert len(tokens) == 20


def test_names_of_segments_sort_as_they_were_written() -> None:
    names = [
        Epoch(epoch, "cafe0123", HERE, ()).segment(number) for epoch in (1, 2, 10) for number in (1, 2, 10, 999_999)
    ]
    assert names == sorted(names)
    assert len(set(names)) == len(names)


def test_an_epoch_owns_its_segments_and_nobody_elses() -> None:
    epoch, other, next_one = (Epoch(n, t, HERE, ()) for n, t in [(1, "aaaa"), (1, "bbbb"), (2, "aaaa")])
    assert epoch.owns(epoch.segment(1))
    for name in (other.segment(1), next_one.segment(1), epoch.file, epoch.heart, "000001-aaaa-000001.alive"):
        assert not epoch.owns(name)
