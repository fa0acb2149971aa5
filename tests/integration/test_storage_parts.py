"""One object at a time, through a proxy that fails: written whole or not at all, read as it is or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch.data import conditional, data_file, storage
from ortbatch.data.atomic import write_bytes
from ortbatch.data.plan import make_plan
from ortbatch.data.reader import Reader
from ortbatch.data.retry import Patience
from ortbatch.data.storage import list_files, read_bytes
from ortbatch.errors import DataError, StorageError
from tests.faulty_proxy import Proxy, Rule, faulty_proxy
from tests.s3 import S3

LARGE = np.random.default_rng(0).bytes(17 << 20)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PATIENCE", Patience(seconds=0.2))
    monkeypatch.setattr(conditional, "_RETRIES", 1)


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    with faulty_proxy(s3.port) as found:
        yield found


@pytest.mark.parametrize("fault", ["internal", "reset", "lost"])
@pytest.mark.parametrize(("method", "path"), [("POST", "uploads="), ("PUT", "partNumber=3"), ("POST", "uploadId=")])
def test_a_write_in_parts_survives_a_fault_at_each_of_its_steps(
    s3: S3, proxy: Proxy, fault: Any, method: str, path: str
) -> None:
    proxy.rules.append(Rule(fault, method, path, times=1))
    write_bytes(proxy.uri(f"parts/{fault}{method}{path[-2]}"), LARGE)
    assert proxy.total == 1
    assert s3.objects("parts").pop(f"{fault}{method}{path[-2]}") == LARGE


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("method", "path"), [("PUT", "partNumber=3"), ("POST", "uploadId=")])
def test_a_write_in_parts_that_fails_in_the_middle_leaves_no_object(
    s3: S3, proxy: Proxy, method: str, path: str
) -> None:
    proxy.rules.append(Rule("internal", method, path))
    with pytest.raises(StorageError, match=r"s3://\*\*\*@bucket/half/f.*Run the same command again"):
        write_bytes(proxy.uri("half/f"), LARGE)
    assert s3.objects("half") == {}


@pytest.mark.usefixtures("impatient")
def test_a_write_in_parts_that_fails_gives_up_the_parts_that_are_there(s3: S3, proxy: Proxy) -> None:
    proxy.rules.append(Rule("internal", "PUT", "partNumber=3"))
    with pytest.raises(StorageError):
        write_bytes(proxy.uri("given-up/f"), LARGE)
    begun = {request.partition("uploadId=")[2] for request in proxy.requests if request.startswith("PUT")}
    given_up = {request.partition("uploadId=")[2] for request in proxy.requests if request.startswith("DELETE")}
    assert begun
    assert begun == given_up


@pytest.mark.usefixtures("impatient")
def test_an_old_object_stays_where_a_new_one_in_parts_fails(s3: S3, proxy: Proxy) -> None:
    write_bytes(s3.uri("old/f"), b"old")
    proxy.rules.append(Rule("internal", "PUT", "partNumber=2"))
    with pytest.raises(StorageError):
        write_bytes(proxy.uri("old/f"), LARGE)
    assert s3.objects("old") == {"f": b"old"}


@pytest.mark.parametrize("keep", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [1, 1_000, 9 << 20])
def test_bytes_that_did_not_come_are_asked_for_again(s3: S3, proxy: Proxy, size: int, keep: float) -> None:
    write_bytes(s3.uri(f"short/{size}"), LARGE[:size])
    proxy.rules.append(Rule("short", "GET", f"short/{size}", times=2, keep=keep))
    assert read_bytes(proxy.uri(f"short/{size}")) == LARGE[:size]
    assert proxy.counts["short"] == 2


@pytest.mark.usefixtures("impatient")
def test_an_object_that_never_comes_whole_is_an_error_of_storage(s3: S3, proxy: Proxy) -> None:
    write_bytes(s3.uri("short/never"), b"0123456789")
    proxy.rules.append(Rule("short", "GET", "short/never"))
    with pytest.raises(StorageError, match=r"short/never.*fewer than 10 bytes came from byte 0 on.*Try again later"):
        read_bytes(proxy.uri("short/never"))


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_a_list_that_is_cut_short_is_asked_for_again(s3: S3, proxy: Proxy, keep: float) -> None:
    for name in "abc":
        write_bytes(s3.uri(f"cut-list/{name}"), b"x")
    proxy.rules.append(Rule("short", "GET", "list-type=2", times=2, keep=keep))
    assert len(list_files([proxy.uri("cut-list")])) == 3
    assert proxy.counts["short"] == 2


def test_an_object_that_is_replaced_while_it_is_open_is_an_error(
    s3: S3, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_file, "_SMALL_BYTES", 0)
    for name in ("old", "new"):
        table = pa.table({"y": np.random.default_rng(len(name) + (name == "new")).normal(size=200)})
        pq.write_table(table, tmp_path / name, row_group_size=100)
    write_bytes(s3.uri("open/f.parquet"), (tmp_path / "old").read_bytes())
    first, second = make_plan([proxy.uri("open")], 100, lambda *_: None).shards
    with Reader(["y"]) as rows:
        assert len(list(rows.read(first))) == 1
        write_bytes(s3.uri("open/f.parquet"), (tmp_path / "new").read_bytes())
        with pytest.raises(DataError, match="changed since the run was planned"):
            list(rows.read(second))


def test_a_further_shard_of_a_file_takes_two_requests_at_once(
    s3: S3, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_file, "_SMALL_BYTES", 0)
    pq.write_table(
        pa.table({"y": np.random.default_rng(0).normal(size=600_000)}), tmp_path / "f", row_group_size=200_000
    )
    write_bytes(s3.uri("twice/f.parquet"), (tmp_path / "f").read_bytes())
    shards = list(make_plan([proxy.uri("twice")], 200_000, lambda *_: None).shards)
    with Reader(["y"]) as rows:
        list(rows.read(shards[0]))
        proxy.requests.clear()
        list(rows.read(shards[1]))
    assert proxy.requests == ["GET /bucket/twice/f.parquet"] * 2
