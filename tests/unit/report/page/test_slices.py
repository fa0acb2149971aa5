"""Slices: every number is the report's, those that are worse by more than chance first, and said in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ortbatch.report.page.blocks import Section, Sentence
from ortbatch.report.page.page import page
from ortbatch.report.page.slices import slices
from tests.unit.report import made
from tests.unit.report.made_slices import Matrices, by, tally
from tests.unit.report.made_slices import made as countries
from tests.unit.report.page.cells import keyed, tables, texts
from tests.unit.report.page.markup import parsed

MAIN = "Slices, worse ones first"


def section(report: dict[str, Any]) -> Section:
    found = slices(report)
    assert found is not None
    return found


def shops(number: int, classes: tuple[str, ...] = ("cat", "dog"), prefix: str = "shop") -> dict[str, Any]:
    """Shop 0 is bad, shop 1 has four rows."""
    names = [f"{prefix} {place}" for place in range(number)]
    good: Matrices = {(name,): [[45, 5], [5, 45]] for name in names}
    good[(names[0],)], good[(names[1],)] = [[30, 20], [20, 30]], [[2, 0], [1, 1]]
    return made.report(tally([by("shop", *names)], good, classes=classes), positive=1)


def test_without_slices_there_is_no_section() -> None:
    assert slices(made.binary()) is None


def test_every_number_is_the_reports() -> None:
    report = countries()
    wanted: dict[str, Any] = {}
    for entry in report["slices"]:
        found = {name: item["value"] for name, item in entry.items() if isinstance(item, dict) and "ci" in item}
        wanted |= {f"{name}@{entry['name']}": value for name, value in found.items()}
        for row in entry["per_class"]:
            wanted |= {
                f"{name}[{row['class']}]@{entry['name']}": row[name]["value"] for name in ("recall", "precision", "f1")
            }
    assert keyed(section(report)) == wanted


def test_order_is_the_reports_worse_ones_first() -> None:
    report = countries()
    assert [row[0] for row in texts(tables(section(report))[MAIN])] == [entry["name"] for entry in report["slices"]]


def test_worse_by_more_than_chance_is_a_word() -> None:
    said = {row[0]: row[1] for row in texts(tables(section(countries()))[MAIN])}
    assert said["country=PL"].startswith("worse: accuracy")
    assert said["country=DE"] == ""


def test_the_tests_behind_it_are_shown() -> None:
    report = countries()
    wanted = [[entry["name"], test["metric"]] for entry in report["slices"] for test in entry["worse"]]
    assert wanted
    assert [row[:2] for row in texts(tables(section(report))["Worse by more than chance: the tests"])] == wanted


def test_how_many_are_worse_stands_in_the_list_of_sections() -> None:
    assert (section(countries()).badge, section(countries()).tone) == ("1 worse", "bad")


def test_small_slices_are_called_so() -> None:
    shown = section(shops(3))
    said = {row[0]: row[1] for row in texts(tables(shown)[MAIN])}
    assert "few rows" in said["shop=shop 1"]
    assert any("1 slice has fewer than 50" in block.text for block in shown.blocks if isinstance(block, Sentence))


def test_without_anything_to_say_there_is_no_empty_column() -> None:
    good: Matrices = {("a",): [[45, 5], [5, 45]], ("b",): [[45, 5], [5, 45]]}
    report = made.report(tally([by("shop", "a", "b")], good, classes=("cat", "dog")), positive=1)
    assert tables(section(report))[MAIN].head[:2] == ("slice", "rows")


def test_of_two_classes_accuracy_and_recall_are_drawn_and_of_more_accuracy() -> None:
    three: Matrices = {("a",): np.diag([9, 9, 9]).tolist(), ("b",): (np.diag([5, 5, 5]) + 1).tolist()}
    many = made.report(tally([by("shop", "a", "b")], three))
    assert page("page.html", "x", [section(countries())], {}).count("<figure>") == 2
    assert page("page.html", "x", [section(many)], {}).count("<figure>") == 1


def test_thirty_are_drawn_and_the_others_counted() -> None:
    text = page("page.html", "x", [section(shops(100))], {})
    assert "70 more in the table" in text


def test_those_that_are_surely_worse_come_first_in_the_picture() -> None:
    assert texts(tables(section(shops(40)))["recall by slice, worst first"])[0][0] == "shop=shop 0"


def test_a_small_slice_does_not_crowd_out_one_of_which_more_is_known() -> None:
    some: Matrices = {(f"{place}",): [[45, 5], [5, 45]] for place in range(20)}
    some |= {("low",): [[45, 5], [10, 40]], ("tiny",): [[1, 1], [1, 1]]}
    report = made.report(tally([by("shop", *(name for (name,) in some))], some, classes=("cat", "dog")), positive=1)
    assert not any(entry["worse"] for entry in report["slices"])
    rows = texts(tables(section(report))["recall by slice, worst first"])
    assert [row[0] for row in rows[:2]] == ["shop=low", "shop=tiny"]


@pytest.mark.parametrize("number", [2, 100, 1_000])
def test_the_section_is_small_whatever_the_number_of_slices(number: int) -> None:
    assert len(page("page.html", "x", [section(shops(number))], {}).encode()) < 500_000


def test_what_is_left_out_is_counted() -> None:
    table = tables(section(shops(1_000)))[MAIN]
    assert table.note == f"{len(table.rows)} of 1,000 slices are shown; report.json has all of them."


def test_names_are_text_and_markup_is_well_formed() -> None:
    text = page("page.html", "x", [section(shops(4, ("</td><script>alert(1)</script>", "\u202e&"), "<b>\"'"))], {})
    found = parsed(text)
    assert sum(tag == "script" for tag, _ in found.elements) == 1
    assert not any(tag == "b" for tag, _ in found.elements)


def test_undefined_shares_are_no_zeros() -> None:
    none: Matrices = {("a",): [[45, 5], [5, 45]], ("b",): [[40, 0], [0, 0]]}
    report = made.report(tally([by("shop", "a", "b")], none, classes=("cat", "dog")), positive=1)
    assert keyed(section(report))["recall@shop=b"] is None
