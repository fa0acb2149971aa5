"""Each line of a log is shown once, whole, in order, whatever pieces it comes in and however often from the start."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ortbatch.submit.following import LogReader, readable
from ortbatch.submit.handover import line_of

lines = st.lists(st.text(st.characters(exclude_characters="\n\r"), max_size=8), max_size=12)


def pieces(text: str, cuts: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(edges)]


@given(lines, st.lists(st.integers(0, 200)))
def test_pieces_give_the_lines(written: list[str], cuts: list[int]) -> None:
    reader, text = LogReader(), "".join(f"{line}\n" for line in written)
    assert [line for piece in pieces(text, cuts) for line in reader.feed(piece)] == written
    assert reader.rest() == []


@given(lines, st.lists(st.tuples(st.integers(0, 200), st.lists(st.integers(0, 200))), max_size=5))
def test_a_log_that_is_read_again_after_any_break_shows_nothing_twice(
    written: list[str], breaks: list[tuple[int, list[int]]]
) -> None:
    reader, text, shown = LogReader(), "".join(f"{line}\n" for line in written), []
    for end, cuts in [*breaks, (len(text), [])]:
        reader.begin_again()
        for piece in pieces(text[: end % (len(text) + 1)] if end < len(text) else text, cuts):
            shown += reader.feed(piece)
    assert shown == written


def test_a_last_line_without_an_end_is_shown_when_no_more_comes() -> None:
    reader = LogReader()
    assert reader.feed("a\nb") == ["a"]
    assert reader.rest() == ["b"]
    assert reader.rest() == []


def test_the_report_and_what_follows_it_are_not_shown() -> None:
    reader, text = LogReader(), f"a\n{line_of(b'{}')}\nsummary\n"
    assert [line for piece in pieces(text, [5, 20]) for line in reader.feed(piece)] == ["a"]


def test_people_read_the_summary_but_not_the_report() -> None:
    assert readable(f"a\n{line_of(b'{}')}\nsummary\n") == "a\nsummary\n"
