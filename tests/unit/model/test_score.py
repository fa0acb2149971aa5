"""Scores and predictions of raw outputs, against exact arithmetic."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ortbatch.model.outputs import (
    INFINITE_SCORE,
    NAN_SCORE,
    SCORE_OUT_OF_RANGE,
    UNKNOWN_PREDICTION,
    Decision,
    Output,
    Scored,
    score,
)

NAN, INF = float("nan"), float("inf")


def decision(
    kind: str, columns: int = 2, *, classes: int = 2, positive: int | None = 1, threshold: float = 0.5
) -> Decision:
    names = tuple(str(index) for index in range(classes))
    return Decision(Output("out", kind, columns, "job"), names, positive if classes == 2 else None, threshold)


def scored(kind: str, values: Any, dtype: str = "float32", **options: Any) -> Scored:
    raw = np.array(values, dtype)
    return score(decision(kind, raw.shape[1] if raw.ndim == 2 else 1, **options), raw)


def exact_softmax(row: Any) -> list[mpmath.mpf]:
    weights = [mpmath.exp(mpmath.mpf(float(value))) for value in row]
    return [weight / mpmath.fsum(weights) for weight in weights]


def exact_odds(parts: list[mpmath.mpf], index: int) -> mpmath.mpf:
    return mpmath.log(parts[index] / mpmath.fsum(part for i, part in enumerate(parts) if i != index))


FLOATS = st.sampled_from([("float16", 16, 600.0), ("float32", 32, 1e4), ("float64", 64, 1e4)])


@st.composite
def logits(draw: st.DrawFn, columns: int) -> np.ndarray:
    dtype, width, limit = draw(FLOATS)
    values = st.floats(-limit, limit, width=width) | st.floats(-8, 8, width=width) | st.sampled_from([0.0, 1.0, -1.0])
    return draw(arrays.arrays(dtype, (draw(st.integers(1, 5)), columns), elements=values))


@settings(max_examples=60)
@given(raw=logits(columns=2), positive=st.sampled_from([0, 1]))
def test_two_logits_have_exact_odds_and_probabilities(raw: np.ndarray, positive: int) -> None:
    result = score(decision("logits", positive=positive), raw)
    difference = raw[:, positive].astype(float) - raw[:, 1 - positive].astype(float)
    assert result.log_odds[:, 0].tolist() == difference.tolist()
    assert result.probabilities is not None
    for row, probabilities in zip(raw, result.probabilities.all(), strict=True):
        assert probabilities.tolist() == pytest.approx([float(p) for p in exact_softmax(row)], rel=1e-14, abs=1e-300)


@settings(max_examples=60)
@given(raw=logits(columns=1), positive=st.sampled_from([0, 1]), flat=st.booleans())
def test_one_logit_is_that_of_the_second_class(raw: np.ndarray, positive: int, flat: bool) -> None:
    result = score(decision("logits", 1, positive=positive), raw[:, 0] if flat else raw)
    two = score(decision("logits", 2, positive=positive), np.column_stack([np.zeros_like(raw[:, 0]), raw[:, 0]]))
    assert result.log_odds.tolist() == two.log_odds.tolist()
    assert result.predicted.tolist() == two.predicted.tolist()


@settings(max_examples=60)
@given(raw=logits(columns=4))
def test_many_logits_have_the_odds_of_exact_arithmetic(raw: np.ndarray) -> None:
    result = score(decision("logits", 4, classes=4), raw)
    with mpmath.workdps(60):
        for row, odds, probabilities in zip(raw, result.log_odds, result.probabilities.all(), strict=True):
            parts = exact_softmax(row)
            assert probabilities.tolist() == pytest.approx([float(p) for p in parts], rel=1e-12, abs=1e-300)
            expected = [float(exact_odds(parts, index)) for index in range(4)]
            assert odds.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


SATURATED = [[0, -50, -60], [0, -740, -800], [0, -2000, -3000], [5, 5, -1000], [300, 200, 100]]


@pytest.mark.parametrize("row", SATURATED)
def test_odds_of_saturated_probabilities_keep_their_digits(row: list[float]) -> None:
    odds = scored("logits", [row], classes=3).log_odds[0]
    with mpmath.workdps(2000):
        parts = exact_softmax(row)
        assert odds.tolist() == pytest.approx([float(exact_odds(parts, i)) for i in range(3)], rel=1e-12)


UNIT = st.floats(0, 1, width=32)


@settings(max_examples=60)
@given(values=st.lists(UNIT, min_size=1, max_size=5), positive=st.sampled_from([0, 1]), shape=st.sampled_from([1, 2]))
def test_one_probability_has_exact_odds(values: list[float], positive: int, shape: int) -> None:
    raw = np.array(values, np.float32).reshape(-1, *([1] * (shape - 1)))
    result = score(decision("probabilities", 1, positive=positive), raw)
    for p, odds in zip(values, result.log_odds[:, 0], strict=True):
        exact = -INF if p == 0 else INF if p == 1 else float(mpmath.log(mpmath.mpf(p) / (1 - mpmath.mpf(p))))
        assert odds == pytest.approx(exact if positive == 1 else -exact, rel=1e-13, abs=1e-13)


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(UNIT, UNIT).filter(any), min_size=1, max_size=5), positive=st.sampled_from([0, 1]))
def test_two_probabilities_have_the_odds_of_their_ratio(rows: list[tuple[float, float]], positive: int) -> None:
    result = scored("probabilities", rows, positive=positive)
    for row, odds in zip(rows, result.log_odds[:, 0], strict=True):
        own, other = mpmath.mpf(row[positive]), mpmath.mpf(row[1 - positive])
        exact = INF if not other else -INF if not own else float(mpmath.log(own / other))
        assert odds == pytest.approx(exact, rel=1e-13, abs=1e-13)
    assert result.predicted.tolist() == [positive if row[positive] >= 0.5 else 1 - positive for row in rows]


def test_many_probabilities_have_one_against_rest_odds() -> None:
    row = [0.5, 0.25, 0.25, 0.0]
    odds = scored("probabilities", [row], "float64", classes=4).log_odds[0]
    assert odds.tolist() == pytest.approx([0.0, float(np.log(1 / 3)), float(np.log(1 / 3)), -INF])


AT = {
    "two logits": ("logits", [[0.5, 1.75]]),
    "one logit": ("logits", [[1.25]]),
    "two probabilities": ("probabilities", [[0.3, 0.7]]),
    "one probability": ("probabilities", [[0.7]]),
    "one probability of float16": ("probabilities", np.array([[0.7]], np.float16)),
    "tied logits": ("logits", [[2.0, 2.0]]),
}


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("case", AT)
def test_a_score_exactly_at_the_threshold_is_positive_and_one_below_is_not(case: str, positive: int) -> None:
    kind, raw = AT[case]
    probabilities = scored(kind, raw, positive=positive).probabilities
    assert probabilities is not None
    at = float(probabilities.all()[0, positive])
    assert scored(kind, raw, positive=positive, threshold=at).predicted.tolist() == [positive]
    above = float(np.nextafter(at, 1))
    assert scored(kind, raw, positive=positive, threshold=above).predicted.tolist() == [1 - positive]


@pytest.mark.parametrize(("threshold", "predicted"), [(0.0, [1, 1, 1]), (1.0, [0, 0, 1])])
def test_thresholds_zero_and_one_are_thresholds(threshold: float, predicted: list[int]) -> None:
    assert scored("probabilities", [[0.0], [0.5], [1.0]], threshold=threshold).predicted.tolist() == predicted


def test_the_first_of_equal_outputs_is_predicted() -> None:
    assert scored("logits", [[1, 3, 3], [2, 2, 2]], classes=3).predicted.tolist() == [1, 0]


BAD = [
    ("logits", [0.0, NAN], NAN_SCORE),
    ("logits", [INF, 0.0], INFINITE_SCORE),
    ("logits", [0.0, -INF], INFINITE_SCORE),
    ("logits", [NAN, INF], NAN_SCORE),
    ("probabilities", [NAN, 0.5], NAN_SCORE),
    ("probabilities", [0.5, INF], INFINITE_SCORE),
    ("probabilities", [-0.1, 1.1], SCORE_OUT_OF_RANGE),
    ("probabilities", [-0.001, 1.0], SCORE_OUT_OF_RANGE),
    ("probabilities", [0.0, 0.0], NAN_SCORE),
]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("kind", "row", "reason"), BAD)
def test_a_row_without_a_usable_score_is_marked_with_one_reason(
    kind: str, row: list[float], reason: str, classes: int
) -> None:
    row = row + [0.0] * (classes - 2)
    good = [0.25, 0.75] + [0.0] * (classes - 2)
    result = scored(kind, [good, row, good], classes=classes)
    assert {name: mask.tolist() for name, mask in result.bad.items()} == {reason: [False, True, False]}
    assert result.predicted[[0, 2]].tolist() == [1, 1]
    alone = scored(kind, [good], classes=classes)
    assert result.log_odds[[0, 2]].tolist() == [alone.log_odds[0].tolist()] * 2


def test_no_probability_has_no_odds_even_where_no_curve_is_kept() -> None:
    rows = [[0.0] * 30, [1.0] + [0.0] * 29]
    assert scored("probabilities", rows, classes=30).bad[NAN_SCORE].tolist() == [True, False]


@pytest.mark.parametrize("value", [-1e-6, 1 + 1e-6])
def test_float_noise_around_a_probability_is_clipped(value: float) -> None:
    result = scored("probabilities", [[1 - value, value]])
    assert result.bad == {}
    assert abs(result.log_odds[0, 0]) == INF


@pytest.mark.parametrize("row", [[-1e308, 1e308], [-1e308, 1e308, -1.5e308]])
def test_huge_doubles_do_not_overflow_into_a_bad_row(row: list[float]) -> None:
    result = scored("logits", [row], "float64", classes=len(row))
    assert (result.bad, result.predicted.tolist()) == ({}, [1])
    assert result.log_odds[0].tolist() == ([INF] if len(row) == 2 else [-INF, INF, -INF])


def test_raw_outputs_are_not_written_to() -> None:
    raw = np.array([[NAN, 0.5], [-1e-6, 1.0]], np.float64)
    score(decision("probabilities"), raw)
    assert np.isnan(raw[0, 0])
    assert raw[1, 0] == -1e-6


CURVES = [("label", 2, 0), ("logits", 2, 1), ("logits", 20, 20), ("logits", 21, 0), ("probabilities", 21, 0)]


@pytest.mark.parametrize(("kind", "classes", "curves"), CURVES)
def test_there_is_one_column_of_odds_for_each_curve(kind: str, classes: int, curves: int) -> None:
    chosen = decision(kind, classes, classes=classes)
    raw = np.zeros((3, 1 if kind == "label" else classes)) + (1 / classes if kind == "probabilities" else 0)
    assert score(chosen, raw).log_odds.shape == (3, curves)
    assert len(chosen.curves) == curves


def labels(classes: tuple[str, ...], values: Any, dtype: str, names: tuple[str, ...] | None = None) -> Scored:
    return score(Decision(Output("out", "label", 1, "job", names), classes, None, 0.5), np.array(values, dtype))


LABELS = [
    (("0", "1", "2"), [2, 0, 1], "int64", [2, 0, 1], None),
    (("3", "5", "7"), [7, 3, 4], "int64", [2, 0, 0], [False, False, True]),
    (("7", "-1", "2"), [-1, 7, 2, -2], "int8", [1, 0, 2, 0], [False, False, False, True]),
    (("a", "b", "c"), [0, 2, 3, -1], "int64", [0, 2, 0, 0], [False, False, True, True]),
    (("3", "b"), [1, 3], "int64", [1, 0], [False, True]),
    (("0", "1"), [[1], [0]], "int64", [1, 0], None),
    (("0", "1"), [1.0, 0.5, NAN, INF, -0.0], "float32", [1, 0, 0, 0, 0], [False, True, True, True, False]),
    (("-1", "1"), [2**64 - 1, 1, 2**63], "uint64", [0, 1, 0], [True, False, True]),
]


@pytest.mark.parametrize(("classes", "values", "dtype", "predicted", "unknown"), LABELS)
def test_labels_of_the_model_are_classes_or_unknown(
    classes: tuple[str, ...], values: Any, dtype: str, predicted: list[int], unknown: list[bool] | None
) -> None:
    result = labels(classes, values, dtype)
    assert result.predicted.tolist() == predicted
    assert {name: mask.tolist() for name, mask in result.bad.items()} == (
        {UNKNOWN_PREDICTION: unknown} if unknown else {}
    )
    assert result.probabilities is None


def test_labels_go_by_the_names_of_the_graph_and_not_by_those_that_are_shown() -> None:
    result = labels(("ham", "spam", "eggs"), [9, 7, 8, 0], "int64", names=("7", "8", "9"))
    assert result.predicted.tolist() == [2, 0, 1, 0]
    assert result.bad[UNKNOWN_PREDICTION].tolist() == [False, False, False, True]


@pytest.mark.parametrize("dtype", ["O", "U8"])
def test_labels_of_text_are_names(dtype: str) -> None:
    result = labels(("ham", "spam"), ["spam", "ham", "Ham", ""], dtype)
    assert result.predicted.tolist() == [1, 0, 0, 0]
    assert result.bad[UNKNOWN_PREDICTION].tolist() == [False, False, True, True]
