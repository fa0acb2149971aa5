"""The jobs fraud, images, text and quantized, made as their READMEs say, where tests need real models and real rows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

JOBS = Path(__file__).resolve().parents[1] / "jobs"


def prepare_fraud(folder: Path, rows: int = 20_000) -> Path:
    """Makes the job in `folder` (about 6 s the first time, nothing to do the second) and returns its job.yaml."""
    return _prepare("fraud", folder, "--rows", str(rows))


def prepare_images(folder: Path) -> Path:
    """Makes the job in `folder` (about 13 s the first time) and returns its job.yaml; prep.py lies beside it."""
    job = _prepare("images", folder)
    shutil.copy(JOBS / "images" / "prep.py", folder)
    return job


def prepare_text(folder: Path) -> Path:
    """Makes the job in `folder` (about 10 s the first time, nothing to do the second) and returns its job.yaml."""
    return _prepare("text", folder)


def prepare_quantized(folder: Path) -> Path:
    """Makes the job in `folder` (about 12 s the first time, nothing to do the second) and returns its job.yaml."""
    return _prepare("quantized", folder)


def prepare_nightly(folder: Path, rows: int = 2_400, *, first: str = "2026-11-23", nights: int = 1) -> Path:
    """Makes the job in `folder` (about 6 s the first time) and returns its job.yaml; late.yaml lies beside it."""
    job = _prepare("nightly", folder, "--rows", str(rows), "--first", first, "--nights", str(nights))
    shutil.copy(JOBS / "nightly" / "late.yaml", folder)
    return job


def prepare_twice(prepare: Callable[[Path], Path], folder: Path) -> tuple[Path, Path]:
    """Two folders that hold the same job, each made by itself; the second holds a part of an older layout before."""
    one, two = folder / "one", folder / "two"
    stray = two / "data" / "test" / "part-99.parquet"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(prepare, (one, two)))
    return one, two


def rows_of(folder: Path, half: str) -> pa.Table:
    """All rows of `train` or `test`, in the order of the parts."""
    return pa.concat_tables(pq.read_table(path) for path in sorted((folder / "data" / half).iterdir()))


def _prepare(job: str, folder: Path, *arguments: str) -> Path:
    """A process of its own does it: settings and warnings of torch and skl2onnx do not reach the tests."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(JOBS / job / "prepare.py"), "--out", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return Path(shutil.copy(JOBS / job / "job.yaml", folder))
