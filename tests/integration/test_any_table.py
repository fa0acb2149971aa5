"""Any table gives the counts of a plain loop over its rows, or an error of the product's own; never a wrong count."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from sklearn.metrics import accuracy_score, confusion_matrix

from ortbatch.api import Options, run_job
from ortbatch.data import data_file
from ortbatch.errors import OrtbatchError
from ortbatch.job import Job
from ortbatch.report.report import Report
from tests.any_table import (
    DTYPES,
    LABEL_KINDS,
    PART,
    Case,
    Expected,
    File,
    Input,
    Layout,
    Task,
    cases,
    encode,
    label_values,
    laid,
    plain_loop,
    pool,
    rank,
    source_kinds,
    tasks,
    with_null_dictionary,
)

ParquetFile = pq.ParquetFile
CLASSES = ["ham", "spam"]
REASONS = {
    "null_label", "unknown_label", "null_feature", "wrong_length", "too_long", "inexact_value", "nan_score",
    "infinite_score", "score_out_of_range", "unknown_prediction",
}  # fmt: skip


def relaid(table: pa.Table, case: Case) -> pa.Table:
    """The table that was read, with its values elsewhere in memory.

    Arrow cannot join dictionaries that hold nulls, and joins those of float16 to nonsense; Parquet gives it neither. So
    the former are there only where nothing is joined, the latter nowhere.
    """
    columns = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        encoded = case.layout.encoded and _may_be_encoded(column.type, name == case.label)
        if encoded and case.one_block:
            column = pa.chunked_array([with_null_dictionary(column.combine_chunks())])
        column = laid(column, case.layout)
        if encoded and not case.one_block:
            column = pa.chunked_array([encode(chunk, pa.int32()) for chunk in column.chunks])
        columns[name] = column
    return pa.table(columns)


def _may_be_encoded(kind: pa.DataType, label: bool) -> bool:
    return pa.types.is_dictionary(kind) or (not label and rank(kind) is not None and kind != pa.float16())


def reading(case: Case) -> type[pq.ParquetFile]:
    """Read as Parquet files are read, and lay out anew what was read."""

    class Relaid(ParquetFile):  # type: ignore[misc]
        def read_row_group(self, *arguments: Any, **options: Any) -> pa.Table:
            return relaid(super().read_row_group(*arguments, **options), case)

        def iter_batches(self, *arguments: Any, **options: Any) -> Iterator[pa.RecordBatch]:
            for batch in super().iter_batches(*arguments, **options):
                yield from relaid(pa.Table.from_batches([batch]), case).to_batches()

    return Relaid


def run(case: Case, folder: Path) -> Report:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_file.pq, "ParquetFile", reading(case))
        if case.budget is not None:
            patch.setattr(data_file, "BUDGET_BYTES", case.budget)
        options = Options(run_dir=str(folder / "run"), engine="inline")
        return run_job(Job.from_mapping(case.keys(), folder), options).report


def compare(case: Case, expected: Expected, report: Report) -> None:
    rows = report.data["coverage"]["rows"]
    assert expected.refused is None, "it was evaluated"
    assert rows["rejected"] == dict(sorted(expected.rejected.items()))
    assert rows["planned"] == expected.planned
    assert (rows["evaluated"], rows["unlabelled"]) == (len(expected.labels), expected.unlabelled)
    if expected.labels:
        matrix = confusion_matrix(expected.labels, expected.predicted, labels=range(case.classes))
        assert report.confusion_matrix.tolist() == matrix.tolist()
        assert report.quality["accuracy"].value == pytest.approx(accuracy_score(expected.labels, expected.predicted))


def check(case: Case) -> None:
    """Run a case and hold it against the plain loop."""
    with tempfile.TemporaryDirectory() as name:
        case.write(Path(name))
        expected = plain_loop(case, Path(name))
        try:
            report = run(case, Path(name))
        except OrtbatchError as error:
            if expected.refused or expected.doubtful:
                return
            raise AssertionError(f"a table that the contract covers was refused: {error}") from error
    compare(case, expected, report)


@settings(max_examples=150)
@given(cases())
def test_any_table_gives_the_counts_of_a_plain_loop_or_an_error_of_its_own(case: Case) -> None:
    check(case)


@pytest.fixture(scope="module")
def drawn() -> list[Expected]:
    """What the plain loop finds in tables such as these."""
    found: list[Expected] = []

    @settings(max_examples=200)
    @given(cases())
    def draw(case: Case) -> None:
        with tempfile.TemporaryDirectory() as name:
            case.write(Path(name))
            found.append(plain_loop(case, Path(name)))

    draw()
    return found


def test_most_of_these_tables_must_be_evaluated(drawn: list[Expected]) -> None:
    usable = [expected for expected in drawn if not expected.refused and not expected.doubtful]
    assert len(usable) > len(drawn) / 2


def test_these_tables_are_refused_rejected_and_predicted_in_every_way(drawn: list[Expected]) -> None:
    assert any(expected.refused for expected in drawn)
    assert {reason for expected in drawn for reason in expected.rejected} == REASONS
    assert sum(len(set(expected.predicted)) > 1 for expected in drawn) > len(drawn) / 4


def one_column(dtype: str, files: Sequence[pa.Table], bias: float, *, lossy: bool = False, **data: Any) -> Case:
    """A case of one column `f0`, one logit and two classes."""
    fed = Input("x0", dtype, (1,), ("f0",), False, {"cast": "lossy"} if lossy else {})
    job, layout = {"batch_size": "auto"}, Layout(100, 0, True, False)
    written = tuple(File(table, len(table), {}) for table in files)
    return Case((fed,), "job", "logits", "label", data, job, written, True, (bias,), layout, None)


def every_value(dtype: str, lossy: bool) -> list[pa.Table]:
    """A file for each type of column that may feed an input, behind rows that are all good."""
    files = [pa.table({"f0": pa.array([False, True] * 128), "label": [0, 1, 1, 0] * 64})]
    for kind in dict.fromkeys(source_kinds(dtype, lossy)):
        values = [*dict.fromkeys(pool(kind, "wild")), None]
        files.append(pa.table({"f0": pa.array(values, kind), "label": [row % 2 for row in range(len(values))]}))
    return files


@pytest.mark.parametrize("lossy", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_value_of_every_type_is_cast_or_rejected_as_in_a_plain_loop(dtype: str, lossy: bool) -> None:
    check(one_column(dtype, every_value(dtype, lossy), 3.0, lossy=lossy))


def every_label(task: Task) -> list[pa.Table]:
    """A file for each type of label, behind rows that are all good."""
    columns = [list(task.known) * 128]
    columns += [pa.array(label_values(task, kind, "wild"), kind) for kind in LABEL_KINDS[task.family]]
    return [pa.table({"f0": [float(row % 4 == 1) for row in range(len(each))], "label": each}) for each in columns]


@pytest.mark.parametrize("task", tasks(2), ids=lambda task: f"{task.family} {task.data}")
def test_every_label_of_every_type_is_read_as_in_a_plain_loop(task: Task) -> None:
    check(one_column("float64", every_label(task), 1.0, **task.data))


@pytest.mark.parametrize("kind", [pa.int64(), pa.float32(), pa.bool_(), pa.decimal128(25, 2)], ids=str)
def test_a_null_in_a_dictionary_of_features_is_null(kind: pa.DataType) -> None:
    table = pa.table({"f0": pa.array([1, 0, None, None, 1]).cast(kind), "label": [0, 1, 0, 1, 0]})
    check(one_column("bool" if kind == pa.bool_() else "float64", [table], 1.0))


def test_a_null_in_the_dictionary_of_labels_is_no_label() -> None:
    labels = pa.array(["ham", None, None, "spam"]).dictionary_encode()
    check(one_column("float32", [pa.table({"f0": [0.0, 1.0, 2.0, 3.0], "label": labels})], 0.5, classes=CLASSES))


def test_a_decimal_becomes_the_float_that_is_nearest_to_it() -> None:
    column = pa.array([Decimal("-340.28")], pa.decimal128(5, 2))
    check(one_column("float64", [pa.table({"f0": column, "label": [1]})], bias=-340.28))


VIEWS = pa.table({
    "f0": pa.array([0, 1, 2], pa.float32()), "label": pa.array(["ham", "spam", None], pa.string_view()),
    PART: ["in", "in", "out"],
})  # fmt: skip


def test_a_filter_leaves_out_rows_whose_labels_are_views_of_text() -> None:
    check(one_column("float32", [VIEWS], 0.5, classes=CLASSES, filter=[[PART, "==", "in"]]))


def test_a_sample_of_rows_whose_labels_are_views_of_text_is_evaluated() -> None:
    check(one_column("float32", [VIEWS], 0.5, classes=CLASSES, sample={"rows": 3}))
