"""What may pass is tried again, for a time; what cannot, and what is on this machine, is not."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import fs

from ortbatch.data import conditional, storage
from ortbatch.data.atomic import create_bytes, names, remove, write_bytes
from ortbatch.data.retry import Patience, may_pass, of_store
from ortbatch.data.storage import exists, list_files, patiently, read_bytes, storage_error
from ortbatch.errors import DataError, StorageError
from tests.s3 import ScriptedStore, scripted_store

# As pyarrow and obstore said it of servers that answered so, or did not answer.
HEAD = "When reading information for key 'dir/f' in bucket 'bucket': AWS Error"
LIST = "When listing objects under key 'dir/' in bucket 'bucket': AWS Error"
PUT = "Generic S3 error: Error performing PUT http://127.0.0.1:35009/bucket/dir/f in 2.2s, after 10 retries, "
PUT += "max_retries: 10, retry_timeout: 180s - "
GCS = "google::cloud::Status({}: Retry policy exhausted, with a last message of Received HTTP status code: {} "
PASSING = [
    *(f"{HEAD} UNKNOWN (HTTP status {n}) during HeadObject operation: No response body." for n in (429, 500, 502, 503)),
    f"{HEAD} UNKNOWN (HTTP status 504) during HeadObject operation: No response body.",
    f"{LIST} SLOW_DOWN during ListObjectsV2 operation: Please reduce your request rate (Request ID: 4442587FB7D0A2F9)",
    f"{LIST} INTERNAL_FAILURE during ListObjectsV2 operation: We encountered an internal error, please try again.",
    f"{LIST} REQUEST_TIMEOUT during ListObjectsV2 operation: Your socket connection was not read from (Request ID: 4)",
    "AWS Error SERVICE_UNAVAILABLE during GetObject operation: busy",
    "AWS Error THROTTLING during GetObject operation: busy",
    f"{HEAD} NETWORK_CONNECTION during HeadObject operation: curlCode: 7, Could not connect to server; Details: Failed",
    f"{HEAD} NETWORK_CONNECTION during HeadObject operation: curlCode: 28, Timeout was reached; Details: Operation too",
    "AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 18, Transferred a partial file; Details: end",
    f"{HEAD} NETWORK_CONNECTION during HeadObject operation: curlCode: 6, Could not resolve hostname; Details: Could",
    f"{LIST} UNKNOWN (HTTP status 409) during ListObjectsV2 operation: Unable to parse ExceptionName: OperationAborted",
    f"{PUT}Server returned non-2xx status code: 503 Service Unavailable: ",
    f"{PUT}Server returned non-2xx status code: 429 Too Many Requests: ",
    f"{PUT}Server returned non-2xx status code: 400 Bad Request: <Error><Code>RequestTimeout</Code></Error>",
    f"{PUT}Server returned non-2xx status code: 409 Conflict: <Error><Code>ConditionalRequestConflict</Code></Error>",
    f"{PUT}HTTP error: error sending request",
    "Generic S3 error: Unable to extract metadata from headers: ETag Header missing from response",
    GCS.format("UNAVAILABLE", 503),
    "timed out",
]
HOPELESS = [
    f"{HEAD} ACCESS_DENIED during HeadObject operation: No response body.",
    f"{LIST} INVALID_ACCESS_KEY_ID during ListObjectsV2 operation: The access key ID you provided does not exist in",
    f"{LIST} SIGNATURE_DOES_NOT_MATCH during ListObjectsV2 operation: The request signature we calculated does not",
    f"{LIST} NO_SUCH_KEY during ListObjectsV2 operation: msg NoSuchKey (Request ID: 4442587FB7D0A2F9)",
    f"{LIST} NO_SUCH_BUCKET during CreateMultipartUpload operation: msg NoSuchBucket (Request ID: 4442587FB7D0A2F9)",
    f"{LIST} RESOURCE_NOT_FOUND during CreateMultipartUpload operation: No response body.",
    f"{HEAD} UNKNOWN (HTTP status 301) during HeadObject operation: No response body.",
    f"{HEAD} UNKNOWN (HTTP status 400) during HeadObject operation: No response body.",
    f"{LIST} UNKNOWN (HTTP status 400) during ListObjectsV2 operation: Unable to parse ExceptionName: InvalidArgument",
    f"{LIST} UNKNOWN (HTTP status 501) during ListObjectsV2 operation: Unable to parse ExceptionName: NotImplemented",
    f"{LIST} ACCESS_DENIED during ListObjectsV2 operation: received HTTP status 503 from the proxy, RequestTimeout",
    f"{PUT}Server returned non-2xx status code: 400 Bad Request: <Error><Code>InvalidBucketName</Code></Error>",
    f"{PUT}Server returned non-2xx status code: 501 Not Implemented: ",
    f"{PUT}Received redirect without LOCATION, this normally indicates an incorrectly configured region",
    GCS.format("INVALID_ARGUMENT", 400),
    "Not a regular file: 'bucket/'",
    "Cannot open for reading: path 'bucket/dir' is a directory",
    "When resolving region: Bucket 'none' not found",
]
OF_THE_SYSTEM = {
    FileNotFoundError(errno.ENOENT, "x"): False,
    PermissionError(errno.EACCES, "x"): False,
    PermissionError("AWS Error SLOW_DOWN"): False,
    FileExistsError("status code: 503"): False,
    OSError(errno.EISDIR, "x"): False,
    OSError(errno.ENAMETOOLONG, "x"): False,
    OSError(errno.EINVAL, "status code: 503"): False,
    OSError(errno.EIO, "x"): True,
    ConnectionResetError(errno.ECONNRESET, "x"): True,
    TimeoutError(): True,
    DataError("AWS Error SLOW_DOWN"): False,
    StorageError("AWS Error SLOW_DOWN"): False,
    MemoryError(): False,
    KeyboardInterrupt(): False,
    pa.ArrowInvalid("status code: 503"): False,
}
EVERY = {**{OSError(t): True for t in PASSING}, **{OSError(t): False for t in HOPELESS}, **OF_THE_SYSTEM}


@pytest.mark.parametrize(("error", "passes"), EVERY.items(), ids=lambda value: str(value)[:90])
def test_what_may_pass_is_told_from_what_cannot(error: BaseException, passes: bool) -> None:
    assert may_pass(error) is passes


@pytest.mark.parametrize("text", [*PASSING, *HOPELESS], ids=lambda text: text[:90])
def test_whoever_reads_is_told_to_try_again_where_it_was_tried_again(text: str) -> None:
    kind = StorageError if text in PASSING else DataError
    assert type(storage_error("s3://bucket/dir/f", OSError(text))) is kind


@pytest.mark.parametrize("text", [f"{HEAD} SLOW_DOWN", GCS.format("UNAVAILABLE", 503), "[Errno 5] Input/output error"])
def test_what_a_store_or_a_disk_says_is_told_from_what_a_decoder_says(text: str) -> None:
    number = 5 if "Errno" in text else None
    assert of_store(OSError(number, text) if number else OSError(text))
    assert not of_store(OSError("Couldn't deserialize thrift: TProtocolException: Invalid data"))


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def patience(self, share: float = 1.0, **limits: float) -> Patience:
        return Patience(clock=lambda: self.now, sleep=self.sleep, share=lambda: share, **limits)


SLOW_DOWN = OSError("AWS Error SLOW_DOWN")


class Failing:
    """An action that takes a while, fails as it is told, and then gives its number."""

    def __init__(self, *errors: BaseException, clock: Clock | None = None, seconds: float = 0.0) -> None:
        self.errors, self.clock, self.seconds, self.calls = list(errors), clock, seconds, 0

    def __call__(self) -> int:
        self.calls += 1
        if self.clock is not None:
            self.clock.now += self.seconds
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


def test_what_succeeds_at_last_is_given() -> None:
    assert Clock().patience().retried(Failing(SLOW_DOWN, SLOW_DOWN)) == 3


def test_what_succeeds_at_once_is_not_waited_for() -> None:
    clock = Clock()
    assert (clock.patience().retried(Failing()), clock.waits) == (1, [])


@pytest.mark.parametrize("share", [1.0, 0.25, 0.0])
def test_each_wait_is_a_share_of_a_bound_that_doubles_up_to_the_longest(share: float) -> None:
    clock = Clock()
    clock.patience(share).retried(Failing(*[SLOW_DOWN] * 8))
    assert clock.waits == pytest.approx([share * bound for bound in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0)])


def test_waits_differ_between_workers_by_chance() -> None:
    waits: list[float] = []
    for _ in range(200):
        Patience(sleep=waits.append).retried(Failing(SLOW_DOWN))
    assert 0 <= min(waits) < 0.02
    assert 0.08 < max(waits) <= 0.1


@pytest.mark.parametrize(("seconds", "calls"), [(6.0, 5), (2.0, 10), (100.0, 1)])
def test_a_store_that_is_down_is_given_up_after_half_a_minute(seconds: float, calls: int) -> None:
    clock = Clock()
    action = Failing(*[SLOW_DOWN] * 1_000, clock=clock, seconds=seconds)
    with pytest.raises(OSError, match="SLOW_DOWN"):
        clock.patience(0.5).retried(action)
    assert action.calls == calls
    assert clock.now - 1_000 <= 30 + seconds


def test_no_attempt_begins_when_time_is_up() -> None:
    clock = Clock()
    action = Failing(SLOW_DOWN, SLOW_DOWN, SLOW_DOWN)
    with pytest.raises(OSError, match="SLOW_DOWN"):
        clock.patience(seconds=0.25).retried(action)
    assert (action.calls, clock.waits) == (2, pytest.approx([0.1]))


def test_the_last_error_is_raised() -> None:
    with pytest.raises(OSError, match="ACCESS_DENIED"):
        Clock().patience().retried(Failing(SLOW_DOWN, OSError("AWS Error ACCESS_DENIED")))


@pytest.mark.parametrize("error", [PermissionError(13, "x"), DataError("x"), MemoryError(), KeyboardInterrupt()])
def test_what_cannot_pass_is_raised_at_once(error: BaseException) -> None:
    clock, action = Clock(), Failing(error)
    with pytest.raises(type(error)):
        clock.patience().retried(action)
    assert (action.calls, clock.waits) == (1, [])


@pytest.mark.parametrize(("uri", "calls"), [("/a", 1), ("file:///a", 1), ("s3://bucket/a", 2)])
def test_only_a_store_is_asked_again(monkeypatch: pytest.MonkeyPatch, uri: str, calls: int) -> None:
    monkeypatch.setattr(storage, "PATIENCE", Clock().patience())
    action = Failing(SLOW_DOWN)
    try:
        patiently(uri, action)
    except OSError as error:
        assert error is SLOW_DOWN  # noqa: PT017  (one of the three raises it)
    assert action.calls == calls


class Flaky(fs.FileSystemHandler):
    """Arrow's file system in memory behind calls that fail the first time, whatever they are."""

    def __init__(self, error: OSError) -> None:
        self.inner, self.error, self.failed = fs._MockFileSystem(), error, set[str]()
        self.inner.create_dir("data")
        self.inner.open_output_stream("data/f").close()

    def __getattribute__(self, name: str) -> Any:
        if name in ("inner", "error", "failed") or name.startswith("__"):
            return object.__getattribute__(self, name)

        def call(*arguments: Any, **_: Any) -> Any:
            if name not in self.failed:
                self.failed.add(name)
                raise self.error
            asked = {"get_file_info_selector": "get_file_info"}.get(name, name)
            return getattr(self.inner, asked)(*arguments)

        return call


for _name in fs.FileSystemHandler.__abstractmethods__:
    setattr(Flaky, _name, None)
Flaky.__abstractmethods__ = frozenset()

OPERATIONS: dict[str, Callable[[str], object]] = {
    "read_bytes": read_bytes,
    "exists": exists,
    "list_files": lambda uri: list_files([uri]),
    "list_files in a folder": lambda uri: list_files([uri.removesuffix("/f")]),
    "names": lambda uri: names(uri.removesuffix("/f")),
    "remove": remove,
    "write_bytes": lambda uri: write_bytes(uri, b"x"),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_everything_that_is_done_with_a_store_is_tried_again(monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    clock, flaky = Clock(), Flaky(SLOW_DOWN)
    monkeypatch.setattr(storage, "PATIENCE", clock.patience())
    monkeypatch.setattr(storage, "_remote_filesystem", lambda root: (fs.PyFileSystem(flaky), "/"))
    OPERATIONS[operation]("mock://bucket/data/f")
    assert clock.waits


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_a_store_refuses_is_asked_for_once(monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    clock, flaky = Clock(), Flaky(OSError("AWS Error ACCESS_DENIED"))
    monkeypatch.setattr(storage, "PATIENCE", clock.patience())
    monkeypatch.setattr(storage, "_remote_filesystem", lambda root: (fs.PyFileSystem(flaky), "/"))
    with pytest.raises((DataError, StorageError), match="ACCESS_DENIED"):
        OPERATIONS[operation]("mock://bucket/data/f")
    assert not clock.waits


def test_the_region_of_a_bucket_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = Clock(), Failing(SLOW_DOWN)
    monkeypatch.setattr(storage, "PATIENCE", clock.patience())
    monkeypatch.setattr(storage, "_remote_filesystem", lambda root: (asked(), "bucket"))
    assert storage.locate("s3://bucket/f") == (2, "bucket/f")


def test_a_bucket_whose_region_cannot_be_found_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_remote_filesystem", lambda root: Failing(OSError("Bucket 'none' not found"))())
    with pytest.raises(DataError, match=r"^s3://\*\*\*@none/f: cannot be read: Bucket 'none' not found"):
        exists("s3://key:secret@none/f")


def test_a_path_that_no_store_can_have_is_bad_input() -> None:
    with pytest.raises(DataError, match="Empty path component"):
        read_bytes("s3://bucket/a//b?region=us-east-1")


@pytest.mark.parametrize(
    ("options", "complete"),
    [
        ("", "?retry_limit_seconds=6"),
        ("?endpoint_override=host:1", "?endpoint_override=host:1&retry_limit_seconds=6"),
        ("?retry_limit_seconds=60", "?retry_limit_seconds=60"),
    ],
)
def test_a_store_of_google_is_not_waited_for_its_quarter_of_an_hour(options: str, complete: str) -> None:
    expected, _ = fs.FileSystem.from_uri(f"gs://anonymous@bucket/{complete}")
    assert storage.locate(f"gs://anonymous@bucket/f{options}")[0] == expected


@pytest.fixture
def store() -> Iterator[ScriptedStore]:
    with scripted_store() as found:
        yield found


def test_a_store_that_is_down_longer_than_pyarrow_waits_is_read_all_the_same(store: ScriptedStore) -> None:
    store.objects["/bucket/f"] = b"x"
    store.script = [503] * 31
    assert read_bytes(store.uri("f")) == b"x"


@pytest.mark.parametrize("status", [403, 400, 404])
def test_a_store_that_refuses_is_asked_once(store: ScriptedStore, status: int) -> None:
    store.script = [status]
    with pytest.raises(DataError):
        read_bytes(store.uri("f"))
    assert store.requests == ["HEAD /bucket/f"]


@pytest.mark.parametrize("fate", [503, 500, 429, "cut", "lost"])
def test_an_object_is_written_all_the_same(
    store: ScriptedStore, monkeypatch: pytest.MonkeyPatch, fate: int | str
) -> None:
    monkeypatch.setattr(conditional, "_RETRIES", 0)
    store.script = [fate, fate]  # type: ignore[list-item]
    write_bytes(store.uri("f"), b"x")
    assert (store.objects, store.requests) == ({"/bucket/f": b"x"}, ["PUT /bucket/f"] * 3)


@pytest.mark.parametrize("fates", [[503], ["cut", "cut"], ["lost"], [503, "lost"], ["lost", 503, "cut"]])
def test_who_creates_an_object_is_told_so_although_answers_are_lost(store: ScriptedStore, fates: list[Any]) -> None:
    store.script = fates
    assert create_bytes(store.uri("f"), b"mine")
    assert store.objects == {"/bucket/f": b"mine"}


@pytest.mark.parametrize("fates", [[], ["lost"], ["cut", 503]])
def test_who_comes_second_is_told_so_although_answers_are_lost(store: ScriptedStore, fates: list[Any]) -> None:
    store.objects["/bucket/f"] = b"of another"
    store.script = fates
    assert create_bytes(store.uri("f"), b"mine") is False
    assert store.objects == {"/bucket/f": b"of another"}


def test_bytes_that_are_there_before_are_not_ours_though_they_are_equal(store: ScriptedStore) -> None:
    store.objects["/bucket/f"] = b"mine"
    assert create_bytes(store.uri("f"), b"mine") is False


def test_a_conflict_of_two_that_create_at_once_is_tried_again(store: ScriptedStore) -> None:
    store.script = [(409, b"<Error><Code>ConditionalRequestConflict</Code></Error>")]
    assert create_bytes(store.uri("f"), b"x")


@pytest.mark.parametrize("status", [400, 403, 404, 501])
def test_what_a_store_refuses_to_create_is_an_error_of_storage_at_once(store: ScriptedStore, status: int) -> None:
    store.script = [status]
    with pytest.raises(StorageError, match=rf"^s3://\*\*\*@bucket/f\?.*: cannot be written: .*{status}"):
        create_bytes(store.uri("f"), b"x")
    assert store.requests == ["PUT /bucket/f"]


def test_a_local_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Failing(OSError(errno.EIO, "Input/output error"))
    monkeypatch.setattr(storage, "content_of", lambda uri: asked())
    with pytest.raises(StorageError, match=r"cannot be read: .*Input/output error"):
        read_bytes(str(tmp_path / "f"))
    assert asked.calls == 1
