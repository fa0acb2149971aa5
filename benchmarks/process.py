"""Run one contender in a process of its own: its answer, its wall time and the memory of its process tree.

Memory is the largest sum, sampled every 0.5 s, of what each process of the tree has for itself, plus the largest part
that one of them shares: pages that several share, such as Ray's object store, count once.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks.contract import Task

ROOT = Path(__file__).resolve().parents[1]
_SAMPLE_SECONDS = 0.5
_KEPT_LINES = 15


class ContenderError(Exception):
    """A contender that ended without an answer."""


@dataclass(frozen=True)
class Outcome:
    """One run of one contender.

    Args:
        rows: counted. steady_s: first batch to last. total_s: the whole process.
        confusion: sha256 of the matrix. accuracy: of it. peak_rss_bytes: see above.
    """

    rows: int
    steady_s: float
    total_s: float
    confusion: str
    accuracy: float
    peak_rss_bytes: int


def run_contender(name: str, task: Task, python: str = sys.executable, timeout_s: float = 1_800) -> Outcome:
    """Run a task once.

    Args:
        name: module below `benchmarks.contenders`.
        task: its scratch folder is set here.
        python: interpreter, if the contender has one of its own.
        timeout_s: after which it is ended.

    Raises:
        ContenderError: if it failed, or took longer; with the end of what it wrote.
    """
    # Ray's sockets live below the scratch folder and their paths must be short.
    with tempfile.TemporaryDirectory(prefix="ob", dir="/tmp", ignore_cleanup_errors=True) as scratch:
        path = Path(scratch) / "task.json"
        replace(task, scratch=scratch).save(path)
        command = [python, "-m", "benchmarks.contenders", name, str(path)]
        started = time.perf_counter()
        with (Path(scratch) / "out").open("w+") as out, (Path(scratch) / "err").open("w+") as err:
            process = subprocess.Popen(command, cwd=ROOT, env=_environment(scratch, python), stdout=out, stderr=err)
            watch = _Watch(process.pid)
            try:
                code: int | None = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                total = time.perf_counter() - started
                watch.end()
            out.seek(0)
            err.seek(0)
            return _outcome(name, code, out.read(), err.read(), (total, watch.peak))


def _environment(scratch: str, python: str) -> Mapping[str, str]:
    """The user's, less the clusters that it names; homes and temporary files are in the scratch folder."""
    kept = {key: value for key, value in os.environ.items() if key not in ("RAY_ADDRESS", "RAY_JOB_ID", "SPARK_HOME")}
    return {
        **kept, "HOME": scratch, "TMPDIR": scratch, "RAY_TMPDIR": scratch, "PYTHONPATH": str(ROOT),
        "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "DO_NOT_TRACK": "1", "DAFT_ANALYTICS_ENABLED": "0",
        "PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python, "PYTHONUNBUFFERED": "1",
    }  # fmt: skip


def _outcome(name: str, code: int | None, out: str, err: str, measured: tuple[float, int]) -> Outcome:
    answers = [line for line in out.splitlines() if line.startswith("{")]
    if code != 0 or not answers:
        how = "took too long" if code is None else f"ended with {code}"
        lines = (out + err).splitlines()[-_KEPT_LINES:]
        raise ContenderError(f"{name} {how}:\n" + "\n".join(f"  {line}" for line in lines))
    answer: dict[str, Any] = json.loads(answers[-1])
    total, peak = measured
    return Outcome(**answer, total_s=total, peak_rss_bytes=peak)


class _Watch:
    """Samples the memory of a process tree in a thread, and ends what is left of it."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._root = psutil.Process(pid)
        self._seen: dict[int, psutil.Process] = {pid: self._root}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            own, shared = 0, 0
            for process in self._tree():
                with contextlib.suppress(psutil.Error):
                    memory = process.memory_info()
                    # Linux only; elsewhere all of it counts as its own.
                    common = getattr(memory, "shared", 0)
                    own, shared = own + memory.rss - common, max(shared, common)
            self.peak = max(self.peak, own + shared)

    def _tree(self) -> list[psutil.Process]:
        tree = [self._root]
        with contextlib.suppress(psutil.Error):
            tree += self._root.children(recursive=True)
        self._seen |= {process.pid: process for process in tree}
        return tree

    def end(self) -> None:
        """Stop, and end every process of the tree that is still there; psutil knows a reused id by its start time."""
        self._ended.set()
        self._thread.join()
        for _ in range(2):
            left = [process for process in self._seen.values() if process.is_running()]
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.terminate()
            _, alive = psutil.wait_procs(left, timeout=5)
            for process in alive:
                with contextlib.suppress(psutil.Error):
                    process.kill()
