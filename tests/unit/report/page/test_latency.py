"""The section on latency, and its percentile curves against sorted values."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.report.latency import encoded, latency_section
from ortbatch.report.page.blocks import Fragment, Section, Sentence
from ortbatch.report.page.latency import latency
from ortbatch.report.page.percentiles import curve_of
from tests.unit.report import made
from tests.unit.report.page.cells import cell, keyed, tables, texts

EMPTY = LatencyHistogram.empty()


@cache
def _section(text: str) -> Section:
    """Drawn once for each report: pictures take a while."""
    found = latency(json.loads(text))
    assert found is not None
    return found


def section(report: dict[str, Any]) -> Section:
    return _section(json.dumps(report))


def pictures(report: dict[str, Any]) -> list[dict[str, Any]]:
    block = next(block for block in section(report).blocks if isinstance(block, Fragment))
    return block.values["pictures"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("values", [1, 2, 7, 1_000, 54_321])
def test_a_percentile_curve_is_that_of_the_sorted_values(values: int) -> None:
    times = np.random.default_rng(values).lognormal(13, 1, values).astype(np.int64)
    curve = curve_of(str(encoded(LatencyHistogram.of(times))))
    ordered = np.sort(times)
    for nines, ms in curve:
        rank = min(max(math.ceil(round(values - values * 10**-nines, 6)), 1), values)
        assert ms == pytest.approx(ordered[rank - 1] / 1e6, rel=0.001)
    assert (curve[0][0], curve[-1][1]) == (0, pytest.approx(times.max() / 1e6, rel=0.001))


def test_percentiles_have_the_names_and_the_values_of_the_report() -> None:
    report = made.binary()
    found = keyed(section(report))
    for kind in ("single", "batch"):
        for name in ("mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99_9_ms", "max_ms"):
            assert found[f"latency.{kind}.{name}"] == report["latency"][kind][name]["value"]


def test_a_percentile_that_too_few_values_bound_says_so_and_how_many_would() -> None:
    table = tables(section(made.binary()))["Latency of the model"]
    assert cell(table, "p99.9", 2).text == cell(table, "p99.9", 4).text == "insufficient"
    assert cell(table, "p99", 2).text != "insufficient"
    assert table.note.endswith("Needed are: p99.9 3,688.")


def test_where_all_is_bounded_nothing_is_said_of_it() -> None:
    many = made.milliseconds(5_000)
    report = made.report(replace(made.timed(made.label_tally([[1, 0], [0, 1]])), latency=many), single=many)
    assert tables(section(report))["Latency of the model"].note == ""


def test_what_was_timed_stands_in_the_first_sentence() -> None:
    first = section(made.binary()).blocks[0]
    assert isinstance(first, Sentence)
    assert "1,000 predictions of one row with nothing else running, after 50 to warm up, 1 thread" in first.text
    assert "400 runs of up to 64 rows under load" in first.text


def test_what_was_not_timed_is_left_out() -> None:
    report = made.binary(single=EMPTY)
    assert tables(section(report))["Latency of the model"].head == ("statistic", "batch, ms", "95% interval")
    assert len(pictures(report)) == 1
    nothing = made.report(made.label_tally([[1, 0], [0, 1]]), single=EMPTY)
    assert latency(nothing) is None


def test_what_the_start_costs_stands_apart() -> None:
    started = {
        "threads": 1,
        "rows": 5,
        "warm_up": 9,
        "warm_up_s": 0.5,
        "stable": False,
        "session_s": 1.5,
        "first_ms": 7.25,
    }
    report = made.binary(single_facts=started)
    assert texts(tables(section(report))["What the start costs, in no percentile"]) == [
        ["loading the session", "1.5000", "s"], ["first prediction", "7.2500", "ms"], ["warm-up", "0.5000", "s"],
        ["steady after warm-up", "no", ""],
    ]  # fmt: skip
    assert keyed(section(report))["latency.single.first_ms"] == 7.25


def test_a_transform_and_baselines_are_drawn_with_the_model() -> None:
    report = made.binary()
    of = made.milliseconds(400)
    timed = latency_section(of, 64, of, {"threads": 1, "rows": 5, "warm_up": 9}, of)
    ratio = {"value": 2.0, "ci": [1.5, 2.5], "method": "order_statistics_log"}
    timed["baselines"] = {
        "old <b>": {"batch": timed["batch"], "single": timed["batch"], "single_ratio": ratio, "batch_ratio": ratio}
    }
    report["latency"] = made_plain(timed)
    rows = texts(tables(section(report))["Latency of the transform and of baselines"])
    assert {(row[0], row[1]) for row in rows} == {
        ("transform", "single"), ("baseline old <b>", "single"), ("baseline old <b>", "batch"),
    }  # fmt: skip
    assert all("baseline old &lt;b&gt;" in picture["svg"] for picture in pictures(report))
    assert (
        texts(tables(section(report))["Median of a baseline over the model's; above 1 the model is faster"])[0][2]
        == "2.0000 ×"
    )


def made_plain(value: Any) -> Any:
    from ortbatch.report.encode import plain

    return plain(value)
