"""What is wrong with training data is told before the run; what they may lack is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ortbatch.engine.prepare import prepare
from ortbatch.engine.prepared import Prepared
from ortbatch.engine.training import Training, plan_training
from ortbatch.errors import OrtbatchError
from ortbatch.job import Job
from tests.leaky import NAMES, Leaky, drawn, make, mapping, write


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Leaky:
    return make(tmp_path_factory.mktemp("leaky"), files=1, rows=100)


def prepared(data: Leaky, *gates: str, **checks: Any) -> Prepared:
    return prepare(Job.from_mapping(mapping(checks or None, *gates), data.folder))


def planned(data: Leaky, path: Path) -> Training:
    found = plan_training(prepared(data, training_data=str(path)))
    assert found is not None
    return found


def test_a_job_without_checks_has_no_training_data(data: Leaky) -> None:
    assert plan_training(prepared(data)) is None


def test_labels_of_the_same_family_are_read(data: Leaky, tmp_path: Path) -> None:
    features, labels = drawn(10, 1)
    write(tmp_path / "a.parquet", features, labels.astype(np.int8))
    training = planned(data, tmp_path)
    assert (training.no_labels, training.plan.rows) == (None, 10)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (None, "has no label column `label`"),
        (np.array(["a"] * 10), "label column `label` holds string, that of the evaluation data int64"),
        (np.array([b"a"] * 10), "label column `label` is a binary"),
    ],
    ids=["none", "text", "bytes"],
)
def test_labels_that_cannot_be_read_are_no_error_but_a_reason(
    data: Leaky, tmp_path: Path, labels: Any, said: str
) -> None:
    write(tmp_path / "a.parquet", drawn(10, 1)[0], labels)
    write(tmp_path / "b.parquet", *drawn(10, 2))
    no_labels = planned(data, tmp_path).no_labels
    assert no_labels is not None
    assert said in no_labels
    assert "a.parquet" in no_labels


def test_a_file_that_lacks_a_column_of_the_model_is_refused_by_name(data: Leaky, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", *drawn(10, 1), names=NAMES[:-1])
    with pytest.raises(OrtbatchError, match=r"checks\.training_data: .*a\.parquet: column `f5` is missing"):
        planned(data, tmp_path)


def test_a_file_whose_column_is_no_number_is_refused(data: Leaky, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", *drawn(10, 1), names=NAMES[1:], extra={"f0": ["x"] * 10})
    with pytest.raises(OrtbatchError, match="column `f0` holds string, which is not a number"):
        planned(data, tmp_path)


def test_other_files_are_other_training_data(data: Leaky, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", *drawn(10, 1))
    before = planned(data, tmp_path)
    write(tmp_path / "b.parquet", *drawn(10, 2))
    after = planned(data, tmp_path)
    report = {"leakage": {"training": {"plan_digest": before.digest}}}
    assert (before.differs_from(report), after.differs_from(report)) == (False, True)
    assert not after.differs_from({})
