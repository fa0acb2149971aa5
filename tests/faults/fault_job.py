"""A small job whose rows ask for faults: its transform does to its worker what the column `fault` says.

die          SIGKILL to the process              hang   never comes back
once:PATH:X  X, but only if PATH is not there    oom    takes memory until it is ended
memory       MemoryError
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.models import linear_model

FILES, ROWS, FEATURES, CLASSES = 40, 100, 4, 3
# What preflight reads, and so what must not be at fault.
FIRST = 3

PREP = """\
import os, signal, time
from pathlib import Path
import numpy as np

PACE = {pace}

def feed(batch):
    for fault in set(batch["fault"].to_pylist()) - {{""}}:
        do(fault)
    # Not where preflight and single predictions try parts of a batch.
    time.sleep(PACE if batch.num_rows == {rows} else 0)
    return {{"x": np.stack([batch[f"f{{i}}"].to_numpy() for i in range({features})], axis=1)}}

def do(fault):
    if fault.startswith("once:"):
        _, path, fault = fault.split(":")
        try:
            Path(path).touch(exist_ok=False)
        except FileExistsError:
            return
    if fault == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "hang":
        time.sleep(600)
    elif fault == "memory":
        raise MemoryError("no room")
    elif fault == "oom":
        hog = []
        while True:
            hog.append(bytearray(256 << 20))
"""


def make_fault_job(
    folder: Path, faults: Mapping[int, str] | None = None, *, pace: float = 0.0, rows: int = ROWS, **execution: Any
) -> Path:
    """job.yaml of a job of 40 files, one shard and one batch each; `faults` says what a file's last row asks for."""
    (folder / "data").mkdir(parents=True)
    linear_model(folder / "model.onnx", FEATURES, CLASSES)
    for file in range(FILES):
        rng = np.random.default_rng(file)
        columns: dict[str, Any] = {f"f{i}": rng.normal(size=rows).astype(np.float32) for i in range(FEATURES)}
        columns["label"] = rng.integers(0, CLASSES, rows)
        columns["fault"] = pa.array([""] * (rows - 1) + [(faults or {}).get(file, "")])
        pq.write_table(
            pa.table(columns), folder / "data" / f"{file:03}.parquet", write_page_checksum=True, compression="none"
        )
    (folder / "prep.py").write_text(PREP.format(pace=pace, features=FEATURES, rows=rows))
    wanted = {"shard_rows": 1, **execution}
    names = [f"f{i}" for i in range(FEATURES)]
    (folder / "job.yaml").write_text(
        f"name: faults\nmodel:\n  path: model.onnx\n  batch_size: {rows}\n"
        f"  transform: {{function: prep:feed, columns: [{', '.join(names)}, fault]}}\n"
        f"data: {{path: data, label: label}}\nlatency: {{max_seconds: 0.5}}\nexecution: {json.dumps(wanted)}\n"
    )
    return folder / "job.yaml"


# The command line with shorter leases and more segments, so that a run of some seconds has some.
_QUICK = """\
import sys
import ortbatch.engine.checkpoint as checkpoint
import ortbatch.engine.schedule as schedule
checkpoint._FLUSH_SECONDS = {flush}
schedule.LEASE_SECONDS = 0.2
{more}
from ortbatch.cli import program
sys.argv = ["ortbatch", *{arguments!r}]
program()
"""


STARTED: list[subprocess.Popen[str]] = []


def start(
    *arguments: object, flush: float = 0.1, more: str = "", stderr: int | IO[str] = subprocess.PIPE
) -> subprocess.Popen[str]:  # fmt: skip
    """`ortbatch ARGUMENTS` as a process of its own; `more` is run before."""
    code = _QUICK.format(flush=flush, more=more, arguments=list(map(str, arguments)))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=stderr, text=True)
    STARTED.append(process)
    return process


def end(running: subprocess.Popen[str], timeout: float = 60) -> tuple[int, str]:
    """Wait for it; exit code and stderr."""
    _, err = running.communicate(timeout=timeout)
    return running.returncode, err


def segments(run: Path) -> list[Path]:
    """Segments that are there."""
    return sorted((run / "checkpoint").glob("*.segment"))


def wait_for_segments(run: Path, count: int, running: subprocess.Popen[str]) -> None:
    """Until a run has kept so much."""
    until = time.monotonic() + 60
    while len(segments(run)) < count:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < until, "no segments"
        time.sleep(0.005)


def report_in(run: Path) -> dict[str, Any]:
    """report.json of a run."""
    return dict(json.loads((run / "report.json").read_text()))


def lasting(report: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that no fault may change."""
    findings = [finding for finding in report["findings"] if not finding.get("volatile")]
    return {**{name: report[name] for name in ("coverage", "quality", "confusion_matrix")}, "findings": findings}
