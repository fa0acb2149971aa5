"""Tallies, jobs and reports made by hand: no model, no data, no run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.job import Job
from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.scores import ScoreHistogram
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.sums import FixedSum
from ortbatch.metrics.tally import Tally
from ortbatch.report.build import RunFacts, build_report

MILLISECOND = 1_000_000


def names(size: int) -> tuple[str, ...]:
    return tuple(f"class_{index}" for index in range(size))


def label_tally(counts: Sequence[Sequence[int]] | NDArray[np.int64], classes: Sequence[str] | None = None) -> Tally:
    """Of a model that puts out labels only: rows = true class, columns = predicted class."""
    matrix = np.array(counts, np.int64)
    chosen = tuple(classes) if classes is not None else names(len(matrix))
    rows = int(matrix.sum())
    return replace(
        Tally.empty(chosen, ()),
        coverage=Coverage(planned=rows, evaluated=rows),
        confusion=ConfusionMatrix(chosen, Cells.of_dense(matrix)),
    )


def score_tally(true: NDArray[np.int64], log_odds: NDArray[np.float64], classes: Sequence[str], positive: int) -> Tally:
    """Of a binary model: true int64[N], log-odds float64[N] of the positive class, threshold 0.5."""
    hit = true == positive
    predicted = np.where(log_odds >= 0, positive, 1 - positive)
    empty = Tally.empty(classes, (classes[positive],))
    curve = (log_odds[:, None], hit[:, None], np.zeros(true.size, np.uint8))
    probability = 1 / (1 + np.exp(-log_odds))
    return replace(
        empty,
        coverage=Coverage(planned=true.size, evaluated=true.size),
        confusion=ConfusionMatrix.of(classes, true, predicted),
        scores=ScoreHistogram.of(empty.scores.curves, empty.scores.bins, *curve),
        log_loss=FixedSum.of(-np.log(np.where(hit, probability, 1 - probability))),
        brier=FixedSum.of((probability - hit) ** 2),
    )


def timed(tally: Tally, runs: int = 400) -> Tally:
    """The same with `runs` timed batches, of 1, 2, ... ms, and some seconds in each stage."""
    return replace(tally, latency=milliseconds(runs), stages=StageTimes(3 * 10**9, 10**9, 5 * 10**9, 10**9, 0))


def milliseconds(values: int) -> LatencyHistogram:
    """1 ms, 2 ms, ..., one of each."""
    return LatencyHistogram.of(np.arange(1, values + 1, dtype=np.int64) * MILLISECOND)


def job(*gates: object, **keys: object) -> Job:
    data = {"path": "data", "label": "label", **dict(keys.pop("data", {}))}  # type: ignore[call-overload]
    return Job.from_mapping({"name": "made", "model": "model.onnx", "data": data, "gates": list(gates), **keys})


def facts(tally: Tally, positive: int | None = None, **changes: Any) -> RunFacts:
    given = RunFacts(
        id="20261123T190945Z-ae3c9108-c1d1",
        started_at="2026-11-23T19:09:45Z",
        duration_s=4.5,
        pass_rows=tally.coverage.planned,
        quarantined=(),
        predictions=None,
        pass_s=2.0,
        evaluation_digest="e" * 64,
        identity={"evaluation": "e" * 64, "batch_size": "64"},
        files=["data/a.parquet", "data/b.parquet"],
        shards=2,
        rows=tally.coverage.planned,
        positive=positive,
        batch_size=64,
        single=milliseconds(1_000),
        single_facts={"threads": 1, "rows": 500, "warm_up": 50},
        findings=[],
        provenance={
            "model": {"sha256": "a" * 64},
            "data": {"plan_digest": "b" * 64},
            "binding": {},
            "versions": {"ortbatch": "0.1.0"},
            "engine": {"engine": "inline", "workers": 1, "streams_per_worker": 2},
            "host": {"cpus": ["a cpu"]},
            "retries": 0,
            "restored_shards": 0,
            "faults": [],
        },
    )
    return replace(given, **changes)


def report(
    tally: Tally, *gates: object, positive: int | None = None, keys: dict[str, object] | None = None, **changes: Any
) -> dict[str, Any]:
    """A whole report; `keys` are the job's, `changes` are to the facts."""
    return build_report(job(*gates, **(keys or {})), tally, 2, facts(tally, positive, **changes))


CATS = ("cat", "dog")


def binary(*gates: object, **options: Any) -> dict[str, Any]:
    """A report of a binary model with scores, positive class `dog`."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 200)
    return report(timed(score_tally(true, rng.normal(true * 2 - 1), CATS, 1)), *gates, positive=1, **options)


def multiclass(*gates: object, **options: Any) -> dict[str, Any]:
    """A report of a label-only model of three classes: 10, 20 and 30 rows."""
    return report(timed(label_tally([[9, 1, 0], [2, 17, 1], [0, 0, 30]])), *gates, **options)
