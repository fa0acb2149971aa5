"""Verdicts for CI systems: valid XML and Markdown that shows names as they are, whatever they hold."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.report.junit import junit_xml
from ortbatch.report.markdown import markdown_summary, text
from tests.unit.report.made import binary, label_tally, report, timed

GATES = ("recall[dog] >= 0.99", "accuracy >= 0.5", {"metric": "accuracy", "min": 0.8, "confidence": 0.95})
HOSTILE = '<script>alert(1)</script>|`*_[x](http://e.vil)\x00\x1b[2J\ud7ff&"'


def suite_of(made: dict[str, Any]) -> ET.Element:
    return ET.fromstring(junit_xml(made))


def named(name: str) -> dict[str, Any]:
    made = report(timed(label_tally([[9, 1], [2, 8]], (name, "other"))), "accuracy >= 0.5")
    verdict = {**made["gates"][0], "gate": f"recall[{name}] >= 1", "why": name, "outcome": "failed"}
    return {**made, "gates": [verdict]}


def test_a_gate_is_a_test_case_and_counts_agree() -> None:
    root = suite_of(binary(*GATES))
    suite = root.find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [
        "recall[dog] >= 0.99", "accuracy >= 0.5", "accuracy >= 0.8 (confidence 0.95)",
    ]  # fmt: skip
    assert [[child.tag for child in case] for case in cases] == [["failure"], ["system-out"], ["error"]]
    for element in (root, suite):
        assert [element.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["3", "1", "1", "0"]


def test_an_incomplete_run_is_an_error_of_its_own() -> None:
    made = {**binary("accuracy >= 0.5"), "status": "incomplete"}
    root = suite_of(made)
    assert (root.get("tests"), root.get("errors")) == ("2", "1")
    assert root.find(".//testcase[@name='coverage of the data']/error") is not None


def test_a_run_without_gates_has_an_empty_suite() -> None:
    assert suite_of(binary()).get("tests") == "0"


@given(st.text() | st.just(HOSTILE))
def test_any_name_gives_xml_that_parses_and_keeps_what_xml_can_hold(name: str) -> None:
    made = binary(GATES[1])
    made = {**made, "run": {**made["run"], "name": name}}
    made["gates"] = [{**made["gates"][0], "gate": name, "why": name, "outcome": "failed"}]
    case = suite_of(made).find(".//testcase")
    assert case is not None
    kept = re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", name)
    assert case.get("name") == kept.replace("\r\n", "\n").replace("\r", "\n") or case.get("name") == kept


def test_a_page_says_the_verdict_every_gate_and_its_numbers() -> None:
    page = markdown_summary(binary(*GATES))
    assert page.startswith("## ❌ made: failed\n")
    assert "| ❌ failed | recall&#91;dog&#93; >= 0.99 |" in page
    assert page.index("failed |") < page.index("inconclusive |") < page.index("passed |")
    assert "about 810 rows more like these would decide it" in page
    assert "| accuracy | 0.8250 | 0.7664–0.8714 |" in page


@given(st.text(min_size=1).map(lambda made: made + HOSTILE))
def test_no_name_breaks_a_table_or_becomes_markup(name: str) -> None:
    shown = text(name)
    assert not set(shown) & set("\\`*_{}[]<|~$@!\n\r")
    assert "&" not in re.sub(r"&#\d+;", "", shown)
    assert "#" not in re.sub(r"&#\d+;", "", shown)


def test_a_hostile_class_stays_in_its_cell() -> None:
    made = named(HOSTILE)
    page = markdown_summary(made)
    assert "<script" not in page
    assert "](" not in page
    for line in page.splitlines():
        if line.startswith("|"):
            assert line.count("|") in (7, 4, 6)


@pytest.mark.parametrize("made", [report(label_tally([[0, 0], [0, 0]])), report(label_tally([[1, 0], [0, 0]]))])
def test_a_report_without_rows_or_times_has_a_page(made: dict[str, Any]) -> None:
    assert "nothing was judged" in markdown_summary(made)
