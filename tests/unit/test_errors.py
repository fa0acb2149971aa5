"""Errors that are looked for together are raised together; one alone is itself."""

from __future__ import annotations

import pickle

import pytest

from ortbatch.errors import Complaints, DataError, JobError, ModelError, PreflightError, Problem, StorageError


def test_nothing_heard_is_nothing_raised() -> None:
    complaints = Complaints()
    with complaints.heard():
        pass
    complaints.raise_all()


def test_one_error_is_raised_as_it_is() -> None:
    complaints, error = Complaints(), DataError("a")
    with complaints.heard():
        raise error
    with pytest.raises(DataError) as raised:
        complaints.raise_all()
    assert raised.value is error


def test_several_are_raised_together_in_their_order_and_each_once() -> None:
    complaints = Complaints()
    for error in (ModelError("m"), DataError("d"), ModelError("m"), JobError([Problem("job.yaml:1", "name", "j")])):
        complaints.add(error)
    with pytest.raises(PreflightError, match=r"^3 problems:\n\* m\n\* d\n\* job\.yaml:1: name: j$") as raised:
        complaints.raise_all()
    assert [type(error) for error in raised.value.errors] == [ModelError, DataError, JobError]
    assert raised.value.exit_code == 2


def test_several_inside_several_are_told_as_one_list() -> None:
    complaints = Complaints()
    complaints.add(PreflightError([ModelError("m"), DataError("d")]))
    complaints.add(DataError("e"))
    with pytest.raises(PreflightError) as raised:
        complaints.raise_all()
    assert [str(error) for error in raised.value.errors] == ["m", "d", "e"]


def test_failed_storage_is_raised_alone_as_another_attempt_may_pass() -> None:
    complaints = Complaints()
    for error in (DataError("d"), StorageError("s"), ModelError("m")):
        complaints.add(error)
    with pytest.raises(StorageError, match=r"^s$"):
        complaints.raise_all()


def test_what_is_no_error_of_job_model_or_data_is_not_kept() -> None:
    with pytest.raises(ZeroDivisionError), Complaints().heard():
        raise ZeroDivisionError


def test_several_errors_survive_a_pickle() -> None:
    copy = pickle.loads(pickle.dumps(PreflightError([ModelError("m"), DataError("d")])))
    assert [(type(error), str(error)) for error in copy.errors] == [(ModelError, "m"), (DataError, "d")]
