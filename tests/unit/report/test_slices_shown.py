"""Slices as others see them: the schema, gates, metrics.csv and the terminal."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from ortbatch.job import MetricRef
from ortbatch.report.gates import Found, look_up
from ortbatch.report.schema import problems_of
from ortbatch.report.slices import written
from ortbatch.report.summary import print_summary
from ortbatch.report.table import metrics_table
from tests.unit.report.made import label_tally, report, timed
from tests.unit.report.made_slices import OF_WORLD, WORLD, Matrices, by, made, tally


def test_a_report_with_slices_keeps_the_schema() -> None:
    assert problems_of(made()) == []
    assert problems_of(report(tally(WORLD, OF_WORLD), positive=1)) == []


@pytest.mark.parametrize("place", [(), ("worse", 0), ("per_class", 0), ("accuracy",)])
def test_an_extra_key_in_a_slice_is_refused(place: tuple[Any, ...]) -> None:
    changed = made()
    item = changed["slices"][0]
    for key in place:
        item = item[key]
    item["extra"] = 1
    assert any("'extra' was unexpected" in problem for problem in problems_of(changed))


@pytest.mark.parametrize(
    ("ref", "value", "rows"),
    [
        ("accuracy@country=PL", 0.6, 100),
        ("recall@country=PL", 0.6, 50),
        ("precision[cat]@country=DE", 0.9, 50),
        ("recall[dog]@country=DE", 0.9, 50),
        ("specificity[dog]@country=DE", 0.9, 50),
        ("f1@vip=true,country=DE", 0.8, 150),
        ('accuracy@country="(null)",vip="a, b"', 0.8, 150),
    ],
)
def test_a_metric_of_a_slice_is_found(ref: str, value: float, rows: int) -> None:
    found = look_up(MetricRef.parse(ref), made())
    assert isinstance(found, Found)
    assert (found.estimate["value"], found.rows) == (pytest.approx(value), rows)


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        (
            "accuracy@country=LP",
            "the report has no slice `country=LP`; nearest are `country=PL`, `country=FR`, `country=DE`",
        ),
        (
            "recall[cat]@vip=true,country=DE2",
            "the report has no slice `vip=true,country=DE2`; nearest are `country=DE,vip=true`, "
            '`country="(null)",vip="a, b"`',
        ),
        ("roc_auc[cat]@country=DE", "the report has no metric `roc_auc[cat]@country=DE`: it is not kept for slices"),
        ("recall[emu]@country=DE", "the report has no metric `recall[emu]@country=DE`: it is not kept for slices"),
    ],
)
def test_what_is_not_found_is_said_with_what_is_near(ref: str, said: str) -> None:
    found = look_up(MetricRef.parse(ref), made())
    assert isinstance(found, str)
    # Which of several equally near ones comes first is no promise.
    assert sorted(found) == sorted(said)


def test_a_slice_of_other_columns_names_any() -> None:
    found = look_up(MetricRef.parse("accuracy@device=ios"), made())
    assert isinstance(found, str)
    assert found.startswith("the report has no slice `device=ios`; nearest are `country=")


def test_a_report_without_slices_says_so() -> None:
    plain_report = report(timed(label_tally([[1, 0], [0, 1]])), positive=1)
    said = "the report has no slice `country=DE`: the job asked for none"
    assert look_up(MetricRef.parse("accuracy@country=DE"), plain_report) == said


@pytest.mark.parametrize("section", [made(), report(tally(WORLD, OF_WORLD), positive=1)], ids=["crossed", "one"])
def test_every_line_of_the_table_is_what_the_report_says(section: dict[str, Any]) -> None:
    rows = [row for row in csv.DictReader(io.StringIO(metrics_table(section), newline="")) if row["slice"]]
    assert {row["slice"] for row in rows} == {entry["name"] for entry in section["slices"]}
    for row in rows:
        of = MetricRef.parse(f"accuracy@{row['slice']}").slice
        found = look_up(MetricRef(row["metric"], class_name=row["class"] or None, slice=of), section)
        assert isinstance(found, Found), row
        assert (float(row["value"]) if row["value"] else None) == found.estimate["value"]
        assert int(row["n"]) == found.rows
        assert [float(row[end]) for end in ("lo", "hi") if row[end]] == (found.estimate["ci"] or [])


def shown(section: dict[str, Any], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_summary(section, console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


HEAD = ["slice,", "worse", "first", "rows", "accuracy,", "95%", "recall,", "95%", "precision,", "95%"]


def test_a_terminal_shows_worse_slices_first_with_intervals() -> None:
    lines = shown(made(), 100)
    first = next(number for number, line in enumerate(lines) if line.startswith("slice, worse first"))
    assert lines[first].split() == HEAD
    assert lines[first + 2].split() == ["country=PL", "100", "0.6000", "0.50–0.70", *["0.6000", "0.46–0.73"] * 2]
    assert lines[first + 3].split()[0] == "country=DE"
    assert "1 slice of 5 worse by more than chance (Holm, 0.05)" in lines[first + 7]


def test_a_terminal_shows_twenty_slices_and_how_many_more() -> None:
    values = [f"v{number:02}" for number in range(30)]
    matrices: Matrices = {(value,): [[5, 1, 0], [1, 5, 0], [0, 0, 5]] for value in values}
    lines = shown(report(tally([by("c", *values)], matrices)), 80)
    assert sum(line.startswith("c=v") for line in lines) == 20
    assert "0 slices of 30 worse by more than chance (Holm, 0.05); 10 more in the report" in lines


@pytest.mark.parametrize("text", ["[red]x[/red]", "\x1b[2J", "two\nlines", "x" * 900, "猫" * 50])
def test_names_are_inert_and_no_line_is_too_wide(text: str) -> None:
    section = report(tally([by(text, text, "b")], {(text,): [[5, 1], [1, 5]], ("b",): [[5, 1], [1, 5]]}), positive=1)
    lines = shown(section, 80)
    assert max(map(cell_len, lines)) <= 80
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("text", ["DE", "", " ", "a,b", "a=b", 'a"b', "(null)", "0..10", "below 0", "é\n", "[x]", "@"])
def test_every_name_reads_back_as_the_slice_that_it_is(text: str) -> None:
    name = written({"country": text, text or "x": "y"})
    assert MetricRef.parse(f"accuracy@{name}").slice == (("country", text), (text or "x", "y"))
