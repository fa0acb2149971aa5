"""Bytes of a store: those that are there, or an error; never what lay in memory before."""

from __future__ import annotations

import errno
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.data.remote import RemoteFile

CONTENT = np.random.default_rng(0).bytes(100_000)


class Store:
    """A file as Arrow's of S3: however few bytes come, it says that all did.

    Args:
        content: of the file.
        shorts: share of the bytes that its next answers bring, one after another; then all come.
    """

    def __init__(self, content: bytes, shorts: tuple[float, ...] = ()) -> None:
        self.content, self.shorts, self.asked = content, list(shorts), list[tuple[int, int]]()

    def size(self) -> int:
        return len(self.content)

    def get_stream(self, offset: int, size: int) -> Any:
        self.asked.append((offset, size))
        return Answer(self.content[offset : offset + size], self.shorts.pop(0) if self.shorts else 1.0)

    def close(self) -> None:
        self.content = b""


class Answer:
    def __init__(self, content: bytes, share: float) -> None:
        self.content, self.share = content, share

    def readinto(self, into: Any) -> int:
        came = min(int(len(self.content) * self.share), len(self.content) - 1) if self.share < 1 else len(self.content)
        memoryview(into)[:came] = self.content[:came]
        return len(into)


@given(offset=st.integers(0, 110_000), size=st.integers(0, 110_000))
def test_bytes_are_those_that_are_there(offset: int, size: int) -> None:
    for raw in (pa.BufferReader(CONTENT), Store(CONTENT)):
        assert RemoteFile(raw).read_at(size, offset) == CONTENT[offset : offset + size]


@pytest.mark.parametrize("shorts", [(0.0,), (0.5,), (0.999,), (0.9, 0.1), (0.0, 0.99, 0.5)])
def test_what_came_short_is_asked_for_again(shorts: tuple[float, ...]) -> None:
    raw = Store(CONTENT, shorts)
    assert RemoteFile(raw).read_at(50_000, 7) == CONTENT[7:50_007]
    assert raw.asked == [(7, 50_000)] * (1 + len(shorts))


def test_what_always_comes_short_is_an_error_that_may_pass() -> None:
    raw = Store(CONTENT, (0.5,) * 99)
    with pytest.raises(OSError, match="fewer than 10 bytes came from byte 3 on, 8 times") as caught:
        RemoteFile(raw).read_at(10, 3)
    assert caught.value.errno == errno.EIO


@pytest.mark.parametrize("last", range(256))
def test_any_last_byte_is_read(last: int) -> None:
    content = b"abc" + bytes([last])
    assert RemoteFile(Store(content)).read_at(4, 0) == content
    assert RemoteFile(Store(content, (0.7,))).read_at(4, 0) == content


@given(ranges=st.lists(st.tuples(st.integers(0, 99_000), st.integers(0, 5_000)), max_size=8))
def test_what_was_fetched_is_read_without_a_request(ranges: list[tuple[int, int]]) -> None:
    raw = Store(CONTENT)
    file = RemoteFile(raw)
    spans = file.fetch(ranges)
    raw.asked.clear()
    seen = file.seen(spans)
    for start, size in ranges:
        assert seen.read_at(size, start) == CONTENT[start : start + size]
    assert raw.asked == []


def test_what_one_sees_is_not_held_by_the_other() -> None:
    raw = Store(CONTENT)
    file = RemoteFile(raw)
    file.seen(file.fetch([(0, 10)]))
    assert file.read_at(10, 0) == CONTENT[:10]
    assert len(raw.asked) == 2


def test_ranges_near_each_other_are_one_request_and_far_ones_are_not() -> None:
    raw = Store(bytes(10 << 20))
    RemoteFile(raw).fetch([(0, 10), (500_000, 10), (9 << 20, 10)])
    assert sorted(raw.asked) == [(0, 500_010), (9 << 20, 10)]


def test_a_large_range_is_fetched_in_pieces() -> None:
    content = np.random.default_rng(1).bytes(20 << 20)
    raw = Store(content)
    ((start, found),) = RemoteFile(raw).fetch([(5, 19 << 20)])
    assert (start, found.tobytes()) == (5, content[5 : 5 + (19 << 20)])
    assert len(raw.asked) == 3


def test_arrow_reads_it_as_any_file() -> None:
    with RemoteFile(Store(CONTENT)).as_arrow() as file:
        assert file.size() == len(CONTENT)
        assert file.read_at(10, 90) == CONTENT[90:100]
        file.seek(-5, 2)
        assert file.read(5) == CONTENT[-5:]
