"""Parquet files that lie or grow: one error that names the file, or all of its rows, in bounded memory.

What could end the process runs in one of its own, with little memory.
"""

from __future__ import annotations

import io
import json
import random
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch.data import data_file, pages
from ortbatch.data.plan import make_plan
from ortbatch.data.reader import Reader, read_shard
from ortbatch.data.storage import locate
from ortbatch.errors import DataError
from tests.tables import MAGIC, numbered, write_table
from tests.thrift import BINARY, INTEGERS, LISTS, STRUCT, content_of, part, taken_apart, together

ROOT = Path(__file__).resolve().parents[2]
MB = 1 << 20


def lying(content: bytes) -> bytes:
    """The same pages under a footer that claims 100 bytes of every column and row group."""
    body, footer = taken_apart(content)
    for group in part(footer, 4)[2][1]:
        part(group, 2)[2] = 100
        for chunk in part(group, 1)[2][1]:
            part(chunk, 3, 6)[2] = 100
    return together(body, footer)


def tables_of(path: Path | str, columns: list[str]) -> Iterator[pa.Table]:
    with Reader(columns) as rows:
        for shard in make_plan([str(path)], None, lambda where, schema: None).shards:
            for block in rows.read(shard):
                yield block.table


MIXED = pa.table(
    {
        "x": pa.array(np.arange(60, dtype=np.float32)), "y": pa.array(np.arange(60) % 3),
        "text": [None if i % 7 == 0 else f"c{i % 5}" for i in range(60)], "bytes": [b"z" * i for i in range(60)],
        "list": [[float(i)] * (i % 4) for i in range(60)], "flag": [i % 2 == 0 for i in range(60)],
        "fixed": pa.array([[i, 2] for i in range(60)], pa.list_(pa.float32(), 2)), "words": [["a", None, "b"]] * 60,
    }
)  # fmt: skip


# Hunts: a field of a footer or some bytes of pages are changed at random, and all is read


VALUES = (-1, 0, 1, 2, 7, 2**15, 2**31 - 1, 2**31, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63))
TEXTS = (b"", b"x", b"\xff", b"a" * 300, b"\0")


def slots(kind: int, value: Any) -> Iterator[tuple[list[Any], int, int]]:
    """Every place of a value that can be changed: container, index, kind; -1 for a field of a struct."""
    if kind == STRUCT:
        for index, (_, of, inner) in enumerate(value):
            yield value, index, -1
            yield from slots(of, inner)
    elif kind in LISTS:
        for index, inner in enumerate(value[1]):
            yield value[1], index, value[0]
            yield from slots(value[0], inner)


def mutated(footer: list[list[Any]], rng: random.Random) -> list[list[Any]]:
    footer = deepcopy(footer)
    for _ in range(rng.choice([1, 1, 1, 2])):
        container, index, kind = rng.choice(list(slots(STRUCT, footer)))
        entry = container[index]
        of, old = entry[1:] if kind < 0 else (kind, entry)
        if rng.random() < 0.2:
            container.insert(index, deepcopy(entry)) if rng.random() < 0.3 else container.pop(index)
            continue
        new = old
        if of in INTEGERS:
            new = rng.choice([*VALUES, old + 1, old - 1, old * 2])
        elif of == BINARY:
            new = rng.choice(TEXTS)
        elif of in LISTS:
            new = [old[0], rng.choice([[], old[1] * 2, old[1][:1]])]
        container[index] = [entry[0], of, new] if kind < 0 else new
    return footer


def scratched(content: bytes, rng: random.Random) -> bytes:
    """Bytes changed near the beginnings of column chunks, where the headers of pages lie."""
    changed, group = bytearray(content), pq.read_metadata(io.BytesIO(content)).row_group(0)
    for _ in range(rng.choice([1, 1, 2, 3])):
        chunk = group.column(rng.randrange(group.num_columns))
        place = rng.choice([chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset])
        at = place + rng.randrange(min(chunk.total_compressed_size, rng.choice([12, 40, 4_000])))
        changed[at] = rng.choice([changed[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0, 255, 127])
    return bytes(changed)


def outcome_of(path: Path) -> str:
    def unique(where: str, schema: pa.Schema) -> None:
        if any(len(schema.get_all_field_indices(name)) != 1 for name in MIXED.column_names):
            raise DataError("a column is missing, or stands twice")

    try:
        plan = make_plan([str(path)], None, unique)
        blocks = [block for shard in plan.shards for block in read_shard(shard, MIXED.column_names)]
    except DataError:
        return "refused"
    return "read" if sum(block.table.num_rows for block in blocks) == plan.rows else "another count"


def hunt(what: str, seed: int, tries: int, path: Path) -> dict[str, int]:
    """How many of so many broken files ended how; what is neither is an exception or the end of the process."""
    rng, found = random.Random(seed), Counter[str]()
    options = {
        "compression": ["snappy", "none", "zstd"][seed % 3], "use_dictionary": seed % 2 == 0,
        "data_page_version": ["1.0", "2.0"][seed // 2 % 2],
    }  # fmt: skip
    content = content_of(MIXED, row_group_size=40, write_page_checksum=what == "footers", **options)
    body, footer = taken_apart(content)
    for _ in range(tries):
        path.write_bytes(together(body, mutated(footer, rng)) if what == "footers" else scratched(content, rng))
        found[outcome_of(path)] += 1
    return dict(found)


def alone(call: str, *arguments: object, limit: int = 4 << 30) -> Any:
    """What a function of this module gives in a process of its own that can have `limit` bytes more than it needs."""
    code = (
        "import json, sys, pathlib\n"
        "from tests.faults import test_hostile_files as here\n"
        "here.limit_memory(int(sys.argv[1]))\n"
        f"print(json.dumps({call}))"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(limit), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-2_000:]}"
    return json.loads(done.stdout)


def limit_memory(more: int) -> None:
    pages_in_use = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages_in_use * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


@pytest.mark.parametrize("what", ["footers", "pages"])
def test_files_broken_at_random_are_refused_or_give_as_many_rows_as_planned(tmp_path: Path, what: str) -> None:
    call = "[here.hunt(sys.argv[2], seed, 60, pathlib.Path(sys.argv[3])) for seed in range(12)]"
    found = sum((Counter(counts) for counts in alone(call, what, tmp_path / "a.parquet")), Counter())
    assert set(found) == {"refused", "read"}
    assert min(found.values()) > 80


def test_a_footer_that_arrows_own_view_of_columns_would_end_the_process_on_is_refused_or_read(tmp_path: Path) -> None:
    """`RowGroupMetaData.column` does: it must not be asked."""
    body, footer = taken_apart(content_of(MIXED))
    for chunk in part(footer, 4, 1)[2][1]:
        for entry in chunk:
            if entry[0] == 3:
                entry[2] = [field for field in entry[2] if field[0] != 16]
                entry[2].append([16, STRUCT, [[2, 9, [6, [1]]], [3, 9, [6, [1] * 9]]]])
    path = tmp_path / "a.parquet"
    path.write_bytes(together(body, footer))
    assert alone("here.outcome_of(pathlib.Path(sys.argv[2]))", path) == "refused"


# Bombs


def repeated(rows: int, size: int = MB) -> pa.Array:
    """One text of so many bytes, for so many rows."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["a" * size]))


def in_lists(items: pa.Array, of: int) -> pa.Array:
    offsets = pa.array(np.arange(0, len(items) + 1, of, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, items)


def one_by_one(values: Iterator[pa.RecordBatch]) -> bytes:
    """One row group of many batches, each a page, without all of them in memory."""
    sink, first = io.BytesIO(), next(values)
    with pq.ParquetWriter(sink, first.schema, compression="zstd", use_dictionary=False, write_batch_size=1) as writer:
        writer.write_batch(first)
        for batch in values:
            writer.write_batch(batch)
    return sink.getvalue()


def zeros(pages_: int, of: Callable[[], pa.Array]) -> Iterator[pa.RecordBatch]:
    return (pa.record_batch({"x": of()}) for _ in range(pages_))


DICTIONARY = {"compression": "zstd", "dictionary_pagesize_limit": 16 * MB}
BOMBS: dict[str, Callable[[], bytes]] = {
    "a dictionary": lambda: content_of(pa.table({"x": repeated(20_000)}), store_schema=False, **DICTIONARY),
    "a dictionary that stays one": lambda: content_of(pa.table({"x": repeated(20_000)}), **DICTIONARY),
    "dictionaries in lists": lambda: content_of(
        pa.table({"x": in_lists(repeated(20_000), 2)}), store_schema=False, **DICTIONARY
    ),
    "a dictionary in a struct": lambda: content_of(
        pa.table({"x": pa.StructArray.from_arrays([repeated(20_000)], ["text"])}), store_schema=False, **DICTIONARY
    ),
    "texts": lambda: one_by_one(zeros(700, lambda: pa.array([b"\0" * MB]))),
    "lists": lambda: one_by_one(zeros(700, lambda: in_lists(pa.array(np.zeros(MB // 4, np.float32)), MB // 4))),
}


def largest_and_rows(path: str) -> tuple[int, int, int]:
    """Bytes of the largest block with its dictionaries spelt out, rows, and the most that Arrow had at once."""
    largest = rows = 0
    for table in tables_of(path, ["x"]):
        column = table.column("x")
        held = sum(chunk.dictionary_decode().nbytes for chunk in column.chunks) if is_encoded(column) else table.nbytes
        largest, rows = max(largest, held), rows + table.num_rows
        del table, column
    return largest, rows, pa.default_memory_pool().max_memory()


def is_encoded(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_dictionary(column.type))


@pytest.mark.parametrize("what", BOMBS)
def test_a_small_file_that_unpacks_to_gigabytes_is_read_in_parts(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(lying(BOMBS[what]()))
    assert path.stat().st_size < 400_000
    rows = pq.read_metadata(path).num_rows
    largest, found, most = alone("here.largest_and_rows(sys.argv[2])", path, limit=1 << 30)
    assert (found, largest <= 270 * MB, most < 700 * MB) == (rows, True, True)


def test_text_far_away_is_cut_by_its_dictionary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_file, "BUDGET_BYTES", 4 * MB)
    noise = np.random.default_rng(0).integers(0, 2**62, 300_000)
    content = content_of(pa.table({"x": repeated(300_000, 1_000), "noise": noise}), store_schema=False)
    assert len(content) > data_file._SMALL_BYTES
    filesystem, path = locate("mock://far/a.parquet")
    with filesystem.open_output_stream(path) as stream:
        stream.write(content)
    blocks = [(table.nbytes, table.num_rows, str(table.schema.field("x").type)) for table in
              tables_of("mock://far/a.parquet", ["x"])]  # fmt: skip
    assert max(size for size, _, _ in blocks) < 3 * MB
    assert (sum(rows for _, rows, _ in blocks), {kind for _, _, kind in blocks}) == (300_000, {"string"})


def test_a_dictionary_whose_first_rows_are_plain_text_is_cut_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_of(pa.table({"x": repeated(2_000, 100_000)}), store_schema=False)
    plain = content_of(pa.table({"x": ["short"] * 10}), store_schema=False, use_dictionary=False)
    (body, footer), (other, _) = taken_apart(content), taken_apart(plain)
    chunk = part(footer, 4, 1, 3)[2]
    at, page = part(chunk, 9)[2], other[len(MAGIC) :]
    for total in (part(chunk, 6), part(chunk, 7)):
        total[2] += len(page)
    for rows in (part(footer, 3), part(footer, 4, 3), part(chunk, 5)):
        rows[2] = 2_010
    (tmp_path / "a.parquet").write_bytes(together(body[:at] + page + body[at:], footer))
    monkeypatch.setattr(data_file, "BUDGET_BYTES", 4 * MB)
    blocks = [(table.nbytes, table.num_rows) for table in tables_of(tmp_path / "a.parquet", ["x"])]
    assert sum(rows for _, rows in blocks) == 2_010
    assert max(size for size, _ in blocks) < 3 * MB


def test_rows_beyond_what_is_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ROW_BYTES_AT_MOST", 100_000)
    path = write_table(tmp_path / "a.parquet", {"x": [[0.0] * 30_000] * 3})
    with pytest.raises(DataError, match=r"a\.parquet: row group 0 .*3 rows take 720,000 bytes; up to 100,000 a row"):
        list(tables_of(path, ["x"]))


@pytest.mark.parametrize("kind", [pa.binary(1_000), pa.decimal256(70, 2), pa.timestamp("us")], ids=str)
def test_equal_values_of_a_fixed_size_are_read_in_parts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType
) -> None:
    value = b"x" * 1_000 if pa.types.is_fixed_size_binary(kind) else 1
    path = write_table(tmp_path / "a.parquet", pa.table({"x": pa.array([value] * 5_000, kind)}))
    monkeypatch.setattr(data_file, "BUDGET_BYTES", 20_000)
    assert max(table.nbytes for table in tables_of(path, ["x"])) < 11_000


def test_a_type_beyond_what_is_read_is_refused(tmp_path: Path) -> None:
    giant = pa.list_(pa.float64(), 1 << 27)
    path = write_table(tmp_path / "a.parquet", pa.table({"x": pa.array([], giant)}))
    body, footer = taken_apart(path.read_bytes())
    part(footer, 3)[2] = 1
    part(footer, 4)[2][1] = [[[1, 9, [STRUCT, []]], [2, 6, 1], [3, 6, 1]]]
    path.write_bytes(together(body, footer))
    with pytest.raises(DataError, match="a row takes 1,073,741,824 bytes; up to 536,870,912 are read"):
        list(tables_of(path, ["x"]))


def test_too_little_memory_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise pa.lib.ArrowMemoryError("malloc of size 7 failed")

    path = write_table(tmp_path / "a.parquet", numbered(3))
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", none_left)
    with pytest.raises(MemoryError, match=r"a\.parquet: row group 0: malloc of size 7 failed"):
        list(tables_of(path, ["x"]))
