"""Every metric of the merged counts equals scikit-learn's of the raw rows."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn import metrics

from ortbatch.metrics.cells import Cells
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.tally import Tally
from ortbatch.report.averages import _by_cells, _by_margins
from ortbatch.report.encode import plain
from ortbatch.report.quality import class_counts, quality_section
from tests.unit.report.made import CATS, label_tally, names, score_tally

Matrix = NDArray[np.int64]
SETTINGS = settings(max_examples=20, deadline=None, derandomize=True, database=None)


@st.composite
def matrices(draw: st.DrawFn, sizes: tuple[int, ...] = (2, 3, 10, 50)) -> Matrix:
    """Few cells, so that classes without rows, never predicted, or neither, are common."""
    size = draw(st.sampled_from(sizes))
    place = st.integers(0, size - 1)
    counts = np.zeros((size, size), np.int64)
    for true, predicted, rows in draw(st.lists(st.tuples(place, place, st.integers(1, 9)), min_size=1, max_size=60)):
        counts[true, predicted] += rows
    return counts


def raw_rows(counts: Matrix) -> tuple[Matrix, Matrix]:
    """Labels and predictions, one entry a row."""
    true, predicted = np.nonzero(counts)
    return np.repeat(true, counts[true, predicted]), np.repeat(predicted, counts[true, predicted])


def quality(counts: Matrix, positive: int | None = None) -> dict[str, Any]:
    return plain(quality_section(label_tally(counts), positive))


def ask(function: Callable[..., Any], *rows: Matrix, **options: Any) -> Any:
    """scikit-learn, without its warnings of classes that do not occur."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*rows, **options)


def close(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, abs=1e-12, rel=0)


OVERALL = {
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    **{
        f"{name}_{average}": partial(function, average=average, zero_division=0)
        for average in ("macro", "weighted")
        for name, function in (
            ("precision", metrics.precision_score),
            ("recall", metrics.recall_score),
            ("f1", metrics.f1_score),
        )
    },
}


@pytest.mark.parametrize("name", OVERALL)
@SETTINGS
@given(matrices())
def test_metrics_of_all_classes_equal_scikit_learn_on_raw_rows(name: str, counts: Matrix) -> None:
    assert quality(counts)[name]["value"] == close(ask(OVERALL[name], *raw_rows(counts)))


@SETTINGS
@given(matrices())
def test_matthews_equals_scikit_learn_and_is_null_where_one_class_makes_it_meaningless(counts: Matrix) -> None:
    true, predicted = raw_rows(counts)
    one_class = len(set(true)) == 1 or len(set(predicted)) == 1
    expected = None if one_class else ask(metrics.matthews_corrcoef, true, predicted)
    assert quality(counts)["matthews_corrcoef"]["value"] == close(expected)


@SETTINGS
@given(matrices())
def test_kappa_equals_scikit_learn_and_is_null_where_that_is_nan(counts: Matrix) -> None:
    expected = ask(metrics.cohen_kappa_score, *raw_rows(counts))
    assert quality(counts)["cohen_kappa"]["value"] == close(None if np.isnan(expected) else expected)


@pytest.mark.parametrize("place", range(3), ids=["precision", "recall", "f1"])
@SETTINGS
@given(matrices())
def test_metrics_of_each_class_equal_scikit_learn_and_are_null_where_undefined(place: int, counts: Matrix) -> None:
    name = ("precision", "recall", "f1")[place]
    options = {"labels": range(len(counts)), "zero_division": np.nan}
    expected = ask(metrics.precision_recall_fscore_support, *raw_rows(counts), **options)[place]
    values = [row[name]["value"] for row in quality(counts)["per_class"]]
    assert values == [None if np.isnan(value) else close(value) for value in expected]


@SETTINGS
@given(matrices())
def test_specificity_of_a_class_is_the_recall_of_all_others(counts: Matrix) -> None:
    true, predicted = raw_rows(counts)
    for index, row in enumerate(quality(counts)["per_class"]):
        expected = ask(metrics.recall_score, true != index, predicted != index, zero_division=np.nan)
        assert row["specificity"]["value"] == close(None if np.isnan(expected) else expected)


@SETTINGS
@given(matrices())
def test_support_and_predicted_are_the_margins(counts: Matrix) -> None:
    rows = quality(counts)["per_class"]
    assert [row["support"] for row in rows] == counts.sum(axis=1).tolist()
    assert [row["predicted"] for row in rows] == counts.sum(axis=0).tolist()


@SETTINGS
@given(matrices())
def test_majority_class_accuracy_is_that_of_the_best_constant(counts: Matrix) -> None:
    true, _ = raw_rows(counts)
    best = max(metrics.accuracy_score(true, np.full(true.size, index)) for index in range(len(counts)))
    assert quality(counts)["majority_class_accuracy"]["value"] == close(best)


@SETTINGS
@given(matrices((50,)))
def test_margins_give_what_cells_give(counts: Matrix) -> None:
    confusion = ConfusionMatrix(names(50), Cells.of_dense(counts))
    margins, cells = _by_margins(confusion), _by_cells(confusion)
    assert margins.keys() == cells.keys()
    for name, value in cells.items():
        # Of one class only, scikit-learn's kappa is nan as well, and both know matthews as nan.
        assert margins[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("size", [2, 300])
def test_five_billion_rows_do_not_overflow(size: int) -> None:
    counts = np.zeros((size, size), np.int64)
    counts[:2, :2] = np.array([[4, 1], [1, 4]]) * 10**9
    section = quality(counts)
    assert section["matthews_corrcoef"]["value"] == close(0.6)
    assert section["cohen_kappa"]["value"] == close(0.6)


@pytest.mark.parametrize("name", OVERALL)
def test_a_thousand_classes_equal_scikit_learn(thousand: tuple[Matrix, dict[str, Any]], name: str) -> None:
    counts, section = thousand
    assert section[name]["value"] == close(ask(OVERALL[name], *raw_rows(counts)))


@pytest.fixture(scope="module")
def thousand() -> tuple[Matrix, dict[str, Any]]:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 1_000, 20_000)
    predicted = np.where(rng.random(true.size) < 0.7, true, rng.integers(0, 1_000, true.size))
    counts = ConfusionMatrix.of(names(1_000), true, predicted).counts
    return counts, quality(counts)


@pytest.mark.parametrize("size", [257, 300])
def test_sparse_and_dense_matrices_of_many_classes_give_the_same(size: int) -> None:
    rng = np.random.default_rng(size)
    few = rng.integers(0, size, (2, 2_000))
    every = np.stack(np.divmod(np.arange(size * size), size))
    for rows in (few, np.concatenate([few, every], axis=1)):
        confusion = ConfusionMatrix.of(names(size), *rows)
        assert (confusion.table.indices is None) == (rows.shape[1] > 2_000)
        cells = _by_cells(confusion)
        assert _by_margins(confusion) == {name: pytest.approx(value, abs=1e-12) for name, value in cells.items()}
        hits, matrix = class_counts(confusion), metrics.multilabel_confusion_matrix(*rows, labels=range(size))
        assert [[c.tn, c.fp, c.fn, c.tp] for c in hits] == matrix.reshape(-1, 4).tolist()


def test_ten_thousand_classes_need_no_memory_of_their_square() -> None:
    rng = np.random.default_rng(0)
    confusion = ConfusionMatrix.of(names(10_000), *rng.integers(0, 10_000, (2, 3_000)))
    tally = replace(Tally.empty(confusion.classes, ()), confusion=confusion)
    tracemalloc.start()
    section = quality_section(tally, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert section["rows"] == 3_000
    assert peak < 100_000_000


@SETTINGS
@given(matrices())
def test_intervals_contain_their_values(counts: Matrix) -> None:
    section = quality(counts)
    estimates = [section["accuracy"], *(row[name] for row in section["per_class"] for name in ("precision", "f1"))]
    for estimate in estimates:
        if estimate["value"] is not None:
            assert estimate["ci"][0] <= estimate["value"] <= estimate["ci"][1]


def wilson(successes: int, trials: int) -> tuple[float, float]:
    ends = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return float(ends.low), float(ends.high)


def test_intervals_of_shares_are_wilsons() -> None:
    row = quality(np.array([[40, 10], [20, 30]]))["per_class"][0]
    assert row["precision"]["ci"] == pytest.approx(wilson(40, 60))
    assert row["recall"]["ci"] == pytest.approx(wilson(40, 50))
    assert row["specificity"]["ci"] == pytest.approx(wilson(30, 50))


def test_interval_of_f1_comes_from_wilsons_on_the_jaccard_index() -> None:
    row = quality(np.array([[40, 10], [20, 30]]))["per_class"][0]
    assert row["f1"]["ci"] == pytest.approx([2 * j / (1 + j) for j in wilson(40, 70)])


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize(
    ("name", "function"),
    [("precision", metrics.precision_score), ("recall", metrics.recall_score), ("f1", metrics.f1_score)],
)
def test_binary_metrics_are_those_of_the_positive_class(positive: int, name: str, function: Callable[..., Any]) -> None:
    counts = np.array([[40, 10], [21, 30]])
    section = quality(counts, positive)
    assert section["positive"] == f"class_{positive}"
    assert section[name]["value"] == close(function(*raw_rows(counts), pos_label=positive))


def test_a_multiclass_section_has_no_positive_class() -> None:
    section = quality(np.eye(3, dtype=np.int64))
    assert section["task"] == "multiclass"
    assert not {"positive", "precision", "recall", "f1", "specificity"} & section.keys()


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize(
    ("name", "function"),
    [("roc_auc", metrics.roc_auc_score), ("average_precision", metrics.average_precision_score)],
)
def test_binary_curves_are_those_of_the_positive_class(positive: int, name: str, function: Callable[..., Any]) -> None:
    rng = np.random.default_rng(1)
    true = rng.integers(0, 2, 500)
    log_odds = rng.normal(np.where(true == positive, 1, -1))
    section = plain(quality_section(score_tally(true, log_odds, CATS, positive), positive))
    low, high = section[name]["bound"]
    assert low - 1e-12 <= function(true == positive, log_odds) <= high + 1e-12
    assert section["per_class"][positive][name] == section[name]
    assert section["per_class"][1 - positive][name]["reason"] == "curves are kept for the positive class"
