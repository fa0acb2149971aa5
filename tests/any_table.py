"""Any labelled table that Parquet can hold and a job for it, drawn by Hypothesis; and what a plain loop finds in it.

A model is one comparison of its inputs, without arithmetic that could round, so that every bit of a feature can change
a prediction. Nothing of ortbatch is used here. A new kind of column, such as lists of lists or a column from the path,
is drawn in `column_of`, checked in `_misfit` and read in `_cells`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import reject
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from scipy.special import expit

from tests.models import save

INTEGERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
FLOATS = (pa.float16(), pa.float32(), pa.float64())
DECIMALS = (pa.decimal128(5, 2), pa.decimal128(20, 3), pa.decimal128(38, 10), pa.decimal64(9, 2), pa.decimal256(50, 2))
NUMBERS = (pa.bool_(), *INTEGERS, *FLOATS, *DECIMALS)
TEXTS = (pa.string(), pa.large_string(), pa.string_view())
NO_FEATURES = (
    *TEXTS, pa.timestamp("us"), pa.date32(), pa.time64("us"), pa.duration("us"), pa.binary(), pa.null(),
    pa.list_view(pa.int64()), pa.struct({"b": pa.int64()}), pa.list_(pa.string()), pa.list_(pa.timestamp("ms")),
)  # fmt: skip
DTYPES = ("float32", "float64", "float16", "int64", "int32", "uint8", "uint64", "int8", "bool")

MILD = (0, 1, 0, 1, 2, -1)
_WILD = (
    5, 7, 127, 128, 255, 256, 2049, 65_504, 65_519, 65_520, 70_000, 2**24, 2**24 + 1, 2**24 + 3, 2**31, 2**32 - 1,
    2**53, 2**53 + 1, 2**62 + 2**38, 2**63 - 1, 2**63, 2**63 + 2**39 + 1, 2**64 - 1, 0.5, 0.1, 3.9, 254.5, 255.5, 1e-8,
    5e-324, 1e-45, 3.4e38, 1e39, 1e308, math.inf, math.inf, math.nan, -0.0, 2.0**63, 2.0**64,
)  # fmt: skip
NAMES = ("f0", "F0", "a.b", "ü", "x y", "a.b.c", "0")
WIDE = Context(prec=80)
PART = "part"
ORDER = ("null_feature", "wrong_length", "too_long", "inexact_value")
"""Reasons against features; a row counts under the first, and under one against its label before that."""


@dataclass(frozen=True)
class Input:
    """An input [N, *shape] of a model, the columns that feed it, and what the job says of it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    columns: tuple[str, ...]
    listed: bool
    keys: dict[str, Any]

    @property
    def width(self) -> int:
        return math.prod(self.shape)

    @property
    def lossy(self) -> bool:
        return self.keys.get("cast") == "lossy"


@dataclass(frozen=True)
class Layout:
    """How the rows that are read lie in memory: cut into pieces, each within a longer array, dictionaries, garbage."""

    piece: int
    before: int
    encoded: bool
    garbage: bool


@dataclass(frozen=True)
class File:
    """A table, the rows of its row groups, and options of the writer."""

    table: pa.Table
    groups: int
    options: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Everything that is drawn.

    Args:
        binding: columns feed inputs as the `job` says, by `name` or in `order`.
        kind: of the model's output.
        label: its column.
        data: other keys of the job's `data`.
        job: other keys of the job.
        modulo: take integers modulo 7, so that their last digits count.
        bias: what is taken from each score.
        budget: bytes beyond which a row group is read in parts; None for what the product takes.
    """

    inputs: tuple[Input, ...]
    binding: str
    kind: str
    label: str
    data: dict[str, Any]
    job: dict[str, Any]
    files: tuple[File, ...]
    modulo: bool
    bias: tuple[float, ...]
    layout: Layout
    budget: int | None

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.data["classes"]) if self.kind == "label" else max(2, len(self.bias))

    @property
    def one_block(self) -> bool:
        """Is there one row group in all, read whole?"""
        (rows, groups), *more = [(file.table.num_rows, file.groups) for file in self.files]
        return not more and rows <= groups and self.budget is None

    def keys(self) -> dict[str, Any]:
        """The job file."""
        model: dict[str, Any] = {"path": "m.onnx", "output": {"kind": self.kind}, "batch_size": self.job["batch_size"]}
        if self.binding == "job":
            fed = {
                i.name: {"columns": list(i.columns)} if not i.listed else {"column": i.columns[0]} for i in self.inputs
            }
            model["inputs"] = {i.name: fed[i.name] | i.keys for i in self.inputs}
        others = {key: value for key, value in self.job.items() if key != "batch_size"}
        data = {"path": "data", "label": self.label, "max_bad_rows": "100%", **self.data}
        return {"name": "t", "model": model, "data": data, "latency": {"max_seconds": 0.001}, **others}

    def write(self, folder: Path) -> None:
        """m.onnx and data/*.parquet."""
        write_model(self, folder / "m.onnx")
        (folder / "data").mkdir()
        for number, file in enumerate(self.files):
            path = folder / "data" / f"{number}.parquet"
            pq.write_table(file.table, path, row_group_size=file.groups, **file.options)


def write_model(case: Case, path: Path) -> Path:
    """Inputs side by side as float64, minus a bias; for labels, the one integer as it is."""
    nodes, parts, constants = [], [], [numpy_helper.from_array(np.array([case.bias]), "bias")]
    for number, fed in enumerate(case.inputs):
        flat = f"flat{number}"
        nodes.append(helper.make_node("Flatten", [fed.name], [flat], axis=1))
        if case.modulo and np.dtype(fed.dtype).kind in "iu":
            constants.append(numpy_helper.from_array(np.array([7], fed.dtype), f"seven{number}"))
            nodes.append(helper.make_node("Mod", [flat, f"seven{number}"], [f"rest{number}"]))
            flat = f"rest{number}"
        wide = TensorProto.INT64 if case.kind == "label" else TensorProto.DOUBLE
        nodes.append(helper.make_node("Cast", [flat], [f"wide{number}"], to=wide))
        parts.append(f"wide{number}")
    if case.kind == "label":
        nodes.append(helper.make_node("Identity", parts, ["out"]))
        output = helper.make_tensor_value_info("out", TensorProto.INT64, ["N", 1])
    else:
        nodes += [helper.make_node("Concat", parts, ["all"], axis=1), helper.make_node("Sub", ["all", "bias"], ["out"])]
        output = helper.make_tensor_value_info("out", TensorProto.DOUBLE, ["N", len(case.bias)])
    inputs = [
        helper.make_tensor_value_info(i.name, helper.np_dtype_to_tensor_dtype(np.dtype(i.dtype)), ["N", *i.shape])
        for i in case.inputs
    ]
    used = {name for node in nodes for name in node.input}
    return save(path, helper.make_graph(nodes, "g", inputs, [output], [c for c in constants if c.name in used]))


# Drawing


def rank(kind: pa.DataType) -> int | None:
    """0 for booleans, 1 for integers, 2 for floats and decimals: a cast never goes down but for `lossy`."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_boolean(kind):
        return 0
    if pa.types.is_integer(kind):
        return 1
    return 2 if pa.types.is_floating(kind) or pa.types.is_decimal(kind) else None


def castable(kind: pa.DataType, dtype: str, lossy: bool) -> bool:
    """May a column of this type feed an input?"""
    source = rank(kind)
    return source is not None and (lossy or source <= {"b": 0, "i": 1, "u": 1, "f": 2}[np.dtype(dtype).kind])


@cache
def source_kinds(dtype: str, lossy: bool) -> list[pa.DataType]:
    """Types of columns for an input; those with values that it cannot hold, or that are not finite, more than once."""
    found = []
    for kind in (kind for kind in NUMBERS if castable(kind, dtype, lossy)):
        odd = any(number(value, np.dtype(dtype), lossy) is None for value in pool(kind, "wild"))
        found += [kind] * (1 + 2 * odd + 2 * (kind in FLOATS))
    return found


@cache
def pool(kind: pa.DataType, mood: str) -> tuple[Any, ...]:
    """Values of a type, mild ones more than once."""
    if pa.types.is_boolean(kind):
        return (False, True)
    found = []
    for value in (*MILD, *MILD, *_WILD, *(-value for value in _WILD)) if mood == "wild" else MILD:
        if pa.types.is_decimal(kind):
            value = Decimal(str(value))
            fraction = -int(value.as_tuple().exponent) if value.is_finite() else math.inf
            if fraction <= kind.scale and abs(value) < 10 ** (kind.precision - kind.scale):
                found.append(value)
        elif pa.types.is_floating(kind):
            with np.errstate(over="ignore"):
                found.append(float(np.dtype(kind.to_pandas_dtype()).type(value)))
        elif math.isfinite(value) and int(value) == value and int(value) in _range(kind):
            found.append(int(value))
    return tuple(found)


def _range(kind: pa.DataType) -> range:
    info = np.iinfo(kind.to_pandas_dtype())
    return range(int(info.min), int(info.max) + 1)


@st.composite
def scalars(draw: st.DrawFn, kind: pa.DataType, rows: int, mood: str) -> list[Any]:
    """Numbers of a type; nulls unless the mood is mild, and now and then any value at all."""
    values = list(pool(kind, mood))
    if mood == "wild" and pa.types.is_integer(kind):
        span = _range(kind)
        values += draw(st.lists(st.integers(span[0], span[-1]), max_size=2))
    elif mood == "wild" and pa.types.is_floating(kind):
        values += [math.inf, -math.inf] * 4 + draw(st.lists(st.floats(width=kind.bit_width), max_size=2))
    elif mood == "wild" and pa.types.is_decimal(kind):
        digits = draw(st.lists(st.integers(-(10**kind.precision) + 1, 10**kind.precision - 1), max_size=3))
        values += [Decimal(number).scaleb(-kind.scale, WIDE) for number in digits]
    if mood != "mild":
        values += [None] * max(1, len(values) // 8)
    return draw(st.lists(st.sampled_from(values), min_size=rows, max_size=rows))


@st.composite
def lists(draw: st.DrawFn, fed: Input, kind: pa.DataType, fixed: bool, rows: int, mood: str) -> list[Any]:
    """Lists of numbers; some null, and unless their length is fixed some too short or too long."""
    width = fed.width
    cells = draw(scalars(kind, rows * width, mood))
    whole = [cells[row * width : (row + 1) * width] for row in range(rows)]
    if mood == "mild":
        return whole
    changes: list[Any] = [lambda row: row] * 12 + [lambda row: None]
    if not fixed:
        changes += [lambda row: row[1:], lambda row: []]
        changes += [lambda row: [*row, row[0], None], lambda row: [*row, row[0]]] * (3 if "pad" in fed.keys else 1)
    chosen = draw(st.lists(st.sampled_from(changes), min_size=rows, max_size=rows))
    return [change(row) for change, row in zip(chosen, whole, strict=True)]


MOODS = st.sampled_from(["mild", "nulls", "wild", "wild"])
CAREFUL = st.sampled_from(["mild", "mild", "mild", "nulls", "wild"])
"""Where a wild value is seen before the run, which most often ends it."""


def encode(array: pa.Array, index: pa.DataType) -> pa.Array:
    """A dictionary of the values of an array, null where they are."""
    array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    values = [value for value in array.to_pylist() if value is not None]
    places = iter(range(len(values)))
    indices = pa.array([next(places) if value.is_valid else None for value in array], index)
    return pa.DictionaryArray.from_arrays(indices, pa.array(values, array.type))


@st.composite
def column_of(draw: st.DrawFn, fed: Input, rows: int, mood: str) -> pa.Array:
    """A column that may feed an input."""
    kind = draw(st.sampled_from(source_kinds(fed.dtype, fed.lossy)))
    if fed.listed:
        outer = draw(st.sampled_from([pa.list_(kind), pa.large_list(kind), pa.list_(kind, fed.width)]))
        fixed = pa.types.is_fixed_size_list(outer)
        return pa.array(draw(lists(fed, kind, fixed, rows, mood)), outer)
    array = pa.array(draw(scalars(kind, rows, mood)), kind)
    index = draw(st.sampled_from([None, None, None, pa.int8(), pa.int32()]))
    return array if index is None else encode(array, index)


@dataclass(frozen=True)
class Task:
    """Keys of `data` that say what labels are, and labels that are known."""

    data: dict[str, Any]
    family: str
    known: tuple[Any, ...]


def tasks(classes: int, kind: str = "logits") -> list[Task]:
    """Ways of naming classes that are in the contract."""
    numbers, words = ["7", "3", "-1", "12"][:classes], ["ham", "spam", "eggs", "ü"][:classes]
    by_place = tuple(range(classes))
    found = [
        Task({"classes": numbers}, "number", tuple(map(int, numbers))),
        Task({"classes": numbers[::-1], "label_is": "index"}, "number", by_place),
        Task({"classes": words}, "number", by_place),
        Task({"classes": words, "label_is": "name"}, "text", tuple(words)),
        Task({"classes": numbers}, "text", tuple(numbers)),
    ]
    if classes == 2:
        found += [
            Task({"classes": [True, False]}, "bool", (False, True)),
            Task({"classes": words, "label_is": "index"}, "bool", (False, True)),
        ]
    if kind != "label":
        found += [Task({}, "number", by_place), Task({"label_is": "index"}, "number", by_place)]
        found += [Task({}, "bool", (False, True))] if classes == 2 else []
    return found


LABEL_KINDS = {"number": (*INTEGERS, *FLOATS), "text": TEXTS, "bool": (pa.bool_(),)}
_ODD_LABELS = {
    "number": (
        -1,
        -1,
        -2,
        2**64 - 1,
        4,
        99,
        -(2**63),
        2**63 - 1,
        2**63,
        2**64 - 1,
        math.inf,
        math.nan,
        -0.0,
        1e300,
        0.5,
    ),
    "text": ("Ham", "", "0", "ham ", "true"),
    "bool": (),
}


def label_values(task: Task, kind: pa.DataType, mood: str) -> list[Any]:
    """Labels of a task that a type holds; unknown ones too if the mood is wild, and null unless it is mild."""
    values = [*task.known * 4, *(_ODD_LABELS[task.family] if mood == "wild" else ())]
    if pa.types.is_integer(kind):
        values = [int(v) for v in values if math.isfinite(v) and v == int(v) and int(v) in _range(kind)]
    elif pa.types.is_floating(kind):
        with np.errstate(over="ignore"):
            values = [float(np.dtype(kind.to_pandas_dtype()).type(v)) for v in values]
    return values + [None] * (0 if mood == "mild" else 2)


@st.composite
def label_columns(draw: st.DrawFn, task: Task, rows: int, mood: str) -> pa.Array:
    """Labels of a task."""
    kind = draw(st.sampled_from(LABEL_KINDS[task.family]))
    values = label_values(task, kind, mood)
    array = pa.array(draw(st.lists(st.sampled_from(values), min_size=rows, max_size=rows)), kind)
    index = draw(st.sampled_from([None, pa.int8(), pa.int32()])) if task.family == "text" else None
    return array if index is None or pa.types.is_string_view(kind) else encode(array, index)


@st.composite
def inputs(draw: st.DrawFn, kind: str) -> tuple[tuple[Input, ...], str]:
    """Inputs of a model, four columns in all at most, and how they are bound; for labels, one integer."""
    widths = draw(st.sampled_from([(1,), (2,), (3,), (4,), (1, 1), (2, 1), (1, 1, 1), (2, 2)]))
    dtypes: Sequence[str] = ("float32", *DTYPES)
    if kind == "label":
        widths, dtypes = (1,), ("int64", "int32", "uint8", "int8")
    names = iter(draw(st.permutations(NAMES)))
    found = []
    for number, width in enumerate(widths):
        dtype = draw(st.sampled_from(dtypes))
        listed = draw(st.booleans())
        shape = draw(st.sampled_from([(width,), (width,), (width // 2, 2) if width % 2 == 0 else (width,)]))
        columns = tuple(next(names) for _ in range(1 if listed else width))
        found.append(Input(f"x{number}", dtype, shape, columns, listed, {}))
    bindings = ["job", "job"]
    bindings += ["name"] if all(len(fed.columns) == 1 for fed in found) else []
    bindings += (
        ["order"] * 2
        if kind != "label" and len(found) == 1 and not found[0].listed and len(found[0].shape) == 1
        else []
    )
    binding = draw(st.sampled_from(bindings))
    if binding == "name":
        found = [replace(fed, name=fed.columns[0]) for fed in found]
    elif binding == "job":
        found = [replace(fed, keys=draw(input_keys(fed))) for fed in found]
    elif found[0].dtype[0] != "f":
        found = [replace(found[0], dtype=draw(st.sampled_from(["float32", "float64"])))]
    return tuple(found), binding


@st.composite
def input_keys(draw: st.DrawFn, fed: Input) -> dict[str, Any]:
    """What a job says of an input besides its columns."""
    keys: dict[str, Any] = draw(st.sampled_from([{}, {}, {"cast": "lossy"}, {"cast": "exact"}]))
    nulls = [{}, {}, {"null": 0}, {"null": 1}] + ([{"null": math.nan}] if fed.dtype[0] == "f" else [])
    keys = keys | draw(st.sampled_from(nulls))
    if fed.listed and len(fed.shape) == 1:
        pads = [{}, {"pad": 0}, {"pad": 1, "pad_to": fed.width, "overflow": "reject"}]
        keys = keys | draw(st.sampled_from([*pads, {"pad": 1, "pad_to": fed.width, "overflow": "truncate"}]))
    return keys


def lead(fed: Sequence[Input], task: Task, label: str, kinds: Sequence[pa.DataType]) -> pa.Table:
    """256 plain rows: behind them a bad value is no longer seen before the run, and must be counted."""
    rows, columns = range(256), {}
    names = [(column, of) for of in fed for column in of.columns]
    for place, ((column, of), kind) in enumerate(zip(names, kinds, strict=True)):
        make = bool if pa.types.is_boolean(kind) else float if pa.types.is_floating(kind) else int
        cells = [[make((row + place) % 2)] * of.width for row in rows]
        outer = pa.list_(kind) if place % 2 else pa.list_(kind, of.width)
        columns[column] = pa.array(cells, outer) if of.listed else pa.array([cell[0] for cell in cells], kind)
    columns[PART] = pa.array(["in"] * 256)
    known = [name for name in task.known if not isinstance(name, int) or name >= 0]
    kind = {"number": pa.int64(), "text": pa.string(), "bool": pa.bool_()}[task.family]
    columns[label] = pa.array([known[row % len(known)] for row in rows], kind)
    return pa.table(columns)


EXTRAS = (
    pa.array([{"b": 1, "c": None}]), pa.array([{"d": {"e": [1]}}, None]),
    pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), pa.array([b"\xff", None]), pa.array([["a", None], None]),
    pa.array([[{"b": 1}], None]), pa.array([None]), pa.array(["a", "b"]).dictionary_encode(),
    pa.array([date(2020, 1, 2)]), pa.array([[1.5, 2.5]], pa.list_(pa.float32(), 2)),
)  # fmt: skip


@st.composite
def files(
    draw: st.DrawFn, fed: Sequence[Input], task: Task, label: str, layout: Layout, led: bool, spoil: str | None
) -> File:
    """One file: the columns that are needed, others, in any order, in any layout."""
    rows = draw(st.integers(0, 60))
    named: list[tuple[str, pa.Array]] = []
    for of in fed:
        for column in of.columns:
            moods = MOODS if led or of.lossy else CAREFUL
            named.append((column, draw(column_of(of, rows, draw(moods)))))
    named.append((label, draw(label_columns(task, rows, draw(MOODS)))))
    if spoil is not None:
        spoil_one(draw, named, rows, spoil)
    parts = draw(st.lists(st.sampled_from(["in", "in", "in", "out", None]), min_size=rows, max_size=rows))
    named.append((PART, pa.array(parts, draw(st.sampled_from(TEXTS)))))
    for name in draw(st.lists(st.sampled_from(["a", "z", "z", "a.b.e", "f"]), max_size=2)):
        extra = draw(st.sampled_from(EXTRAS))
        named.append((name, extra.take(pa.array([row % len(extra) for row in range(rows)], pa.int64()))))
    named = draw(st.permutations(named))
    arrays = [laid(pa.chunked_array([array]), layout) for _, array in named]
    table = pa.Table.from_arrays(arrays, names=[name for name, _ in named])
    return File(table, max(1, draw(st.one_of(st.just(rows), st.integers(1, 60)))), draw(writer_options()))


def spoil_one(draw: st.DrawFn, named: list[tuple[str, pa.Array]], rows: int, spoil: str) -> None:
    """Break the contract of the columns, in place."""
    place = len(named) - 1 if spoil == "label" else draw(st.integers(0, len(named) - 2))
    name, array = named[place]
    if spoil == "missing":
        del named[place]
    elif spoil == "doubled":
        named.append((name, array))
    elif spoil == "size":
        named[place] = (name, pa.array([[0] * 5] * rows, pa.list_(pa.int8(), 5)))
    else:
        others = (pa.decimal128(5, 2), pa.list_(pa.int64())) if spoil == "label" else ()
        named[place] = (name, pa.nulls(rows, draw(st.sampled_from([*NO_FEATURES, *others]))))


@st.composite
def writer_options(draw: st.DrawFn) -> dict[str, Any]:
    """Options of the Parquet writer that change how values are stored, or which type is read back."""
    either = st.booleans()
    return {
        "use_dictionary": draw(either),
        "compression": draw(st.sampled_from(["none", "snappy", "zstd", "lz4", "gzip"])),
        "data_page_version": draw(st.sampled_from(["1.0", "2.0"])),
        "version": draw(st.sampled_from(["2.6", "2.4", "1.0"])),
        "store_schema": draw(either),
        "write_page_checksum": draw(either),
        "data_page_size": draw(st.sampled_from([None, 16])),
    }


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    return Layout(
        draw(st.sampled_from([100, 1, 3, 17])), draw(st.integers(0, 3)), draw(st.booleans()), draw(st.booleans())
    )


def laid(column: pa.ChunkedArray, layout: Layout) -> pa.ChunkedArray:
    """The same values in pieces, each a slice of a longer array and followed by an empty piece."""
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if layout.garbage and array.null_count:
        array = with_garbage(array)
    pieces: list[pa.Array] = []
    step = max(layout.piece, len(array) // 16)
    for start in range(0, max(1, len(array)), step):
        piece = array.slice(start, step)
        around = piece[: layout.before]
        piece = pa.concat_arrays([around, piece, around]).slice(len(around), len(piece))
        pieces += [piece, piece[:0]]
    return pa.chunked_array(pieces, column.type)


def with_garbage(array: pa.Array) -> pa.Array:
    """Lists of numbers with values below their nulls; other arrays as they are."""
    kind, null = array.type, array.is_null()
    if not hasattr(kind, "value_type") or pa.types.is_dictionary(kind) or rank(kind.value_type) is None:
        return array
    if pa.types.is_dictionary(kind.value_type) or pa.types.is_list_view(kind):
        return array
    width = kind.list_size if pa.types.is_fixed_size_list(kind) else 2
    one = True if pa.types.is_boolean(kind.value_type) else 1
    filled = pa.array([[one] * width if value is None else value for value in array.to_pylist()], kind)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(filled.values, type=kind, mask=null)
    made = pa.LargeListArray if pa.types.is_large_list(kind) else pa.ListArray
    return made.from_arrays(filled.offsets, filled.values, type=kind, mask=null)


def with_null_dictionary(array: pa.Array) -> pa.Array:
    """A dictionary in which nulls stand as values, and other nulls that are none of its indices."""
    array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    last = len(array) - 1
    indices = [None if row % 2 and not array[row].is_valid else last - row for row in range(len(array))]
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), array[::-1])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A model, a job, and one to four files."""
    kind = draw(st.sampled_from(["logits"] * 4 + ["probabilities", "label"]))
    fed, binding = draw(inputs(kind))
    width = sum(of.width for of in fed)
    classes = draw(st.integers(2, 3)) if kind == "label" else max(2, width)
    task, label, layout = (
        draw(st.sampled_from(tasks(classes, kind))),
        draw(st.sampled_from(["label", "y", "a.b.d"])),
        draw(layouts()),
    )
    spoil = draw(st.sampled_from([None] * 25 + ["feature", "label", "missing", "doubled", "size"]))
    led = draw(st.booleans())
    made = [draw(files(fed, task, label, layout, led, None)) for _ in range(draw(st.sampled_from([1, 1, 2, 3])))]
    if spoil is not None:
        made[draw(st.integers(0, len(made) - 1))] = draw(files(fed, task, label, layout, led, spoil))
    if led:
        made.insert(0, draw(lead_files(fed, task, label)))
    elif not any(file.table.num_rows for file in made):
        reject()
    modulo = kind == "logits" and draw(st.booleans())
    bias = (0.0,) * width if kind == "probabilities" else draw(biases(width, modulo))
    budget = draw(st.sampled_from([None, None, 300 if led else 0, 2_000]))
    data, job = draw(data_keys(task, classes, made)), draw(job_keys(classes))
    return Case(fed, binding, kind, label, data, job, tuple(made), modulo, bias, layout, budget)


@st.composite
def lead_files(draw: st.DrawFn, fed: Sequence[Input], task: Task, label: str) -> File:
    kinds = [draw(st.sampled_from(source_kinds(of.dtype, of.lossy))) for of in fed for _ in of.columns]
    return File(lead(fed, task, label, kinds), 256, {})


@st.composite
def biases(draw: st.DrawFn, width: int, modulo: bool) -> tuple[float, ...]:
    near = [0.0, 0.0, 0.5, 1.0, 3.0] if modulo else [0.0, 0.0, 0.5, 1.0, -1.0, 2.0**24, 2.0**53, 255.0, 65_504.0, 0.1]
    return tuple(draw(st.lists(st.sampled_from(near), min_size=width, max_size=width)))


@st.composite
def data_keys(draw: st.DrawFn, task: Task, classes: int, made: Sequence[File]) -> dict[str, Any]:
    """Keys of `data`; a sample is one of all rows, which takes the way of a sample and leaves none out."""
    keys = task.data | draw(st.sampled_from([{}, {}, {"unlabelled": "score"}, {"unlabelled": "reject"}]))
    if classes == 2:
        names = task.data.get("classes", ["false", "true"] if task.family == "bool" else ["0", "1"])
        keys |= draw(st.sampled_from([{}, {}, {"positive": names[0]}, {"positive": names[1]}]))
    keys |= draw(st.sampled_from([{}, {}, {}, {"filter": [[PART, "==", "in"]]}]))
    return keys | draw(st.sampled_from([{}, {}, {}, {"sample": {"rows": sum(file.table.num_rows for file in made)}}]))


@st.composite
def job_keys(draw: st.DrawFn, classes: int) -> dict[str, Any]:
    keys: dict[str, Any] = {"batch_size": draw(st.sampled_from(["auto", 1, 3, 64]))}
    shard_rows = draw(st.sampled_from(["auto", 1, 10, 100]))
    keys["execution"] = {"shard_rows": shard_rows, "cpus_per_worker": draw(st.sampled_from([1, 2]))}
    return keys | (draw(st.sampled_from([{}, {}, {"threshold": 0.25}, {"threshold": 0.75}])) if classes == 2 else {})


# The plain loop


@dataclass
class Expected:
    """What a plain loop finds.

    Args:
        refused: why the table is outside of the contract; None if it is within.
        doubtful: may it be refused for its values, as they are seen before the run?
        rejected: reason → rows.
        unlabelled: rows that are scored without a label.
        planned: all rows.
        labels, predicted: class indices of the rows that are evaluated.
    """

    refused: str | None = None
    doubtful: bool = False
    rejected: Counter[str] = field(default_factory=Counter)
    unlabelled: int = 0
    planned: int = 0
    labels: list[int] = field(default_factory=list)
    predicted: list[int] = field(default_factory=list)


def plain_loop(case: Case, folder: Path) -> Expected:
    """Read every file, look at every row, run the model on one row at a time."""
    paths = sorted((folder / "data").iterdir())
    schemas = [pq.ParquetFile(path).schema_arrow for path in paths]
    fed = _in_order(case, schemas[0]) if case.binding == "order" else case.inputs
    refused = next((why for schema in schemas if (why := _misfit(case, fed, schema))), None)
    refused = refused or _label_misfit(case, [schema.field(case.label).type for schema in schemas])
    if refused:
        return Expected(refused)
    try:
        rows = list(_rows(case, fed, paths))
    except pa.ArrowInvalid as error:
        # pyarrow writes lists of booleans to pages of version 2 that it reads short.
        return Expected(f"{error}")
    found = Expected(planned=sum(pq.read_metadata(path).num_rows for path in paths))
    found.doubtful = _is_doubtful(case, fed, class_names(case, schemas[0]), [row for seen, row in rows if seen])
    session = onnxruntime.InferenceSession(str(folder / "m.onnx"), providers=["CPUExecutionProvider"])
    for _, row in rows:
        _count(found, case, fed, class_names(case, schemas[0]), row, session)
    return found


def _count(
    found: Expected,
    case: Case,
    fed: Sequence[Input],
    names: list[str],
    row: dict[str, Any],
    session: onnxruntime.InferenceSession,
) -> None:
    """Count one row."""
    label, (arrays, reasons) = label_of(case, names, row[case.label]), features_of(fed, row)
    unlabelled = label == "null_label" and case.data.get("unlabelled") == "score"
    said = label if isinstance(label, str) and not unlabelled else next((r for r in ORDER if r in reasons), None)
    if said is None:
        (out,) = session.run(None, dict(zip((of.name for of in fed), arrays, strict=True)))
        said = predict(case, names, out)
    if isinstance(said, str):
        found.rejected[said] += 1
    elif unlabelled:
        found.unlabelled += 1
    else:
        found.labels.append(int(label))
        found.predicted.append(said)


def _is_doubtful(case: Case, fed: Sequence[Input], names: list[str], rows: Sequence[dict[str, Any]]) -> bool:
    """Is there something in the first rows for which a job may be refused, or nothing that could be evaluated?"""
    good = odd = False
    for row in rows:
        label, (_, reasons) = row[case.label], features_of(fed, row)
        good |= isinstance(label_of(case, names, label), int) and not reasons
        odd |= "inexact_value" in reasons and not all(of.lossy for of in fed)
        odd |= isinstance(label, float) and math.isfinite(label) and label % 1 != 0
    return odd or not good


def _rows(case: Case, fed: Sequence[Input], paths: Sequence[Path]) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Rows that the filter leaves, and whether each is one of the first 256 of a kind, which are seen before a run."""
    names = [case.label, *(column for of in fed for column in of.columns), *([PART] if "filter" in case.data else [])]
    first, alike, before = None, True, 0
    for path in paths:
        file = pq.ParquetFile(path)
        table = file.read(columns=names)
        cells = zip(*(table.column(name).to_pylist() for name in names), strict=True)
        rows = [dict(zip(names, row, strict=True)) for row in cells]
        rows = [row for row in rows if row.get(PART, "in") == "in"]
        needed = [entry for entry in file.schema_arrow if entry.name in names]
        first = first or (needed if rows else None)
        alike = alike and (needed == first or not rows)
        for number, row in enumerate(rows, before):
            yield alike and number < 256, row
        before += len(rows)


def _in_order(case: Case, schema: pa.Schema) -> tuple[Input, ...]:
    """The numeric columns in file order, for the only input."""
    columns = tuple(entry.name for entry in schema if entry.name != case.label and rank(entry.type) is not None)
    return (replace(case.inputs[0], columns=columns),)


def _misfit(case: Case, fed: Sequence[Input], schema: pa.Schema) -> str | None:
    """Why columns of a file cannot feed the inputs."""
    for name in [case.label, *(column for of in fed for column in of.columns)]:
        if schema.names.count(name) != 1:
            return f"{name} stands {schema.names.count(name)} times"
    for of in fed:
        if len(of.columns) != (1 if of.listed else of.width):
            return f"{len(of.columns)} columns for {of.name}"
        for name in of.columns:
            kind = schema.field(name).type
            lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
            fixed = pa.types.is_fixed_size_list(kind) and "pad" not in of.keys
            if lists != of.listed or (fixed and kind.list_size != of.width):
                return f"{name} is {kind}"
            if not castable(kind.value_type if lists else kind, of.dtype, of.lossy):
                return f"{name} is {kind} for {of.dtype}"
    return None


def family(kind: pa.DataType) -> str | None:
    """`text`, `bool` or `number` of a label column; None for any other."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if value in TEXTS:
        return "text"
    if pa.types.is_boolean(kind):
        return "bool"
    return "number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else None


def _label_misfit(case: Case, kinds: Sequence[pa.DataType]) -> str | None:
    families = {family(kind) for kind in kinds}
    return None if len(families) == 1 and None not in families else f"labels are {kinds}"


def class_names(case: Case, schema: pa.Schema) -> list[str]:
    """The classes in output order."""
    if "classes" in case.data:
        return [str(name).lower() if isinstance(name, bool) else name for name in case.data["classes"]]
    return (
        ["false", "true"] if family(schema.field(case.label).type) == "bool" else [str(n) for n in range(case.classes)]
    )


def label_of(case: Case, names: list[str], label: Any) -> int | str:
    """The class index of a label, or what is wrong with it."""
    if label is None or label != label:
        return "null_label"
    if isinstance(label, str):
        return names.index(label) if label in names else "unknown_label"
    if math.isinf(label) or label != int(label) or abs(int(label)) > 2**63:
        return "unknown_label"
    by_index = case.data.get("label_is") == "index"
    if isinstance(label, bool) and not by_index:
        return names.index(str(label).lower())
    if by_index or not all(name.lstrip("-").isdigit() for name in names):
        return int(label) if 0 <= label < len(names) else "unknown_label"
    return names.index(str(int(label))) if str(int(label)) in names else "unknown_label"


def features_of(fed: Sequence[Input], row: dict[str, Any]) -> tuple[list[np.ndarray], set[str]]:
    """What the model is fed for a row, one array an input; and all that is wrong with it."""
    arrays, reasons = [], set()
    for of in fed:
        values = []
        for cell in _cells(of, row, reasons):
            value = of.keys.get("null", math.nan if of.dtype[0] == "f" else None) if cell is None else None
            if cell is not None:
                value = number(cell, np.dtype(of.dtype), of.lossy)
            if value is None:
                reasons.add("null_feature" if cell is None else "inexact_value")
            values.append(0 if value is None else value)
        if len(values) == of.width:
            arrays.append(np.array(values, of.dtype).reshape(1, *of.shape))
    return arrays, reasons


def _cells(of: Input, row: dict[str, Any], reasons: set[str]) -> list[Any]:
    """The values of one input in a row, as they stand in the table."""
    if not of.listed:
        return [row[column] for column in of.columns]
    cells = row[of.columns[0]]
    if cells is None:
        reasons.add("null_feature")
        return []
    if "pad" in of.keys:
        if len(cells) > of.width and of.keys.get("overflow") != "truncate":
            reasons.add("too_long")
        return [*cells[: of.width], *[of.keys["pad"]] * (of.width - len(cells))]
    if len(cells) != of.width:
        reasons.add("wrong_length")
        return []
    return list(cells)


def number(value: Any, dtype: np.dtype[Any], lossy: bool) -> Any | None:
    """A value as an element of the model's input; None if it cannot be one."""
    whole = isinstance(value, int)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            rounded = nearest(int(value), dtype) if whole else dtype.type(float(value))
        if math.isinf(rounded) and (whole or not math.isinf(value)):
            return None
        return None if whole and not lossy and int(rounded) != int(value) else rounded
    if not whole:
        value = float(value)
    if dtype.kind == "b":
        return None if value != value else value != 0
    if not whole and not math.isfinite(value):
        return None
    info = np.iinfo(dtype)
    return int(value) if info.min <= int(value) <= info.max else None


def nearest(value: int, dtype: np.dtype[Any]) -> Any:
    """The float that is nearest to an integer, of two the even one, rounded once."""
    guess = dtype.type(float(value))
    if dtype != np.float32 or math.isinf(guess):
        return guess
    near = [guess, np.nextafter(guess, np.float32(-np.inf)), np.nextafter(guess, np.float32(np.inf))]
    return min(near, key=lambda f: (abs(Fraction(float(f)) - value), int(f.view(np.uint32)) & 1))


def predict(case: Case, names: list[str], out: np.ndarray) -> int | str:
    """The class index that the output for one row stands for, or what is wrong with it."""
    scores = [float(score) for score in out.reshape(-1)]
    if case.kind == "label":
        labels = [int(n) for n in names] if all(n.lstrip("-").isdigit() for n in names) else list(range(len(names)))
        return labels.index(int(out.item())) if int(out.item()) in labels else "unknown_prediction"
    if any(math.isnan(score) for score in scores):
        return "nan_score"
    if any(math.isinf(score) for score in scores):
        return "infinite_score"
    if case.kind == "probabilities":
        if any(score < -1e-5 or score > 1 + 1e-5 for score in scores):
            return "score_out_of_range"
        scores = [min(max(score, 0.0), 1.0) for score in scores]
        if len(scores) > 1 and not any(scores):
            return "nan_score"
    if len(names) > 2:
        return scores.index(max(scores))
    positive = names.index(str(case.data["positive"]).lower()) if "positive" in case.data else 1
    if case.kind == "probabilities":
        probability = ([1 - scores[0], scores[0]] if len(scores) == 1 else scores)[positive]
    else:
        odds = scores[0] if len(scores) == 1 else scores[1] - scores[0]
        probability = expit(odds if positive == 1 else -odds)
    return positive if probability >= case.job.get("threshold", 0.5) else 1 - positive
