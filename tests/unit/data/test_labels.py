"""Labels: each is one class by the rule of the job, or is counted as null or unknown; never a guess."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.data.labels import (
    NULL_LABEL,
    UNKNOWN_LABEL,
    Labels,
    bind_labels,
    check_label_names,
    fractional,
    is_integer_name,
)
from ortbatch.errors import DataError
from tests.unit.data.arrow import FLOATS, INTEGERS, columns, values_of

NUMBER_CLASSES = [("0", "1"), ("1", "0"), ("3", "5", "7"), ("7", "-1", "2"), ("-1", "1"), ("0", "1", "2", "300", "4")]
TEXT_CLASSES = ("ham", "spam", "", "é")
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]


def plain(value: Any, classes: tuple[str, ...], by: str) -> int | str:
    """The class index of one label, or why it has none."""
    if value is None or value != value:
        return NULL_LABEL
    if by == "index":
        return int(value) if value in range(len(classes)) else UNKNOWN_LABEL
    if isinstance(value, float):
        if not value.is_integer():
            return UNKNOWN_LABEL
        value = int(value)
    name = str(value).lower() if isinstance(value, bool) else str(value)
    return classes.index(name) if name in classes else UNKNOWN_LABEL


def check(labels: Labels, column: pa.ChunkedArray) -> None:
    index, bad = labels.take(column)
    assert (index.dtype, index.shape) == (np.int64, (len(column),))
    for place, value in enumerate(column.to_pylist()):
        want = plain(value, labels.classes, labels.by)
        reasons = [reason for reason, mask in bad.items() if mask[place]]
        assert (index[place], reasons) == ((want, []) if isinstance(want, int) else (0, [want]))


@settings(max_examples=300)
@given(st.data())
def test_every_number_is_the_class_that_a_plain_loop_gives_it(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([*INTEGERS, *FLOATS]))
    classes, by = data.draw(st.sampled_from(NUMBER_CLASSES)), data.draw(st.sampled_from(["name", "index"]))
    likely = [
        v for v in (*range(-2, 9), 300) if not (v < 0 and str(kind)[0] == "u") and (v < 128 or kind.bit_width > 8)
    ]
    near = st.sampled_from([float(v) for v in likely] if pa.types.is_floating(kind) else likely)
    check(Labels("y", classes, by), data.draw(columns(kind, near | values_of(kind))))


@given(st.data())
def test_every_text_is_the_class_that_a_plain_loop_gives_it(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(TEXTS))
    values = st.sampled_from(["ham", "spam", "", "é", "Ham", "ham ", "0", "e\u0301"])
    check(Labels("y", TEXT_CLASSES, "name"), data.draw(columns(kind, values)))


@given(st.data(), st.sampled_from([("false", "true"), ("true", "false")]), st.sampled_from(["name", "index"]))
def test_every_boolean_is_the_class_that_a_plain_loop_gives_it(
    data: st.DataObject, classes: tuple[str, ...], by: str
) -> None:
    check(Labels("y", classes, by), data.draw(columns(pa.bool_(), st.booleans())))


@pytest.mark.parametrize("kind", [*[k for k in INTEGERS if str(k)[0] == "i"], *FLOATS], ids=str)
@pytest.mark.parametrize("by", ["name", "index"])
def test_minus_one_is_unknown_and_not_the_last_class(kind: pa.DataType, by: str) -> None:
    index, bad = Labels("y", ("0", "1", "2"), by).take(pa.chunked_array([pa.array([2, -1]).cast(kind)]))
    assert index.tolist() == [2, 0]
    assert bad[UNKNOWN_LABEL].tolist() == [False, True]


def test_a_label_beyond_int64_is_unknown() -> None:
    column = pa.chunked_array([pa.array([2**63, 2**64 - 1, 1], pa.uint64())])
    assert Labels("y", ("0", "1"), "name").take(column)[1][UNKNOWN_LABEL].tolist() == [True, True, False]


LOWEST = "-9223372036854775808"


@pytest.mark.parametrize("value", [2.0**63, -(2.0**64), 1e300, float("inf")])
def test_a_float_beyond_int64_is_unknown(value: float) -> None:
    index, bad = Labels("y", (LOWEST, "1"), "name").take(pa.chunked_array([[1.0, value]]))
    assert index.tolist() == [1, 0]
    assert bad[UNKNOWN_LABEL].tolist() == [False, True]


def test_minus_one_of_another_width_does_not_become_the_class_minus_one() -> None:
    column = pa.chunked_array([pa.array([2**64 - 1, 1], pa.uint64())])
    assert Labels("y", ("-1", "1"), "name").take(column)[1][UNKNOWN_LABEL].tolist() == [True, False]


def test_a_null_inside_the_dictionary_is_null() -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2]), pa.array(["ham", None, "spam"]))
    index, bad = Labels("y", ("ham", "spam"), "name").take(pa.chunked_array([array]))
    assert bad[NULL_LABEL].tolist() == [False, True, True, False]
    assert index.tolist() == [0, 0, 0, 1]


def test_chunks_with_dictionaries_of_their_own_keep_their_labels() -> None:
    chunks = [pa.array(["ham", "spam"]).dictionary_encode(), pa.array(["spam", "ham"]).dictionary_encode()]
    assert Labels("y", ("ham", "spam"), "name").take(pa.chunked_array(chunks))[0].tolist() == [0, 1, 1, 0]


def test_no_rows_have_no_labels() -> None:
    for kind in (pa.int64(), pa.string(), pa.dictionary(pa.int8(), pa.string()), pa.bool_(), pa.float32()):
        index, bad = Labels("y", ("false", "true") if kind == pa.bool_() else ("0", "1"), "name").take(
            pa.chunked_array([], kind)
        )
        assert (index.shape, bad) == ((0,), {})


def bind(kind: pa.DataType, classes: tuple[str, ...] | None = None, by: str | None = None, outputs: int | None = 2):
    return bind_labels(pa.field("y", kind), classes, by, outputs)


BOUND = [
    (pa.int64(), None, None, ("0", "1"), "name"),
    (pa.float64(), None, None, ("0", "1"), "name"),
    (pa.bool_(), None, None, ("false", "true"), "name"),
    (pa.bool_(), ("true", "false"), None, ("true", "false"), "name"),
    (pa.bool_(), ("no", "yes"), "index", ("no", "yes"), "index"),
    (pa.int8(), ("3", "5"), None, ("3", "5"), "name"),
    (pa.int8(), ("3", "5"), "index", ("3", "5"), "index"),
    (pa.int8(), ("3", "five"), None, ("3", "five"), "index"),
    (pa.int8(), ("3", "05"), None, ("3", "05"), "index"),
    (pa.int8(), ("0", "-0"), None, ("0", "-0"), "index"),
    (pa.string(), ("ham", "spam"), None, ("ham", "spam"), "name"),
    (pa.string(), ("3", "5"), None, ("3", "5"), "name"),
    (pa.dictionary(pa.int8(), pa.string()), ("ham", "spam"), None, ("ham", "spam"), "name"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "given", "by", "classes", "read_by"), BOUND)
def test_labels_are_read_by_the_default_of_the_design(
    kind: pa.DataType, given: tuple[str, ...] | None, by: str | None, classes: tuple[str, ...], read_by: str
) -> None:
    labels = bind(kind, given, by)
    check_label_names(labels, kind)
    assert (labels.classes, labels.by) == (classes, read_by)


REFUSED = [
    (pa.list_(pa.int64()), None, None, 2, "multilabel task"),
    (pa.large_list(pa.int64()), None, None, 2, "multilabel task"),
    (pa.list_(pa.int64(), 3), None, None, 2, "multilabel task"),
    (pa.timestamp("s"), None, None, 2, "is a timestamp.*expected integers, booleans or strings"),
    (pa.decimal128(5, 2), None, None, 2, "is a decimal128.*Cast it when you write the Parquet"),
    (pa.binary(), None, None, 2, "is a binary; expected integers, booleans or strings"),
    (pa.null(), None, None, 2, "is a null; expected integers, booleans or strings"),
    (pa.string(), None, None, 2, "holds strings.*List them in output order in `data.classes`"),
    (pa.dictionary(pa.int8(), pa.string()), None, None, 2, "holds strings.*`data.classes`"),
    (pa.int64(), None, None, None, "does not say how many classes.*`data.classes`"),
    (pa.bool_(), None, None, 3, "is boolean, the model scores 3 classes; expected 2"),
    (pa.bool_(), ("no", "yes"), None, 2, "is boolean and `data.classes` are no, yes: say `data.label_is: index`"),
    (pa.bool_(), ("no", "yes"), "name", 2, "is boolean and `data.classes` are no, yes"),
    (pa.bool_(), ("false", "true", "maybe"), "name", 3, "is boolean and `data.classes` are false, true, maybe"),
    (pa.string(), ("ham", "spam"), "index", 2, "holds strings; `data.label_is: index` needs integers"),
    (pa.int64(), ("ham", "5"), "name", 2, "holds numbers, and class `ham` is none"),
]


@pytest.mark.parametrize(("kind", "classes", "by", "outputs", "message"), REFUSED)
def test_labels_that_cannot_be_read_are_refused_with_a_way_out(
    kind: pa.DataType, classes: tuple[str, ...] | None, by: str | None, outputs: int | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        check_label_names(bind(kind, classes, by, outputs), kind)


INTEGER_NAMES = {"0": True, "-1": True, "12": True, "9223372036854775807": True, "-9223372036854775808": True}
INTEGER_NAMES |= dict.fromkeys(["-0", "+1", "01", "1.0", "", " 1", "1\n", "٣", "9223372036854775808"], False)


@pytest.mark.parametrize(("name", "integer"), INTEGER_NAMES.items())
def test_only_the_decimal_form_of_an_int64_is_an_integer_name(name: str, integer: bool) -> None:
    assert is_integer_name(name) == integer


FRACTIONS = [([1.0, None, float("nan"), float("inf"), 2.5, 3.5], 2.5), ([1.0, -0.0, 1e300, None], None), ([], None)]


@pytest.mark.parametrize(("values", "found"), FRACTIONS)
def test_the_first_label_that_is_no_whole_number_is_found(values: list[Any], found: float | None) -> None:
    assert fractional(pa.chunked_array([pa.array(values, pa.float64())])) == found


def test_integers_are_never_fractional() -> None:
    assert fractional(pa.chunked_array([pa.array([1, None])])) is None
