"""Pipelines of scikit-learn with numbers and texts, and models of three inputs, fed by Parquet of many writers.

The counts are those of the pipeline's own predictions, or of the torch module.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix

from ortbatch.errors import DataError
from ortbatch.report.report import Report
from tests.makers import CUSTOMER, FEATURES, Customers, customers, evaluate, pipeline, three_inputs

pytestmark = [
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning"),
]
AMOUNT, AGE, VISITS, COUNTRY, DEVICE = range(5)
BINARY, THREE, NUMBERS = ("no", "yes"), ("b", "a", "c"), (0, 1, 2)
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "regression": LogisticRegression,
    "forest": lambda: RandomForestClassifier(9, max_depth=5, random_state=0, n_jobs=1),
}
NUMBER, WHOLE, TEXT = (kind([None, 1]) for kind in (FloatTensorType, Int64TensorType, StringTensorType))
AN_INPUT_A_COLUMN = tuple(zip(CUSTOMER, (NUMBER, NUMBER, WHOLE, TEXT, TEXT), strict=True))
TEXTS_TOGETHER = (*AN_INPUT_A_COLUMN[:3], ("texts", StringTensorType([None, 2])))
TOGETHER = (("numbers", FloatTensorType([None, 3])), TEXTS_TOGETHER[-1])
TWO_TEXTS = ["country", "device"]
# Types of text and of ages, and whether the file stores Arrow's types beside Parquet's; as these writers had them.
WRITERS: dict[str, tuple[pa.DataType, str, bool]] = {
    "Spark, DuckDB": (pa.string(), "int64", False),
    "pandas": (pa.large_string(), "float64", True),
    "pandas, category": (pa.dictionary(pa.int8(), pa.string()), "float64", True),
    "polars, Categorical": (pa.dictionary(pa.uint32(), pa.string()), "int64", True),
}


def fitted(
    folder: Path, names: Any = THREE, classifier: str = "regression", inputs: Any = AN_INPUT_A_COLUMN
) -> tuple[Customers, Any]:
    """Customers, written to data.parquet, and the pipeline that was fitted on them and exported."""
    made = customers(names)
    made.write(folder)
    return made, pipeline(folder, CLASSIFIERS[classifier](), made, inputs)


def changed(made: Customers, column: int, values: Any, every: int = 9) -> Customers:
    """Every so many rows with another value."""
    other = made.values.copy()
    other[::every, column] = values
    return Customers(other, made.labels)


def bound(folder: Path, **inputs: Any) -> Report:
    return evaluate(folder, {"path": "model.onnx", "inputs": inputs})


def rejected(report: Report) -> Any:
    return report.data["coverage"]["rows"]["rejected"]


def assert_own(report: Report, made: Customers, model: Any) -> None:
    """Classes and counts are those of the pipeline."""
    assert report.classes == [str(name) for name in model.classes_]
    assert report.confusion_matrix.tolist() == confusion_matrix(made.labels, model.predict(made.values)).tolist()


@pytest.mark.parametrize("names", [BINARY, THREE, NUMBERS], ids=str)
@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_pipeline_with_an_input_a_column_counts_its_own_predictions(
    tmp_path: Path, classifier: str, names: Any
) -> None:
    made, model = fitted(tmp_path, names, classifier)
    assert_own(evaluate(tmp_path), made, model)


@pytest.mark.parametrize("column", range(len(CUSTOMER)))
@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_each_column_reaches_its_own_input(tmp_path: Path, classifier: str, column: int) -> None:
    made, model = fitted(tmp_path, THREE, classifier)
    other = changed(made, column, made.values[::-1, column], every=1)
    other.write(tmp_path)
    assert (model.predict(other.values) != model.predict(made.values)).sum() > 10
    assert_own(evaluate(tmp_path), other, model)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_pipeline_takes_columns_as_their_writer_types_them(tmp_path: Path, classifier: str, writer: str) -> None:
    made, model = fitted(tmp_path, THREE, classifier)
    text, age, stores_types = WRITERS[writer]
    path, table = tmp_path / "data.parquet", pa.table(made.columns(text, age))
    pq.write_table(table, path, row_group_size=97, store_schema=stores_types)
    assert pq.read_schema(path).field("country").type == text
    assert_own(evaluate(tmp_path), made, model)


def test_columns_are_found_by_name_in_any_order_among_others_that_no_input_uses(tmp_path: Path) -> None:
    made, model = fitted(tmp_path)
    number = len(made.labels)
    others = {"id": pa.array(range(number)), "note": pa.nulls(number, pa.string()), "x": pa.array([[1.5]] * number)}
    columns = {**others, **made.columns()}
    pq.write_table(pa.table({name: columns[name] for name in sorted(columns)}), tmp_path / "data.parquet")
    assert_own(evaluate(tmp_path), made, model)


def test_missing_numbers_are_left_to_the_imputer(tmp_path: Path) -> None:
    made, model = fitted(tmp_path)
    assert all(made.columns()[column].null_count > 20 for column in ("amount", "age"))
    report = evaluate(tmp_path)
    assert (rejected(report), report.data["coverage"]["rows"]["evaluated"]) == ({}, len(made.labels))
    zero = Customers(np.where(made.values != made.values, 0, made.values), made.labels)
    assert (model.predict(zero.values) != model.predict(made.values)).sum() > 10
    assert_own(report, made, model)


def test_a_text_that_the_encoder_never_saw_is_none_of_its_categories(tmp_path: Path) -> None:
    made, model = fitted(tmp_path)
    strange = changed(made, COUNTRY, "IS")
    strange.write(tmp_path)
    assert_own(evaluate(tmp_path), strange, model)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_null_text_rejects_its_row_and_no_other(tmp_path: Path, writer: str) -> None:
    made, model = fitted(tmp_path)
    text, age, _ = WRITERS[writer]
    pq.write_table(pa.table(changed(made, DEVICE, None).columns(text, age)), tmp_path / "data.parquet")
    report = evaluate(tmp_path)
    good = np.arange(len(made.labels)) % 9 != 0
    assert rejected(report) == {"null_feature": int((~good).sum())}
    assert_own(report, Customers(made.values[good], made.labels[good]), model)


@pytest.mark.parametrize("stand_in", ["", "web", "None"])
def test_a_null_text_becomes_the_text_that_the_job_gives(tmp_path: Path, stand_in: str) -> None:
    made, model = fitted(tmp_path)
    changed(made, DEVICE, None).write(tmp_path)
    report = bound(tmp_path, device={"column": "device", "null": stand_in})
    assert rejected(report) == {}
    assert_own(report, changed(made, DEVICE, stand_in), model)


def test_a_null_in_a_whole_number_rejects_its_row_unless_the_job_gives_one(tmp_path: Path) -> None:
    made, model = fitted(tmp_path)
    changed(made, VISITS, None).write(tmp_path)
    good = np.arange(len(made.labels)) % 9 != 0
    report = evaluate(tmp_path)
    assert rejected(report) == {"null_feature": int((~good).sum())}
    assert_own(report, Customers(made.values[good], made.labels[good]), model)
    given = evaluate(tmp_path, {"path": "model.onnx", "inputs": {"visits": {"column": "visits", "null": 3}}}, run="3")
    assert_own(given, changed(made, VISITS, 3), model)


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int8(), pa.string())], ids=str)
def test_labels_are_texts_of_any_type(tmp_path: Path, kind: pa.DataType) -> None:
    made, model = fitted(tmp_path)
    columns = made.columns() | {"label": pa.array(made.labels.tolist(), kind)}
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    assert_own(evaluate(tmp_path), made, model)


def test_views_of_text_as_arrow_rs_stores_them_are_text(tmp_path: Path) -> None:
    made, model = fitted(tmp_path)
    pq.write_table(pa.table(made.columns(pa.string_view())), tmp_path / "data.parquet")
    assert_own(evaluate(tmp_path), made, model)


@pytest.mark.parametrize(("inputs", "missing"), [(TOGETHER, ["numbers", "texts"]), (TEXTS_TOGETHER, ["texts"])])
def test_inputs_that_no_column_is_named_like_are_refused_with_the_key_that_binds_them(
    tmp_path: Path, inputs: Any, missing: list[str]
) -> None:
    fitted(tmp_path, inputs=inputs)
    with pytest.raises(DataError) as refused:
        evaluate(tmp_path)
    message = str(refused.value)
    assert f"no columns for the model's input {', '.join(f'`{name}`' for name in missing)}." in message
    assert "columns: amount (double), age (int64), visits (int64), country (string), device (string)" in message
    assert f"for example `model: {{inputs: {{{missing[0]}: [first, second]}}}}`" in message


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("writer", WRITERS)
def test_an_input_of_several_texts_takes_the_columns_that_the_job_names(
    tmp_path: Path, writer: str, classifier: str
) -> None:
    made, model = fitted(tmp_path, THREE, classifier, TEXTS_TOGETHER)
    text, age, _ = WRITERS[writer]
    pq.write_table(pa.table(made.columns(text, age)), tmp_path / "data.parquet")
    assert_own(bound(tmp_path, texts=TWO_TEXTS), made, model)


def test_inputs_of_several_columns_take_them_in_the_order_of_the_job(tmp_path: Path) -> None:
    made, model = fitted(tmp_path, inputs=TOGETHER)
    columns = made.columns()
    pq.write_table(pa.table({name: columns[name] for name in sorted(columns)}), tmp_path / "data.parquet")
    assert_own(bound(tmp_path, numbers=["amount", "age", "visits"], texts=TWO_TEXTS), made, model)


def test_a_null_in_one_of_several_texts_rejects_its_row(tmp_path: Path) -> None:
    made, model = fitted(tmp_path, inputs=TEXTS_TOGETHER)
    changed(changed(made, DEVICE, None), COUNTRY, None, every=10).write(tmp_path)
    good = (np.arange(len(made.labels)) % 9 != 0) & (np.arange(len(made.labels)) % 10 != 0)
    report = bound(tmp_path, texts=TWO_TEXTS)
    assert rejected(report) == {"null_feature": int((~good).sum())}
    assert_own(report, Customers(made.values[good], made.labels[good]), model)


def test_texts_reach_the_workers_of_a_cluster(tmp_path: Path, ray_cluster: Any) -> None:
    made, model = fitted(tmp_path)
    assert_own(evaluate(tmp_path, engine="ray"), made, model)


THIRDS = {
    "age": lambda values: pa.array(values[:, 0], pa.int32()),
    "f": lambda values: pa.array(values.tolist(), pa.list_(pa.float32())),
    "f, of fixed size": lambda values: pa.array(values.tolist(), pa.list_(pa.float64(), FEATURES)),
}


@pytest.mark.parametrize("new", [True, False], ids=["dynamo", "TorchScript"])
@pytest.mark.parametrize("third", THIRDS)
def test_three_inputs_are_bound_by_name_to_scalars_and_a_list(tmp_path: Path, third: str, new: bool) -> None:
    import torch

    name = third.partition(",")[0]
    module, rng = three_inputs(tmp_path / "model.onnx", name, new=new), np.random.default_rng(0)
    rate, amount = rng.normal(size=(2, 300))
    values = rng.integers(-3, 4, (300, 1 if name == "age" else FEATURES))
    labels = rng.integers(0, 3, 300)
    columns = {"label": labels, "rate": rate, name: THIRDS[third](values), "other": amount + 1, "amount": amount}
    pq.write_table(pa.table(columns), tmp_path / "data.parquet", row_group_size=97)
    tensors = [torch.tensor(part).float() for part in (amount[:, None], rate[:, None], values)]
    predicted = module(*tensors).argmax(dim=1).tolist()
    assert evaluate(tmp_path).confusion_matrix.tolist() == confusion_matrix(labels, predicted).tolist()
