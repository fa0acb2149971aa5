"""Runs on a real GPU, where there is one: the provider that was asked for computes, and finds what the CPU finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from tests.command_line import call, make_job

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
HERE = onnxruntime.get_available_providers()


def needs(*providers: str) -> pytest.MarkDecorator:
    missing = [name for name in providers if name not in HERE]
    return pytest.mark.skipif(bool(missing), reason=f"no GPU here: {', '.join(missing)} is not there")


def run(folder: Path, providers: list[str], *more: str) -> dict[str, Any]:
    """The report of the small job."""
    folder.mkdir()
    asked = f"model.providers=[{', '.join(providers)}]"
    done = call("run", make_job(folder), "--run-dir", folder / "run", "--set", asked, *more)
    assert done.code == 0, done.err
    return dict(json.loads((folder / "run" / "report.json").read_text()))


@pytest.mark.parametrize(
    "providers",
    [
        pytest.param([CUDA, CPU], marks=needs(CUDA)),
        pytest.param([CUDA], marks=needs(CUDA)),
        pytest.param([TENSORRT, CUDA, CPU], marks=needs(TENSORRT, CUDA)),
    ],
    ids=",".join,
)
def test_it_computes_on_what_was_asked_for_and_counts_what_the_cpu_counts(tmp_path: Path, providers: list[str]) -> None:
    found = run(tmp_path / "gpu", providers, "--engine", "inline")
    assert found["provenance"]["model"]["providers"][: len(providers)] == providers
    assert found["confusion_matrix"] == run(tmp_path / "cpu", [CPU], "--engine", "inline")["confusion_matrix"]


@needs(CUDA)
def test_workers_share_a_gpu(tmp_path: Path) -> None:
    shared = run(
        tmp_path / "ray", [CUDA, CPU], "--engine", "ray", "--set", "execution.gpus_per_worker=0.5",
        "--set", "execution.workers=2", "--set", "execution.cpus_per_worker=1",
    )  # fmt: skip
    assert shared["provenance"]["engine"]["workers"] == 2
    assert shared["confusion_matrix"] == run(tmp_path / "one", [CUDA, CPU], "--engine", "inline")["confusion_matrix"]


@needs(CUDA)
def test_a_worker_of_a_gpu_provider_has_a_gpu_without_being_told(tmp_path: Path) -> None:
    found = run(tmp_path / "ray", [CUDA, CPU], "--engine", "ray", "--set", "execution.cpus_per_worker=1")
    assert found["provenance"]["model"]["providers"][0] == CUDA
