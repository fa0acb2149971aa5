"""Which columns feed which input of the model, decided once, recorded in the report, obeyed by every worker.

Defaults: inputs that match columns by name; else a single two-dimensional float input takes the numeric columns in file
order if there are exactly as many as it is wide. Anything else is an error that lists both sides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ortbatch.data.columns import Cast, castable, family
from ortbatch.errors import DataError
from ortbatch.job import InputSpec

_NUMERIC = {np.dtype(code).name for code in "?bhilqBHILQefd"}


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model.

    Args:
        name: its name.
        dtype: NumPy name of its elements, `float32`; `sequence(map)` and the like where it is no tensor.
        shape: its dimensions, None where the graph leaves one open; the first is the batch.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        dims = ", ".join("?" if dim is None else str(dim) for dim in self.shape)
        return f"{self.name}: {self.dtype}[{dims}]"


@dataclass(frozen=True)
class InputBinding:
    """One input of the model and the columns that feed it.

    Args:
        name: the input.
        columns: its columns, in order; exactly one when `is_list`.
        row_shape: shape of one row, without the batch dimension.
        cast: how values are converted.
        is_list: does one list column hold the whole row?
        how: `job` (the job says so), `name` (same name) or `order` (numeric columns in file order).
    """

    name: str
    columns: tuple[str, ...]
    row_shape: tuple[int, ...]
    cast: Cast
    is_list: bool
    how: str

    @property
    def width(self) -> int:
        """Values of one row."""
        return math.prod(self.row_shape)


def bind_inputs(
    inputs: Sequence[TensorSpec], schema: pa.Schema, given: Mapping[str, InputSpec], label: str
) -> tuple[InputBinding, ...]:
    """Bind every input of a model to columns of a schema.

    Raises:
        DataError: if an input cannot be bound; lists the model's inputs and the file's columns.
    """
    unknown = sorted(set(given) - {spec.name for spec in inputs})
    if unknown:
        raise DataError(
            f"model.inputs: the model has no input {', '.join(f'`{name}`' for name in unknown)}; "
            f"it has {_list(inputs)}."
        )
    bindings = [_bind(spec, schema, given.get(spec.name), label) for spec in inputs]
    if all(bindings):
        return tuple(binding for binding in bindings if binding)
    by_order = _in_order(inputs, schema, label) if not given else None
    if by_order is not None:
        return (by_order,)
    missing = ", ".join(f"`{spec.name}`" for spec, binding in zip(inputs, bindings, strict=True) if not binding)
    raise DataError(
        f"no columns for the model's input {missing}.\n  model: {_list(inputs)}\n  columns: {_columns(schema)}\n"
        f"Say which columns feed it, for example `model: {{inputs: {{{inputs[0].name}: [first, second]}}}}`."
    )


def check_columns(bindings: Sequence[InputBinding], schema: pa.Schema, label: str, where: str) -> None:
    """Refuse a file whose columns do not feed the bound inputs, by name and type.

    Raises:
        DataError: naming the file and every column that is missing, doubled or of a wrong type.
    """
    problems = [_column_problem(schema, label, None, None)]
    problems += [_column_problem(schema, name, b, b.cast) for b in bindings for name in b.columns]
    found = [problem for problem in problems if problem]
    if found:
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        raise DataError(f"{where}: {'; '.join(found[:5])}{more}. Columns: {_columns(schema)}.")


def _column_problem(schema: pa.Schema, name: str, binding: InputBinding | None, cast: Cast | None) -> str | None:
    places = schema.get_all_field_indices(name)
    if len(places) != 1:
        return f"column `{name}` is missing" if not places else f"column `{name}` stands {len(places)} times"
    if binding is None or cast is None:
        return None
    kind = schema.field(places[0]).type
    if not binding.is_list:
        return None if castable(kind, cast) else _type_problem(name, kind, cast)
    if not _is_list(kind):
        return f"column `{name}` is {kind}; expected a list of {binding.width} numbers"
    if pa.types.is_fixed_size_list(kind) and kind.list_size != binding.width:
        shape = "×".join(map(str, binding.row_shape))
        return (
            f"column `{name}` holds lists of {kind.list_size}; input `{binding.name}` needs {binding.width} ({shape})"
        )
    return None if castable(kind.value_type, cast) else _type_problem(name, kind.value_type, cast)


def _type_problem(name: str, kind: pa.DataType, cast: Cast) -> str:
    if family(kind) is None:
        return f"column `{name}` holds {kind}, which is not a number; the model's input is {cast.dtype}"
    return f"column `{name}` holds {kind}, which {cast.dtype} cannot hold exactly; `cast: lossy` in its input allows it"


def _bind(spec: TensorSpec, schema: pa.Schema, given: InputSpec | None, label: str) -> InputBinding | None:
    """Bind one input by the job or by name; None if neither names its columns. A label is never fed by its name."""
    by_name = spec.name != label and schema.get_all_field_indices(spec.name)
    columns = _given_columns(given) or ((spec.name,) if by_name else None)
    if columns is None:
        return None
    missing = [name for name in columns if not schema.get_all_field_indices(name)]
    if missing:
        raise DataError(
            f"input `{spec.name}` names column {', '.join(f'`{m}`' for m in missing)}, which the data do not have. "
            f"Columns: {_columns(schema)}."
        )
    cast = _cast_of(spec, given)
    first = schema.field(schema.get_all_field_indices(columns[0])[0]).type
    is_list = len(columns) == 1 and _is_list(first)
    shape = _row_shape(spec, columns, first)
    return InputBinding(spec.name, columns, shape, cast, is_list, "name" if given is None else "job")


def _given_columns(given: InputSpec | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    if given.column is not None:
        return (given.column,)
    return (given.columns,) if isinstance(given.columns, str) else given.columns


def _cast_of(spec: TensorSpec, given: InputSpec | None) -> Cast:
    if spec.dtype not in _NUMERIC:
        raise DataError(f"input `{spec}` of the model is not numeric; ortbatch feeds numbers and booleans so far.")
    if given is None:
        return Cast(spec.dtype)
    return Cast(spec.dtype, lossy=given.cast == "lossy", null=_null_of(spec, given))


def _null_of(spec: TensorSpec, given: InputSpec) -> float | int | bool | None:
    """What stands for null; `nan` and `inf` are kept as text in a job."""
    null = given.null
    if isinstance(null, str):
        if null not in ("nan", "inf", "-inf"):
            raise DataError(f"model.inputs.{spec.name}.null: {null!r} is not a number; input `{spec}` takes numbers.")
        null = float(null)
    if null is not None and not _holds(np.dtype(spec.dtype), null):
        raise DataError(f"model.inputs.{spec.name}.null: {null} does not fit input `{spec}`.")
    return null


def _holds(dtype: np.dtype[Any], value: float | int | bool) -> bool:
    """Has a type this number, up to rounding of a fraction?"""
    if isinstance(value, float) and not math.isfinite(value):
        return dtype.kind == "f"
    if dtype.kind == "f":
        return abs(value) <= float(np.finfo(dtype).max)
    if dtype.kind == "b":
        return value in (0, 1)
    return value == int(value) and int(np.iinfo(dtype).min) <= value <= int(np.iinfo(dtype).max)


def _row_shape(spec: TensorSpec, columns: Sequence[str], first: pa.DataType) -> tuple[int, ...]:
    """Shape of one row; an open dimension is filled from the columns, or from the length of their lists."""
    if not spec.shape:
        raise DataError(f"input `{spec}` of the model has no batch dimension; export it with one.")
    dims = spec.shape[1:]
    open_dims = dims.count(None)
    known = math.prod(dim for dim in dims if dim is not None)
    if known == 0:
        raise DataError(f"input `{spec}` of the model takes 0 values a row; export it with the dimensions of a row.")
    is_list = len(columns) == 1 and _is_list(first)
    width = len(columns) if not is_list else first.list_size if pa.types.is_fixed_size_list(first) else None
    if open_dims == 0:
        if not is_list and width != known:
            raise DataError(
                f"input `{spec}` takes {known} values a row; got {_given(columns, first)}. Expected {known} columns, "
                f"or one that holds lists of {known} numbers."
            )
        return tuple(dim for dim in dims if dim is not None)
    if open_dims > 1 or width is None or width % known:
        raise DataError(
            f"the shape of input `{spec}` is open, and column `{columns[0]}` does not fix it; export the model with "
            "the row's dimensions, or write the column as a fixed-size list."
        )
    return tuple(width // known if dim is None else dim for dim in dims)


def _given(columns: Sequence[str], first: pa.DataType) -> str:
    return f"column `{columns[0]}` ({first})" if len(columns) == 1 else f"{len(columns)} columns: {_some(columns)}"


def _in_order(inputs: Sequence[TensorSpec], schema: pa.Schema, label: str) -> InputBinding | None:
    """All numeric columns but the label, in file order, if a single [N, F] float input is exactly as wide."""
    if len(inputs) != 1 or len(inputs[0].shape) != 2 or not inputs[0].dtype.startswith("float"):
        return None
    spec, cast = inputs[0], _cast_of(inputs[0], None)
    fields = [f for f in schema if f.name != label and family(f.type) is not None]
    columns = tuple(f.name for f in fields)
    if not columns or spec.shape[1] != len(columns) or len(set(columns)) != len(columns):
        return None
    return InputBinding(spec.name, columns, _row_shape(spec, columns, fields[0].type), cast, False, "order")


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _list(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"`{spec}`" for spec in specs)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f", … ({len(names)} in all)" if len(names) > 8 else "")


def _columns(schema: pa.Schema) -> str:
    shown = [f"{field.name} ({field.type})" for field in schema][:20]
    return ", ".join(shown) + (f", … ({len(schema)} in all)" if len(schema) > 20 else "")
