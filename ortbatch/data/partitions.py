"""Columns that stand in folder names, `country=DE/part-0.parquet`, as Spark, pandas and DuckDB write them.

Only folders below what the job names count, so that where the data lie adds no column. Values are text as it was before
percent-encoding, whole numbers if every folder's value is one in its shortest form (`7`, not `07`), and null for
`__HIVE_DEFAULT_PARTITION__`. A column of the file itself wins over one of its folders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa

_NULL = "__HIVE_DEFAULT_PARTITION__"
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_MARK = {b"ortbatch": b"folder"}


@dataclass(frozen=True)
class FolderColumn:
    """One column of a file that its folders name: the value of all its rows.

    Args:
        name: of the column.
        value: int64 or text; None is null.
        kind: `int64` or `string`, the same for all files of a plan.
    """

    name: str
    value: int | str | None
    kind: str

    @property
    def field(self) -> pa.Field:
        """The column, marked as one of folders."""
        return pa.field(self.name, pa.type_for_alias(self.kind), metadata=_MARK)

    def repeated(self, rows: int) -> pa.Array:
        """The column of so many rows."""
        return pa.repeat(pa.scalar(self.value, self.field.type), rows)


def folder_columns(folders: Sequence[Sequence[str]]) -> list[tuple[FolderColumn, ...]]:
    """Columns of each file by the names of its folders, from the outside in; the innermost of one name counts.

    >>> [(column.name, column.value) for column in folder_columns([("v1", "day=2026-11-25", "hour=7")])[0]]
    [('day', '2026-11-25'), ('hour', 7)]
    """
    pairs = [dict(_pairs(names)) for names in folders]
    values: dict[str, set[str | None]] = {}
    for file in pairs:
        for name, value in file.items():
            values.setdefault(name, set()).add(value)
    numbers = {name for name, found in values.items() if _all_numbers(found)}
    return [tuple(_column(name, value, number=name in numbers) for name, value in file.items()) for file in pairs]


def _pairs(folders: Iterable[str]) -> Iterable[tuple[str, str | None]]:
    for folder in folders:
        name, equals, value = folder.partition("=")
        if name and equals:
            yield unquote(name), None if value == _NULL else unquote(value)


def _all_numbers(values: Iterable[str | None]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(_NUMBER.fullmatch(value) for value in known)


def _column(name: str, value: str | None, *, number: bool) -> FolderColumn:
    if not number:
        return FolderColumn(name, value, "string")
    return FolderColumn(name, None if value is None else int(value), "int64")


def is_of_folders(field: pa.Field) -> bool:
    """Does a column stand in folder names? No pattern and no default takes it as a feature."""
    return bool(field.metadata) and _MARK.items() <= field.metadata.items()


def with_folders(schema: pa.Schema, columns: Sequence[FolderColumn]) -> pa.Schema:
    """A file's schema with the columns of its folders that it does not hold itself."""
    for column in columns:
        if column.name not in schema.names:
            schema = schema.append(column.field)
    return schema
