"""Ragged lists become rectangles as a plain loop makes them; masks and fills lie beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.data.binding import InputBinding, TensorSpec, bind_inputs, check_columns
from ortbatch.data.columns import NULL_FEATURE, TOO_LONG
from ortbatch.data.features import Features, new_buffers
from ortbatch.errors import DataError
from ortbatch.job import InputSpec

KINDS = [pa.list_(pa.int64()), pa.large_list(pa.int32())]
LISTS = st.lists(st.none() | st.lists(st.none() | st.integers(1, 99), max_size=6), min_size=1, max_size=12)


def bind(given: dict[str, Any], kind: pa.DataType = KINDS[0], **shapes: tuple[Any, ...]) -> tuple[InputBinding, ...]:
    specs = [TensorSpec(name, "int64", shapes.get(name, (None, None))) for name in given]
    chosen = {name: InputSpec.model_validate(value) for name, value in given.items()}
    schema = pa.schema([("ids", kind), ("y", pa.int64())])
    bound = bind_inputs(specs, schema, chosen, "y")
    check_columns(bound, schema, "y", "a.parquet")
    return bound


def table(rows: list[Any], kind: pa.DataType = KINDS[0]) -> pa.Table:
    return pa.table({"ids": pa.array([[1], *rows], kind).slice(1)})


def feed(rows: list[Any], **given: Any) -> dict[str, Any]:
    bound = bind(given)
    made = Features(bound, table(rows)).batch(0, len(rows), new_buffers(bound, len(rows)))
    return {name: array.tolist() for name, array in made.items()}


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(rows=LISTS, limit=st.none() | st.integers(1, 5), cut=st.booleans(), fixed=st.booleans(), data=st.data())
def test_padding_and_mask_are_those_of_a_plain_loop(
    kind: pa.DataType, rows: list[Any], limit: int | None, cut: bool, fixed: bool, data: st.DataObject
) -> None:
    overflow = {"overflow": "truncate" if cut else "reject"} if limit else {}
    size = {"pad_to" if fixed else "max_length": limit} if limit else {}
    bound = bind({"ids": {"column": "ids", "pad": 0, **size, **overflow}, "mask": {"mask_of": "ids"}}, kind)
    features = Features(bound, table(rows, kind))
    reasons = [reason_of(row, limit, cut) for row in rows]
    found = [next((reason for reason, mask in features.bad.items() if mask[i]), None) for i in range(len(rows))]
    assert found == reasons
    good = data.draw(st.permutations([i for i, reason in enumerate(reasons) if reason is None]))
    features.keep(np.array(good, np.intp))
    start = data.draw(st.integers(0, max(0, len(good) - 1)))
    kept = [rows[i][:limit] for i in good[start:]]
    width = limit if limit and fixed else max([1, *map(len, kept)])
    batch = features.batch(start, len(good), {})
    assert batch["ids"].tolist() == [row + [0] * (width - len(row)) for row in kept]
    assert batch["mask"].tolist() == [[1] * len(row) + [0] * (width - len(row)) for row in kept]


def reason_of(row: list[Any] | None, limit: int | None, cut: bool) -> str | None:
    if row is None or None in row[:limit]:
        return NULL_FEATURE
    return TOO_LONG if limit and len(row) > limit and not cut else None


def test_an_input_of_one_value_has_the_shape_of_the_padded_one() -> None:
    made = feed([[5, 6], [7]], ids={"column": "ids", "pad": 9}, kind={"fill": 3})
    assert made == {"ids": [[5, 6], [7, 9]], "kind": [[3, 3], [3, 3]]}


def test_an_input_of_one_value_may_have_a_shape_of_its_own() -> None:
    bound = bind({"k": {"fill": 2}}, k=(None, 1, 2))
    assert Features(bound, table([[1]])).batch(0, 1, new_buffers(bound, 1))["k"].tolist() == [[[2, 2]]]


@pytest.mark.parametrize(("dtype", "one"), [("bool", True), ("int32", 1), ("float32", 1.0)])
def test_a_mask_has_the_type_of_its_input(dtype: str, one: Any) -> None:
    specs = [TensorSpec("ids", "int64", (None, None)), TensorSpec("m", dtype, (None, None))]
    chosen = {"ids": InputSpec(column="ids", pad=0), "m": InputSpec(mask_of="ids")}
    bound = bind_inputs(specs, table([]).schema, chosen, "y")
    mask = Features(bound, table([[4]])).batch(0, 1, {})["m"]
    assert (str(mask.dtype), mask.tolist()) == (dtype, [[one]])


def test_a_length_that_the_model_declares_is_padded_to() -> None:
    (binding,) = bind({"ids": {"column": "ids", "pad": 0}}, ids=(None, 4))
    assert binding.row_shape == (4,)


REFUSED = [
    ({"ids": {"column": "ids", "max_length": 3}}, "ids.max_length: it needs `pad`"),
    ({"ids": {"column": "ids", "pad": 0.5}}, "ids.pad: 0.5 does not fit"),
    ({"ids": {"column": "ids", "pad": 0, "overflow": "reject"}}, "ids.overflow: no list is too long without"),
    ({"ids": {"column": "y", "pad": 0}}, "`y` is int64; input `ids` pads lists"),
    ({"m": {"mask_of": "ids"}}, "m.mask_of: `ids` is no padded input; padded are: none"),
    ({"m": {"fill": 0}}, "m.fill: the shape of input `m: .*` is open"),
    ({"m": {"fill": 0, "pad": 0}}, "m.pad: it has no meaning beside"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_padding_that_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        bind(given)


def test_a_length_other_than_the_model_s_is_refused() -> None:
    with pytest.raises(DataError, match=r"ids.pad_to: 8 does not fit input `ids: int64\[\?, 4\]`; expected 4"):
        bind({"ids": {"column": "ids", "pad": 0, "pad_to": 8}}, ids=(None, 4))
