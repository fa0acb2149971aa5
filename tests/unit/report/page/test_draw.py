"""Charts as SVG in a page: named, in the page's colours, like from run to run, unlike from chart to chart."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import altair
import pytest
from altair.utils.schemapi import SchemaValidationError

from ortbatch.report.page.draw import HEIGHT, LINE, WIDTH, svg, unchecked

ALT = 'Recall of "cats" & <dogs> by threshold'


def chart(last: float = 0.5, title: str = "recall") -> altair.Chart:
    points = [{"x": 0, "y": 0}, {"x": 1, "y": last}]
    encoded = altair.Chart(altair.Data(values=points)).encode(x="x:Q", y=altair.Y("y:Q").title(title))
    return encoded.mark_line(clip=True)


@pytest.fixture(scope="module")
def drawn() -> str:
    return str(svg(chart(), ALT))


def test_it_is_one_picture_with_a_name(drawn: str) -> None:
    root = ElementTree.fromstring(drawn)
    assert root.tag.endswith("svg")
    assert (root.get("role"), root.get("aria-label")) == ("img", ALT)


@pytest.mark.parametrize("points", [[], [{"x": 0, "y": 0}]], ids=["of an empty layer", "of a point"])
def test_no_part_of_it_is_a_picture_of_its_own(points: list[dict[str, int]]) -> None:
    base = altair.Chart(altair.Data(values=points)).encode(x="x:Q", y="y:Q")
    drawn = ElementTree.fromstring(str(svg(altair.layer(chart(), base.mark_rule(), base.mark_point()), ALT)))
    named = [name for part in drawn.iter() if part is not drawn for name in ("aria-label", "title") if part.get(name)]
    assert named == []
    assert not any(part.get("role") == "graphics-symbol" for part in drawn.iter())


def test_it_is_as_large_as_its_plot_and_its_axes(drawn: str) -> None:
    _, _, width, height = map(float, str(ElementTree.fromstring(drawn).get("viewBox")).split())
    assert WIDTH < width < WIDTH + 60
    assert HEIGHT < height < HEIGHT + 60


def test_its_colours_are_those_of_the_page(drawn: str) -> None:
    colours = set(re.findall(r'(?:fill|stroke)="([^"]+)"', drawn))
    assert LINE in colours
    assert all(colour.startswith(("var(", "currentColor", "none", "transparent")) for colour in colours)


def test_it_has_no_style_no_script_and_asks_for_nothing(drawn: str) -> None:
    assert not re.search(r"style=|<style|<script|<image|<a |https?://(?!www\.w3\.org)", drawn)


def test_drawn_again_it_is_the_same_to_the_byte(drawn: str) -> None:
    svg(chart(0.9), "another one between")
    assert str(svg(chart(), ALT)) == drawn


def ids(text: str) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', text))


def test_two_charts_share_no_id_and_each_refers_to_its_own(drawn: str) -> None:
    other = str(svg(chart(0.9), "another"))
    assert ids(drawn)
    assert not ids(drawn) & ids(other)
    for text in (drawn, other):
        assert set(re.findall(r"url\(#([^)]+)\)", text)) <= ids(text)


def test_text_of_the_data_is_text() -> None:
    drawn = str(svg(chart(title="</svg><script>alert(1)</script>"), "hostile"))
    assert "<script" not in drawn
    assert "</svg><script>alert(1)</script>" in "".join(ElementTree.fromstring(drawn).itertext())


def test_a_name_cannot_leave_its_attribute() -> None:
    root = ElementTree.fromstring(str(svg(chart(), '" onload="alert(1)')))
    assert root.get("onload") is None


def test_charts_are_unchecked_only_where_they_may_be() -> None:
    with unchecked():
        altair.Axis(labelAngle="wrong")
    with pytest.raises(SchemaValidationError):
        altair.Axis(labelAngle="wrong")
