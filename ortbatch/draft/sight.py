"""What a model and a folder of Parquet show when they are looked at: inputs, outputs, columns and some of their values.

All footers are read, and the rows of a few row groups that lie far apart: files are often sorted by the very label.
What was not looked at is not known; whoever uses a value says of how many rows it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import pyarrow as pa
import pyarrow.compute as pc

from ortbatch.data.binding import TensorSpec
from ortbatch.data.columns import decoded, family, is_text
from ortbatch.data.lists import is_list, lengths_of
from ortbatch.data.partitions import is_of_folders
from ortbatch.data.plan import Plan, make_plan
from ortbatch.data.reader import read_shard
from ortbatch.engine.latency import piece_of, row_groups
from ortbatch.engine.threads import THREADS
from ortbatch.errors import Complaints
from ortbatch.model.source import ModelSource, load, open_source

_PLACES = 4
_ROWS_OF_A_PLACE = 5_000
_LISTS_OF_A_PLACE = 64
_COLUMNS_AT_MOST = 500
_VALUES_KEPT = 1_000
_PROVIDERS = ("CPUExecutionProvider",)
_NAMING = ("id2label", "class_names", "classes", "labels", "names")


@dataclass(frozen=True)
class Column:
    """A column and what some of its rows hold.

    Args:
        name: its name.
        kind: its Arrow type.
        folder: does it stand in the names of folders?
        rows: values that were looked at, nulls aside.
        values: the distinct ones, sorted; None if there are over 1,000, or it was not looked at.
        distinct: how many there are.
        lengths: lengths of its lists, if it holds some.
    """

    name: str
    kind: pa.DataType
    folder: bool
    rows: int = 0
    values: tuple[Any, ...] | None = None
    distinct: int = 0
    lengths: frozenset[int] = frozenset()

    @property
    def unique(self) -> bool:
        """Is every value that was looked at another?"""
        return self.rows > 1 and self.distinct == self.rows

    @property
    def whole(self) -> bool:
        """Are all values integers, be they written as floats?"""
        kind = family(decoded(self.kind))
        floats = kind == "float" and self.values is not None and all(float(v).is_integer() for v in self.values)
        return kind == "int" or floats

    @property
    def holds_labels(self) -> bool:
        """Can a column of this type hold one label a row?"""
        return is_text(self.kind) or family(decoded(self.kind)) == "bool" or self.whole


@dataclass(frozen=True)
class Sight:
    """What there is.

    Args:
        source: the model's files.
        inputs, outputs: of its session.
        named: class names that its metadata hold, in the order in which they hold them; empty if there are none.
        plan: all rows of the data.
        schema: of the first file and its folders.
        columns: by name, in file order; of a name that stands twice none.
        looked: rows that were looked at.
    """

    source: ModelSource
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    named: tuple[str, ...]
    plan: Plan
    schema: pa.Schema
    columns: Mapping[str, Column]
    looked: int


def look(model: str, data: Sequence[str]) -> Sight:
    """Look at a model and at data, by path or URI.

    Raises:
        ModelError: if the model cannot be loaded.
        DataError: if the data cannot be planned.
        PreflightError: if both are so.
    """
    complaints, schemas = Complaints(), list[pa.Schema]()
    source = session = plan = None
    with complaints.heard():
        source = open_source(model)
        session = load(source, _PROVIDERS, THREADS)
    with complaints.heard():
        plan = make_plan(data, None, lambda _, schema: schemas.append(schema))
    complaints.raise_all()
    assert source is not None
    assert session is not None
    assert plan is not None
    columns, looked = _columns(plan, schemas[0])
    return Sight(source, session.inputs, session.outputs, _named(source), plan, schemas[0], columns, looked)


def _columns(plan: Plan, schema: pa.Schema) -> tuple[dict[str, Column], int]:
    """All columns, and the rows that were looked at."""
    fields = [field for field in schema if len(schema.get_all_field_indices(field.name)) == 1]
    seen = fields if len(fields) <= _COLUMNS_AT_MOST else [field for field in fields if _tells(field)]
    names = [field.name for field in seen[:_COLUMNS_AT_MOST]]
    tables = _tables(plan, names) if names else []
    columns = {field.name: Column(field.name, field.type, is_of_folders(field)) for field in fields}
    for name in names:
        parts = [table.column(name) for table in tables]
        columns[name] = _looked_at(columns[name], parts)
    return columns, sum(table.num_rows for table in tables)


def _tells(field: pa.Field) -> bool:
    """May a column be more than a feature? Where there are thousands, those that are plain floats are not read."""
    return is_list(field.type) or family(decoded(field.type)) != "float"


def _tables(plan: Plan, names: Sequence[str]) -> list[pa.Table]:
    """Some rows of a few row groups, from the first to the last."""
    groups = row_groups(plan)
    places = sorted({round(place * (len(groups) - 1) / (_PLACES - 1)) for place in range(_PLACES)})
    tables = []
    for file, group in (groups[place] for place in places):
        blocks = read_shard(plan.shard(-1, [piece_of(plan, file, group)]), list(names))
        tables += [block.table.slice(0, _ROWS_OF_A_PLACE) for block, _ in zip(blocks, range(1), strict=False)]
    return tables


def _looked_at(column: Column, parts: Sequence[pa.ChunkedArray]) -> Column:
    if is_list(column.kind):
        open_lengths = len(lengths_of(column.kind)) == 1 and lengths_of(column.kind)[0] is None
        few = [part.slice(0, _LISTS_OF_A_PLACE).drop_null() for part in parts] if open_lengths else []
        held = (pc.list_value_length(part).unique().to_pylist() for part in few)
        return Column(column.name, column.kind, column.folder, lengths=frozenset(n for each in held for n in each))
    if not is_text(column.kind) and family(decoded(column.kind)) is None:
        return column
    rows, values = 0, set[Any]()
    for part in parts:
        plain = part.cast(decoded(part.type)) if pa.types.is_dictionary(part.type) else part
        present = plain.drop_null()
        if family(plain.type) == "float":
            present = present.filter(pc.is_finite(present))
        rows += len(present)
        values.update(_distinct(present))
    kept = tuple(sorted(values)) if len(values) <= _VALUES_KEPT else None
    return Column(column.name, column.kind, column.folder, rows, kept, len(values))


def _distinct(present: pa.ChunkedArray) -> list[Any]:
    try:
        return list(present.unique().to_pylist())
    except UnicodeDecodeError:
        return []  # text that is no UTF-8 names nothing


def _named(source: ModelSource) -> tuple[str, ...]:
    """Class names in the metadata of the model file, as makers of vision and language models leave them there."""
    held = {entry.key: entry.value for entry in onnx.load_model_from_string(source.graph.runs).metadata_props}
    found = (_names_in(held[key]) for key in _NAMING if key in held)
    return next((names for names in found if names), ())


def _names_in(text: str) -> tuple[str, ...]:
    """A list of names, or a mapping from 0, 1, ... to names, as JSON or as Python writes it; empty if it is neither."""
    import ast

    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text[:1_000_000])
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, dict):
            numbered = {str(key): name for key, name in value.items()}
            value = [numbered.get(str(place)) for place in range(len(numbered))]
        if isinstance(value, list) and all(isinstance(name, str) and name for name in value):
            return tuple(value) if len(set(value)) == len(value) > 1 else ()
    return ()
