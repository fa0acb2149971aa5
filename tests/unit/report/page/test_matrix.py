"""The confusion matrix: every cell where it can be read, else the largest, and the rest is counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.tally import Tally
from ortbatch.report.page.blocks import Fragment, Section, Sentence
from ortbatch.report.page.matrix import matrix
from ortbatch.report.page.page import page
from tests.unit.report import made
from tests.unit.report.page.cells import tables, texts
from tests.unit.report.page.markup import parsed, script_of

ODD = ("<script>alert(1)</script>", "\"'`><b>", "👩\u200d💻 emoji", "x" * 10_000, "\u202egnp.exe", "two\nlines")


def counts(size: int, wrong: int = 3) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Most rows right, some taken for one of the next classes."""
    rng = np.random.default_rng(size)
    found = 50 * np.eye(size, dtype=np.int64)
    for step in range(1, min(wrong, size - 1) + 1):
        found[np.arange(size), (np.arange(size) + step) % size] += rng.integers(0, 9, size)
    return found


def report(size: int, classes: Sequence[str] | None = None) -> dict[str, Any]:
    return made.report(made.label_tally(counts(size), classes))


def sparse(size: int, rows: int = 60_000, classes: Sequence[str] | None = None) -> dict[str, Any]:
    """Without a matrix as large as all pairs."""
    rng = np.random.default_rng(size)
    true = rng.integers(0, size, rows)
    predicted = np.where(rng.random(rows) < 0.6, true, (true + rng.integers(1, 50, rows)) % size)
    names = tuple(classes or made.names(size))
    coverage = made.Coverage(planned=rows, evaluated=rows)
    return made.report(
        made.replace(Tally.empty(names, ()), coverage=coverage, confusion=ConfusionMatrix.of(names, true, predicted))
    )


def fragment(section: Section, template: str) -> dict[str, Any]:
    found = [block for block in section.blocks if isinstance(block, Fragment) and block.template == template]
    return dict(found[0].values) if found else {}


def cells(section: Section) -> list[list[int]]:
    return [[cell["count"] for cell in row["cells"]] for row in fragment(section, "matrix.html")["rows"]]


def html(section: Section) -> str:
    return page("page.html", "made", [section], {})


@pytest.mark.parametrize("size", [2, 10, 30])
def test_few_classes_have_the_whole_matrix(size: int) -> None:
    assert cells(matrix(report(size))) == counts(size).tolist()


def test_more_classes_have_none() -> None:
    assert fragment(matrix(report(31)), "matrix.html") == {}


@pytest.mark.parametrize("size", [2, 30])
def test_a_share_is_that_of_the_true_class(size: int) -> None:
    found = counts(size)
    for line, row in enumerate(fragment(matrix(report(size)), "matrix.html")["rows"]):
        for cell in row["cells"]:
            share = 100 * cell["count"] / found[line].sum()
            assert cell["share"] == "" if not cell["count"] else abs(float(cell["share"].strip("%<>")) - share) <= 0.51


@pytest.mark.parametrize(("rows", "shown"), [((1, 999_999), ("<0.1%", ">99.9%")), ((5, 995), ("0.5%", "99.5%"))])
def test_a_share_never_reads_as_none_or_all_if_it_is_not(rows: tuple[int, int], shown: tuple[str, str]) -> None:
    made_of = made.report(made.label_tally([list(rows), [0, 1]]))
    assert tuple(cell["share"] for cell in fragment(matrix(made_of), "matrix.html")["rows"][0]["cells"]) == shown


def test_larger_shares_have_stronger_shades_and_only_empty_cells_have_none() -> None:
    made_of = made.report(made.label_tally([[96, 4, 0], [50, 50, 0], [0, 0, 1]]))
    rows = fragment(matrix(made_of), "matrix.html")["rows"]
    shades = [[cell["class"] for cell in row["cells"]] for row in rows]
    assert shades[0] == ["hit s9", "miss s2", "miss s0"]
    assert shades[1] == ["miss s7", "hit s7", "miss s0"]


@pytest.mark.parametrize("size", [2, 10, 200])
def test_most_confused_pairs_are_the_reports(size: int) -> None:
    found = report(size)
    wanted = [
        [pair["true"], pair["predicted"], f"{pair['rows']:,}"] for pair in found["confusion_matrix"]["most_confused"]
    ]
    assert [row[:3] for row in texts(tables(matrix(found))["Most confused pairs of classes"])] == wanted


def test_a_model_that_confuses_nothing_says_so() -> None:
    said = [
        block.text
        for block in matrix(made.report(made.label_tally(np.eye(3, dtype=int)))).blocks
        if isinstance(block, Sentence)
    ]
    assert "No row is taken for another class." in said


def test_all_wrong_rows_are_counted() -> None:
    found = counts(200)
    said = matrix(report(200)).blocks[0]
    assert isinstance(said, Sentence)
    assert f"{found.sum() - np.trace(found):,} of {found.sum():,} rows are taken for another class" in said.text


@pytest.mark.parametrize("size", [3, 200, 1_000])
def test_the_finder_holds_every_confusion_where_there_is_room(size: int) -> None:
    data = fragment(matrix(report(size)), "finder.html")["data"]
    found = counts(size)
    np.fill_diagonal(found, 0)
    rebuilt = np.zeros_like(found)
    place = [int(name.removeprefix("class_")) for name in data["classes"]]
    for true, predicted, rows in np.reshape(data["cells"], (-1, 3)):
        rebuilt[place[true], place[predicted]] = rows
    assert (rebuilt == found).all()


def test_the_finder_knows_rows_and_hits_of_every_class() -> None:
    data = fragment(matrix(report(200)), "finder.html")["data"]
    found, place = counts(200), [int(name.removeprefix("class_")) for name in data["classes"]]
    assert sorted(place) == list(range(200))
    assert data["support"] == found.sum(axis=1)[place].tolist()
    assert data["hits"] == found.diagonal()[place].tolist()


def test_what_the_finder_leaves_out_is_counted() -> None:
    found = sparse(10_000)
    section = matrix(found)
    values = fragment(section, "finder.html")
    held = int(np.reshape(values["data"]["cells"], (-1, 3))[:, 2].sum())
    wrong = sum(rows for true, predicted, rows in found["confusion_matrix"]["cells"] if true != predicted)
    assert held < wrong
    assert f"Of {wrong:,} rows that are taken for another class, {held:,} can be found here." in values["left_out"]


def test_the_finder_keeps_the_largest_confusions() -> None:
    found = sparse(2_000, rows=200_000)
    held = np.reshape(fragment(matrix(found), "finder.html")["data"]["cells"], (-1, 3))[:, 2]
    wrong = sorted(
        (rows for true, predicted, rows in found["confusion_matrix"]["cells"] if true != predicted), reverse=True
    )
    assert held.tolist() == wrong[: len(held)]


@pytest.mark.parametrize("size", [2, 10, 200, 1_000, 10_000])
def test_the_section_is_small_whatever_the_number_of_classes(size: int) -> None:
    made_of = report(size) if size <= 200 else sparse(size)
    assert len(html(matrix(made_of)).encode()) < 500_000


@pytest.mark.parametrize("name", ["<'&\">" * 2_000, "🐈" * 10_000, "\x1b" * 1_500, "\u202e" * 1_500])
@pytest.mark.parametrize("size", [20, 200])
def test_the_section_is_small_whatever_the_names(name: str, size: int) -> None:
    section = matrix(report(size, tuple(f"{place}{name}" for place in range(size))))
    assert len(html(section).encode()) < 700_000


@pytest.mark.parametrize("classes", [ODD, (*ODD, *made.names(40))], ids=["few", "many"])
def test_names_are_text(classes: tuple[str, ...]) -> None:
    text = html(matrix(report(len(classes), classes)))
    found = parsed(text)
    assert sum(tag == "script" for tag, _ in found.elements) == 2
    assert not any(name.startswith("on") for _, values in found.elements for name in values)
    assert "\u202e" not in text


def test_data_of_the_finder_are_json_that_no_name_can_end() -> None:
    text = script_of(html(matrix(report(len(ODD), ODD))), "finder-data")
    assert not set("<>&'") & set(text)
    assert ODD[0] in json.loads(text)["classes"]


@pytest.mark.parametrize("size", [2, 30, 200])
def test_markup_is_well_formed(size: int) -> None:
    parsed(html(matrix(report(size))))


def test_every_cell_of_the_table_has_a_header_in_its_row_and_column() -> None:
    found = parsed(html(matrix(report(10))))
    scopes = [values.get("scope") for tag, values in found.elements if tag == "th"]
    assert scopes.count("row") >= 10
    assert scopes.count("col") >= 12


def test_without_script_no_control_is_shown() -> None:
    found = parsed(html(matrix(report(10))))
    controls = [
        values
        for _, values in found.elements
        if {"data-finder", "data-search"} & values.keys() or values.get("class") == "choice"
    ]
    assert controls
    assert all("hidden" in values or "data-search" in values for values in controls)
