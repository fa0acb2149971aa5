"""Which columns feed which input of the model, decided once, recorded in the report, obeyed by every worker.

Defaults: inputs that match columns by name; else a single two-dimensional float input takes the numeric columns in file
order if there are exactly as many as it is wide. Anything else is an error that lists both sides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pyarrow as pa

from ortbatch.data.casts import cast_of
from ortbatch.data.columns import Cast, castable, feature_family
from ortbatch.data.inputs import InputBinding, TensorSpec, described, described_columns
from ortbatch.data.lists import fits, is_list, leaf, lengths_of
from ortbatch.data.made import bind_made, needs_padding, padded
from ortbatch.data.names import Names, ReadNames, columns_of, no_names
from ortbatch.data.partitions import is_of_folders
from ortbatch.errors import Complaints, DataError
from ortbatch.job import InputSpec

__all__ = ["InputBinding", "TensorSpec", "bind_inputs", "check_columns"]


def bind_inputs(
    inputs: Sequence[TensorSpec],
    schema: pa.Schema,
    given: Mapping[str, InputSpec],
    label: str,
    read_names: ReadNames = no_names,
    kept: Sequence[str] = (),
) -> tuple[InputBinding, ...]:
    """Bind every input of a model to columns of a schema.

    Args:
        inputs: the model's.
        schema: of the first file.
        given: input name → what the job says of it.
        label: the label column, which no pattern and no default takes.
        read_names: text of a file of column names, by its path in the job → its lines.
        kept: columns beside the predictions, which the default takes no more than the label.

    Raises:
        DataError: if an input cannot be bound; lists the model's inputs and the file's columns.
        PreflightError: if several cannot.
    """
    complaints = Complaints()
    if unknown := sorted(set(given) - {spec.name for spec in inputs}):
        names = ", ".join(f"`{name}`" for name in unknown)
        complaints.add(DataError(f"model.inputs: the model has no input {names}; it has {described(inputs)}."))
    fed = [spec for spec in inputs if not _is_made(given.get(spec.name))]
    bound: dict[str, InputBinding | None] = {}
    for spec in fed:
        with complaints.heard():
            bound[spec.name] = _bind(spec, schema, given.get(spec.name), label, read_names)
    missing = [name for name, binding in bound.items() if binding is None]
    by_order = _in_order(inputs, schema, (label, *kept)) if missing and not given else None
    if missing and by_order is None and not unknown:
        complaints.add(_no_columns(missing, inputs, schema, kept))
    complaints.raise_all()
    if by_order is not None:
        return (by_order,)
    columns = tuple(binding for binding in bound.values() if binding is not None)
    for spec in inputs:
        if spec.name not in bound:
            with complaints.heard():
                bound[spec.name] = bind_made(spec, given[spec.name], columns)
    complaints.raise_all()
    return tuple(binding for spec in inputs if (binding := bound[spec.name]) is not None)


def _no_columns(
    missing: Sequence[str], inputs: Sequence[TensorSpec], schema: pa.Schema, kept: Sequence[str]
) -> DataError:
    without = f" (without those of `predictions.columns`: {_some(kept)})" if kept else ""
    names = ", ".join(f"`{name}`" for name in missing)
    return DataError(
        f"no columns for the model's input {names}.\n  model: {described(inputs)}\n"
        f"  columns: {described_columns(schema)}{without}\n"
        f"Say which columns feed it, for example `model: {{inputs: {{{missing[0]}: [first, second]}}}}`."
    )


def check_columns(bindings: Sequence[InputBinding], schema: pa.Schema, label: str | None, where: str) -> None:
    """Refuse a file whose columns do not feed the bound inputs, by name and type, or that lacks a label asked for.

    Raises:
        DataError: naming the file and every column that is missing, doubled or of a wrong type.
    """
    problems = [] if label is None else [_column_problem(schema, label, None, None)]
    problems += [_column_problem(schema, name, b, b.cast) for b in bindings for name in b.columns]
    found = [problem for problem in problems if problem]
    if found:
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        raise DataError(f"{where}: {'; '.join(found[:5])}{more}. Columns: {described_columns(schema)}.")


def _column_problem(schema: pa.Schema, name: str, binding: InputBinding | None, cast: Cast | None) -> str | None:
    places = schema.get_all_field_indices(name)
    if len(places) != 1:
        return f"column `{name}` is missing" if not places else f"column `{name}` stands {len(places)} times"
    if binding is None or cast is None:
        return None
    kind = schema.field(places[0]).type
    if binding.padding is not None and (not is_list(kind) or len(lengths_of(kind)) != 1):
        return f"column `{name}` is {kind}; input `{binding.name}` pads lists of {_kind_of(cast)}"
    if binding.is_list:
        shape = "×".join(map(str, binding.row_shape))
        if not is_list(kind):
            return f"column `{name}` is {kind}; expected a list of {binding.width} {_kind_of(cast)}"
        if not fits(lengths_of(kind), binding.row_shape):
            held = " of lists of ".join(map(str, lengths_of(kind)))
            return f"column `{name}` holds lists of {held}; input `{binding.name}` needs {binding.width} ({shape})"
    listed = binding.is_list or binding.padding is not None
    value = leaf(kind) if listed else kind
    return None if castable(value, cast) else _type_problem(name, value, cast)


def _kind_of(cast: Cast) -> str:
    return "texts" if cast.dtype == "string" else "numbers"


def _type_problem(name: str, kind: pa.DataType, cast: Cast) -> str:
    if cast.dtype == "string":
        return f"column `{name}` holds {kind}, which is not text; the model's input is string"
    if pa.types.is_temporal(kind):
        return (
            f"column `{name}` holds {kind}, which is not a number; cast it to one when you write the Parquet, for "
            f"example to seconds since 1970-01-01"
        )
    if feature_family(kind) is None:
        return f"column `{name}` holds {kind}, which is not a number; the model's input is {cast.dtype}"
    return f"column `{name}` holds {kind}, which {cast.dtype} cannot hold exactly; `cast: lossy` in its input allows it"


def _bind(
    spec: TensorSpec, schema: pa.Schema, given: InputSpec | None, label: str, read_names: ReadNames
) -> InputBinding | None:
    """Bind one input by the job or by name; None if neither names its columns. A label is never fed by its name."""
    by_name = spec.name != label and schema.get_all_field_indices(spec.name)
    columns = (
        columns_of(spec.name, given, Names(schema, label, read_names)) if given else (spec.name,) if by_name else None
    )
    if columns is None:
        return None
    cast = cast_of(spec, given)
    first = schema.field(schema.get_all_field_indices(columns[0])[0]).type
    listed = len(columns) == 1 and is_list(first)
    if given is not None and needs_padding(spec, given):
        return padded(spec, given, columns, cast)
    shape = _row_shape(spec, columns, first)
    return InputBinding(spec.name, columns, shape, cast, listed, "name" if given is None else "job")


def _is_made(given: InputSpec | None) -> bool:
    """Is it made without a column?"""
    return given is not None and (given.mask_of is not None or given.fill is not None)


def _row_shape(spec: TensorSpec, columns: Sequence[str], first: pa.DataType) -> tuple[int, ...]:
    """Shape of one row; an open dimension is filled from the columns, or from the length of their lists."""
    if not spec.shape:
        raise DataError(f"input `{spec}` of the model has no batch dimension; export it with one.")
    dims = spec.shape[1:]
    known = math.prod(dim for dim in dims if dim is not None)
    if known == 0:
        raise DataError(f"input `{spec}` of the model takes 0 values a row; export it with the dimensions of a row.")
    listed = len(columns) == 1 and is_list(first)
    lengths = lengths_of(first) if listed else (len(columns),)
    shape = _filled(dims, lengths)
    if shape is None:
        raise DataError(
            f"the shape of input `{spec}` is open, and column `{columns[0]}` does not fix it; export the model with "
            "the row's dimensions, or write the column as fixed-size lists."
        )
    if not listed and len(columns) != math.prod(shape):
        raise DataError(
            f"input `{spec}` takes {known} values a row; got {_given(columns, first)}. Expected {known} columns, "
            f"or one that holds lists of {known} numbers."
        )
    return shape


def _filled(dims: Sequence[int | None], lengths: Sequence[int | None]) -> tuple[int, ...] | None:
    """Dimensions of a row, open ones filled from the lengths of lists that a type fixes; None if they stay open."""
    shape = [dim for dim in dims if dim is not None]
    if len(shape) == len(dims):
        return tuple(shape)
    fixed = [length for length in lengths if length is not None]
    if len(fixed) < len(lengths):
        return None
    if len(fixed) == len(dims) > 1:
        return tuple(length if dim is None else dim for dim, length in zip(dims, fixed, strict=True))
    rest, over = divmod(math.prod(fixed), math.prod(shape))
    return None if over or dims.count(None) > 1 else tuple(rest if dim is None else dim for dim in dims)


def _given(columns: Sequence[str], first: pa.DataType) -> str:
    return f"column `{columns[0]}` ({first})" if len(columns) == 1 else f"{len(columns)} columns: {_some(columns)}"


def _in_order(inputs: Sequence[TensorSpec], schema: pa.Schema, others: Sequence[str]) -> InputBinding | None:
    """All numeric columns of the files but some others, in order, if a single [N, F] float input is exactly as wide."""
    if len(inputs) != 1 or len(inputs[0].shape) != 2 or not inputs[0].dtype.startswith("float"):
        return None
    spec, cast = inputs[0], cast_of(inputs[0], None)
    numeric = [f for f in schema if f.name not in others and feature_family(f.type) is not None]
    fields = [field for field in numeric if not is_of_folders(field)]
    columns = tuple(f.name for f in fields)
    if not columns or spec.shape[1] != len(columns) or len(set(columns)) != len(columns):
        return None
    return InputBinding(spec.name, columns, _row_shape(spec, columns, fields[0].type), cast, False, "order")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f", … ({len(names)} in all)" if len(names) > 8 else "")
