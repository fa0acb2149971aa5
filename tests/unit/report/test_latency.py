"""Histograms of the report, read by the official HdrHistogram library and held against sorted arrays.

And what is said of how single predictions were measured.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from rich.console import Console

from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.report.latency import PERCENTILES, encoded, latency_section, latency_values
from ortbatch.report.schema import problems_of
from ortbatch.report.summary import print_summary
from tests.unit.report.made import milliseconds, multiclass

QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
VALUES = 20_000

Values = np.ndarray
Make = Callable[..., Values]


def lognormal(seed: int = 0) -> Values:
    """Around 200 µs, with a tail of a hundred times that."""
    return np.exp(np.random.default_rng(seed).normal(math.log(2e5), 1.2, VALUES)).astype(np.int64)


def pareto(seed: int = 0) -> Values:
    """A tail so heavy that the mean tells nothing."""
    return (20_000 * (1 + np.random.default_rng(seed).pareto(1.1, VALUES))).astype(np.int64)


def stalled(seed: int = 0) -> Values:
    """Runs of 15 µs, one in a hundred of which a garbage collection holds up for 80 ms."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(VALUES) < 0.01, rng.normal(8e7, 1e6, VALUES), rng.normal(15_000, 300, VALUES)).astype(
        np.int64
    )


MADE = pytest.mark.parametrize("made", [lognormal, pareto, stalled], ids=lambda made: str(made.__name__))


@MADE
@pytest.mark.parametrize("quantile", QUANTILES)
def test_the_official_library_reads_the_same_percentiles(made: Make, quantile: float) -> None:
    histogram = LatencyHistogram.of(made())
    read = HdrHistogram.decode(encoded(histogram))
    ours = histogram.percentile_ms(quantile).value
    assert read.get_total_count() == VALUES
    assert read.get_value_at_percentile(quantile * 100) / 1e6 == pytest.approx(ours, rel=1e-9)


@MADE
def test_the_official_library_reads_the_ends_and_the_mean(made: Make) -> None:
    values = made()
    read = HdrHistogram.decode(encoded(LatencyHistogram.of(values)))
    assert read.get_max_value() == pytest.approx(values.max(), rel=1e-3)
    assert read.get_min_value() == pytest.approx(values.min(), rel=1e-3)
    assert read.get_mean_value() == pytest.approx(values.mean(), rel=1e-3)


def skewed_shards(values: Values) -> list[Values]:
    """Shards of very different size and level: sorted, and cut where the size doubles."""
    ordered = np.sort(values)
    return np.split(ordered, [10, 30, 70, 150, 310, 2_000, 15_000])


@MADE
@pytest.mark.parametrize("quantile", QUANTILES)
def test_merged_percentiles_are_within_a_thousandth_of_the_pooled_ones(made: Make, quantile: float) -> None:
    pooled = np.concatenate([np.sort(made(seed)) for seed in range(3)])
    shards = [shard for seed in range(3) for shard in skewed_shards(made(seed))]
    merged = reduce(LatencyHistogram.merge, map(LatencyHistogram.of, shards), LatencyHistogram.empty())
    exact = np.sort(pooled)[math.ceil(round(quantile * pooled.size, 6)) - 1]
    assert merged.percentile_ms(quantile).value == pytest.approx(exact / 1e6, rel=1e-3)


@MADE
def test_what_shards_give_together_is_encoded_as_what_all_give(made: Make) -> None:
    values = made()
    merged = reduce(LatencyHistogram.merge, map(LatencyHistogram.of, skewed_shards(values)))
    assert encoded(merged) == encoded(LatencyHistogram.of(values))


def test_official_histograms_add_up_to_the_merged_one() -> None:
    total = HdrHistogram.decode(encoded(LatencyHistogram.of(lognormal(0))))
    total.add(HdrHistogram.decode(encoded(LatencyHistogram.of(pareto(1)))))
    merged = LatencyHistogram.of(lognormal(0)).merge(LatencyHistogram.of(pareto(1)))
    assert total.get_value_at_percentile(99) / 1e6 == pytest.approx(merged.percentile_ms(0.99).value, rel=1e-9)


def test_the_section_has_both_measurements_and_how_they_were_made() -> None:
    section = latency_section(LatencyHistogram.of(pareto()), 64, LatencyHistogram.of(stalled()), {"threads": 2})
    assert section["batch"]["batch_size"] == 64
    assert (section["single"]["batch_size"], section["single"]["threads"]) == (1, 2)
    assert section["batch"].keys() >= PERCENTILES.keys()
    assert "transform" not in section["single"]


def test_the_transform_stands_apart_with_the_same_keys() -> None:
    batch, single, transform = (LatencyHistogram.of(made()) for made in (pareto, stalled, lognormal))
    section = latency_section(batch, 64, single, {}, transform)
    assert section["single"]["transform"] == latency_values(transform)
    assert section["single"]["p50_ms"] == latency_values(single)["p50_ms"]


STARTED = {
    "threads": 1, "rows": 500, "warm_up": 1_168, "warm_up_s": 6.0123, "stable": True, "session_s": 0.25,
    "first_ms": 8.5,
}  # fmt: skip


def measured(**changes: Any) -> dict[str, Any]:
    """A whole report whose single predictions were measured like this."""
    transform = changes.pop("transform", None)
    return multiclass(single_facts={**STARTED, **changes}, transform=transform)


def findings(made: dict[str, Any]) -> list[dict[str, Any]]:
    return [finding for finding in made["findings"] if finding["code"] == "latency_not_steady"]


def summary(made: dict[str, Any]) -> str:
    page = io.StringIO()
    print_summary(made, Console(file=page, width=80))
    return " ".join(page.getvalue().split())


@pytest.mark.parametrize("changes", [{}, {"first_ms": None}, {"transform": milliseconds(40)}])
def test_a_report_with_a_cold_start_keeps_the_schema(changes: dict[str, Any]) -> None:
    assert problems_of(measured(**changes)) == []


def test_a_report_of_an_earlier_version_keeps_the_schema_and_is_said_nothing_of() -> None:
    made = multiclass(single_facts={"threads": 1, "rows": 500, "warm_up": 50})
    assert problems_of(made) == []
    assert findings(made) == []
    assert "apart:" not in summary(made)


def test_predictions_that_never_got_steady_are_told_with_their_numbers() -> None:
    (finding,) = findings(measured(stable=False))
    assert finding["text"].startswith(
        "single predictions had not become steady after 1,168 runs of warm-up (6 s): another run may give other"
    )
    assert (finding["severity"], finding["volatile"]) == ("warning", True)
    assert "or raise `latency.max_seconds`" in finding["text"]


def test_more_time_is_not_advised_where_there_was_enough() -> None:
    (finding,) = findings(measured(stable=False, warm_up=5_000))
    assert finding["text"].endswith("Free the machine of other work.")


def test_steady_predictions_and_none_at_all_are_not() -> None:
    assert findings(measured(stable=True)) == []
    assert findings(multiclass(single_facts={**STARTED, "stable": False}, single=LatencyHistogram.empty())) == []


def test_the_cold_start_and_the_transform_are_in_the_summary() -> None:
    said = summary(measured(transform=milliseconds(3)))
    assert "apart: session loaded in 0.25 s, first prediction 8.5000 ms, transform of a row: median 2.00" in said
