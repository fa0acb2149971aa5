"""On a real S3 server: files are written whole and created once, and a run is what it is on a disk."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import quote

import pytest

from ortbatch.api import Options, Outcome, run_job
from ortbatch.data.atomic import create_bytes, names, remove, write_bytes
from ortbatch.data.storage import exists, list_files, read_bytes
from ortbatch.engine.driver import Progress, Steering, drive
from ortbatch.engine.folder import RunFolder
from ortbatch.engine.inline import InlineFleet
from ortbatch.engine.prepare import prepare
from ortbatch.errors import DataError, Interrupted, OrtbatchError, RunFolderError, StorageError
from ortbatch.job import Job, load_job
from tests.s3 import KEY, S3, SECRET


def test_of_many_that_create_one_name_one_succeeds_and_its_bytes_are_there(s3: S3) -> None:
    # The server lets them queue, some seconds at times.
    start, contents = Barrier(20), [bytes([number]) * 50_000 for number in range(20)]

    def create(content: bytes) -> bool:
        start.wait()
        return create_bytes(s3.uri("race/f"), content)

    with ThreadPoolExecutor(20) as pool:
        (winner,) = (number for number, won in enumerate(pool.map(create, contents)) if won)
    assert s3.objects("race") == {"f": contents[winner]}


def test_who_comes_second_is_told_so_and_changes_nothing(s3: S3) -> None:
    assert create_bytes(s3.uri("second/f"), b"one") is True
    assert create_bytes(s3.uri("second/f"), b"two") is False
    assert s3.objects("second") == {"f": b"one"}


def test_a_name_can_be_created_again_after_it_was_removed(s3: S3) -> None:
    create_bytes(s3.uri("again/f"), b"one")
    remove(s3.uri("again/f"))
    assert create_bytes(s3.uri("again/f"), b"two")
    assert s3.objects("again") == {"f": b"two"}


@pytest.mark.parametrize("content", [b"", b"short", bytes(range(256)) * 50_000], ids=["none", "short", "many parts"])
def test_writing_replaces_and_leaves_nothing_else(s3: S3, content: bytes) -> None:
    folder = f"replaced{len(content)}"
    write_bytes(s3.uri(f"{folder}/f"), b"old")
    write_bytes(s3.uri(f"{folder}/f"), content)
    assert s3.objects(folder) == {"f": content}


def test_readers_see_old_or_new_bytes_and_never_a_mixture(s3: S3) -> None:
    uri, versions = s3.uri("mixed/f"), [bytes([number]) * 100_000 for number in range(20)]
    write_bytes(uri, versions[0])
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [write_bytes(uri, version) for version in versions])
        seen = {read_bytes(uri)}
        while not writing.done():
            seen.add(read_bytes(uri))
        writing.result()
    assert seen <= set(versions)


@pytest.mark.parametrize("name", ["plain", "a b%25?#ä", "day=1/f"])
def test_bytes_come_back_under_any_name(s3: S3, name: str) -> None:
    write_bytes(s3.uri(f"names{len(name)}/{quote(name)}"), b"x")
    assert s3.objects(f"names{len(name)}") == {name: b"x"}
    assert read_bytes(s3.uri(f"names{len(name)}/{quote(name)}")) == b"x"


def test_names_are_those_of_objects_right_in_the_folder_sorted(s3: S3) -> None:
    for name in ("b", "10", "9", ".hidden", "below/f", "below2"):
        write_bytes(s3.uri(f"listed/{name}"), b"x")
    assert names(s3.uri("listed")) == [".hidden", "10", "9", "b", "below2"]


@pytest.mark.parametrize("place", ["none", "none/none", "listed2/f"])
def test_what_is_no_folder_has_no_names(s3: S3, place: str) -> None:
    write_bytes(s3.uri("listed2/f"), b"x")
    assert names(s3.uri(place)) == []


def test_one_object_is_removed_and_no_other(s3: S3) -> None:
    for name in ("f", "f2", "g"):
        write_bytes(s3.uri(f"removed/{name}"), b"x")
    remove(s3.uri("removed/f"))
    remove(s3.uri("removed/none"))
    assert set(s3.objects("removed")) == {"f2", "g"}


def test_many_can_remove_one_object_at_once(s3: S3) -> None:
    write_bytes(s3.uri("removed2/f"), b"x")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(remove, [s3.uri("removed2/f")] * 8))
    assert s3.objects("removed2") == {}


@pytest.mark.parametrize(("name", "there"), [("f", True), ("", True), ("none", False), ("f/x", False)])
def test_files_and_folders_exist(s3: S3, name: str, there: bool) -> None:
    write_bytes(s3.uri("there/f"), b"x")
    assert exists(s3.uri(f"there/{name}".rstrip("/"))) is there


def test_an_object_that_is_not_there_is_bad_input(s3: S3) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_bytes(s3.uri("none"))


@pytest.mark.parametrize("pattern", ["", "/*.parquet", "/**", "/*"])
def test_files_are_listed_under_uris_that_lead_back_to_them(s3: S3, pattern: str) -> None:
    for name in ("b.parquet", "a.parquet", "_SUCCESS", "_tmp/c.parquet"):
        write_bytes(s3.uri(f"data/{name}"), name.encode())
    assert [read_bytes(f.uri) for f in list_files([s3.uri(f"data{pattern}")])] == [b"a.parquet", b"b.parquet"]


REFUSED = {
    "key": {"key": "NOBODY"},
    "secret": {"secret": "wrong/secret"},
    "bucket": {"bucket": "no-such-bucket"},
    "name of the bucket": {"bucket": "x"},
}
SECRETS = {KEY, SECRET, quote(SECRET), quote(SECRET, safe=""), "NOBODY", "wrong/secret", "wrong%2Fsecret"}


def secrets_in(text: str) -> set[str]:
    return {secret for secret in SECRETS if secret in text}


@pytest.mark.parametrize("wrong", REFUSED)
@pytest.mark.parametrize("write", [create_bytes, write_bytes])
def test_what_the_store_refuses_to_write_is_said_without_the_secret(
    s3: S3, write: Callable[[str, bytes], object], wrong: str
) -> None:
    with pytest.raises(StorageError, match=r"^s3://\*\*\*@[\w-]+/refused\?.*: cannot be written: .*40[034]") as caught:
        write(s3.uri("refused", **REFUSED[wrong]), b"x")
    assert not secrets_in(str(caught.value))


# Where pyarrow reads or lists, a bucket that is not there looks like one that is empty.
READ = [
    *((read, wrong) for read in (read_bytes, lambda uri: list_files([uri])) for wrong in REFUSED),
    *((read, wrong) for read in (names, exists, remove) for wrong in ("key", "secret")),
]


@pytest.mark.parametrize(("read", "wrong"), READ)
def test_what_the_store_refuses_to_read_is_said_without_the_secret(
    s3: S3, read: Callable[[str], object], wrong: str
) -> None:
    with pytest.raises(DataError, match=r"^s3://\*\*\*@[\w-]+/refused\?.*: (cannot be|no such file)") as caught:
        read(s3.uri("refused", **REFUSED[wrong]))
    assert not secrets_in(str(caught.value))


@dataclass(frozen=True)
class OnS3:
    """The digits job with all that it reads and writes in the bucket."""

    s3: S3
    job: Job

    def run(self, name: str, **login: str) -> Outcome:
        return run_job(self.job, Options(run_dir=self.s3.uri(f"runs/{name}", **login), engine="inline"))

    def report(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.files(name)["report.json"]))

    def files(self, name: str) -> dict[str, bytes]:
        return self.s3.objects(f"runs/{name}")

    @contextmanager
    def at_work(self, name: str, shards: int) -> Iterator[None]:
        """A run that was stopped when so many shards were done, and still holds its folder."""
        prepared, done = prepare(self.job), Counted()
        steering = Steering(show=done, stopped=lambda: done.shards >= shards)
        opened = RunFolder(self.s3.uri(f"runs/{name}")).open(prepared, afresh=False, tell=lambda _: None)
        with opened as checkpoint, closing(InlineFleet(prepared)) as fleet:
            with pytest.raises(Interrupted):
                drive(prepared, fleet, steering, checkpoint)
            yield


class Counted:
    """How many shards are done."""

    shards = 0

    def __call__(self, progress: Progress) -> None:
        self.shards = progress.shards


QUICK = ("model.batch_size=1", "latency.max_seconds=0.2")


@pytest.fixture(scope="module")
def local(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of a run on the disk."""
    options = Options(run_dir=str(tmp_path_factory.mktemp("local")), engine="inline")
    return dict(run_job(load_job(digits, overrides=QUICK), options).report.data)


@pytest.fixture(scope="module")
def on_s3(s3: S3, digits: Path) -> OnS3:
    s3.upload(digits.parent / "data" / "test", "digits/data")
    write_bytes(s3.uri("digits/model.onnx"), (digits.parent / "model.onnx").read_bytes())
    there = (f"data.path={s3.uri('digits/data')}", f"model.path={s3.uri('digits/model.onnx')}")
    return OnS3(s3, load_job(digits, overrides=[*QUICK, *there]))


@pytest.fixture(scope="module")
def whole(on_s3: OnS3) -> Outcome:
    """A run without disturbance."""
    return on_s3.run("whole")


def test_a_run_on_s3_gives_the_quality_of_one_on_a_disk(on_s3: OnS3, whole: Outcome, local: dict[str, Any]) -> None:
    assert on_s3.report("whole")["quality"] == local["quality"]


def test_a_finished_run_leaves_its_results_and_nothing_else(on_s3: OnS3, whole: Outcome) -> None:
    assert set(on_s3.files("whole")) == {"metrics.csv", "plan.json", "report.json"}


def test_a_finished_run_is_not_run_again(on_s3: OnS3, whole: Outcome) -> None:
    assert on_s3.run("whole").repeated


def test_a_second_run_is_refused_while_one_is_at_work(on_s3: OnS3) -> None:
    with on_s3.at_work("busy", shards=1):
        before = on_s3.files("busy")
        with pytest.raises(RunFolderError, match="another run is at work here"):
            on_s3.run("busy")
        assert set(on_s3.files("busy")) == set(before)


def unpacked(segment: bytes) -> bytes:
    """What stands behind the first line of a segment."""
    return zlib.decompress(segment.partition(b"\n")[2])


def test_no_file_of_a_run_has_a_secret(on_s3: OnS3, whole: Outcome) -> None:
    with on_s3.at_work("stopped", shards=3):
        files = {**on_s3.files("whole"), **on_s3.files("stopped")}
    assert {name.rpartition(".")[2] for name in files} >= {"csv", "json", "epoch", "segment", "alive"}
    texts = {name: (unpacked(content) if name.endswith(".segment") else content) for name, content in files.items()}
    assert [name for name, text in texts.items() if secrets_in(text.decode("latin-1"))] == []


def test_an_interrupted_run_goes_on_where_it_was_and_gives_the_same(on_s3: OnS3, local: dict[str, Any]) -> None:
    with on_s3.at_work("resumed", shards=3):
        pass
    on_s3.run("resumed")
    report = on_s3.report("resumed")
    assert 3 <= report["provenance"]["restored_shards"] < report["coverage"]["shards"]["planned"]
    assert report["quality"] == local["quality"]


@pytest.mark.parametrize("wrong", REFUSED)
def test_a_run_folder_that_cannot_be_used_is_said_without_the_secret(on_s3: OnS3, wrong: str) -> None:
    with pytest.raises(OrtbatchError, match=r"s3://\*\*\*@") as caught:
        on_s3.run("refused", **REFUSED[wrong])
    assert caught.value.exit_code == 2
    assert not secrets_in(str(caught.value))


@pytest.mark.parametrize("wrong", REFUSED)
@pytest.mark.parametrize("key", ["data.path", "model.path"])
def test_data_and_models_that_cannot_be_read_are_said_without_the_secret(
    s3: S3, digits: Path, tmp_path: Path, key: str, wrong: str
) -> None:
    job = load_job(digits, overrides=[f"{key}={s3.uri('digits/f', **REFUSED[wrong])}"])
    with pytest.raises(OrtbatchError, match=r"s3://\*\*\*@") as caught:
        run_job(job, Options(run_dir=str(tmp_path / "run"), engine="inline"))
    assert caught.value.exit_code == 2
    assert not secrets_in(str(caught.value))
