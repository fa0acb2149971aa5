"""Latency by batch size: what each costs, which sizes pay, and which keep a limit.

A pure function of runs that were timed. A size pays as long as a larger one does noticeably more rows a second: that is
the knee; beyond it rows wait longer for little. Percentiles and their intervals are those of the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ortbatch.metrics.estimate import Estimate
from ortbatch.metrics.timed import TimedBatches
from ortbatch.report.encode import encode, plain
from ortbatch.report.gates import EXIT_CODES, FAILED, INCONCLUSIVE, PASSED, UNGATED
from ortbatch.report.latency import latency_values

SCHEMA_VERSION = 1
KNEE_SHARE = 0.9


@dataclass(frozen=True, eq=False)
class LatencyCurve:
    """A curve; `data` holds all of it, as `ortbatch schema latency` describes it."""

    data: Mapping[str, Any]

    @property
    def points(self) -> Sequence[Mapping[str, Any]]:
        """One a batch size and number of threads, by threads, then by size."""
        return tuple(self.data["points"])

    @property
    def exit_code(self) -> int:
        """0; with a limit 1 if no size keeps it, 4 if that cannot be told from so few runs."""
        return EXIT_CODES[self.data["outcome"]]

    def encode(self) -> str:
        """The same as JSON text."""
        return encode(self.data) + "\n"


@dataclass(frozen=True)
class Host:
    """A machine.

    Args:
        cpu: name of the processor.
        cpus: processors that may be used.
        versions: package → version.
    """

    cpu: str
    cpus: int
    versions: Mapping[str, str]


@dataclass(frozen=True)
class CurveFacts:
    """What is known besides the times.

    Args:
        job: its name.
        model_sha256: hash of the model.
        started_at: RFC 3339, UTC.
        asked: batch sizes that were asked for.
        seconds: that were asked for.
        took_s: seconds from reading rows to the last run.
        fixed_batch: the only size that the model takes; None if it takes any.
        rows: distinct rows that there were.
        host: where it was measured.
    """

    job: str
    model_sha256: str
    started_at: str
    asked: Sequence[int]
    seconds: float
    took_s: float
    fixed_batch: int | None
    rows: int
    host: Host


def curve_of(facts: CurveFacts, timed: Sequence[TimedBatches], max_p99_ms: float | None = None) -> LatencyCurve:
    """The curve of some runs.

    Args:
        facts: what is known besides.
        timed: by threads, then by size.
        max_p99_ms: a limit on the 99th percentile; None if there is none.
    """
    points = plain([_point(each) for each in timed])
    by_threads = [list(group) for _, group in groupby(points, key=lambda point: point["threads"])]
    picks = [] if max_p99_ms is None else [_within(group, max_p99_ms) for group in by_threads]
    data = {
        "schema_version": SCHEMA_VERSION,
        "job": facts.job,
        "model_sha256": facts.model_sha256,
        "started_at": facts.started_at,
        "seconds": facts.seconds,
        "took_s": round(facts.took_s, 3),
        "rows": facts.rows,
        "points": points,
        "knees": [_knee(group) for group in by_threads],
        "max_p99_ms": max_p99_ms,
        "within": picks,
        "outcome": _outcome(picks),
        "notes": _notes(facts, timed),
        "host": {"cpu": facts.host.cpu, "cpus": facts.host.cpus},
        "versions": dict(facts.host.versions),
    }
    return LatencyCurve(plain(data))


def _point(timed: TimedBatches) -> dict[str, Any]:
    histogram, warm_up = timed.histogram, timed.warm_up
    return {
        "batch_size": timed.batch_size,
        "threads": timed.threads,
        **latency_values(histogram),
        "rows_per_s_at_p50": _rate(timed.batch_size, histogram.percentile_ms(0.5)),
        "rows_per_s": _rate(timed.batch_size, histogram.mean_ms()),
        "rows": timed.rows,
        "warm_up": warm_up.runs,
        "warm_up_s": round(warm_up.seconds, 6),
        "stable": warm_up.stable,
        "session_s": round(timed.session_s, 6),
    }


def _rate(rows: int, time_ms: Estimate) -> Estimate:
    """Rows a second, if every batch took so long; an interval of the time is one of the rate, turned round."""
    if not time_ms.value:
        return Estimate.undefined(time_ms.reason or "no time passed")
    value = rows * 1e3 / time_ms.value
    if time_ms.ci is None or not time_ms.ci[0]:
        return Estimate(value, reason=time_ms.reason)
    low, high = time_ms.ci
    return Estimate(value, (rows * 1e3 / high, rows * 1e3 / low), method=time_ms.method)


def _knee(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The smallest size with at least 90% of the most rows a second that any size reaches, at the median."""
    rates = [point["rows_per_s_at_p50"]["value"] or 0.0 for point in points]
    place = next(place for place, rate in enumerate(rates) if rate >= KNEE_SHARE * max(rates))
    return {**_named(points[place]), "share_of_best": rates[place] / max(rates) if max(rates) else None}


def _named(point: Mapping[str, Any]) -> dict[str, Any]:
    named = {"threads": point["threads"], "batch_size": point["batch_size"]}
    return named | {"p99_ms": point["p99_ms"], "rows_per_s": point["rows_per_s"]}


def _within(points: Sequence[Mapping[str, Any]], limit: float) -> dict[str, Any]:
    """The largest size whose p99 keeps a limit; larger ones that might, were there more runs, are undecided."""
    keeping = [point for point in points if point["p99_ms"]["value"] is not None and point["p99_ms"]["value"] <= limit]
    told = [point for point in keeping if point["p99_ms"]["ci"] is not None]
    largest = told[-1]["batch_size"] if told else 0
    undecided = [p["batch_size"] for p in keeping if p["p99_ms"]["ci"] is None and p["batch_size"] > largest]
    if not told:
        nothing = {"threads": points[0]["threads"], "batch_size": None, "p99_ms": None, "rows_per_s": None}
        return {**nothing, "surely": False, "undecided": undecided}
    return {**_named(told[-1]), "surely": told[-1]["p99_ms"]["ci"][1] <= limit, "undecided": undecided}


def _outcome(picks: Sequence[Mapping[str, Any]]) -> str:
    if not picks:
        return UNGATED
    if any(pick["batch_size"] is not None for pick in picks):
        return PASSED
    return INCONCLUSIVE if any(pick["undecided"] for pick in picks) else FAILED


def _notes(facts: CurveFacts, timed: Sequence[TimedBatches]) -> list[str]:
    """What the reader should know of how it was measured."""
    notes = []
    if facts.fixed_batch is not None and tuple(facts.asked) != (facts.fixed_batch,):
        notes.append(f"the model takes batches of {facts.fixed_batch:,} only: no other size was run")
    repeated = sorted({each.batch_size for each in timed if each.batch_size > facts.rows})
    if repeated:
        notes.append(f"there were {facts.rows:,} rows: batches of {_listed(repeated)} repeat them")
    if unsteady := [each for each in timed if not each.warm_up.stable]:
        sizes = sorted({each.batch_size for each in unsteady})
        notes.append(
            f"not steady when warm-up ended: batches of {_listed(sizes)}; free the machine, or give more --seconds"
        )
    if (most := max(each.threads for each in timed)) > facts.host.cpus:
        notes.append(f"{most} threads on {facts.host.cpus} processors: they wait for each other")
    return notes


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(f"{size:,}" for size in sizes)
