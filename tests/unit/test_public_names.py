"""The names that others may rely on, and the error tree as its docstring draws it."""

from __future__ import annotations

import pickle
import re

import pytest

import ortbatch
from ortbatch import errors

TREE = re.compile(r"[├└]── (\w+) +(\d+)")


def test_the_public_names_are_these() -> None:
    assert sorted(ortbatch.__all__) == [
        "Aim", "Job", "Options", "OrtbatchError", "Report", "Sweep", "__version__", "compare", "history",
        "latency_curve", "load_job", "pick_threshold", "read_report", "run",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ortbatch.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(ortbatch, name) is not None
    assert name in dir(ortbatch)


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ortbatch' has no attribute 'runn'"):
        ortbatch.runn  # type: ignore[attr-defined]  # noqa: B018


def test_the_error_tree_is_what_its_docstring_draws() -> None:
    assert errors.__doc__ is not None
    drawn = {name: int(code) for name, code in TREE.findall(errors.__doc__)}
    assert drawn == {kind.__name__: kind.exit_code for kind in errors.OrtbatchError.__subclasses__()}
    assert all(kind.__bases__ == (errors.OrtbatchError,) for kind in errors.OrtbatchError.__subclasses__())


def test_no_error_class_is_missing_from_the_tree() -> None:
    kinds = {name for name, item in vars(errors).items() if isinstance(item, type) and issubclass(item, Exception)}
    assert kinds - {"OrtbatchError"} == {name for name, _ in TREE.findall(errors.__doc__ or "")}


def test_every_error_of_ours_survives_the_way_between_processes() -> None:
    for kind in errors.OrtbatchError.__subclasses__():
        error = kind([errors.Problem("job.yaml:1", "name", "missing")]) if kind is errors.JobError else kind("text")
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy)) == (kind, str(error))


def test_options_refuse_an_engine_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="engine 'spark'; expected one of auto, ray, inline"):
        ortbatch.Options(engine="spark")


def test_options_refuse_an_address_for_one_process() -> None:
    with pytest.raises(ValueError, match="engine inline runs in this process"):
        ortbatch.Options(engine="inline", address="auto")


def test_run_refuses_overrides_of_a_job_that_is_built() -> None:
    job = ortbatch.Job.from_mapping({"name": "a", "model": "m.onnx", "data": {"path": "d", "label": "y"}})
    with pytest.raises(ValueError, match="variables and overrides are for job files"):
        ortbatch.run(job, overrides=["threshold=0.3"])
