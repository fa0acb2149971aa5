"""Reading says what is wrong; writing is all or nothing."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from ortbatch.data.atomic import write_bytes
from ortbatch.data.storage import exists, is_remote, local_path, locate, read_bytes, storage_error
from ortbatch.errors import DataError, StorageError

LOCAL = ["a.parquet", "/a/b", "file:///a/b", "FILE:///a", "a:b", "/odd://name", "C:\\data"]


@pytest.mark.parametrize("uri", LOCAL)
def test_paths_and_file_uris_are_local(uri: str) -> None:
    assert not is_remote(uri)


@pytest.mark.parametrize("uri", ["s3://bucket/a", "S3://bucket/a", "gs://b", "mock://x/y"])
def test_other_schemes_are_remote(uri: str) -> None:
    assert is_remote(uri)


PATHS = {"file:///a%20b/%25.x": "/a b/%.x", "file://localhost/a": "/a", "/a%20b": "/a%20b", "file:///a?b#c": "/a?b#c"}


@pytest.mark.parametrize(("uri", "path"), PATHS.items())
def test_only_a_uri_is_unquoted(uri: str, path: str) -> None:
    assert local_path(uri) == Path(path)


@pytest.mark.parametrize("uri", ["file://a/b", "file://a", "file://"])
def test_a_file_uri_with_a_host_or_a_relative_path_is_refused(uri: str) -> None:
    with pytest.raises(DataError, match="three slashes and an absolute path"):
        local_path(uri)


def test_bytes_come_back_as_written(tmp_path: Path) -> None:
    write_bytes(str(tmp_path / "new" / "folder ä%20" / "f"), b"\x00\xff")
    assert read_bytes(str(tmp_path / "new" / "folder ä%20" / "f")) == b"\x00\xff"


def test_a_written_file_may_be_read_by_others(tmp_path: Path) -> None:
    write_bytes(str(tmp_path / "f"), b"")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o644


def test_writing_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        write_bytes(str(tmp_path / "f"), content)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("f", b"two")]


def test_a_failed_write_keeps_the_old_bytes_and_leaves_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes(str(tmp_path / "f"), b"old")

    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StorageError, match=r"cannot be written: .*No space left"):
        write_bytes(str(tmp_path / "f"), b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("f", b"old")]


def test_readers_see_old_or_new_bytes_and_never_a_mixture(tmp_path: Path) -> None:
    target, seen = str(tmp_path / "f"), set()
    versions = [bytes([n]) * 100_000 for n in range(30)]
    write_bytes(target, versions[0])
    writer = threading.Thread(target=lambda: [write_bytes(target, v) for v in versions])
    writer.start()
    while writer.is_alive():
        seen.add(read_bytes(target))
    writer.join()
    assert seen <= set(versions)


@pytest.mark.parametrize("target", ["file/f", "folder", "x" * 300])
def test_a_place_that_cannot_be_written_is_an_error_of_storage(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        write_bytes(str(tmp_path / target), b"x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


UNREADABLE = [("none", "no such file"), ("file/x", "no such file"), ("", "cannot be read"), ("x" * 300, "too long")]


@pytest.mark.parametrize(("target", "message"), UNREADABLE)
def test_what_cannot_be_read_is_bad_input_and_not_worth_a_retry(tmp_path: Path, target: str, message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=message):
        read_bytes(str(tmp_path / target))


KINDS = [
    (FileNotFoundError(2, "x"), DataError),
    (NotADirectoryError(20, "x"), DataError),
    (PermissionError(13, "x"), DataError),
    (OSError("AWS Error ACCESS_DENIED during GetObject"), DataError),
    (OSError("AWS Error SLOW_DOWN during GetObject"), StorageError),
    (OSError("AWS Error NETWORK_CONNECTION"), StorageError),
    (OSError(5, "Input/output error"), StorageError),
    (TimeoutError("timed out"), StorageError),
]


@pytest.mark.parametrize(("error", "kind"), KINDS, ids=lambda value: str(value))
def test_only_what_may_pass_is_worth_a_retry(error: OSError, kind: type[Exception]) -> None:
    assert type(storage_error("s3://bucket/a", error)) is kind


def test_messages_have_no_secret() -> None:
    error = storage_error("s3://key:secret@bucket/a", OSError("failed at s3://key:secret@bucket/a?sig=abc"))
    assert str(error) == "s3://***@bucket/a: cannot be read: failed at s3://***@bucket/a?sig=***. Try again later."


@pytest.mark.parametrize(("name", "there"), [("f", True), ("", True), ("none", False), ("f/x", False)])
def test_files_and_folders_exist(tmp_path: Path, name: str, there: bool) -> None:
    (tmp_path / "f").touch()
    assert exists(str(tmp_path / name)) == there


def test_remote_bytes_come_back_as_written() -> None:
    locate("mock://bucket/")[0].create_dir("/storage")
    write_bytes("mock://bucket/storage/a%20b", b"x")
    assert locate("mock://bucket/storage/a%20b")[1] == "/storage/a b"
    assert read_bytes("mock://bucket/storage/a%20b") == b"x"
    assert exists("mock://bucket/storage/a%20b")


CLOUDS = {
    "abfs://container@account.dfs.core.windows.net/a%20b/c": ("AzureFileSystem", "container/a b/c"),
    "abfss://container@account.dfs.core.windows.net/a": ("AzureFileSystem", "container/a"),
    "gs://bucket/a/b": ("GcsFileSystem", "bucket/a/b"),
    "gs://anonymous@bucket/a?endpoint_override=127.0.0.1:9&scheme=http": ("GcsFileSystem", "bucket/a"),
}


@pytest.mark.parametrize(("uri", "expected"), CLOUDS.items())
def test_uris_of_google_and_azure_name_their_clients_and_a_path(uri: str, expected: tuple[str, str]) -> None:
    filesystem, path = locate(uri)
    assert (type(filesystem).__name__, path) == expected
