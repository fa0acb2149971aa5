"""The page of a report: a pure function of it, one file, with a policy that holds exactly what stands in it."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import subprocess
import sys
from typing import Any

import pytest

from ortbatch.report.encode import encode
from ortbatch.report.page.blocks import Section, Sentence
from ortbatch.report.page.page import page, report_page
from tests.unit.report.made import binary, multiclass

GATES = ("accuracy >= 0.99", "latency.single.p99_ms <= 10")


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(encode(binary(*GATES)))
    return decoded


@pytest.fixture(scope="module")
def made(report: dict[str, Any]) -> str:
    return report_page(report)


def test_the_same_report_gives_the_same_page_to_the_byte(report: dict[str, Any], made: str) -> None:
    assert report_page(report) == made


def test_the_report_is_not_changed(report: dict[str, Any]) -> None:
    before = copy.deepcopy(report)
    report_page(report)
    assert report == before


def test_the_policy_names_the_hashes_of_what_stands_in_the_page(made: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', made)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].replace("&#39;", "'").split(";"))
    for tag, kind in (("style", "style-src"), ("script", "script-src")):
        (inner,) = re.findall(rf"<{tag}>(.*?)</{tag}>", made, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"


def test_nothing_in_it_needs_what_the_policy_forbids(made: str) -> None:
    assert not re.search(r'<[^>]+\s(style|on\w+)="', made)
    assert not re.search(r"<(link|script)[^>]+(href|src)=\"(?!data:,)", made)


def test_every_address_in_it_is_a_name_of_a_namespace(made: str) -> None:
    assert set(re.findall(r"https?://[\w./]+", made)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def headings(made: str) -> list[str]:
    return re.findall(r'<h2 id="([\w-]+)-title">', made)


def test_sections_without_data_are_left_out(made: str) -> None:
    bare = headings(report_page(json.loads(encode(multiclass()))))
    assert {"gates", "thresholds", "calibration"}.isdisjoint(bare)
    assert {"gates", "thresholds", "calibration"} <= set(headings(made))
    assert {"slices", "fidelity"}.isdisjoint(headings(made))


def test_findings_and_gates_stand_before_the_numbers(made: str) -> None:
    order = headings(made)
    assert order.index("gates") < order.index("quality") < order.index("latency") < order.index("provenance")
    assert order[-2:] == ["coverage", "provenance"]


def test_a_page_of_one_section_has_no_list_of_sections() -> None:
    one = [Section("a", "A", [Sentence("x")])]
    assert "<nav" not in page("page.html", "t", one, {})
    assert "<nav" in page("page.html", "t", [*one, Section("b", "B", [])], {})


def test_a_badge_stands_beside_its_section() -> None:
    sections = [Section("a", "A", []), Section("b", "B", [], "1 of 5", "bad")]
    assert '<a href="#b">B <span class="badge bad">1 of 5</span></a>' in page("page.html", "t", sections, {})


def test_a_title_is_text() -> None:
    assert "<title>&lt;b&gt;</title>" in page("page.html", "<b>", [], {})


def test_importing_it_loads_nothing_heavy() -> None:
    script = (
        "import sys, ortbatch.report.page.page; print(*{'altair', 'vl_convert', 'jinja2', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
