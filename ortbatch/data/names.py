"""Which columns a job names for an input: one by one, by patterns, or by a file with a name on each line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from ortbatch.data.inputs import described_columns
from ortbatch.data.partitions import is_of_folders
from ortbatch.errors import DataError
from ortbatch.job import InputSpec

ReadNames = Callable[[str], list[str]]


def no_names(path: str) -> list[str]:
    """Refuse a file of names where no job folder is known."""
    raise DataError(f"the file of column names {path} cannot be read here; list the columns in the job.")


@dataclass(frozen=True)
class Names:
    """Where names are looked up.

    Args:
        schema: columns of the data, in file order.
        label: the label, which no pattern takes.
        read: path in the job → lines of the file.
    """

    schema: pa.Schema
    label: str
    read: ReadNames


def columns_of(name: str, given: InputSpec, names: Names) -> tuple[str, ...]:
    """Columns of an input, in order: those of a pattern as they stand in the file, each once over all patterns.

    Raises:
        DataError: if a pattern or a file of names has none, or the data lack one.
    """
    if given.column is not None:
        columns: tuple[str, ...] = (given.column,)
    elif isinstance(given.columns, str):
        columns = _from_file(name, given.columns, names)
    else:
        columns = _expanded(name, given.columns or (), names)
    missing = [column for column in columns if not names.schema.get_all_field_indices(column)]
    if missing:
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise DataError(
            f"input `{name}` names column {', '.join(f'`{m}`' for m in missing[:8])}{more}, which the data do not "
            f"have. Columns: {described_columns(names.schema)}."
        )
    return columns


def _from_file(name: str, path: str, names: Names) -> tuple[str, ...]:
    lines = tuple(line.strip() for line in names.read(path))
    columns = tuple(line for line in lines if line)
    if not columns:
        raise DataError(f"model.inputs.{name}.columns: {path} is empty; expected one column name on each line.")
    return columns


def _expanded(name: str, patterns: tuple[str, ...], names: Names) -> tuple[str, ...]:
    """A column that is named, or that an earlier pattern took, is not taken again by a pattern."""
    taken = {pattern for pattern in patterns if "*" not in pattern}
    columns: list[str] = []
    for pattern in patterns:
        if "*" not in pattern:
            columns.append(pattern)
            continue
        shape = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
        fields = [field.name for field in names.schema if field.name != names.label and not is_of_folders(field)]
        matches = [field for field in fields if shape.fullmatch(field)]
        if not matches:
            raise DataError(
                f"model.inputs.{name}.columns: no column matches `{pattern}`. "
                f"Columns: {described_columns(names.schema)}."
            )
        columns += [field for field in matches if field not in taken]
        taken.update(matches)
    return tuple(columns)
