"""Dots with intervals: where they lie follows from the numbers, and names are text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ortbatch.report.page.forest import PAIR, PLAIN, Dot, forest

NAMES = ("<script>alert(1)</script>", "x" * 10_000, 'a"b', "\u202eevil", "two\nlines")


def dots_of(picture: str) -> list[tuple[float, float]]:
    """Where symbols stand, in pixels of the plot."""
    marks = picture.partition("role-mark layer_1_marks")[2].partition("</g>")[0]
    return [(float(x), float(y)) for x, y in re.findall(r"translate\(([-\d.]+),([-\d.]+)\)", marks)]


def drawn(values: Sequence[float], ci: Sequence[float] | None = (0.0, 1.0)) -> str:
    return forest([Dot(line, f"name {line}", value, ci) for line, value in enumerate(values)], "value", "dots")


def test_places_are_in_proportion_to_values() -> None:
    places = [x for x, _ in dots_of(drawn([0.0, 0.25, 1.0]))]
    assert (places[1] - places[0]) / (places[2] - places[0]) == 0.25


def test_lines_come_from_the_top_down() -> None:
    heights = [y for _, y in dots_of(drawn([0.5, 0.5, 0.5]))]
    assert heights == sorted(heights)
    assert len(set(heights)) == 3


def test_two_dots_of_a_line_do_not_hide_each_other() -> None:
    looks = dict(zip(("recall", "precision"), PAIR, strict=True))
    picture = forest([Dot(0, "a", 0.5, None, "recall"), Dot(0, "a", 0.5, None, "precision")], "x", "alt", looks=looks)
    (one, other) = dots_of(picture)
    assert one[0] == other[0]
    assert one[1] != other[1]


def test_series_are_told_apart_by_words_too() -> None:
    looks = dict(zip(("recall", "precision"), PAIR, strict=True))
    picture = forest([Dot(0, "a", 0.5, None, "recall"), Dot(0, "a", 0.5, None, "precision")], "x", "alt", looks=looks)
    assert ">recall</text>" in picture
    assert ">precision</text>" in picture


def test_equal_values_without_interval_can_be_drawn() -> None:
    assert len(dots_of(drawn([1.0, 1.0], ci=None))) == 2


def test_lines_of_the_same_name_stay_apart() -> None:
    assert len(dots_of(forest([Dot(0, "a", 0.1, None), Dot(1, "a", 0.9, None)], "x", "alt"))) == 2


def test_names_are_text_on_one_line_and_cut() -> None:
    picture = forest([Dot(line, name, 0.5, (0.4, 0.6)) for line, name in enumerate(NAMES)], "x", "alt", 0.5, PLAIN)
    assert "<script" not in picture
    assert "&lt;script&gt;" in picture
    assert "x" * 50 not in picture
    assert "\u202e" not in picture
    assert "two\\nlines" in picture


def test_it_has_an_accessible_name() -> None:
    assert 'role="img" aria-label="dots"' in drawn([0.5])


def test_a_rule_widens_the_axis() -> None:
    without, ruled = (forest([Dot(0, "a", 0.5, (0.4, 0.6))], "x", "alt", rule) for rule in (None, 0.0))
    assert dots_of(ruled)[0][0] > dots_of(without)[0][0]
    assert "stroke-dasharray" in ruled
