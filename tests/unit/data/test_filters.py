"""The filter against a plain Python loop."""

from __future__ import annotations

import operator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.data.filters import check_terms, matching
from ortbatch.errors import DataError

COMPARE = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "in": lambda a, b: a in b, "not in": lambda a, b: a not in b,
}  # fmt: skip
NUMBERS = st.one_of(st.none(), st.integers(-3, 3))
WORDS = st.one_of(st.none(), st.sampled_from(["a", "b", ""]))


def plainly(rows: list[dict[str, Any]], terms: list[tuple[str, str, Any]]) -> list[bool]:
    return [all(row[c] is not None and COMPARE[op](row[c], value) for c, op, value in terms) for row in rows]


@st.composite
def terms(draw: st.DrawFn) -> tuple[str, str, Any]:
    column = draw(st.sampled_from(["n", "w"]))
    values = st.integers(-3, 3) if column == "n" else st.sampled_from(["a", "b", ""])
    name = draw(st.sampled_from(sorted(COMPARE)))
    return column, name, tuple(draw(st.lists(values, max_size=3))) if "in" in name else draw(values)


@given(st.lists(st.tuples(NUMBERS, WORDS), max_size=20), st.lists(terms(), max_size=3), st.booleans())
def test_a_filter_keeps_what_a_plain_loop_keeps(
    rows: list[tuple[int | None, str | None]], asked: list[tuple[str, str, Any]], encoded: bool
) -> None:
    words = pa.array([word for _, word in rows], pa.string())
    table = pa.table(
        {"n": pa.array([n for n, _ in rows], pa.int32()), "w": words.dictionary_encode() if encoded else words}
    )
    assert matching(table, asked).tolist() == plainly([{"n": n, "w": w} for n, w in rows], asked)


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match=r"data\.filter names column `x`; columns: n"):
        check_terms(pa.schema([("n", pa.int64())]), [("x", "==", 1)], "a.parquet")


def test_a_comparison_of_unlike_types_is_refused() -> None:
    with pytest.raises(DataError, match=r"column `n` holds int64, which cannot be compared"):
        check_terms(pa.schema([("n", pa.int64())]), [("n", "==", "x")], "a.parquet")
