"""A job that asks for a GPU where there is none ends before it begins, with a sentence and exit code 2."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from tests.command_line import call, make_job

GPU = ["CUDAExecutionProvider", "TensorrtExecutionProvider"]
HERE = onnxruntime.get_available_providers()

pytestmark = pytest.mark.skipif(any(name in HERE for name in GPU), reason="there is a GPU build here")


@pytest.mark.parametrize("provider", GPU)
@pytest.mark.parametrize("engine", ["inline", "ray"])
def test_a_provider_that_is_not_there_is_never_replaced_by_the_cpu(tmp_path: Path, provider: str, engine: str) -> None:
    job, run = make_job(tmp_path), tmp_path / "run"
    asked = f"model.providers=[{provider}, CPUExecutionProvider]"
    done = call("run", job, "--run-dir", run, "--engine", engine, "--set", asked)
    assert done.code == 2
    assert f"model.providers: {provider} not in this build of ONNX Runtime" in done.err
    assert "Install the build that has it, or name another." in done.err
    assert not (run / "report.json").exists()
