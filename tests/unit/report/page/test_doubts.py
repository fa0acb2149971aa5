"""Why a number bears a star stands in a table, each reason once."""

from __future__ import annotations

from typing import Any

from ortbatch.report.page.doubts import difference, doubts, starred

SURE: dict[str, Any] = {"value": 0.5, "ci": [0.4, 0.6], "method": "wilson"}
FEW: dict[str, Any] = {**SURE, "caution": "few rows"}
LONE: dict[str, Any] = {"value": 0.5, "ci": None, "reason": "biased"}
NONE: dict[str, Any] = {"value": None, "ci": None, "reason": "no scores"}


def test_a_sure_number_bears_no_star() -> None:
    value, between = starred(SURE, "recall[a]")
    assert (value.text, value.value, value.key, between.text, between.more) == (
        "0.5000",
        0.5,
        "recall[a]",
        "0.4000–0.6000",
        "",
    )


def test_a_caution_is_a_star_with_its_reason() -> None:
    _, between = starred(FEW)
    assert (between.text, between.more, between.tone) == ("0.4000–0.6000 *", "few rows", "doubt")


def test_a_value_without_interval_says_why() -> None:
    value, between = starred(LONE)
    assert (value.value, between.text, between.more) == (0.5, "none *", "biased")


def test_no_value_is_a_dash_with_its_reason_and_never_a_number() -> None:
    value, between = starred(NONE)
    assert (value.text, value.value, value.more, between.text) == ("–", None, "no value: no scores", "none *")


def test_a_difference_has_its_sign() -> None:
    value, between = difference({"value": 0.25, "ci": [-0.5, 1.0]})
    assert (value.text, between.text) == ("+0.2500", "-0.5000 to +1.0000")


def test_each_reason_stands_once_with_all_it_is_said_of() -> None:
    (table,) = doubts([("a", FEW), ("b", SURE), ("c", FEW), ("d", NONE), ("e", LONE)])
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["few rows", "a, c"],
        ["no value: no scores", "d"],
        ["biased", "e"],
    ]


def test_without_doubt_there_is_no_table() -> None:
    assert doubts([("a", SURE)]) == []


def test_of_very_many_names_some_are_counted() -> None:
    (table,) = doubts((f"name {place}", FEW) for place in range(1_000))
    text = table.rows[0][1].text
    shown = text.partition(" and ")[0].split(", ")
    assert text.endswith(f"and {1_000 - len(shown):,} more")
    assert len(text) < 500
