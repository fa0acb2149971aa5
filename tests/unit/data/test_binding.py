"""Columns feed inputs by name, by the job, or in order if nothing else is possible; an error lists both sides."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from ortbatch.data.binding import InputBinding, TensorSpec, bind_inputs, check_columns
from ortbatch.data.columns import Cast
from ortbatch.errors import DataError
from ortbatch.job import InputSpec

F32 = pa.float32()


def spec(name: str = "x", shape: tuple[Any, ...] = (None, 3), dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name, dtype, shape)


def schema(**kinds: pa.DataType) -> pa.Schema:
    return pa.schema(list(kinds.items()))


ABC = schema(a=F32, b=F32, c=F32, y=pa.int64())


def bind(
    inputs: TensorSpec | list[TensorSpec], columns: pa.Schema, given: dict[str, Any] | None = None, label: str = "y"
) -> tuple[InputBinding, ...]:
    specs = [inputs] if isinstance(inputs, TensorSpec) else inputs
    chosen = {name: InputSpec.model_validate(value) for name, value in (given or {}).items()}
    bindings = bind_inputs(specs, columns, chosen, label)
    check_columns(bindings, columns, label, "a.parquet")
    return bindings


def only(*args: Any, **options: Any) -> InputBinding:
    (binding,) = bind(*args, **options)
    return binding


def test_numeric_columns_but_the_label_feed_a_matrix_in_file_order() -> None:
    assert only(spec(), ABC) == InputBinding("x", ("a", "b", "c"), (3,), Cast("float32"), False, "order")


def test_columns_that_are_no_numbers_are_left_out_of_the_order() -> None:
    columns = schema(id=pa.string(), b=pa.bool_(), day=pa.date32(), a=pa.int16(), y=pa.int64(), c=pa.float64())
    assert only(spec(), columns).columns == ("b", "a", "c")


def test_a_column_of_the_input_s_name_wins_over_the_order() -> None:
    columns = schema(a=F32, b=F32, c=F32, x=pa.list_(F32, 3), y=pa.int64())
    assert only(spec(), columns) == InputBinding("x", ("x",), (3,), Cast("float32"), True, "name")


@pytest.mark.parametrize("shape", [(None, 1), (None,)])
def test_scalar_inputs_take_the_columns_of_their_names_in_any_order(shape: tuple[Any, ...]) -> None:
    bindings = bind([spec("c", shape), spec("a", shape), spec("b", shape)], ABC)
    assert [(b.name, b.columns, b.row_shape, b.how) for b in bindings] == [
        (name, (name,), shape[1:], "name") for name in ("c", "a", "b")
    ]


def test_the_job_says_which_columns_and_in_which_order() -> None:
    binding = only(spec(), ABC, {"x": ["c", "a", "b"]})
    assert (binding.columns, binding.how) == (("c", "a", "b"), "job")


def test_the_job_wins_over_the_name() -> None:
    columns = schema(x=pa.list_(F32, 3), other=pa.list_(F32, 3), y=pa.int64())
    assert only(spec(), columns, {"x": "other"}).columns == ("other",)


def test_inputs_that_the_job_leaves_out_are_bound_by_name() -> None:
    bindings = bind([spec("a", (None, 1)), spec("x", (None, 2))], ABC, {"x": ["b", "c"]})
    assert [(b.name, b.how) for b in bindings] == [("a", "name"), ("x", "job")]


def test_one_column_may_feed_two_inputs() -> None:
    bindings = bind([spec("p", (None, 1)), spec("q", (None, 1))], ABC, {"p": "a", "q": "a"})
    assert [b.columns for b in bindings] == [("a",), ("a",)]


def test_a_list_is_reshaped_to_the_input() -> None:
    assert only(spec(shape=(None, 1, 8, 8)), schema(x=pa.list_(F32), y=pa.int64())).row_shape == (1, 8, 8)


@pytest.mark.parametrize("kind", [pa.list_(F32), pa.large_list(F32), pa.list_(F32, 3)], ids=str)
def test_every_kind_of_list_is_a_list(kind: pa.DataType) -> None:
    assert only(spec(), schema(x=kind, y=pa.int64())).is_list


LISTED = pa.list_(pa.list_(F32, 8), 8)


@pytest.mark.parametrize(
    ("shape", "kind", "row"),
    [
        ((None, 1, 8, 8), pa.list_(pa.list_(F32)), (1, 8, 8)),
        ((None, 1, 8, 8), LISTED, (1, 8, 8)),
        ((None, 3, 8, 8), pa.list_(pa.list_(F32, 64), 3), (3, 8, 8)),
        ((None, None, None), LISTED, (8, 8)),
        ((None, None, 8), LISTED, (8, 8)),
        ((None, None, 2, 4), LISTED, (8, 2, 4)),
        ((None, 8, 8), pa.fixed_shape_tensor(F32, (8, 8)), (8, 8)),
    ],
    ids=str,
)
def test_nested_lists_are_reshaped_to_the_input_and_fill_its_open_dimensions(
    shape: tuple[Any, ...], kind: pa.DataType, row: tuple[int, ...]
) -> None:
    assert only(spec(shape=shape), schema(x=kind, y=pa.int64())).row_shape == row


@pytest.mark.parametrize("batch", [None, 1, 8])
def test_the_size_of_a_batch_is_no_matter_of_the_columns(batch: int | None) -> None:
    assert only(spec(shape=(batch, 3)), ABC).row_shape == (3,)


OPEN = [
    ((None, None), pa.list_(F32, 6), None, (6,)),
    ((None, 2, None), pa.list_(F32, 6), None, (2, 3)),
    ((None, None, 1, 3), pa.list_(F32, 6), None, (2, 1, 3)),
    ((None, None), F32, {"x": ["a", "b"]}, (2,)),
    ((None, None), F32, None, (1,)),
]


@pytest.mark.parametrize(("shape", "kind", "given", "row_shape"), OPEN)
def test_one_open_dimension_is_filled_from_the_columns(
    shape: tuple[Any, ...], kind: pa.DataType, given: dict[str, Any] | None, row_shape: tuple[int, ...]
) -> None:
    assert only(spec(shape=shape), schema(x=kind, a=F32, b=F32, y=pa.int64()), given).row_shape == row_shape


CASTS = [
    ({"column": "a", "cast": "lossy"}, Cast("float32", lossy=True)),
    ({"column": "a", "null": 0}, Cast("float32", null=0)),
    ({"column": "a", "null": -1.5}, Cast("float32", null=-1.5)),
    ({"column": "a", "null": "inf"}, Cast("float32", null=float("inf"))),
]


@pytest.mark.parametrize(("given", "cast"), CASTS)
def test_the_cast_is_what_the_job_says(given: dict[str, Any], cast: Cast) -> None:
    assert only(spec(shape=(None, 1)), ABC, {"x": given}).cast == cast


def test_a_null_of_the_job_may_be_nan() -> None:
    null = only(spec(shape=(None, 1)), ABC, {"x": {"column": "a", "null": "nan"}}).cast.null
    assert null is not None
    assert null != null


WIDE = {f"c{i:03}": F32 for i in range(50)}
REFUSED = {
    "too few columns": (spec(shape=(None, 4)), ABC, None, [
        "no columns for the model's input `x`", "model: `x: float32[?, 4]`",
        "columns: a (float), b (float), c (float), y (int64)", "`model: {inputs: {x: [first, second]}}`",
    ]),
    "an open width": (spec(shape=(None, None)), ABC, None, ["no columns for the model's input `x`"]),
    "an integer matrix": (spec(dtype="int64"), ABC, None, ["no columns for the model's input `x`"]),
    "two inputs, one without a name": ([spec("a", (None, 1)), spec("q", (None, 2))], ABC, None, [
        "no columns for the model's input `q`",
    ]),
    "the label is no feature": (spec("y", (None, 1)), schema(y=pa.int64(), a=F32, b=F32), None, [
        "no columns for the model's input `y`",
    ]),
    "an input that is not there": (spec(), ABC, {"z": "a"}, ["has no input `z`; it has `x: float32[?, 3]`"]),
    "a column that is not there": (spec(), ABC, {"x": ["a", "q", "r"]}, [
        "input `x` names column `q`, `r`, which the data do not have", "a (float)",
    ]),
    "too few columns in the job": (spec(), ABC, {"x": ["a", "b"]}, [
        "takes 3 values a row; got 2 columns: a, b. Expected 3 columns, or one that holds lists of 3 numbers",
    ]),
    "one scalar for many": (spec("a"), ABC, None, ["takes 3 values a row; got column `a` (float). Expected 3 columns"]),
    "lists of another length": (spec(shape=(None, 1, 2, 2)), schema(x=pa.list_(F32, 3), y=pa.int64()), None, [
        "a.parquet", "column `x` holds lists of 3; input `x` needs 4 (1×2×2)",
    ]),
    "channels last": (spec(shape=(None, 3, 8, 8)), schema(x=pa.list_(pa.list_(pa.list_(F32, 3), 8), 8), y=F32), None, [
        "column `x` holds lists of 8 of lists of 8 of lists of 3; input `x` needs 192 (3×8×8)",
    ]),
    "a permuted tensor": (
        spec(shape=(None, 8, 8)), schema(x=pa.fixed_shape_tensor(F32, (8, 8), permutation=[1, 0]), y=F32), None,
        ["takes 64 values a row; got column `x` (extension"],
    ),
    "nested lists to pad": (
        spec(shape=(None, None), dtype="int64"), schema(x=pa.list_(pa.list_(pa.int64())), y=F32),
        {"x": {"column": "x", "pad": 0}}, ["input `x` pads lists of numbers"],
    ),
    "nested lists of text": (spec(shape=(None, 2, 2)), schema(x=pa.list_(pa.list_(pa.string())), y=F32), None, [
        "column `x` holds string, which is not a number",
    ]),
    "two open dimensions": (spec(shape=(None, None, None)), schema(x=pa.list_(F32, 6), y=pa.int64()), None, [
        "the shape of input `x: float32[?, ?, ?]` is open", "fixed-size list",
    ]),
    "an open dimension and a ragged list": (spec(shape=(None, None)), schema(x=pa.list_(F32), y=pa.int64()), None, [
        "is open, and column `x` does not fix it",
    ]),
    "an open dimension that does not divide": (spec(shape=(None, None, 4)), schema(x=pa.list_(F32, 6), y=F32), None, [
        "is open",
    ]),
    "a width of nothing": (spec(shape=(None, 0)), schema(x=pa.list_(F32), y=F32), None, ["0 values a row"]),
    "an open dimension beside nothing": (spec(shape=(None, None, 0)), schema(x=pa.list_(F32, 3), y=F32), None, [
        "0 values a row",
    ]),
    "a width of nothing and no columns": (spec(shape=(None, 0)), schema(t=pa.string(), y=F32), None, ["no columns"]),
    "no batch": (spec(shape=()), schema(x=F32, y=F32), None, ["has no batch dimension"]),
    "text for a number": (spec(), schema(x=pa.string(), y=F32), {"x": ["x", "x", "x"]}, [
        "a.parquet: column `x` holds string, which is not a number; the model's input is float32",
    ]),
    "lists for scalars": (spec(), schema(x=pa.list_(F32), y=F32), {"x": ["x", "x", "x"]}, ["which is not a number"]),
    "lists of text": (spec(), schema(x=pa.list_(pa.string()), y=F32), None, ["holds string, which is not a number"]),
    "floats for integers": (spec("a", (None, 1), "int64"), ABC, None, [
        "column `a` holds float, which int64 cannot hold exactly", "`cast: lossy`",
    ]),
    "a number for text": (spec("a", (None, 1), "string"), ABC, None, ["column `a` holds float, which is not text"]),
    "a time for a number": (spec("a", (None, 1)), schema(a=pa.timestamp("ms"), y=F32), None, [
        "a.parquet: column `a` holds timestamp[ms]", "cast it to one when you write the Parquet", "seconds since",
    ]),
    "an input of bfloat16": (spec("a", (None, 1), "bfloat16"), ABC, None, ["is not numeric"]),
    "no label": (spec(), schema(a=F32, b=F32, c=F32, z=F32), {"x": ["a", "b", "c"]}, [
        "a.parquet", "column `y` is missing",
    ]),
    "many columns": (spec(), schema(**WIDE, y=F32), None, ["c000 (float), ", "c019 (float), … (51 in all)"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_bound_is_refused_with_both_sides(case: str) -> None:
    inputs, columns, given, parts = REFUSED[case]
    with pytest.raises(DataError) as caught:
        bind(inputs, columns, given)
    for part in parts:
        assert part in str(caught.value)


def test_a_number_and_a_text_of_one_name_feed_nothing() -> None:
    columns = pa.schema([("a", F32), ("b", F32), ("a", pa.string()), ("y", pa.int64())])
    with pytest.raises(DataError, match="column `a` stands 2 times"):
        bind(spec(shape=(None, 2)), columns)


DOUBLED = pa.schema([("a", F32), ("b", F32), ("a", F32), ("y", pa.int64())])


@pytest.mark.parametrize("given", [None, {"x": ["a", "b", "a"]}])
def test_a_column_that_stands_twice_feeds_nothing(given: dict[str, Any] | None) -> None:
    with pytest.raises(DataError, match=r"column `a` stands 2 times|no columns for the model's input"):
        bind(spec(), DOUBLED, given)


def test_a_label_that_stands_twice_is_refused() -> None:
    columns = pa.schema([("a", F32), ("y", F32), ("y", F32)])
    with pytest.raises(DataError, match="column `y` stands 2 times"):
        bind(spec("a", (None, 1)), columns)


def test_a_column_that_stands_twice_and_is_not_read_does_no_harm() -> None:
    columns = pa.schema([("a", F32), ("b", F32), ("b", F32), ("y", F32)])
    assert only(spec("a", (None, 1)), columns).columns == ("a",)


NULLS = [
    ("float32", "many", "is not a number"),
    ("int64", "nan", "does not fit"),
    ("int64", "inf", "does not fit"),
    ("int64", 0.5, "does not fit"),
    ("uint8", 256, "does not fit"),
    ("uint8", -1, "does not fit"),
    ("int64", 2**63, "does not fit"),
    ("int32", 3e9, "does not fit"),
    ("float32", 1e300, "does not fit"),
    ("float16", 70000, "does not fit"),
    ("float32", 10**400, "does not fit"),
    ("int64", 10**400, "does not fit"),
    ("bool", 2, "does not fit"),
    ("bool", "nan", "does not fit"),
]


@pytest.mark.parametrize(("dtype", "null", "message"), NULLS)
def test_a_null_that_the_input_cannot_hold_is_refused(dtype: str, null: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"model.inputs.x.null: .*{message}"):
        bind(spec(shape=(None, 1), dtype=dtype), schema(a=pa.bool_(), y=F32), {"x": {"column": "a", "null": null}})


def test_five_problems_are_named_and_the_rest_counted() -> None:
    bindings = bind(spec(shape=(None, 50)), schema(**WIDE, y=F32))
    with pytest.raises(DataError) as caught:
        check_columns(bindings, schema(y=F32), "y", "b.parquet")
    assert str(caught.value).startswith("b.parquet: column `c000` is missing; column `c001` is missing; ")
    assert "; and 45 more. Columns: y (float)." in str(caught.value)


def test_another_file_may_hold_the_columns_in_another_order_and_width() -> None:
    other = schema(c=pa.int8(), y=F32, b=pa.float64(), more=pa.string(), a=pa.bool_())
    check_columns(bind(spec(), ABC), other, "y", "b.parquet")


LATER = [
    (pa.list_(F32), F32, "expected a list of 3 numbers"),
    (pa.list_(F32), pa.list_(F32, 4), "holds lists of 4; input `x` needs 3"),
    (pa.list_(F32), pa.list_(pa.string()), "not a number"),
]


@pytest.mark.parametrize(("first", "later", "message"), LATER)
def test_another_file_with_a_column_of_another_kind_is_refused(
    first: pa.DataType, later: pa.DataType, message: str
) -> None:
    bindings = bind(spec(), schema(x=first, y=F32))
    with pytest.raises(DataError, match=f"b.parquet: column `x` .*{message}"):
        check_columns(bindings, schema(x=later, y=F32), "y", "b.parquet")
