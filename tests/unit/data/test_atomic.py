"""A file is created once, seen whole, and leaves nothing else behind."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ortbatch.data import atomic
from ortbatch.data.atomic import create_bytes, names, remove, remove_folder, write_bytes
from ortbatch.data.storage import locate, read_bytes
from ortbatch.errors import DataError, StorageError

Write = Callable[[str, bytes], object]

NOBODY = 65_534
BOTH = pytest.mark.parametrize("write", [create_bytes, write_bytes])


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("attempt", range(5))
def test_of_many_that_create_one_name_one_succeeds_and_its_bytes_are_there(tmp_path: Path, attempt: int) -> None:
    start, contents = threading.Barrier(20), [bytes([number]) * 50_000 for number in range(20)]

    def create(content: bytes) -> bool:
        start.wait()
        return create_bytes(str(tmp_path / "f"), content)

    with ThreadPoolExecutor(20) as pool:
        (winner,) = (number for number, won in enumerate(pool.map(create, contents)) if won)
    assert files(tmp_path) == {"f": contents[winner]}


def test_who_sees_a_created_file_sees_all_of_it(tmp_path: Path) -> None:
    def sizes() -> set[int]:
        return {len(read_bytes(str(tmp_path / name))) for name in names(str(tmp_path)) if not name.startswith(".")}

    creator = threading.Thread(target=lambda: [create_bytes(str(tmp_path / str(n)), b"x" * 10**6) for n in range(30)])
    creator.start()
    seen = sizes()
    while creator.is_alive():
        seen |= sizes()
    creator.join()
    assert seen | sizes() == {10**6}


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    assert create_bytes(str(tmp_path / "f"), b"new") is False
    assert files(tmp_path) == {"f": b"old"}


@pytest.mark.parametrize("target", ["folder", "link"])
def test_a_name_that_something_else_has_is_not_created(tmp_path: Path, target: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    assert create_bytes(str(tmp_path / target), b"new") is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link"]


def test_a_name_can_be_created_again_after_it_was_removed(tmp_path: Path) -> None:
    uri = str(tmp_path / "f")
    assert create_bytes(uri, b"one")
    remove(uri)
    assert create_bytes(uri, b"two")
    assert read_bytes(uri) == b"two"


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_folders_on_the_way_are_made(tmp_path: Path, prefix: str) -> None:
    assert create_bytes(f"{prefix}{tmp_path}/a/b/f", b"x")
    assert files(tmp_path / "a" / "b") == {"f": b"x"}


@BOTH
def test_a_new_file_may_be_read_by_others(tmp_path: Path, write: Write) -> None:
    write(str(tmp_path / "f"), b"")
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o644


ON_THE_WAY = [
    (create_bytes, "os.fsync"),
    (create_bytes, "os.link"),
    (create_bytes, "pathlib.Path.chmod"),
    (write_bytes, "os.replace"),
    (write_bytes, "pathlib.Path.chmod"),
]


@pytest.mark.parametrize(("write", "call"), ON_THE_WAY)
def test_an_error_on_the_way_names_the_file_and_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write, call: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(call, fails)
    with pytest.raises(StorageError, match=rf"^{tmp_path}/f: cannot be written: .*No space left"):
        write(str(tmp_path / "f"), b"x")
    assert not files(tmp_path)


def test_an_interrupt_on_the_way_leaves_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        create_bytes(str(tmp_path / "f"), b"x")
    assert not files(tmp_path)


@BOTH
def test_bytes_are_on_the_disk_before_the_name_is_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    synced: list[tuple[bool, int, bool]] = []

    def look(handle: int) -> None:
        found = os.fstat(handle)
        is_folder = stat.S_ISDIR(found.st_mode)
        synced.append((is_folder, 0 if is_folder else found.st_size, (tmp_path / "f").exists()))

    monkeypatch.setattr(os, "fsync", look)
    write(str(tmp_path / "f"), b"four")
    assert synced == [(False, 4, False), (True, 0, True)]


def identity(handle: int) -> tuple[int, int] | None:
    """Which file a handle is of; None if it is closed."""
    try:
        return os.fstat(handle).st_dev, os.fstat(handle).st_ino
    except OSError:
        return None


@BOTH
def test_no_file_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    opened: list[int] = []

    def recorded(*arguments: Any, **options: Any) -> int:
        opened.append(open_file(*arguments, **options))
        return opened[-1]

    open_file = os.open
    monkeypatch.setattr(os, "open", recorded)
    write(str(tmp_path / "f"), b"x")
    ours = {(path.stat().st_dev, path.stat().st_ino) for path in (tmp_path, tmp_path / "f")}
    assert len(opened) == 2
    assert not ours & {identity(handle) for handle in opened}


@contextmanager
def folder_of_mode(mode: int) -> Iterator[Path]:
    """A folder of somebody who is not root, so that its mode counts; who is root is nobody inside the block."""
    folder, me = Path(tempfile.mkdtemp(dir="/tmp")), os.geteuid()
    folder.chmod(mode)
    try:
        if me == 0:
            os.seteuid(NOBODY)
        yield folder
    finally:
        os.seteuid(me)
        folder.chmod(0o755)
        shutil.rmtree(folder)


@BOTH
def test_a_read_only_folder_is_an_error_of_storage_that_names_the_file(write: Write) -> None:
    with folder_of_mode(0o555) as folder:
        with pytest.raises(StorageError, match=rf"^{folder}/f: cannot be written: .*Permission denied"):
            write(str(folder / "f"), b"x")
        assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_made_is_an_error_of_storage_that_names_the_file() -> None:
    with folder_of_mode(0o555) as folder, pytest.raises(StorageError, match=f"{folder}/new/f: cannot be written"):
        create_bytes(str(folder / "new" / "f"), b"x")


@BOTH
@pytest.mark.parametrize("target", ["file/a/f", "x" * 300])
def test_a_place_that_cannot_be_is_an_error_of_storage(tmp_path: Path, write: Write, target: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        write(str(tmp_path / target), b"x")
    assert list(files(tmp_path)) == ["file"]


def test_a_file_cannot_be_created_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        create_bytes(str(tmp_path / "file" / "f"), b"x")


def test_messages_have_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError("failed at s3://key:secret@bucket/a")

    monkeypatch.setattr(atomic, "_placed", fails)
    with pytest.raises(
        StorageError, match=r"^/a: cannot be written: failed at s3://\*\*\*@bucket/a; give another place"
    ):
        create_bytes("/a", b"x")


def test_names_are_those_of_files_right_in_the_folder_sorted(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("b", "a", "ä c%20", ".hidden", "10", "9", "folder/inside"):
        (tmp_path / name).touch()
    assert names(str(tmp_path)) == [".hidden", "10", "9", "a", "b", "ä c%20"]


@pytest.mark.parametrize("folder", ["none", "none/none", "file", "file/none"])
def test_what_is_no_folder_has_no_names(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    assert names(str(tmp_path / folder)) == []


def test_a_folder_that_comes_while_it_is_looked_for_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Filesystem:
        def get_file_info(self, selector: object) -> list[object]:
            raise FileNotFoundError(2, "Cannot list directory")

    monkeypatch.setattr(atomic, "locate", lambda uri: (Filesystem(), uri))
    assert names("/folder") == []


def test_a_folder_that_cannot_be_read_is_an_error_not_an_empty_one() -> None:
    with folder_of_mode(0) as folder, pytest.raises(DataError, match=str(folder)):
        names(str(folder))


def test_a_file_is_removed_and_others_are_not(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    remove(str(tmp_path / "a"))
    assert list(files(tmp_path)) == ["b"]


@pytest.mark.parametrize("name", ["none", "none/f", "file/f"])
def test_removing_what_is_not_there_is_no_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    remove(str(tmp_path / name))
    assert list(files(tmp_path)) == ["file"]


def test_removing_what_another_removes_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "exists", lambda uri: True)
    remove(str(tmp_path / "none"))


def test_many_can_remove_one_file_at_once(tmp_path: Path) -> None:
    for _ in range(20):
        (tmp_path / "f").touch()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(remove, [str(tmp_path / "f")] * 8))
        assert not files(tmp_path)


def test_what_cannot_be_removed_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises((DataError, StorageError), match=f"{tmp_path}/folder"):
        remove(str(tmp_path / "folder"))
    assert (tmp_path / "folder").is_dir()


def test_an_empty_folder_is_removed_and_a_filled_one_stays(tmp_path: Path) -> None:
    for name in ("empty", "filled"):
        (tmp_path / name).mkdir()
    (tmp_path / "filled" / "f").touch()
    for name in ("empty", "filled", "none"):
        remove_folder(str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["filled"]


@pytest.fixture
def bucket() -> str:
    locate("mock://bucket/")[0].create_dir("/atomic")
    return "mock://bucket/atomic"


def test_names_on_a_store_are_those_of_its_objects(bucket: str) -> None:
    for name in ("b", "a"):
        write_bytes(f"{bucket}/{name}", b"x")
    remove(f"{bucket}/b")
    remove(f"{bucket}/none")
    remove_folder(bucket)
    assert names(bucket) == ["a"]


def test_a_store_that_cannot_create_a_name_only_once_is_refused(bucket: str) -> None:
    with pytest.raises(DataError, match="a store that can create a name only once"):
        create_bytes(f"{bucket}/f", b"x")
