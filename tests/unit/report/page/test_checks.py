"""Leakage and overfitting: every number is the report's; what was not looked for is not shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ortbatch.metrics.checked import GAPS, QUALITY
from ortbatch.report.page.blocks import Section, Sentence
from ortbatch.report.page.leakage import leakage
from ortbatch.report.page.overfitting import overfitting
from ortbatch.report.page.page import page
from tests.unit.report import made
from tests.unit.report.made_checks import LEAKAGE, TRAINING, leaky, of_three_classes
from tests.unit.report.made_checks import overfitting as trained
from tests.unit.report.page.cells import cell, keyed, tables, texts
from tests.unit.report.page.markup import parsed

BOTH = [leaky(), of_three_classes()]


def of(report: dict[str, Any], make: Any = leakage) -> Section:
    found = make(report)
    assert isinstance(found, Section)
    return found


def said(section: Section) -> str:
    return " ".join(block.text for block in section.blocks if isinstance(block, Sentence))


@pytest.mark.parametrize("make", [leakage, overfitting])
def test_what_was_not_looked_for_has_no_section(make: Any) -> None:
    assert make(made.binary()) is None


@pytest.mark.parametrize("report", BOTH, ids=["binary", "multiclass"])
def test_counts_and_shares_are_the_reports(report: dict[str, Any]) -> None:
    found, section = keyed(of(report)), report["leakage"]
    assert {found[f"leakage.{name}"] for name in ("share",)} == {section["share"]["value"]}
    assert found["leakage.duplicate_share"] == section["duplicate_share"]["value"]
    for name in ("rows", "duplicates", "conflicts", "training_conflicts"):
        assert found[f"leakage.{name}"] == section[name]


@pytest.mark.parametrize("report", BOTH, ids=["binary", "multiclass"])
def test_quality_without_leaked_rows_is_the_reports(report: dict[str, Any]) -> None:
    found, without = keyed(of(report)), report["leakage"]["without"]
    wanted = {f"leakage.without.{name}": without[name]["value"] for name in QUALITY if name in without}
    assert wanted.items() <= found.items()


def test_what_leaked_rows_are_worth_is_the_reports() -> None:
    report = leaky()
    table = tables(of(report))["What leaked rows are worth"]
    section = report["leakage"]
    assert cell(table, "accuracy", 1).value == report["quality"]["accuracy"]["value"]
    assert cell(table, "accuracy", 4).value == section["leaked"]["accuracy"]["value"]
    assert cell(table, "accuracy", 6).value == section["difference"]["accuracy"]


def test_without_leaked_rows_there_is_nothing_to_compare() -> None:
    section = of(leaky(leakage=replace(LEAKAGE, rows=0, leaked=()), leaked=None, without=None))
    assert "What leaked rows are worth" not in tables(section)
    assert section.badge == ""


def test_leaked_rows_stand_in_the_list_of_sections() -> None:
    assert (of(leaky()).badge, of(leaky()).tone) == ("20 leaked", "bad")


def test_rows_can_be_found_again() -> None:
    report = leaky()
    rows = report["leakage"]["examples"]
    wanted = [[row["file"], row["training_file"], str(row["row"]), str(row["training_row"])] for row in rows]
    assert texts(tables(of(report))["Leaked rows: some of them"]) == wanted


def test_rows_that_contradict_show_both_labels() -> None:
    report = leaky()
    (row,) = texts(tables(of(report))["Rows whose inputs have another label elsewhere: some of them"])
    (wanted,) = report["leakage"]["conflict_examples"]
    assert row[2:4] == [wanted["class"], wanted["other_class"]]


def test_columns_that_tell_the_label_are_named() -> None:
    (row,) = texts(tables(of(leaky()))["Columns that tell the label by themselves"])
    assert row == ["amount", "x", "roc_auc", "0.9980", "0.6000", "1,000"]


def test_labels_that_are_not_known_are_no_zero() -> None:
    none = replace(LEAKAGE, training_conflicts=None, contradicted=())
    report = leaky(leakage=none, training=replace(TRAINING, no_labels="there is no column `label`"))
    shown = tables(of(report))["What was found"]
    assert cell(shown, "have another label in the training data", 1).text == "–"
    assert "there is no column `label`" in shown.note


@pytest.mark.parametrize("report", BOTH, ids=["binary", "multiclass"])
def test_gaps_are_the_reports(report: dict[str, Any]) -> None:
    gaps, found = report["overfitting"]["gaps"], keyed(of(report, overfitting))
    assert {name for name in found if name.startswith("overfitting.")} == {f"overfitting.{gap}" for gap in gaps}
    assert all(found[f"overfitting.{gap}"] == item["value"] for gap, item in gaps.items())


def test_both_sides_of_a_gap_are_shown() -> None:
    report = leaky()
    table = tables(of(report, overfitting))["Training rows and evaluated rows"]
    assert cell(table, "accuracy", 1).value == report["overfitting"]["quality"]["accuracy"]["value"]
    assert cell(table, "accuracy", 2).value == report["quality"]["accuracy"]["value"]


def test_a_sample_of_training_rows_is_called_one() -> None:
    assert "a sample of 1,000, seed 7" in said(of(leaky(), overfitting))
    assert "all of them" in said(of(of_three_classes(), overfitting))


def test_training_rows_that_could_not_be_evaluated_are_no_gap_and_no_picture() -> None:
    report = leaky(overfitting=replace(trained(), tally=None, missing="the labels are not known"))
    section = of(report, overfitting)
    assert keyed(section)["overfitting.accuracy_gap"] is None
    assert "the labels are not known" in " ".join(row[0] for row in texts(tables(section)["What * stands for"]))
    assert len([name for name in GAPS if f"overfitting.{name}_gap" in keyed(section)]) == 4


@pytest.mark.parametrize("make", [leakage, overfitting])
def test_names_are_text_and_markup_is_well_formed(make: Any) -> None:
    report = leaky()
    for part in ("examples", "duplicate_examples", "conflict_examples"):
        for row in report["leakage"][part]:
            row["file"] = "</td><script>alert(1)</script>\u202e" + "x" * 10_000
    text = page("page.html", "x", [of(report, make)], {})
    assert sum(tag == "script" for tag, _ in parsed(text).elements) == 1
    assert len(text.encode()) < 150_000
