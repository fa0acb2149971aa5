"""The latency of a job's model by batch size: checks the job, times batches of real rows, draws the curve.

Nothing is written; a run folder is neither needed nor touched.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from ortbatch.errors import JobError, OrtbatchError, Problem
from ortbatch.job import Job
from ortbatch.job.load import job_of
from ortbatch.job.model_spec import StoredSpec
from ortbatch.report.latency_curve import CurveFacts, Host, LatencyCurve, curve_of
from ortbatch.report.latency_curve_schema import problems_of_curve
from ortbatch.version import versions_of

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_DOTS = ("...", "…")
_DIGITS = 9
_VERSIONED = ("ortbatch", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Sweep:
    """What is measured.

    Args:
        batch: batch sizes, rising.
        threads: intra-op threads, rising, a session for each; None: those of the job's `latency.threads`.
        seconds: for warm-up and runs. Every size is run 30 times, however long that takes.
        max_p99_ms: limit on the 99th percentile, for which the largest batch is looked for; None: there is none.

    Raises:
        ValueError: sizes or threads that do not rise from at least 1, or seconds or a limit that are not above 0.
    """

    batch: Sequence[int] = SIZES
    threads: Sequence[int] | None = None
    seconds: float = 30.0
    max_p99_ms: float | None = None

    def __post_init__(self) -> None:
        for what, numbers in (("batch", self.batch), ("threads", self.threads)):
            if numbers is not None:
                _check_rising(what, numbers)
        for what, number in (("seconds", self.seconds), ("max_p99_ms", self.max_p99_ms)):
            if number is not None and not 0 < number < math.inf:
                raise ValueError(f"{what}: expected a number above 0, got {number:g}")


def latency_curve(
    job: Job | str | Path,
    sweep: Sweep | None = None,
    *,
    variables: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> LatencyCurve:
    """Time batches of several sizes on real rows of a job, `session.run` alone, and say what each costs.

    Args:
        job: a `Job`, or the path of a job file.
        sweep: which sizes, on how many threads, for how long; by default 1, 2, 4, ..., 256 for 30 seconds.
        variables: values for `{name}` in the job file.
        overrides: `key=value`, as `--set`.
        tell: told what is worth knowing meanwhile, a sentence at a time.

    Raises:
        OrtbatchError: one of its kinds; see `ortbatch.errors`.
    """
    from ortbatch.engine.prepare import prepare
    from ortbatch.engine.sweep import SweepSetup
    from ortbatch.engine.sweep import sweep as timed_by

    job = job_of(job, variables or {}, overrides)
    if isinstance(job.model, StoredSpec):
        said = "scores are stored, so there is no model to time. Give a job whose `model.path` names one."
        raise JobError([Problem(job.name, "model.scores", said)])
    asked = sweep or Sweep()
    prepared = prepare(_model_and_rows(job))
    fixed = prepared.evaluation.batch_size if prepared.batch_size_by == "model" else None
    sizes = tuple(asked.batch) if fixed is None else (fixed,)
    threads = tuple(asked.threads or (job.latency.threads,))
    started, began = datetime.now(UTC), time.perf_counter()
    swept = timed_by(prepared, SweepSetup(sizes, threads, asked.seconds), tell)
    facts = CurveFacts(
        job=job.name,
        model_sha256=prepared.model.sha256,
        started_at=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        asked=tuple(asked.batch),
        seconds=asked.seconds,
        took_s=time.perf_counter() - began,
        fixed_batch=fixed,
        rows=swept.rows,
        host=_host(),
    )
    curve = curve_of(facts, swept.timed, asked.max_p99_ms)
    if problems := problems_of_curve(curve.data):
        raise OrtbatchError(f"the curve breaks its own schema (a defect of ortbatch): {problems[0]}")
    return curve


def _model_and_rows(job: Job) -> Job:
    """The job without what latency does not depend on: slices would be looked for in all data, baselines loaded."""
    return job.model_copy(update={"slices": (), "gates": (), "predictions": None, "baselines": {}, "checks": None})


def _host() -> Host:
    from ortbatch.engine.host import available_cpus, cpu_name

    return Host(cpu_name(), available_cpus(), versions_of(_VERSIONED))


def _check_rising(what: str, numbers: Sequence[int]) -> None:
    if not numbers or numbers[0] < 1 or any(a >= b for a, b in pairwise(numbers)):
        shown = ", ".join(map(str, numbers)) or "none"
        raise ValueError(f"{what}: expected whole numbers of at least 1, rising, each once; got {shown}")


def numbers_of(text: str) -> tuple[int, ...]:
    """Whole numbers with commas between them; `...` goes on by the factor of the two before it, up to the one after.

    Raises:
        ValueError: what is no such list.

    >>> numbers_of("1,2,4,...,64")
    (1, 2, 4, 8, 16, 32, 64)
    """
    words = [word.strip() for word in text.split(",")]
    numbers: list[int] = []
    for place, word in enumerate(words):
        if word in _DOTS:
            numbers += _between(numbers[-2:], words[place + 1 : place + 2])
        else:
            numbers.append(_number(word))
    return tuple(numbers)


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= _DIGITS):
        raise ValueError(f"expected whole numbers such as 1,2,4,...,64; got {word!r:.40}")
    return int(word)


def _between(before: Sequence[int], after: Sequence[str]) -> list[int]:
    """What `...` stands for."""
    if len(before) < 2 or not after:
        raise ValueError("`...` stands between two numbers and the last, as in 1,2,...,64")
    end, (first, second) = _number(after[0]), before
    factor = second // first if first else 0
    if factor < 2 or second != first * factor:
        raise ValueError(f"`...` goes on by a whole factor of at least 2, and {second} is no multiple of {first}")
    numbers = [second * factor]
    while numbers[-1] < end:
        numbers.append(numbers[-1] * factor)
    if numbers[-1] != end:
        raise ValueError(f"`...` goes on by a factor of {factor}, and {end} is not reached from {second}")
    return numbers[:-1]
