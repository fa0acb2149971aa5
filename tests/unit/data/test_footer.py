"""A footer is read whole and believed only as far as it agrees with itself; a broken one is one clear error."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.data.footer import read_footer
from ortbatch.data.plan import make_plan
from ortbatch.data.reader import read_shard
from ortbatch.errors import DataError
from tests.tables import MAGIC, flip, footer_length, numbered, write_table

COLUMNS = {"x": [1.0, 2.0, 3.0], "y": [1, 2, 3], "text": ["a", None, "c"], "list": [[1.0], [2.0], [3.0]]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_table(tmp_path / "a.parquet", COLUMNS, [2, 0, 1], write_page_checksum=True)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A place for broken files, and the bytes to break."""
    path = write_table(tmp_path_factory.mktemp("broken") / "a.parquet", COLUMNS, [2, 1], write_page_checksum=True)
    return path, path.read_bytes()


def test_a_footer_is_what_pyarrow_says(file: Path) -> None:
    footer, metadata = read_footer(str(file)), pq.read_metadata(file)
    assert footer.size == file.stat().st_size
    assert footer.schema == pq.read_schema(file)
    assert footer.metadata.equals(metadata)
    assert footer.group_rows == (2, 0, 1)
    assert footer.group_bytes == tuple(metadata.row_group(i).total_byte_size for i in range(3))


def test_the_fingerprint_is_that_of_the_last_bytes(file: Path) -> None:
    content = file.read_bytes()
    assert read_footer(str(file)).sha256 == hashlib.sha256(content[-footer_length(file) - 8 :]).hexdigest()


def test_a_footer_longer_than_the_first_read_is_read_whole(tmp_path: Path) -> None:
    table = pa.table({f"column with a long name {i:05}": [i] for i in range(2_000)})
    path = write_table(tmp_path / "wide.parquet", table)
    assert footer_length(path) > 64 << 10
    assert read_footer(str(path)).schema == table.schema


def test_a_change_of_one_value_changes_size_or_fingerprint(tmp_path: Path) -> None:
    a, b = (write_table(tmp_path / f"{n}.parquet", {"x": [n] * 100}) for n in (1, 2))
    assert read_footer(str(a)).sha256 != read_footer(str(b)).sha256


NOT_PARQUET = {
    b"": "0 bytes, it ends with b''; a Parquet file ends with b'PAR1'",
    b"PAR1": "4 bytes, it ends with",
    b"PAR1PAR1": "8 bytes, it ends with",
    b"a,b\n1,2\n3,4\n": "12 bytes, it ends with",
    b"PAR1" + b"\0" * 100 + b"PARE": "encrypted Parquet is not supported",
    b"PAR1" + b"\0" * 4 + b"PAR1": "its footer cannot be read",
    b"PAR1" + b"\xff" * 20 + b"\4\0\0\0PAR1": "its footer cannot be read",
}


@pytest.mark.parametrize(("content", "why"), NOT_PARQUET.items())
def test_what_is_no_parquet_file_is_refused_with_its_name(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_footer(str(path))
    assert str(caught.value).startswith(f"{path}: not a readable Parquet file: ")
    assert why in str(caught.value)
    assert str(caught.value).endswith("Write it again, or leave it out of `data.path`.")


@pytest.mark.parametrize("length", [0, 1, 2**31 - 1, 2**31, 2**32 - 1, -1, +1])
def test_a_wrong_length_of_the_footer_is_refused(file: Path, length: int) -> None:
    content = file.read_bytes()
    claimed = footer_length(file) + length if abs(length) == 1 else length
    file.write_bytes(content[:-8] + claimed.to_bytes(4, "little") + MAGIC)
    with pytest.raises(DataError, match="not a readable Parquet file: its footer"):
        read_footer(str(file))


def test_a_footer_as_long_as_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"x" * 92 + (93).to_bytes(4, "little") + MAGIC)
    with pytest.raises(DataError, match="its footer claims 101 bytes, the file has 100"):
        read_footer(str(path))


def test_every_truncated_file_is_refused(broken: tuple[Path, bytes]) -> None:
    path, content = broken
    for size in range(0, len(content), 7):
        path.write_bytes(content[:size])
        with pytest.raises(DataError):
            read_footer(str(path))


@settings(max_examples=400)
@given(st.data())
def test_flipped_bits_of_a_footer_are_bad_data_or_no_harm(broken: tuple[Path, bytes], data: st.DataObject) -> None:
    path, content = broken
    length = int.from_bytes(content[-8:-4], "little") + 8
    path.write_bytes(content)
    for _ in range(data.draw(st.integers(1, 2))):
        flip(path, -data.draw(st.integers(1, length)), 1 << data.draw(st.integers(0, 7)))
    try:
        plan = make_plan([str(path)], None, lambda where, schema: None)
        blocks = [block for shard in plan.shards for block in read_shard(shard, list(COLUMNS))]
    except DataError:
        return
    assert sum(block.table.num_rows for block in blocks) == plan.rows


@pytest.mark.parametrize("column", ["x", "é"])
def test_a_name_that_is_no_text_is_refused_at_once(tmp_path: Path, column: str) -> None:
    path = write_table(tmp_path / "a.parquet", {column: [1]}, store_schema=False)
    content = path.read_bytes()
    name = column.encode()
    path.write_bytes(
        content[:-200] + content[-200:].replace(bytes([len(name)]) + name, bytes([len(name)]) + b"\xff" * len(name))
    )
    with pytest.raises(DataError, match="its footer cannot be read: 'utf-8' codec"):
        read_footer(str(path))


def with_rows(path: Path, was: int, now: int, which: int) -> Path:
    """Change a row count of a footer: it is a zigzag varint of two bytes; `which` counts its places from the end."""
    old, new = (bytes([(2 * n) & 0x7F | 0x80, (2 * n) >> 7]) for n in (was, now))
    content = path.read_bytes()
    at = len(content)
    for _ in range(which):
        at = content.rindex(old, 0, at)
    path.write_bytes(content[:at] + new + content[at + 2 :])
    return path


def test_row_groups_that_do_not_add_up_to_the_file_are_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.parquet", numbered(300), [300])
    with_rows(path, 300, 299, which=1)
    assert pq.read_metadata(path).row_group(0).num_rows == 299
    with pytest.raises(DataError, match="its footer claims 300 rows, its row groups 299"):
        read_footer(str(path))


@pytest.mark.parametrize(("name", "message"), [("none.parquet", "no such file"), ("", "is a directory")])
def test_a_file_that_is_not_there_is_bad_data(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_footer(str(tmp_path / name))
