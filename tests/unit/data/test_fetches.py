"""Row groups of a store: the bytes that are asked for, begun in order, never more at once than is allowed."""

from __future__ import annotations

import io
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.data import data_file, fetches, reader, remote
from ortbatch.data.data_file import DataFile
from ortbatch.data.fetches import Fetches
from ortbatch.data.plan import Plan, make_plan
from ortbatch.data.reader import Reader
from ortbatch.data.remote import RemoteFile
from ortbatch.data.shards import Piece, PlannedFile, Shard
from ortbatch.data.steps import steps_of
from ortbatch.errors import DataError

ROWS, GROUPS, FILES = 1_000, 4, 3
GROUP_BYTES = ROWS * 8


class Bucket:
    """Files of a disk as a store has them.

    Args:
        asked: name of the file and first byte of each request.
        opened: names of files that were opened.
        gate: requests wait for it.
        failing: of so many further requests comes an error.
        damaged: so many further answers differ in a byte of the first row group.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.opened: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failing = self.damaged = 0
        self.now = self.most = 0
        self._lock = threading.Lock()

    def open(self, uri: str) -> RemoteFile:
        self.opened.append(Path(uri).name)
        return RemoteFile(_Object(self, Path(uri)))

    def answer(self, path: Path, offset: int, size: int) -> io.BytesIO:
        with self._lock:
            self.asked.append((path.name, offset))
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            assert self.gate.wait(20)
            if self.failing:
                self.failing -= 1
                raise OSError("AWS Error SLOW_DOWN during GetObject operation")
            content = bytearray(path.read_bytes())
            if self.damaged:
                self.damaged -= 1
                content[2_000] ^= 1
            return io.BytesIO(content[offset : offset + size])
        finally:
            with self._lock:
                self.now -= 1


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.002)


class _Object:
    def __init__(self, bucket: Bucket, path: Path) -> None:
        self._bucket, self._path = bucket, path

    def size(self) -> int:
        return self._path.stat().st_size

    def get_stream(self, offset: int, size: int) -> Any:
        return self._bucket.answer(self._path, offset, size)

    def close(self) -> None:
        pass


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    found = Bucket()
    monkeypatch.setattr(data_file, "open_file", found.open)
    monkeypatch.setattr(data_file, "_SMALL_BYTES", 0)
    for module in (fetches, reader):
        monkeypatch.setattr(module, "is_remote", lambda _: True)
    return found


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Files of four row groups, each a shard; no byte of them can be left out."""
    folder = tmp_path_factory.mktemp("store")
    for number in range(FILES):
        rng = np.random.default_rng(number)
        columns = {name: rng.normal(size=ROWS * GROUPS) for name in ("y", "z")}
        pq.write_table(
            pa.table(columns), folder / f"{number}.parquet", row_group_size=ROWS, compression="none",
            use_dictionary=False, write_page_checksum=True,
        )  # fmt: skip
    return make_plan([str(folder)], ROWS, lambda *_: None)


def rows_of(plan: Plan) -> list[list[float]]:
    """Of each shard, by pyarrow alone."""
    return [
        pq.ParquetFile(file.uri).read_row_group(group, columns=["y"])["y"].to_pylist()
        for file in plan.files
        for group in range(GROUPS)
    ]


def values(rows: Reader, shard: Shard) -> list[float]:
    return [value for block in rows.read(shard) for value in block.table["y"].to_pylist()]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), most=st.sampled_from([1, 3 * GROUP_BYTES, 10**9]), threads=st.integers(1, 3))
def test_rows_are_those_of_their_shard_in_whatever_order_they_are_taken(
    plan: Plan, data: st.DataObject, most: int, threads: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bucket = Bucket()
        patch.setattr(data_file, "open_file", bucket.open)
        patch.setattr(data_file, "_SMALL_BYTES", data.draw(st.sampled_from([0, 1 << 20])))
        patch.setattr(fetches, "is_remote", lambda _: True)
        patch.setattr(reader, "is_remote", lambda _: True)
        order = data.draw(st.permutations(range(len(plan.shards))))
        known = data.draw(st.sets(st.sampled_from(order)))
        ahead, found = Fetches(["y"], most), dict[int, list[float]]()

        def take(part: list[int]) -> None:
            with Reader(["y"], ahead) as rows:
                for place in part:
                    found[place] = values(rows, plan.shards[place])

        takers = [threading.Thread(target=take, args=(order[part::threads],)) for part in range(threads)]
        with ahead.expecting([plan.shards[place] for place in order if place in known]):
            for taker in takers:
                taker.start()
            for taker in takers:
                taker.join()
    assert [found[place] for place in range(len(plan.shards))] == rows_of(plan)


def test_nothing_is_begun_beyond_the_budget_but_one_thing(bucket: Bucket, plan: Plan) -> None:
    # Planned are the bytes of both columns.
    for most, requests in ((1, 1), (2 * 2 * GROUP_BYTES + 1_000, 2), (3 * 2 * GROUP_BYTES + 1_000, 3)):
        ahead = Fetches(["y"], most)
        for file in plan.files:
            ahead.file(file)
        bucket.gate.clear()
        with ahead.expecting(list(plan.shards)):
            eventually(lambda wanted=requests: bucket.now >= wanted)  # type: ignore[misc]
            time.sleep(0.05)
            assert bucket.now == requests
            bucket.gate.set()
        eventually(lambda: bucket.now == 0)


def test_what_comes_first_is_begun_first(bucket: Bucket, plan: Plan) -> None:
    ahead = Fetches(["y"], 1)
    order = [plan.shards[place] for place in (7, 2, 9)]
    with ahead.expecting(order), Reader(["y"], ahead) as rows:
        for shard in order:
            values(rows, shard)
    names = [name for name, _ in bucket.asked]
    assert list(dict.fromkeys(names)) == ["1.parquet", "0.parquet", "2.parquet"]


def test_where_few_columns_are_needed_more_row_groups_are_fetched(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_HOLE", 0)
    rows, columns = 10_000, 10
    noise = np.random.default_rng(0).normal(size=(columns, rows * GROUPS))
    pq.write_table(
        pa.table(dict(zip("yabcdefghi", noise, strict=True))), tmp_path / "wide.parquet", row_group_size=rows
    )
    plan = make_plan([str(tmp_path)], rows, lambda *_: None)
    ahead = Fetches(["y"], rows * columns * 8 + 100_000)
    with ahead.expecting(plan.shards[:1]), Reader(["y"], ahead) as reading:
        values(reading, plan.shards[0])
    bucket.gate.clear()
    with ahead.expecting(plan.shards[1:]):
        # One by the footer's word, all by what the first one took; for each a request for rows, and one for the footer.
        eventually(lambda: bucket.now >= 3)
        bucket.gate.set()


def test_what_is_given_up_makes_room_for_what_follows(bucket: Bucket, plan: Plan) -> None:
    ahead = Fetches(["y"], 1)
    with ahead.expecting(plan.shards[:4]):
        pass
    assert (ahead._begun, len(ahead._expected), ahead._ahead_bytes) == ({}, 0, 0)
    bucket.asked.clear()
    with ahead.expecting(plan.shards[8:]):
        eventually(lambda: any(name == "2.parquet" for name, _ in bucket.asked))
    assert ahead._ahead_bytes == 0


def test_leases_overlap_and_one_that_ends_takes_nothing_from_the_other(bucket: Bucket, plan: Plan) -> None:
    ahead = Fetches(["y"])
    with ExitStack() as first, Reader(["y"], ahead) as rows:
        first.enter_context(ahead.expecting(plan.shards[:6]))
        with ahead.expecting(plan.shards[4:]):
            first.close()
            assert [values(rows, shard) for shard in plan.shards] == rows_of(plan)


def test_room_that_a_lease_leaves_is_taken_by_the_next_at_once(bucket: Bucket, plan: Plan) -> None:
    ahead = Fetches(["y"], 1)
    with ExitStack() as first:
        first.enter_context(ahead.expecting(plan.shards[:4]))
        with ahead.expecting(plan.shards[8:]):
            first.close()
            eventually(lambda: any(name == "2.parquet" for name, _ in bucket.asked))


def test_an_error_is_for_who_takes_it_and_the_next_attempt_asks_again(bucket: Bucket, plan: Plan) -> None:
    ahead = Fetches(["y"], 1)
    bucket.failing = 1
    with ahead.expecting(plan.shards[:2]), Reader(["y"], ahead) as rows:
        with pytest.raises(Exception, match="SLOW_DOWN"):
            values(rows, plan.shards[0])
        assert [values(rows, shard) for shard in plan.shards[:2]] == rows_of(plan)[:2]


@pytest.mark.parametrize("small", [True, False])
def test_what_came_damaged_is_asked_for_again(
    bucket: Bucket, plan: Plan, monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    monkeypatch.setattr(data_file, "_SMALL_BYTES", 1 << 20 if small else 0)
    ahead = Fetches(["y"])
    # Of a large file the first two answers are its footer and the rows, of a small one the first is all of it.
    bucket.damaged = 1 if small else 2
    with Reader(["y"], ahead) as rows:
        with pytest.raises(DataError, match=r"0\.parquet: row group 0 cannot be decoded"):
            values(rows, plan.shards[0])
        assert values(rows, plan.shards[0]) == rows_of(plan)[0]


def test_a_file_is_opened_once_and_its_footer_is_looked_at_for_every_shard(
    bucket: Bucket, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    check = DataFile.check
    monkeypatch.setattr(
        DataFile, "check", lambda self, planned, spans=(): looks.append(self.uri) or check(self, planned, spans)
    )
    ahead = Fetches(["y"])
    with ahead.expecting(list(plan.shards)), Reader(["y"], ahead) as rows:
        for shard in plan.shards:
            values(rows, shard)
    assert sorted(bucket.opened) == [f"{number}.parquet" for number in range(FILES)]
    # Who opens a file has looked at it.
    assert Counter(looks) == {file.uri: GROUPS - 1 for file in plan.files}
    # And looking takes no request of its own.
    assert len(bucket.asked) == FILES + len(plan.shards)


def test_a_file_that_changed_is_an_error_though_its_rows_were_fetched(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.parquet"
    table = pa.table({"y": np.arange(2 * ROWS, dtype=float)})
    pq.write_table(table, path, row_group_size=ROWS)
    first, second = make_plan([str(path)], ROWS, lambda *_: None).shards
    with Reader(["y"]) as rows:
        values(rows, first)
        pq.write_table(table.append_column("z", table["y"]), path, row_group_size=ROWS)
        with pytest.raises(DataError, match=r"f\.parquet: (changed since the run was planned|not a readable Parquet)"):
            values(rows, second)


def test_a_piece_begins_with_the_first_row_group_of_it_that_is_read() -> None:
    """Of a sample the first row group of a file may hold no row."""
    file = PlannedFile("s3://b/f", "f", 1, "0" * 64, (10, 10, 10), (1, 1, 1))
    for numbers, wanted in (([15, 25], [(1, True), (2, False)]), ([0, 29], [(0, True), (2, False)])):
        piece = Piece(0, 0, 3, 0, len(numbers), np.array(numbers, np.int64).tobytes())
        steps = list(steps_of(Shard(0, (piece,), {0: file})))
        assert [(step.group, step.begins) for step in steps] == wanted


def test_a_reader_of_its_own_fetches_ahead_within_a_shard(bucket: Bucket, plan: Plan) -> None:
    whole = make_plan([plan.files[0].uri], 10**9, lambda *_: None).shards[0]
    with Reader(["y"]) as rows, closing(rows.read(whole)) as blocks:
        next(blocks)
        eventually(lambda: len({offset for _, offset in bucket.asked}) >= GROUPS)
