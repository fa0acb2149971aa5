"""What a contender is told, what it answers, and how it measures.

A contender is a module `benchmarks.contenders.NAME` with `run(task: Task) -> Answer`, in a process of its own.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scoring import Array, Scorer, matrix_digest


@dataclass(frozen=True)
class Settings:
    """What a contender is tuned by.

    Args:
        batch: rows that its framework hands over at once; for the plain loop, of one `session.run`.
        run_rows: most rows of one `session.run` within.
        workers: processes or actors with a session each; each has cores / workers threads.
    """

    batch: int
    run_rows: int
    workers: int


@dataclass(frozen=True)
class Task:
    """One workload as files, with the settings of one contender."""

    workload: str
    files: tuple[str, ...]
    columns: tuple[str, ...]
    model: str
    row_shape: tuple[int, ...]
    dtype: str
    classes: int
    rows: int
    cores: int
    scratch: str
    settings: Settings

    @property
    def listed(self) -> bool:
        """The features are one list column."""
        return len(self.columns) == 1

    def scorer(self) -> Scorer:
        """A warm session with a worker's share of the cores."""
        threads = max(1, self.cores // self.settings.workers)
        return Scorer(self.model, self.row_shape, self.dtype, threads, self.settings.run_rows)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Task:
        """What `save` wrote."""
        data: dict[str, Any] = json.loads(path.read_text())
        tuples = {key: tuple(data[key]) for key in ("files", "columns", "row_shape")}
        return cls(**{**data, **tuples, "settings": Settings(**data["settings"])})


@dataclass(frozen=True)
class Answer:
    """What a contender found.

    Args:
        rows: counted.
        steady_s: seconds from the first batch to the last, start-up and warm-up excluded.
        confusion: sha256 of the confusion matrix.
        accuracy: of it.
    """

    rows: int
    steady_s: float
    confusion: str
    accuracy: float

    @classmethod
    def of(cls, matrix: Array, steady_s: float) -> Answer:
        """Of a confusion matrix int64[C, C], rows = true class."""
        rows = int(matrix.sum())
        return cls(rows, steady_s, matrix_digest(matrix), float(np.trace(matrix)) / max(1, rows))


class Stopwatch:
    """Begin and end of one worker's work, in a file that is read when all is done.

    `perf_counter_ns` is the same clock in all processes of a machine (CLOCK_MONOTONIC).
    """

    def __init__(self, scratch: str) -> None:
        folder = Path(scratch) / "times"
        folder.mkdir(exist_ok=True)
        self._file = os.open(folder / os.urandom(8).hex(), os.O_WRONLY | os.O_CREAT)
        self._begin = 0

    def begin(self) -> None:
        """The worker is ready and data may come; only the first call counts."""
        self._begin = self._begin or time.perf_counter_ns()

    def end(self) -> None:
        """A batch is done."""
        os.pwrite(self._file, np.array([self._begin, time.perf_counter_ns()], np.int64).tobytes(), 0)


def steady_seconds(scratch: str, begin: Callable[[Array], np.int64] = np.min) -> float:
    """To the end of the last batch of any worker, from the earliest of their begins; with `np.max` from the latest."""
    raw = [path.read_bytes() for path in (Path(scratch) / "times").iterdir()]
    times = np.array([np.frombuffer(data, np.int64) for data in raw if data])
    return float(times[:, 1].max() - begin(times[:, 0])) / 1e9


def sum_cells(pairs: Iterable[tuple[Array, Array]], classes: int) -> Array:
    """A confusion matrix int64[C, C] from (cells, counts) of any number of batches."""
    counts = np.zeros(classes * classes, np.int64)
    for places, values in pairs:
        np.add.at(counts, places, values)
    return counts.reshape(classes, classes)
