"""Batches hold the rows that were kept, each value in its place, whatever fed them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.data.binding import InputBinding
from ortbatch.data.columns import INEXACT_VALUE, NULL_FEATURE, WRONG_LENGTH, Cast
from ortbatch.data.features import Features, new_buffers

SCALARS = InputBinding("x", ("a", "b"), (2,), Cast("float32"), False, "job")
IMAGE = InputBinding("image", ("pixels",), (1, 2, 2), Cast("uint8"), True, "name")
COUNT = InputBinding("n", ("n",), (1,), Cast("int64"), False, "name")
FLAT = InputBinding("flat", ("n",), (), Cast("int64"), False, "job")


def table(rows: int) -> pa.Table:
    numbers = np.arange(rows)
    return pa.table(
        {
            "n": numbers,
            "b": numbers + 0.5,
            "a": numbers.astype(np.float32),
            "pixels": [[n, n + 1, n + 2, n + 3] for n in range(rows)],
        }
    )


@given(rows=st.integers(1, 20), batch=st.integers(1, 7), data=st.data())
def test_batches_hold_the_rows_that_were_kept_in_their_order(rows: int, batch: int, data: st.DataObject) -> None:
    bindings = [SCALARS, IMAGE, COUNT, FLAT]
    features, buffers = Features(bindings, table(rows)), new_buffers(bindings, batch)
    kept = data.draw(st.lists(st.integers(0, rows - 1), unique=True).map(sorted))
    features.keep(np.array(kept, np.intp))
    seen: list[int] = []
    for start in range(0, features.rows, batch):
        feed = features.batch(start, min(start + batch, features.rows), buffers)
        for i in range(len(feed["n"])):
            n = int(feed["n"][i, 0])
            assert feed["x"][i].tolist() == [n, n + 0.5]
            assert feed["image"][i].tolist() == [[[n, n + 1], [n + 2, n + 3]]]
            assert feed["flat"][i] == n
            seen.append(n)
    assert seen == kept


def test_a_batch_has_the_types_and_shapes_of_the_inputs() -> None:
    bindings = [SCALARS, IMAGE, COUNT, FLAT]
    feed = Features(bindings, table(5)).batch(1, 4, new_buffers(bindings, 4))
    assert {name: (str(array.dtype), array.shape) for name, array in feed.items()} == {
        "x": ("float32", (3, 2)), "image": ("uint8", (3, 1, 2, 2)), "n": ("int64", (3, 1)), "flat": ("int64", (3,)),
    }  # fmt: skip


def test_a_value_that_a_buffer_would_wrap_around_is_bad() -> None:
    features = Features([COUNT], pa.table({"n": pa.array([2**63, 1], pa.uint64())}))
    assert features.bad[INEXACT_VALUE].tolist() == [True, False]


def test_a_row_is_bad_if_any_of_its_columns_is() -> None:
    binding = InputBinding("x", ("a", "b"), (2,), Cast("int64"), False, "job")
    features = Features([binding], pa.table({"a": [1, None, 3, 4], "b": [1, 2, None, 4]}))
    assert features.bad[NULL_FEATURE].tolist() == [False, True, True, False]


TWO = [
    InputBinding("list", ("list",), (2,), Cast("int32"), True, "name"),
    InputBinding("n", ("n",), (1,), Cast("int32"), False, "name"),
]
ROWS: dict[str, tuple[Any, Any]] = {
    "inexact and null": ([2**40, 0], None),
    "null list and inexact": (None, 2**40),
    "wrong length and null": ([1], None),
    "wrong length and inexact": ([1, 2, 3], 2**40),
    "null": ([1, 2], None),
}


def first_reasons(rows: list[tuple[Any, Any]]) -> list[str]:
    """The first reason against each row."""
    columns = {
        "list": pa.array([r[0] for r in rows], pa.list_(pa.int64())),
        "n": pa.array([r[1] for r in rows], pa.int64()),
    }
    bad = Features(TWO, pa.table(columns)).bad
    return [next(reason for reason, mask in bad.items() if mask[i]) for i in range(len(rows))]


@pytest.mark.parametrize("other", ROWS)
@pytest.mark.parametrize("name", ROWS)
def test_the_reason_against_a_row_does_not_depend_on_its_company(name: str, other: str) -> None:
    alone = first_reasons([ROWS[name]])
    assert first_reasons([ROWS[other], ROWS[name]])[1:] == alone
    assert first_reasons([ROWS[name], ROWS[other]])[:1] == alone


def test_a_null_counts_before_a_wrong_length_and_that_before_an_inexact_value() -> None:
    features = Features(TWO, pa.table({"list": [[2**40, 0], None, [1]], "n": [1, 2, 3]}))
    assert list(features.bad) == [NULL_FEATURE, WRONG_LENGTH, INEXACT_VALUE]


def test_lists_without_bad_rows_are_not_copied() -> None:
    values = pa.array(np.arange(8, dtype=np.uint8))
    column = pa.FixedSizeListArray.from_arrays(values, 4)
    feed = Features([IMAGE], pa.table({"pixels": column})).batch(1, 2, {})
    assert np.shares_memory(feed["image"], values.to_numpy())


def test_no_rows_make_no_batch_and_no_error() -> None:
    features = Features([SCALARS, IMAGE], table(0).cast(table(1).schema))
    assert (features.rows, features.bad) == (0, {})
    features.keep(np.array([], np.intp))
    assert features.rows == 0
