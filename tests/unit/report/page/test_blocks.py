"""What a page is made of: texts are inert, numbers keep their value."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from ortbatch.report.page.blocks import Block, Cell, Section, Sentence, Table, count, estimate, figure, word
from ortbatch.report.page.page import page


class Read(HTMLParser):
    """Tags with attributes, and text, of a part of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def drawn(*blocks: Block) -> Read:
    """The inside of the only section of a page."""
    made = page("page.html", "t", [Section("it", "It", blocks)], {})
    return Read(made[made.index("<main") : made.index("</main>")])


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e-12, 123456.789, -0.0, 1.0, 7])
def test_a_number_keeps_its_value_to_the_last_bit(value: float) -> None:
    (data,) = drawn(Table("t", ("a", "b"), [(word("x"), figure(value, "accuracy"))])).all("data")
    assert data["data-key"] == "accuracy"
    kept = json.loads(str(data["value"]))
    assert (kept, type(kept)) == (value, type(value))


def test_a_count_has_separators_for_the_eye_only() -> None:
    read = drawn(Table("t", ("a", "b"), [(word("x"), count(1_234_567))]))
    assert read.all("data")[0]["value"] == "1234567"
    assert "1,234,567" in read.text


def test_an_estimate_without_value_says_why() -> None:
    value, why = estimate({"value": None, "ci": None, "reason": "no rows of `a`"}, "recall[a]")
    assert (value.text, value.value, value.more) == ("–", None, "no rows of `a`")
    assert why.text == "no rows of `a`"


def test_a_cautioned_interval_has_a_star_and_the_caution() -> None:
    _, between = estimate({"value": 0.5, "ci": [0.4, 0.6], "caution": "few rows"})
    assert between == Cell("0.4000–0.6000 *", tone="doubt", more="few rows")


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\"'><img src=x onerror=y>", "{{ 1 }}", "a & b"])
def test_a_name_is_text_wherever_it_stands(text: str) -> None:
    read = drawn(
        Sentence(text), Table(text, (text, "n"), [(Cell(text, more=text), Cell(text, 1, key=text))], note=text)
    )
    assert {tag for tag, _ in read.tags}.isdisjoint({"script", "img"})
    assert read.text.count(text) == 6
    assert read.all("data")[0]["data-key"] == text


def test_a_long_name_is_cut_with_the_rest_on_hover() -> None:
    cell = word("x" * 200)
    assert len(cell.text) == 80
    assert cell.more == "x" * 200


def test_a_short_name_has_nothing_on_hover() -> None:
    assert word("cat").more == ""


def test_what_stands_between_backticks_is_code() -> None:
    read = drawn(Sentence("it misses `fraud` and `<b>`"))
    assert len(read.all("code")) == 2
    assert "it misses fraud and <b>" in read.text


def test_a_lone_backtick_stays_one() -> None:
    assert Sentence("a ` b").parts == [("a ` b", False)]


def test_no_character_of_a_sentence_is_lost_but_backticks() -> None:
    text = "`a` b `c`d``"
    assert "".join(part for part, _ in Sentence(text).parts) == text.replace("`", "")


def test_a_sentence_that_is_too_long_is_cut() -> None:
    assert len(Sentence("x" * 10_000).shown) == 600


def classes(read: Read, tag: str) -> list[str]:
    return [str(attributes.get("class", "")) for attributes in read.all(tag)]


def test_columns_of_text_at_both_ends_stand_left() -> None:
    row = (word("a"), count(1), count(2), word("why"))
    read = drawn(Table("t", ("a", "b", "c", "d"), [row], texts=1, ends=1))
    assert classes(read, "th") == ["", "number", "number", "", ""]  # the last is the row's own head
    assert classes(read, "td") == ["number", "number", ""]


def test_a_head_without_text_is_no_head() -> None:
    read = drawn(Table("t", ("", "b"), [(word("a"), count(1))]))
    assert [attributes["scope"] for attributes in read.all("th")] == ["col", "row"]


def test_a_folded_table_is_closed_and_named() -> None:
    read = drawn(Table("the numbers", ("a",), [(word("x"),)], folded=True))
    assert read.all("details") == [{}]
    assert read.text.count("the numbers") == 2  # summary and caption


def test_a_field_of_a_table_waits_for_the_script_that_works_it() -> None:
    (label,) = drawn(Table("t", ("a",), [(word("x"),)], search=True)).all("label")
    assert "hidden" in label


def test_a_mark_is_drawn_for_the_eye_only() -> None:
    (mark,) = drawn(Table("t", ("a",), [(Cell("failed", tone="bad", mark=True),)])).all("svg")
    assert mark["aria-hidden"] == "true"
