"""Names of metrics survive the way to MLflow and back, whatever classes and slices are called."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from ortbatch.metrics.reference import MetricRef
from ortbatch.tracking.names import LONGEST, metric_of, mlflow_name

SETTINGS = settings(max_examples=200, deadline=None, derandomize=True, database=None)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("accuracy", "accuracy"),
        ("latency.single.p99_ms", "latency.single.p99_ms"),
        ("recall[fraud]", "recall/class/fraud"),
        ("recall[fraud]@country=DE,device=ios", "recall/class/fraud/slice/country/DE/device/ios"),
        ("recall_at_precision(0.9)", "recall_at_precision/at/0.9"),
        ("recall_at_precision(0.9)[a]", "recall_at_precision/at/0.9/class/a"),
        ("fidelity[torch].agreement", "fidelity.agreement/of/torch"),
        ("accuracy@class=at", "accuracy/slice/class/at"),
        ("recall[T-shirt]", "recall/class/T-2dshirt"),
        ("recall[é]", "recall/class/-c3-a9"),
    ],
)
def test_a_metric_is_named_like_this_and_read_back(metric: str, name: str) -> None:
    assert mlflow_name(MetricRef.parse(metric)) == name
    assert str(metric_of(name)) == metric


ODD = ["", "/", "..", ".", "a/b", "class", "slice", "at", "-", "--", "-2d", " a ", "a\nb", "\0", "猫", "[", "=,", "%"]


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_class_is_allowed_by_mlflow_and_read_back(odd: str) -> None:
    ref = MetricRef("recall", class_name=odd)
    _validate_metric_name(mlflow_name(ref))
    assert metric_of(mlflow_name(ref)) == ref


@SETTINGS
@given(TEXT, TEXT, TEXT)
def test_any_class_and_slice_is_allowed_by_mlflow_and_read_back(name: str, column: str, value: str) -> None:
    ref = MetricRef("recall", class_name=name, slice=((column, value),))
    made = mlflow_name(ref)
    _validate_metric_name(made)
    if len(made) < LONGEST:
        assert metric_of(made) == ref


@SETTINGS
@given(TEXT, TEXT)
def test_two_classes_never_share_a_name(one: str, other: str) -> None:
    made = [mlflow_name(MetricRef("recall", class_name=text)) for text in (one, other)]
    assert (made[0] == made[1]) == (one == other)


def test_a_name_is_a_path_that_stays_where_it_is() -> None:
    for odd in ODD:
        made = mlflow_name(MetricRef("recall", class_name=odd))
        assert posixpath.normpath(made) == made


def test_long_names_are_cut_apart_from_each_other_and_not_read_back() -> None:
    made = {mlflow_name(MetricRef("recall", class_name="x" * 300 + str(place))) for place in range(50)}
    assert len(made) == 50
    assert {len(name) for name in made} == {LONGEST}
    with pytest.raises(ValueError, match="was cut"):
        metric_of(made.pop())


@pytest.mark.parametrize("name", ["recall/fraud", "recall/class/a/slice", "accuracy/slice/a", "accuracy/x/a/b"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a metric"):
        metric_of(name)
