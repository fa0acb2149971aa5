"""A latency curve: its numbers by hand, the knee, what keeps a limit, and what is said of them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.timed import TimedBatches, WarmUp
from ortbatch.report.latency_curve import CurveFacts, Host, LatencyCurve, curve_of
from ortbatch.report.latency_curve_plot import curve_svg
from ortbatch.report.latency_curve_schema import CURVE_SCHEMA, problems_of_curve
from ortbatch.report.latency_curve_text import print_curve

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "latency.md"
HOST = Host("a cpu", 2, {"onnxruntime": "1.32.0"})
FACTS = CurveFacts("made", "a" * 64, "2026-11-28T07:00:00Z", (1, 4), 30.0, 29.5, None, 500, HOST)
ENOUGH = 400


def timed(
    size: int, ms: float | Sequence[float], *, runs: int = ENOUGH, threads: int = 1, stable: bool = True
) -> TimedBatches:  # fmt: skip
    """Runs of one size that all take the same, or the times that are given."""
    values = np.full(runs, ms) if isinstance(ms, float) else np.array(ms)
    histogram = LatencyHistogram.of((values * 1e6).astype(np.int64))
    return TimedBatches(size, threads, 0.01, min(500, size * 10), WarmUp(50, 0.001, stable), histogram)


def curve(*runs: TimedBatches, limit: float | None = None, **facts: Any) -> LatencyCurve:
    made = curve_of(CurveFacts(**{**vars(FACTS), **facts}), runs, limit)
    assert problems_of_curve(json.loads(made.encode())) == []
    return made


def shown(made: LatencyCurve, width: int = 80) -> str:
    page = io.StringIO()
    print_curve(made.data, Console(file=page, width=width))
    return page.getvalue()


def test_the_schema_itself_is_valid() -> None:
    Draft202012Validator.check_schema(CURVE_SCHEMA)
    assert curve(timed(1, 1.0)).data["schema_version"] == 1


def test_a_curve_that_breaks_its_schema_is_told_where() -> None:
    made = json.loads(curve(timed(1, 1.0)).encode())
    del made["points"][0]["stable"]
    assert problems_of_curve(made) == ["points.0: 'stable' is a required property"]


def test_rows_a_second_are_of_the_median_and_of_all_runs() -> None:
    # 300 runs of 2 ms and 100 of 10 ms: the median is 2 ms, all take 1.6 s.
    (point,) = curve(timed(8, [2.0] * 300 + [10.0] * 100)).points
    assert point["rows_per_s_at_p50"]["value"] == pytest.approx(8 / 0.002, rel=1e-3)
    assert point["rows_per_s"]["value"] == pytest.approx(8 * 400 / 1.6, rel=1e-9)


def test_the_interval_of_a_rate_is_that_of_the_median_turned_round() -> None:
    (point,) = curve(timed(8, np.linspace(1.0, 3.0, ENOUGH).tolist())).points
    low, high = point["p50_ms"]["ci"]
    assert point["rows_per_s_at_p50"]["ci"] == pytest.approx([8e3 / high, 8e3 / low])
    assert point["rows_per_s"]["ci"] is None


def test_percentiles_that_too_few_runs_bound_are_insufficient() -> None:
    (point,) = curve(timed(8, 1.0, runs=30)).points
    assert point["p50_ms"]["ci"] is not None
    assert point["p90_ms"]["reason"] == "insufficient: 36 values bound this percentile, got 30"
    assert point["p99_ms"]["reason"] == "insufficient: 368 values bound this percentile, got 30"
    assert shown(curve(timed(8, 1.0, runs=30))).count("insufficient") == 2


def test_no_runs_at_all_leave_every_number_undefined() -> None:
    (point,) = curve(timed(8, [])).points
    assert point["rows_per_s"] == {"value": None, "ci": None, "reason": "no values"}


# Rows a second at the median: 1,000, 3,200, 8,900, 9,500, 10,000 and 9,000.
LADDER = [timed(1, 1.0), timed(4, 1.25), timed(16, 16 / 8.9), timed(32, 32 / 9.5), timed(64, 6.4), timed(128, 128 / 9)]


def test_the_knee_is_the_smallest_size_with_nine_tenths_of_the_most_rows_a_second() -> None:
    (knee,) = curve(*LADDER).data["knees"]
    assert (knee["threads"], knee["batch_size"]) == (1, 32)
    assert knee["share_of_best"] == pytest.approx(0.95, rel=2e-3)


def test_each_number_of_threads_has_its_knee() -> None:
    knees = curve(*LADDER, timed(1, 0.5, threads=2), timed(4, 1.99, threads=2)).data["knees"]
    assert [(knee["threads"], knee["batch_size"]) for knee in knees] == [(1, 32), (2, 1)]


def test_the_largest_batch_within_a_limit_is_named_with_its_rows_a_second() -> None:
    made = curve(*LADDER, limit=4.0)
    (pick,) = made.data["within"]
    assert (pick["batch_size"], pick["surely"], pick["undecided"]) == (32, True, [])
    assert pick["rows_per_s"]["value"] == pytest.approx(9_500, rel=1e-3)
    assert (made.data["outcome"], made.exit_code) == ("passed", 0)
    assert "p99 within 4 ms, 1 thread: batches of up to 32: 9,500 rows/s; p99 3.3" in shown(made)


def test_a_p99_whose_interval_reaches_beyond_the_limit_is_not_sure() -> None:
    # Of 400 runs the five slowest lie beyond: the interval of p99 ends among them.
    made = curve(timed(4, [1.0] * 395 + [1.5] * 5), limit=1.2)
    (pick,) = made.data["within"]
    assert (pick["batch_size"], pick["surely"]) == (None, False)
    made = curve(timed(4, [1.0] * 397 + [1.5] * 3), limit=1.2)
    (pick,) = made.data["within"]
    assert (pick["batch_size"], pick["surely"], made.exit_code) == (4, False, 0)
    assert "though its interval reaches beyond" in " ".join(shown(made).split())


def test_a_limit_that_no_size_keeps_exits_with_1() -> None:
    made = curve(*LADDER, limit=0.5)
    assert (made.data["within"][0]["batch_size"], made.data["outcome"], made.exit_code) == (None, "failed", 1)


def test_sizes_of_which_it_cannot_be_told_exit_with_4() -> None:
    made = curve(timed(1, 1.0, runs=100), timed(4, 9.0), limit=2.0)
    assert (made.data["within"][0]["undecided"], made.data["outcome"], made.exit_code) == ([1], "inconclusive", 4)
    assert "too few runs to tell of 1: p99 needs 368" in " ".join(shown(made).split())


def test_a_larger_size_that_might_keep_the_limit_is_named_beside_the_one_that_does() -> None:
    (pick,) = curve(timed(1, 1.0), timed(4, 1.5, runs=100), timed(8, 5.0, runs=100), limit=2.0).data["within"]
    assert (pick["batch_size"], pick["undecided"]) == (1, [4])


def test_a_smaller_size_that_cannot_be_told_does_not_matter() -> None:
    (pick,) = curve(timed(1, 1.0), timed(4, 1.2, runs=100), timed(8, 1.5), limit=2.0).data["within"]
    assert (pick["batch_size"], pick["undecided"]) == (8, [])


def test_without_a_limit_nothing_is_judged() -> None:
    made = curve(*LADDER)
    assert (made.data["within"], made.data["outcome"], made.exit_code) == ([], "ungated", 0)


@pytest.mark.parametrize(
    ("runs", "facts", "said"),
    [
        ([timed(8, 1.0)], {"fixed_batch": 8}, "the model takes batches of 8 only: no other size was run"),
        ([timed(4, 1.0), timed(64, 1.0)], {"rows": 20}, "there were 20 rows: batches of 64 repeat them"),
        ([timed(4, 1.0, stable=False)], {}, "not steady when warm-up ended: batches of 4; free the machine, or give"),
        ([timed(4, 1.0, threads=3)], {}, "3 threads on 2 processors: they wait for each other"),
    ],
)
def test_what_the_reader_should_know_is_noted(runs: list[TimedBatches], facts: dict[str, Any], said: str) -> None:
    made = curve(*runs, **facts)
    (note,) = made.data["notes"]
    assert note.startswith(said)
    assert f"note: {said}" in " ".join(shown(made).split())


def test_there_is_nothing_to_note_of_a_good_curve() -> None:
    assert curve(*LADDER).data["notes"] == []
    assert curve(timed(8, 1.0), fixed_batch=8, asked=(8,)).data["notes"] == []


def test_the_table_and_the_bars_fit_in_80_columns() -> None:
    wide = [timed(size, 12345.678 / 2048 * size, threads=threads) for threads in (1, 16) for size in (1, 2_048)]
    lines = shown(curve(*wide)).splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line.endswith("…") for line in lines)


def test_the_longest_bar_is_that_of_the_most_rows_a_second() -> None:
    bars = [line.count("█") for line in shown(curve(*LADDER)).splitlines() if "█" in line]
    assert len(bars) == len(LADDER)
    assert max(range(len(bars)), key=lambda place: bars[place]) == 4


def test_names_from_outside_are_no_markup() -> None:
    assert "[red]job[/red]" in shown(curve(timed(1, 1.0), job="[red]job[/red]"))


def test_the_picture_is_xml_and_has_every_series() -> None:
    made = curve(*LADDER, timed(1, 0.5, threads=2), timed(4, 1.0, threads=2, runs=40))
    root = ElementTree.fromstring(curve_svg(made.data))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert texts >= {f"{p}, {t}" for p in ("p50", "p90", "p99") for t in ("1 thread", "2 threads")}
    assert texts >= {"made: latency by batch size", "latency, ms", "rows of a batch", "rows a second"}


def test_the_picture_has_a_point_for_every_percentile_of_every_size() -> None:
    picture = curve_svg(curve(*LADDER).data)
    points = [part for part in picture.split("<path") if 'aria-roledescription="point"' in part]
    # In both panels: by size, and against rows a second.
    assert len(points) == 2 * 3 * len(LADDER)


def test_a_name_that_is_xml_cannot_break_the_picture() -> None:
    made = curve(timed(1, 1.0), job="a<b>&c")
    texts = {element.text for element in ElementTree.fromstring(curve_svg(made.data)).iter()}
    assert "a<b>&c: latency by batch size" in texts


def keys_of(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Dotted paths of the keys that the document names one by one; entries of `knees` and `within` stand in words."""
    if path in ("knees", "within"):
        return
    if schema.get("type") == "array":
        yield from keys_of(schema["items"], f"{path}[]")
        return
    for name, inner in schema.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        yield below
        yield from keys_of(inner, below)


@pytest.mark.parametrize("key", sorted(set(keys_of(CURVE_SCHEMA))))
def test_every_key_is_described(key: str) -> None:
    assert key in set(re.findall(r"`([^`\n]+)`", DOCUMENT.read_text()))


@pytest.mark.parametrize("part", ["knees", "within"])
def test_every_key_of_an_advice_is_described(part: str) -> None:
    (row,) = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| `{part}` |")]
    described = set(re.findall(r"`([^`\n]+)`", row)) | {"threads"}
    assert described >= CURVE_SCHEMA["properties"][part]["items"]["properties"].keys()
