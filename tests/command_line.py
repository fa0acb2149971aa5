"""A small job, and two ways to call the command line: in this process, and as a process of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ortbatch.cli import main
from tests.models import linear_model, linear_weights

FEATURES, CLASSES = 4, 3
JOB = """\
name: small
model: {path: model.onnx, inputs: {x: [f0, f1, f2, f3]}}
data: {path: data, label: label}
gates: [accuracy >= 0.5, coverage >= 1]
"""


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


def call(*arguments: object) -> Done:
    """`ortbatch ARGUMENTS` in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["ortbatch", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    assert isinstance(left.value.code, int)
    return Done(left.value.code, *texts)


def command(*arguments: object) -> list[str]:
    """What starts `ortbatch ARGUMENTS` as a process."""
    return [sys.executable, "-m", "ortbatch", *map(str, arguments)]


def process(*arguments: object, **environment: str) -> Done:
    """`ortbatch ARGUMENTS` as a process."""
    done = subprocess.run(
        command(*arguments), capture_output=True, check=False, timeout=120, env={**os.environ, **environment}
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def make_job(folder: Path, text: str = JOB) -> Path:
    """A linear model of three classes and three files of 40 rows, of which it labels most right."""
    (folder / "data").mkdir(parents=True)
    linear_model(folder / "model.onnx", FEATURES, CLASSES)
    for number in range(3):
        write_rows(folder / "data" / f"part-{number}.parquet", rows=40, seed=number)
    path = folder / "job.yaml"
    path.write_text(text)
    return path


def write_rows(path: Path, rows: int, seed: int = 0, nulls: int = 0, group: int = 10_000) -> None:
    """Rows whose label is the model's answer for all but a tenth; the first `nulls` have none."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, FEATURES)).astype(np.float32)
    weights, bias = linear_weights(FEATURES, CLASSES)
    labels = np.argmax(features @ weights + bias, axis=1)
    labels[::10] = (labels[::10] + 1) % CLASSES
    columns = {f"f{index}": features[:, index] for index in range(FEATURES)}
    known = pa.array(labels, pa.int64(), mask=np.arange(rows) < nulls)
    pq.write_table(pa.table({**columns, "label": known}), path, row_group_size=group)


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Name → (time of change in ns, content) of every file below a folder."""
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()
    }
