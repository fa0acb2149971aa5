"""What a notebook shows of a report: its numbers, and names that are never markup."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.report.format import interval, number
from ortbatch.report.report import Report
from tests.unit.report.made import binary, label_tally, multiclass, report

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True, database=None)
TAGS = {
    "div", "p", "strong", "br", "table", "caption", "thead", "tbody", "tr", "th", "td", "ul", "li",
}  # fmt: skip
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</div>", "&lt;", "'", "a\nb", "\x1b[31m"]


class Page(HTMLParser):
    """Tags in order, their attributes, and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(made: dict[str, Any]) -> Page:
    shown = Page(Report(json.loads(Report(made).encode()))._repr_html_())
    assert shown.open == []
    return shown


def test_the_verdict_stands_first() -> None:
    shown = page(multiclass("accuracy >= 0.99"))
    assert shown.texts[0] == "FAILED"
    assert "made" in shown.texts


@pytest.mark.parametrize("gate", ["accuracy >= 0.5", "recall[class_1] >= 0.95"])
def test_a_gate_is_shown_with_value_interval_and_rows(gate: str) -> None:
    made = json.loads(Report(multiclass(gate)).encode())
    (judged,) = made["gates"]
    texts = page(made).texts
    for cell in (
        gate,
        number(judged["value"], apart_from=judged["limit"]),
        interval(judged["ci"]),
        str(judged["rows"]),
    ):
        assert cell in texts


def test_quality_is_shown_with_intervals_and_undefined_metrics_are_left_out() -> None:
    made = json.loads(Report(multiclass()).encode())
    texts = page(made).texts
    at = texts.index("accuracy")
    assert texts[at + 1 : at + 3] == [number(56 / 60), interval(made["quality"]["accuracy"]["ci"])]
    assert "log_loss" not in texts


def test_findings_are_shown() -> None:
    made = binary()
    made["findings"] = [{"severity": "warning", "code": "a", "text": "look <here>"}]
    assert ": look <here>" in page(made).texts


def test_a_job_without_gates_says_so() -> None:
    assert "The job has no gates: nothing was judged." in page(binary()).texts


@pytest.mark.parametrize("odd", HOSTILE)
def test_names_are_text_whatever_they_hold(odd: str) -> None:
    counts = [[5, 1], [1, 5]]
    made = report(label_tally(counts, ("fine", odd)), {"metric": "recall", "class": odd, "min": 0.5})
    made["run"]["name"] = odd
    made["findings"] = [{"severity": "info", "code": "a", "text": odd}]
    shown = page(made)
    assert shown.tags <= TAGS
    assert shown.attributes <= {"class", "style", "scope"}


@SETTINGS
@given(st.text(min_size=1, max_size=30))
def test_any_text_is_inert(odd: str) -> None:
    made = multiclass()
    made["run"]["name"] = odd
    made["findings"] = [{"severity": "info", "code": "a", "text": odd}]
    shown = Page(Report(made)._repr_html_())
    assert (shown.open, shown.tags <= TAGS) == ([], True)


def test_it_brings_no_script_no_link_and_no_colour_of_the_page() -> None:
    text = Report(binary("accuracy >= 0.5"))._repr_html_()
    assert not any(word in text.lower() for word in ("<script", "<style", "href", "src=", "url(", "http"))
    assert text.count("background:#") == 1
    assert text.count("color:#") - text.count("background:#") <= 1


def test_a_hundred_gates_and_findings_are_cut_and_counted() -> None:
    made = binary(*(f"accuracy >= 0.{place:03}" for place in range(1, 101)))
    made["findings"] = [{"severity": "info", "code": "a", "text": f"finding {place}"} for place in range(100)]
    texts = page(made).texts
    assert "80 more gates in the report." in texts
    assert "90 more in the report" in texts
