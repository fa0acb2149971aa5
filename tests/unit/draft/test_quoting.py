"""Whatever something is called, the job file that names it is read back as it was written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.draft.quoting import escaped, flow, quoted
from ortbatch.draft.text import wrapped
from ortbatch.job.document import parse
from ortbatch.job.templates import fill
from ortbatch.job.tree import Place

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def read(text: str) -> Any:
    """The value of a document."""
    return parse(text, lambda line: Place(line, f"draft:{line}")).value


@given(TEXT)
def test_text_is_read_back(text: str) -> None:
    assert read(f"a: {quoted(text)}\n") == {"a": text}


@given(TEXT)
def test_text_is_read_back_as_a_key_and_in_a_list(text: str) -> None:
    assert read(f"{quoted(text)}: [{quoted(text)}, {quoted(text)}]\n") == {text: [text, text]}


@given(VALUES)
def test_values_are_read_back(value: Any) -> None:
    assert read(f"a: {flow(value)}\n") == {"a": value}


@given(TEXT)
def test_text_with_braces_is_filled_to_what_it_was(text: str) -> None:
    assert fill(escaped(text), {}) == text


@given(st.lists(TEXT, min_size=1, max_size=40))
def test_a_list_in_several_lines_is_read_back(names: list[str]) -> None:
    lines = list(wrapped(f"  x: {flow(names)}"))
    assert read("a:\n" + "\n".join(lines) + "\n") == {"a": {"x": names}}


def test_lines_are_of_a_readable_length() -> None:
    lines = list(wrapped(f"    x: {flow([f'column_{number}' for number in range(99)])}"))
    assert len(lines) > 5
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize("word", ["amount", "data/test", "f0", "a-b", "x.onnx"])
def test_words_stand_plain(word: str) -> None:
    assert quoted(word) == word


@pytest.mark.parametrize("word", ["1.0", "true", "null", "", "007", "-a", "a: b", "a #b", "~", "{x}", "日本"])
def test_what_could_be_read_otherwise_stands_in_quotes(word: str) -> None:
    assert quoted(word)[0] == '"'
