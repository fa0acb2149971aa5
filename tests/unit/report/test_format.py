"""Numbers for people never tell another story than the numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.report.format import interval, margin, name, number

SETTINGS = settings(max_examples=100, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0.0000"),
        (1.0, "1.0000"),
        (0.98442714, "0.9844"),
        (0.99996, "0.99996"),
        (0.00002, "0.00002"),
        (-0.125, "-0.1250"),
        (12.345, "12.35"),
        (9999.6, "10,000"),
        (1234567.8, "1,234,568"),
    ],
)
def test_numbers_are_written(value: float | None, text: str) -> None:
    assert number(value) == text


@SETTINGS
@given(st.floats(0, 1), st.floats(0, 1))
def test_a_share_is_written_on_its_side_of_a_limit(value: float, limit: float) -> None:
    if abs(value - limit) > 1e-11 and 1e-11 < value < 1 - 1e-11:
        written = float(number(value, apart_from=limit))
        assert (written > round(limit, 12)) == (value > limit)
        assert 0 < written < 1


def test_an_interval_has_both_ends() -> None:
    assert interval([0.974, 0.99996]) == "0.9740–0.99996"
    assert interval(None) == ""


@pytest.mark.parametrize(
    ("op", "value", "limit", "text"),
    [
        (">=", 0.9844, 0.95, "+0.034"),
        (">=", 0.94, 0.95, "-0.01"),
        (">", 0.95, 0.95, "0"),
        ("<=", 12.5, 10.0, "-2.5"),
        ("<", 9.0, 10.0, "+1"),
        ("==", 0.9, 1.0, "-0.1"),
        (">=", 0.95 - 1e-9, 0.95, "-1e-09"),
        (">=", None, 0.95, "–"),
    ],
)
def test_a_margin_is_negative_by_how_much_a_gate_is_missed(op: str, value: float, limit: float, text: str) -> None:
    assert margin({"op": op, "value": value, "limit": limit}) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat", "cat"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("<script>", "<script>"),
        ("🐈 猫", "🐈 猫"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("half \udcff", "half \\udcff"),
    ],
)
def test_names_are_shown_as_they_are_but_cannot_move_the_cursor(text: str, shown: str) -> None:
    assert name(text) == shown


@SETTINGS
@given(st.text(max_size=200), st.integers(4, 60))
def test_a_name_is_never_longer_than_its_width_nor_of_two_lines(text: str, width: int) -> None:
    shown = name(text, width)
    assert len(shown) <= width
    assert len(shown.splitlines()) <= 1


def test_a_long_gate_keeps_its_limit() -> None:
    assert name(f"recall[{'x' * 10_000}] >= 0.95", 60).endswith("x] >= 0.95")
