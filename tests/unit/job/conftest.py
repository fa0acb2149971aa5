from collections.abc import Callable
from pathlib import Path

import pytest

from ortbatch.errors import JobError
from ortbatch.job import Job, load_job

DIGITS = """\
name: digits
model: model.onnx
data: {path: data/test, label: label}
"""


@pytest.fixture
def digits() -> str:
    """The smallest job file."""
    return DIGITS


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Job]:
    """Load a job file of this text."""

    def load_text(text: str, **options) -> Job:
        path = tmp_path / "job.yaml"
        path.write_bytes(text.encode())
        return load_job(path, **options)

    return load_text


@pytest.fixture
def problems(load: Callable[..., Job], tmp_path: Path) -> Callable[..., list[str]]:
    """What is wrong with a job file of this text, with the folder left out."""

    def problems_of(text: str, **options) -> list[str]:
        with pytest.raises(JobError) as caught:
            load(text, **options)
        return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return problems_of


@pytest.fixture
def problem(problems: Callable[..., list[str]]) -> Callable[..., str]:
    """The one thing wrong with the demo's job and these lines after it."""

    def problem_of(more: str = "", **options) -> str:
        (only,) = problems(DIGITS + more, **options)
        return only

    return problem_of
