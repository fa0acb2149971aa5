"""The report as a line of a log comes back whole, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.submit.handover import MARK, line_of, report_in


@given(report=st.binary(max_size=2_000), before=st.text(), after=st.text())
def test_a_report_comes_back_from_any_log(report: bytes, before: str, after: str) -> None:
    assert report_in(f"{before}\n{line_of(report)}\n{after}") == report


@given(report=st.binary(min_size=1, max_size=200), data=st.data())
def test_a_line_that_was_changed_or_cut_is_no_other_report(report: bytes, data: st.DataObject) -> None:
    line = line_of(report)
    place = data.draw(st.integers(0, len(line) - 1))
    changed = line[:place] + data.draw(st.sampled_from(["", "A", " ", "="])) + line[place + 1 :]
    assert report_in(changed) in (None, report)
    assert report_in(line[:place]) is None


def test_the_line_is_one_line() -> None:
    assert "\n" not in line_of(b"{}\n" * 1_000)


def test_the_last_whole_report_counts() -> None:
    assert report_in(f"{line_of(b'one')}\n{line_of(b'two')}\n{line_of(b'three')[:-4]}\n") == b"two"


@pytest.mark.parametrize("log", ["", "report", MARK, f"{MARK}1 2", f"{MARK}x y z", f"{MARK}-1 0 AAAA"])
def test_no_report_is_none(log: str) -> None:
    assert report_in(log) is None


def test_a_line_that_unpacks_to_more_than_it_says_is_none() -> None:
    size, checksum, packed = line_of(b"0" * 1_000).removeprefix(MARK).split()
    assert report_in(f"{MARK}{int(size) - 1} {checksum} {packed}") is None


def test_a_line_of_another_sum_is_none() -> None:
    size, _, packed = line_of(b"0" * 1_000).removeprefix(MARK).split()
    assert report_in(f"{MARK}{size} {'0' * 16} {packed}") is None
