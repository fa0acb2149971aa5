"""Stage times add stage by stage."""

from __future__ import annotations

from ortbatch.metrics.stages import StageTimes


def test_each_stage_is_added_to_its_own() -> None:
    merged = StageTimes(1, 20, 300, 4_000, 50_000).merge(StageTimes(5, 40, 300, 2_000, 10_000))
    assert merged == StageTimes(6, 60, 600, 6_000, 60_000)


def test_seconds_are_named_by_stage_in_the_order_of_the_pass() -> None:
    times = StageTimes(read=1_500_000_000, prepare=1, infer=0, tally=10**9, wait=250_000_000)
    assert list(times.seconds().items()) == [
        ("read", 1.5),
        ("prepare", 1e-9),
        ("infer", 0.0),
        ("tally", 1.0),
        ("wait", 0.25),
    ]


def test_nanoseconds_of_a_large_fleet_stay_exact() -> None:
    year_of_a_thousand_workers = 365 * 86_400 * 10**9 * 1_000
    assert (
        StageTimes(infer=year_of_a_thousand_workers).merge(StageTimes(infer=1)).infer == year_of_a_thousand_workers + 1
    )
