"""The digits job, made as its README says, for tests that need a real model and real rows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

JOB_FOLDER = Path(__file__).resolve().parents[1] / "jobs" / "digits"


def prepare_digits(folder: Path) -> Path:
    """Makes the job in `folder` (about 8 s the first time, nothing to do the second) and returns its job.yaml.

    Beside it lie model.onnx, model.pt2, data/test and data/train. A process of its own does it: the settings and
    the warnings of torch do not reach the tests.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(JOB_FOLDER / "prepare.py"), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return Path(shutil.copy(JOB_FOLDER / "job.yaml", folder))
