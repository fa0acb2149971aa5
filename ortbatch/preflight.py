"""All that `ortbatch check` finds out: what a run would be, what else it reads, and about what it would take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ortbatch.api import QUANTILES, Options, choose_engine
from ortbatch.earlier import baselines_of
from ortbatch.errors import OrtbatchError
from ortbatch.job import Gate, Job
from ortbatch.metrics.intervals import rows_for_quantile, wilson

if TYPE_CHECKING:
    from ortbatch.engine.layout import Layout
    from ortbatch.engine.prepared import Prepared
    from ortbatch.engine.rehearsal import Forecast, Rehearsal
    from ortbatch.engine.training import Training

_SHARES = {
    "accuracy": "rows",
    "recall": "rows of the class",
    "specificity": "rows of other classes",
    "precision": "rows that are predicted as the class",
}
_MOST_ROWS = 10**12


@dataclass(frozen=True)
class Preflight:
    """A job that can run.

    Args:
        prepared: it.
        training: training data that it is checked against; None without.
        earlier: earlier runs that its gates are held against: name → what the report will say.
        engine, why: where it would run, and why there.
        layout: workers and streams there, by this machine.
        rehearsal: some rows, timed; None if they could not be.
        forecast: what a run would take; None if no rows could be timed.
        not_timed: why they could not; None if they could.
    """

    prepared: Prepared
    training: Training | None
    earlier: Mapping[str, Any]
    engine: str
    why: str
    layout: Layout
    rehearsal: Rehearsal | None
    forecast: Forecast | None
    not_timed: str | None


def preflight(job: Job) -> Preflight:
    """Everything that can be known before a run; raises what a run would. Nothing is written."""
    from ortbatch.engine.host import available_cpus, free_memory
    from ortbatch.engine.layout import Node, lay_out
    from ortbatch.engine.prepare import prepare
    from ortbatch.engine.rehearsal import forecast, rehearse
    from ortbatch.engine.training import plan_training

    prepared = prepare(job)
    training, earlier = plan_training(prepared), baselines_of(job, None)
    engine, why = choose_engine(prepared, Options())
    here, shards = [Node(available_cpus(), free_memory())], len(prepared.plan.shards)
    layout = lay_out(here, prepared.model_bytes, shards, job.execution, one_process=engine == "inline")
    try:
        rehearsal = rehearse(prepared)
    except (OrtbatchError, MemoryError) as error:
        # The run may leave this row group out, or have more memory: that is for the run to tell.
        return Preflight(prepared, training, earlier, engine, why, layout, None, None, str(error))
    expected = forecast(prepared, rehearsal, layout, ray=engine == "ray")
    return Preflight(prepared, training, earlier, engine, why, layout, rehearsal, expected, None)


def needed(gate: Gate, rows: int, batch_size: int) -> tuple[str, bool]:
    """What a gate needs to be decided, as far as that is known before a run, and whether this run surely lacks it.

    Args:
        gate: it.
        rows: rows that are planned.
        batch_size: rows of a batch.
    """
    kind, _, statistic = gate.metric.name.rpartition(".")
    if kind in ("latency.batch", "latency.single") and statistic in QUANTILES:
        least = rows_for_quantile(QUANTILES[statistic])
        if kind == "latency.single":
            return f"{least:,} single predictions, which are timed", False
        batches = math.ceil(rows / batch_size)
        return f"{least:,} batches; {rows:,} rows make about {batches:,}", batches < least
    if gate.confidence is None or gate.versus is not None or gate.metric.name not in _SHARES:
        return "", False
    fewest = _fewest(gate, gate.confidence)
    if fewest is None:
        return "", False
    return f"at least {fewest:,} {_SHARES[gate.metric.name]}, if all of them are right", fewest > rows


def _fewest(gate: Gate, confidence: float) -> int | None:
    """Fewest rows of which all right, or all wrong, would decide a gate in its favour; None if no number would."""
    if gate.op not in (">=", "<="):
        return None
    low, high = 0, 1
    while not _decides(gate, confidence, high):
        high *= 2
        if high > _MOST_ROWS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _decides(gate, confidence, middle) else (middle, high)
    return high


def _decides(gate: Gate, confidence: float, rows: int) -> bool:
    if gate.op == ">=":
        return wilson(rows, rows, confidence)[0] >= gate.limit
    return wilson(0, rows, confidence)[1] <= gate.limit
