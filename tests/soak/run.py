"""A long run with a fault every few seconds; its counts must be those of a plain loop: make soak

    python -m tests.soak.run [--minutes 30] [--rows 50000000] [--every 5]

Two workers on an embedded Ray evaluate hard links of a few files. Every `--every` seconds one thing happens: a worker
is killed, or stopped for a while; the driver is killed, or told to stop; a segment is cut short while no driver runs.
Whoever ended is started again. Prints and saves what was done and what came of it; exits with 1 at one wrong count.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper

FEATURES, HIDDEN, CLASSES = 8, 300, 5
FILES, FILE_ROWS = 10, 50_000
BATCH = 1_000


def main() -> int:
    """0 if every count is right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--every", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ob-soak-") as folder:
        soak = Soak(Path(folder), options)
        figures = soak.run()
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    return int(figures["wrong_counts"] > 0 or figures["passes"] + figures["shards_kept"] == 0)


class Soak:
    """Runs of one job, one after another until the time is over, with faults."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self._folder, self._options = folder, options
        self._chance = random.Random(options.seed)
        self._expected = make_job(folder, options.rows)
        self._until = time.monotonic() + options.minutes * 60
        self._faults: Counter[str] = Counter()
        self._exits: Counter[int] = Counter()
        self._memory: list[int] = []

    def run(self) -> dict[str, Any]:
        passes = wrong = 0
        while time.monotonic() < self._until:
            report = self._one_pass(self._folder / f"run-{passes}")
            if report is None:
                break
            passes += 1
            wrong += report["confusion_matrix"]["counts"] != self._expected
            self._faults["faults told by the report"] += len(report["provenance"]["faults"])
        half = len(self._memory) // 2
        return {
            "minutes": self._options.minutes,
            "rows_of_a_pass": self._options.rows,
            "passes": passes,
            "wrong_counts": wrong,
            "faults": dict(self._faults),
            "driver_exits": dict(self._exits),
            "driver_peak_mb_first_half": max(self._memory[:half], default=0) >> 20,
            "driver_peak_mb_second_half": max(self._memory[half:], default=0) >> 20,
            "shards_kept": self._kept(self._folder / f"run-{passes}"),
        }

    def _one_pass(self, run: Path) -> dict[str, Any] | None:
        """A run to its end, however often its driver is started; None if the time is over first."""
        while True:
            driver = self._start(run)
            try:
                code = self._trouble(driver)
            finally:
                end(driver)
            if code is None:
                return None
            self._exits[code] += 1
            if code == 0:
                return dict(json.loads((run / "report.json").read_text()))
            # SIGTERM before it hears signals ends it like any process.
            if code not in (130, -signal.SIGKILL, -signal.SIGTERM):
                log = (self._folder / "log.txt").read_text(errors="replace")
                raise SystemExit(f"the driver ended with {code}: {log[-4_000:]}")
            self._cut_a_segment(run)

    def _start(self, run: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ortbatch", "run", self._folder / "job.yaml", "--run-dir", run]
        log = (self._folder / "log.txt").open("ab")
        return subprocess.Popen([*command, "--engine", "ray"], stdout=log, stderr=log)

    def _trouble(self, driver: subprocess.Popen[bytes]) -> int | None:
        """Do something every few seconds until the driver ends; its exit code, None when the time is over."""
        while True:
            try:
                return driver.wait(self._options.every)
            except subprocess.TimeoutExpired:
                if time.monotonic() > self._until:
                    return None
            self._memory.append(psutil.Process(driver.pid).memory_info().rss)
            self._one_fault(driver)

    def _one_fault(self, driver: subprocess.Popen[bytes]) -> None:
        workers = [p for p in psutil.Process(driver.pid).children(recursive=True) if "ray::Worker" in name_of(p)]
        kind = self._chance.choices(["kill", "stop", "kill driver", "tell driver"], [6, 2, 1, 1])[0]
        if kind in ("kill", "stop") and not workers:
            return
        self._faults[kind] += 1
        if kind == "kill driver":
            driver.kill()
        elif kind == "tell driver":
            driver.terminate()
        else:
            victim = self._chance.choice(workers)
            try:
                victim.send_signal(signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
                if kind == "stop":
                    time.sleep(2)
                    victim.send_signal(signal.SIGCONT)
            except psutil.NoSuchProcess:
                pass

    def _cut_a_segment(self, run: Path) -> None:
        segments = sorted((run / "checkpoint").glob("*.segment"))
        if segments and self._chance.random() < 0.3:
            victim = self._chance.choice(segments)
            os.truncate(victim, victim.stat().st_size // 2)
            self._faults["cut a segment"] += 1

    @staticmethod
    def _kept(run: Path) -> int:
        return len(list((run / "checkpoint").glob("*.segment")))


def name_of(process: psutil.Process) -> str:
    """Its name; empty once it is gone."""
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


def end(driver: subprocess.Popen[bytes]) -> None:
    """End a driver and the Ray that it started."""
    try:
        children = psutil.Process(driver.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    driver.kill()
    driver.wait()
    for child in children:
        if child.is_running():
            child.kill()


def make_job(folder: Path, rows: int) -> list[list[int]]:
    """The job, and the confusion matrix that a plain loop gives."""
    model = make_model(folder / "model.onnx")
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (folder / "data").mkdir()
    counts = np.zeros((CLASSES, CLASSES), np.int64)
    links = rows // (FILES * FILE_ROWS)
    for file in range(FILES):
        rng = np.random.default_rng(file)
        x, label = rng.normal(size=(FILE_ROWS, FEATURES)).astype(np.float32), rng.integers(0, CLASSES, FILE_ROWS)
        columns = {f"f{i}": x[:, i] for i in range(FEATURES)} | {"label": label}
        first = folder / "data" / f"{file:02}-00000.parquet"
        pq.write_table(pa.table(columns), first, write_page_checksum=True)
        for link in range(1, links):
            os.link(first, folder / "data" / f"{file:02}-{link:05}.parquet")
        for start in range(0, FILE_ROWS, BATCH):
            (scores,) = session.run(None, {"x": x[start : start + BATCH]})
            np.add.at(counts, (label[start : start + BATCH], scores.argmax(axis=1)), 1)
    names = ", ".join(f"f{i}" for i in range(FEATURES))
    (folder / "job.yaml").write_text(
        f"name: soak\nmodel: {{path: model.onnx, batch_size: {BATCH}, inputs: {{x: [{names}]}}}}\n"
        "data: {path: data, label: label}\nlatency: {max_seconds: 1}\n"
        "execution: {workers: 2, cpus_per_worker: 1, shard_rows: 1}\n"
    )
    matrix: list[list[int]] = (counts * links).tolist()
    return matrix


def make_model(path: Path) -> str:
    """Two hidden layers, wide enough that a row costs a microsecond or two."""
    rng = np.random.default_rng(0)
    sizes = [FEATURES, HIDDEN, HIDDEN, CLASSES]
    nodes, weights, last = [], [], "x"
    for layer, (a, b) in enumerate(pairwise(sizes)):
        scaled = rng.normal(size=(a, b)).astype(np.float32) / np.float32(np.sqrt(a))
        weights.append(numpy_helper.from_array(scaled, f"w{layer}"))
        end_of = "out" if layer == 2 else f"h{layer}"
        nodes.append(helper.make_node("MatMul", [last, f"w{layer}"], [f"m{layer}" if layer < 2 else end_of]))
        if layer < 2:
            nodes.append(helper.make_node("Relu", [f"m{layer}"], [end_of]))
        last = end_of
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", FEATURES])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", CLASSES])
    graph = helper.make_graph(nodes, "soak", [x], [out], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return str(path)


if __name__ == "__main__":
    sys.exit(main())
