"""What was counted is kept, found again, and removed when it is not needed any more."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ortbatch.data.atomic import write_bytes
from ortbatch.engine import checkpoint as module
from ortbatch.engine.checkpoint import Checkpoint
from ortbatch.engine.epochs import Epoch, begin
from ortbatch.engine.owner import Owner
from ortbatch.engine.reducer import Reducer
from ortbatch.engine.segment import decode_segment
from ortbatch.engine.state import RunState, ShardSet
from ortbatch.errors import RunFolderError, StorageError
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.tally import Tally

IDENTITY = {"model": "a" * 64, "batch_size": "64"}
EMPTY = Tally.empty(("a", "b"), ())
FIRST = Epoch(1, "aaaaaaaa", Owner.here(), ())


def state(*shards: int) -> RunState:
    """A state of some shards; each has as many rows as its number."""
    return RunState(ShardSet.of(shards), replace(EMPTY, coverage=Coverage(sum(shards), sum(shards))))


class Folder:
    """A checkpoint folder, and checkpoints of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def __call__(self, name: str) -> str:
        return str(self.path / name)

    def checkpoint(self, epoch: Epoch = FIRST, identity: dict[str, str] = IDENTITY) -> Checkpoint:
        return Checkpoint(str(self.path), self, epoch, identity)

    def following(self, *, number: int = 2) -> Checkpoint:
        """The checkpoint of a driver that accepts all segments that are there."""
        accepted = tuple(name for name in self.names() if name.endswith(".segment"))
        return self.checkpoint(Epoch(number, "bbbbbbbb", Owner.here(), accepted))

    def written(self, *states: RunState, identity: dict[str, str] = IDENTITY) -> list[str]:
        """Names of new segments of some states."""
        before = set(self.names())
        with self.checkpoint(identity=identity) as checkpoint:
            for each in states:
                checkpoint.write(each, wait=True)
        return [name for name in self.names() if name not in before and name.endswith(".segment")]

    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir()) if self.path.exists() else []

    def beat(self, heart: str = FIRST.heart) -> tuple[int, bool]:
        kept = json.loads((self.path / heart).read_bytes())
        return kept["count"], kept["ended"]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "checkpoint")


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heart that beats a hundred times a second."""
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Writing fails for names with an ending that is given."""
    endings: list[str] = []

    def write(uri: str, content: bytes) -> None:
        if uri.endswith(tuple(endings)):
            raise StorageError(f"{uri}: cannot be written: no space left")
        write_bytes(uri, content)

    monkeypatch.setattr(module, "write_bytes", write)
    monkeypatch.setattr("ortbatch.engine.epochs.write_bytes", write)
    return endings.append


@contextmanager
def writing_held(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While the block runs no segment comes to its end."""
    go_on = threading.Event()

    def write(uri: str, content: bytes) -> None:
        go_on.wait(5)
        write_bytes(uri, content)

    monkeypatch.setattr(module, "write_bytes", write)
    try:
        yield
    finally:
        go_on.set()


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "nothing happened for 10 s"
        time.sleep(0.002)


def test_what_is_written_is_restored_in_its_order(folder: Folder) -> None:
    states = [state(number, number + 50) for number in range(12, 0, -1)]
    folder.written(*states)
    assert list(folder.following().restored()) == states


def test_nothing_is_restored_in_a_first_epoch(folder: Folder) -> None:
    folder.written(state(1))
    assert list(folder.checkpoint().restored()) == []


def test_segments_that_the_epoch_does_not_name_are_not_restored(folder: Folder) -> None:
    first, _ = folder.written(state(1), state(2))
    epoch = Epoch(2, "bbbbbbbb", Owner.here(), (first,))
    assert list(folder.checkpoint(epoch).restored()) == [state(1)]


def test_drivers_one_after_another_each_find_all_that_was_counted(folder: Folder) -> None:
    for number in range(1, 5):
        epoch = begin(str(folder.path), folder, afresh=False, tell=print)
        with folder.checkpoint(epoch) as checkpoint:
            assert list(checkpoint.restored()) == [state(done) for done in range(1, number)]
            checkpoint.write(state(number))


def test_a_segment_is_named_by_its_epoch_and_holds_state_and_identity(folder: Folder) -> None:
    names = folder.written(state(4), state(5))
    assert names == [FIRST.segment(1), FIRST.segment(2)]
    assert decode_segment((folder.path / names[1]).read_bytes()) == (state(5), IDENTITY)


@pytest.mark.parametrize("damage", ["torn", "changed", "empty", "missing"])
def test_a_segment_that_cannot_be_read_is_left_out_and_noted(folder: Folder, damage: str) -> None:
    folder.written(state(1), state(2), state(3))
    checkpoint, bad = folder.following(), folder.path / FIRST.segment(2)
    whole = bad.read_bytes()
    {
        "torn": lambda: bad.write_bytes(whole[: len(whole) // 2]),
        "changed": lambda: bad.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1])),
        "empty": lambda: bad.write_bytes(b""),
        "missing": bad.unlink,
    }[damage]()
    assert list(checkpoint.restored()) == [state(1), state(3)]
    (note,) = checkpoint.notes
    assert note.startswith(f"{bad.name} is left out, its shards are done again: ")


@pytest.mark.parametrize("other", [{}, {**IDENTITY, "batch_size": "65"}, {**IDENTITY, "more": "1"}], ids=str)
def test_a_segment_of_another_run_is_refused_by_name(folder: Folder, other: dict[str, str]) -> None:
    (name,) = folder.written(state(1), identity=other)
    with pytest.raises(RunFolderError, match=rf"{name}: a segment of another run .*--force"):
        list(folder.following().restored())


def test_storage_that_fails_while_segments_are_read_is_no_reason_to_do_them_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(uri: str) -> bytes:
        raise StorageError("unreachable")

    folder.written(state(1))
    monkeypatch.setattr(module, "read_bytes", unreachable)
    with pytest.raises(StorageError, match="unreachable"):
        list(folder.following().restored())


def test_of_segments_that_overlap_one_counts(folder: Folder) -> None:
    folder.written(state(1, 2), state(2, 3), state(1), state(4))
    reducer = Reducer(EMPTY)
    for each in folder.following().restored():
        if not reducer.overlaps(each):
            reducer.accept(each)
    assert reducer.state == state(1, 2, 4)


def test_a_segment_is_due_two_seconds_after_the_last(folder: Folder, clock: Clock) -> None:
    with folder.checkpoint() as checkpoint:
        for _ in range(3):
            clock.now += 1.9
            assert not checkpoint.due()
            clock.now += 0.2
            assert checkpoint.due()
            checkpoint.write(state(1), wait=True)


@pytest.mark.parametrize(("ran", "between"), [(100, 2), (1_000, 10), (4_000, 40), (6_000, 60), (10**6, 60)])
def test_segments_are_a_hundredth_of_the_run_apart_and_a_minute_at_most(
    folder: Folder, clock: Clock, ran: float, between: float
) -> None:
    with folder.checkpoint() as checkpoint:
        clock.now += ran - 0.9 * between
        checkpoint.write(state(1), wait=True)
        clock.now += 0.9 * between
        assert not checkpoint.due()
        clock.now += 0.2 * between
        assert checkpoint.due()


def test_no_segment_is_due_while_one_is_being_written(
    folder: Folder, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with folder.checkpoint() as checkpoint:
        with writing_held(monkeypatch):
            checkpoint.write(state(1))
            clock.now += 100
            assert not checkpoint.due()
        until(checkpoint.due)


def test_writing_does_not_wait_unless_it_is_told_to(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    with folder.checkpoint() as checkpoint:
        with writing_held(monkeypatch):
            checkpoint.write(state(1))
            assert FIRST.segment(1) not in folder.names()
        checkpoint.write(state(2), wait=True)
        assert {FIRST.segment(1), FIRST.segment(2)} < set(folder.names())


def test_leaving_waits_for_the_segment_that_is_being_written(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing_held(monkeypatch):
        checkpoint = folder.checkpoint().__enter__()
        checkpoint.write(state(1))
    checkpoint.__exit__()
    assert list(folder.following().restored()) == [state(1)]


def test_a_segment_that_could_not_be_written_is_an_error_when_the_next_would_be_due(
    folder: Folder, full_disk: Callable[[str], None]
) -> None:
    full_disk(".segment")
    with folder.checkpoint() as checkpoint:
        checkpoint.write(state(1))
        with pytest.raises(StorageError, match=r"what was counted cannot be kept: .*no space left"):
            until(checkpoint.due)


@pytest.mark.usefixtures("clock")
def test_an_error_of_writing_is_raised_once(folder: Folder, full_disk: Callable[[str], None]) -> None:
    full_disk(FIRST.segment(1))
    with folder.checkpoint() as checkpoint:
        checkpoint.write(state(1))
        with pytest.raises(StorageError):
            until(checkpoint.due)
        assert not checkpoint.due()
        checkpoint.write(state(2), wait=True)
    assert list(folder.following().restored()) == [state(2)]


def test_a_segment_that_could_not_be_written_is_an_error_of_the_next_one(
    folder: Folder, full_disk: Callable[[str], None]
) -> None:
    full_disk(FIRST.segment(1))
    with folder.checkpoint() as checkpoint:
        checkpoint.write(state(1))
        with pytest.raises(StorageError, match="cannot be kept"):
            checkpoint.write(state(2))


def test_writing_that_is_waited_for_raises_its_own_error(folder: Folder, full_disk: Callable[[str], None]) -> None:
    full_disk(".segment")
    with folder.checkpoint() as checkpoint, pytest.raises(StorageError, match="cannot be kept"):
        checkpoint.write(state(1), wait=True)


def test_a_folder_that_became_a_file_is_an_error_of_storage(folder: Folder) -> None:
    checkpoint = folder.checkpoint()
    folder.path.rmdir()
    folder.path.touch()
    checkpoint.write(state(1))
    with pytest.raises(StorageError, match=f"cannot be kept: {folder.path}"):
        until(checkpoint.due)
    checkpoint.__exit__()


@pytest.mark.usefixtures("quick")
def test_a_later_epoch_stops_the_run_of_an_earlier_one(folder: Folder) -> None:
    with folder.checkpoint() as checkpoint:
        (folder.path / "000002.epoch").touch()
        with pytest.raises(RunFolderError, match="taken this folder over"):
            until(checkpoint.due)
        with pytest.raises(RunFolderError, match=str(folder.path)):
            checkpoint.due()


@pytest.mark.usefixtures("quick", "clock")
@pytest.mark.parametrize("name", ["000001.epoch", "000002.epoch", "000009.alive", "000009-a-000001.segment", "000009"])
def test_nothing_else_stops_it(folder: Folder, name: str) -> None:
    (folder.path / name).touch()
    epoch = Epoch(2, "bbbbbbbb", Owner.here(), ())
    with folder.checkpoint(epoch) as checkpoint:
        until(lambda: folder.beat(epoch.heart)[0] >= 3)
        assert not checkpoint.due()


@pytest.mark.usefixtures("quick")
def test_the_heart_beats_on_entering_and_on_and_on(folder: Folder) -> None:
    with folder.checkpoint():
        seen = [folder.beat()]
        for count in (2, 4, 6):
            until(lambda count=count: folder.beat()[0] >= count)
            seen.append(folder.beat())
    counts = [count for count, _ in seen]
    assert counts == sorted(set(counts))
    assert not any(ended for _, ended in seen)


def test_a_driver_that_is_at_work_is_heard_before_its_first_pause(folder: Folder) -> None:
    with folder.checkpoint():
        assert folder.beat() == (0, False)


def own_threads() -> list[str]:
    names = (thread.name for thread in threading.enumerate())
    return sorted(name for name in names if name.startswith(("checkpoint", "heartbeat")))


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
@pytest.mark.usefixtures("quick")
def test_after_leaving_the_heart_has_ended_and_no_thread_is_left(
    folder: Folder, error: type[BaseException] | None
) -> None:
    with suppress(RuntimeError, KeyboardInterrupt), folder.checkpoint() as checkpoint:
        checkpoint.write(state(1))
        until(lambda: folder.beat()[0] >= 2)
        assert own_threads() == ["checkpoint_0", "heartbeat"]
        if error is not None:
            raise error
    count, ended = folder.beat()
    assert (ended, count > 2) == (True, True)
    assert own_threads() == []


@pytest.mark.usefixtures("quick")
def test_a_beat_that_is_being_written_while_one_leaves_does_not_come_after_the_last(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*arguments: object) -> None:
        if threading.current_thread().name == "heartbeat":
            under_way.set()
            time.sleep(0.1)
        write(*arguments)

    write, under_way = module.write_beat, threading.Event()
    monkeypatch.setattr(module, "write_beat", slow)
    with folder.checkpoint():
        under_way.wait(5)
    until(lambda: not own_threads())
    assert folder.beat() == (2, True)


def test_leaving_does_not_wait_for_the_next_beat(folder: Folder) -> None:
    began = time.monotonic()
    folder.written(state(1))
    assert time.monotonic() - began < module.BEAT_SECONDS / 2


@pytest.mark.usefixtures("quick", "clock")
def test_a_beat_that_cannot_be_written_is_noted_and_the_run_goes_on(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def skipped(*arguments: object) -> None:
        monkeypatch.setattr(module, "write_beat", write)
        raise StorageError("the store is away")

    write = module.write_beat
    with folder.checkpoint() as checkpoint:
        monkeypatch.setattr(module, "write_beat", skipped)
        until(lambda: checkpoint.notes)
        count = folder.beat()[0]
        until(lambda: folder.beat()[0] > count + 1)
        assert not checkpoint.due()
    assert checkpoint.notes == ["the store is away"]


def test_a_last_beat_that_cannot_be_written_is_noted(folder: Folder, full_disk: Callable[[str], None]) -> None:
    with folder.checkpoint() as checkpoint:
        full_disk(".alive")
    assert len(checkpoint.notes) == 1
    assert "no space left" in checkpoint.notes[0]


def test_a_folder_that_cannot_be_written_on_entering_is_an_error(
    folder: Folder, full_disk: Callable[[str], None]
) -> None:
    full_disk(".alive")
    with pytest.raises(StorageError, match="no space left"):
        folder.checkpoint().__enter__()


def taken_over(folder: Folder) -> Checkpoint:
    """A checkpoint of epoch 2, with all that epochs 1 and 2 leave."""
    folder.written(state(1), state(2))
    (folder.path / "000001.epoch").touch()
    (folder.path / "000002.epoch").touch()
    with folder.following() as checkpoint:
        checkpoint.write(state(3))
    return checkpoint


def test_what_is_discarded_is_gone_with_its_folder(folder: Folder) -> None:
    checkpoint = taken_over(folder)
    assert len(folder.names()) == 7
    checkpoint.discard()
    assert not folder.path.exists()
    assert checkpoint.notes == []


def test_what_a_later_epoch_wrote_is_not_discarded(folder: Folder) -> None:
    checkpoint = taken_over(folder)
    later = ["000003-cccccccc-000001.segment", "000003.alive", "000003.epoch", "000010.epoch"]
    for name in later:
        (folder.path / name).touch()
    checkpoint.discard()
    assert folder.names() == later
    assert checkpoint.notes == []


def test_what_a_later_epoch_is_just_writing_is_not_discarded(folder: Folder) -> None:
    checkpoint, written = taken_over(folder), ".000003-cccccccc-000001.segment.k3j2x7_a"
    (folder.path / written).touch()
    checkpoint.discard()
    assert folder.names() == [written]


def test_epochs_are_discarded_last(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    checkpoint = taken_over(folder)
    monkeypatch.setattr(module, "remove", lambda uri: removed.append(Path(uri).name))
    checkpoint.discard()
    assert removed[-2:] == ["000001.epoch", "000002.epoch"]
    assert sorted(removed) == folder.names()


def test_what_cannot_be_discarded_is_noted_and_does_no_harm(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(uri: str) -> None:
        raise StorageError(f"{uri}: cannot be removed")

    checkpoint = taken_over(folder)
    monkeypatch.setattr(module, "remove", refused)
    checkpoint.discard()
    assert len(checkpoint.notes) == 1
    assert "cannot be removed" in checkpoint.notes[0]


def test_a_folder_that_is_gone_is_discarded(folder: Folder) -> None:
    checkpoint = folder.checkpoint()
    folder.path.rmdir()
    checkpoint.discard()
    assert (checkpoint.notes, folder.names()) == ([], [])
