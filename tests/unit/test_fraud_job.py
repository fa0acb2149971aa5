"""The fraud job is what its README says: rows by number, a ZipMap, a model of high accuracy and low recall."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.fraud.prepare import TRAIN_ROWS, export_model, features_of, stamp_of, train_model, write_rows
from jobs.fraud.transactions import FEATURES, transactions
from tests.jobs import JOBS, prepare_fraud, prepare_twice, rows_of
from tests.prepared_job import PreparedJob, asked

ROWS = 20_000


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return prepare_twice(prepare_fraud, tmp_path_factory.mktemp("fraud"))


@pytest.fixture(scope="module")
def folder(folders: tuple[Path, Path]) -> Path:
    return folders[0]


@pytest.fixture(scope="module")
def twin(folders: tuple[Path, Path]) -> Path:
    return folders[1]


class TestPreparedFraud(PreparedJob):
    prepare = staticmethod(prepare_fraud)
    stamp_of = staticmethod(lambda out: stamp_of(out, ROWS))
    parts = 16
    columns: ClassVar = {"id": "int64", **dict.fromkeys(FEATURES, "float"), "country": "string", "is_fraud": "int64"}


@pytest.fixture(scope="module")
def session(folder: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def test_rows(folder: Path) -> pa.Table:
    return rows_of(folder, "test")


@pytest.fixture(scope="module")
def said(session: onnxruntime.InferenceSession, test_rows: pa.Table) -> tuple[npt.NDArray[np.int64], list[Any]]:
    """output_label and output_probability for the test rows."""
    labels, maps = session.run(["output_label", "output_probability"], {"features": features_of(test_rows)})
    return labels, maps


@pytest.fixture(scope="module")
def is_fraud(test_rows: pa.Table) -> npt.NDArray[np.bool_]:
    return test_rows["is_fraud"].to_numpy() == 1


def test_there_are_as_many_rows_as_asked_for(folder: Path) -> None:
    assert [rows_of(folder, half).num_rows for half in ("train", "test")] == [TRAIN_ROWS, ROWS]


@pytest.mark.parametrize("step", [1, 7, 256, 777])
def test_rows_are_the_same_in_whatever_runs_they_are_made(step: int) -> None:
    runs = [transactions(at, min(at + step, 1500)) for at in range(500, 1500, step)]
    assert pa.concat_tables(runs).equals(transactions(500, 1500))


def test_the_test_rows_follow_the_training_rows(folder: Path, test_rows: pa.Table) -> None:
    assert rows_of(folder, "train").equals(transactions(0, TRAIN_ROWS))
    assert test_rows.equals(transactions(TRAIN_ROWS, TRAIN_ROWS + ROWS))


def test_fewer_rows_are_the_first_of_more_rows(test_rows: pa.Table, tmp_path: Path) -> None:
    write_rows(TRAIN_ROWS, 999, tmp_path / "data" / "test")
    assert rows_of(tmp_path, "test").equals(test_rows.slice(0, 999))


def test_a_large_file_has_several_row_groups(tmp_path: Path) -> None:
    paths = write_rows(0, 16 * 30_000, tmp_path)
    assert {pq.read_metadata(path).num_row_groups for path in paths} == {2}


def test_rows_do_not_repeat(test_rows: pa.Table) -> None:
    assert len(set(test_rows["v01"].to_pylist())) > 0.99 * ROWS


def test_features_are_finite_and_in_their_range(test_rows: pa.Table) -> None:
    values = {name: test_rows[name].to_numpy() for name in FEATURES}
    assert all(np.isfinite(column).all() for column in values.values())
    assert set(np.unique(values["hour"])) == set(range(24))
    assert set(np.unique(values["weekday"])) == set(range(7))
    assert all(set(np.unique(values[name])) == {0, 1} for name in ("new_device", "online", "foreign"))
    assert min(values[name].min() for name in FEATURES if not name.startswith("v")) >= 0


def test_one_row_in_fifty_is_fraud(is_fraud: npt.NDArray[np.bool_]) -> None:
    assert 0.018 <= is_fraud.mean() <= 0.0225


def test_fraud_is_most_common_in_one_country(test_rows: pa.Table, is_fraud: npt.NDArray[np.bool_]) -> None:
    country = np.array(test_rows["country"])
    shares = {name: float(is_fraud[country == name].mean()) for name in np.unique(country)}
    assert max(shares, key=shares.__getitem__) == "BR"
    assert len(shares) == 5


def test_the_model_is_as_skl2onnx_makes_it_by_default(session: onnxruntime.InferenceSession) -> None:
    inputs = [(it.name, it.type, it.shape) for it in session.get_inputs()]
    assert inputs == [("features", "tensor(float)", [None, 32])]
    outputs = [(it.name, it.type) for it in session.get_outputs()]
    assert outputs == [("output_label", "tensor(int64)"), ("output_probability", "seq(map(int64,tensor(float)))")]


def test_operator_sets_stand_in_one_order_in_every_process(folder: Path) -> None:
    domains = [opset.domain for opset in onnx.load(folder / "model.onnx").opset_import]
    assert domains == sorted(domains)


def test_accuracy_is_high_and_recall_low(said: tuple[Any, Any], is_fraud: npt.NDArray[np.bool_]) -> None:
    called = said[0] == 1
    assert 0.979 <= (called == is_fraud).mean() <= 0.985
    assert 0.10 <= called[is_fraud].mean() <= 0.14


def test_most_of_what_is_called_fraud_is_fraud(said: tuple[Any, Any], is_fraud: npt.NDArray[np.bool_]) -> None:
    assert is_fraud[said[0] == 1].mean() >= 0.5


def test_accuracy_is_hardly_better_than_always_saying_legit(
    said: tuple[Any, Any], is_fraud: npt.NDArray[np.bool_]
) -> None:
    accuracy = ((said[0] == 1) == is_fraud).mean()
    assert 0 < accuracy - (~is_fraud).mean() < 0.005


def test_the_label_is_fraud_from_a_probability_of_one_half_on(said: tuple[Any, Any]) -> None:
    labels, maps = said
    assert {frozenset(row) for row in maps} == {frozenset({0, 1})}
    np.testing.assert_array_equal(labels, [int(row[1] >= 0.5) for row in maps])


def test_onnx_says_what_scikit_learn_says(tmp_path: Path) -> None:
    few = transactions(0, 4_000)
    model = train_model(few)
    session = onnxruntime.InferenceSession(export_model(model, tmp_path / "model.onnx"))
    maps = session.run(["output_probability"], {"features": features_of(few)})[0]
    scores = np.array([[row[0], row[1]] for row in maps])
    np.testing.assert_allclose(scores, model.predict_proba(features_of(few)), rtol=0, atol=1e-5)


def test_the_job_lists_the_columns_in_the_order_of_the_model(folder: Path) -> None:
    assert tuple(asked(folder)["model"]["inputs"]["features"]) == FEATURES
    assert len(FEATURES) == len(set(FEATURES)) == 32


def test_features_are_stored_without_a_dictionary(folder: Path) -> None:
    group = pq.read_metadata(folder / "data" / "test" / "part-00.parquet").row_group(0)
    stored = [group.column(i) for i in range(group.num_columns)]
    assert {it.path_in_schema for it in stored if it.has_dictionary_page} == {"country", "is_fraud"}


def test_fewer_rows_than_files_are_refused(tmp_path: Path) -> None:
    command = [sys.executable, str(JOBS / "fraud" / "prepare.py"), "--out", str(tmp_path), "--rows", "15"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "--rows 15: expected at least 16" in done.stderr
