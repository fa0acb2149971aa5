"""Parquet files for tests, with row groups of given lengths, whole or broken on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MAGIC = b"PAR1"


def write_table(
    path: Path, columns: Mapping[str, Any] | pa.Table, groups: Sequence[int] | None = None, **options: Any
) -> Path:
    """Write columns with row groups of these lengths, 0 allowed; None: all rows in one. Makes the folder."""
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    groups = [table.num_rows] if groups is None else groups
    assert sum(groups) == table.num_rows
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, table.schema, **options) as writer:
        for end, rows in zip(accumulate(groups), groups, strict=True):
            writer.write_table(table.slice(end - rows, rows), row_group_size=max(1, rows))
    return path


def numbered(rows: int, first: int = 0) -> pa.Table:
    """Columns x (float32) and y (int64) whose values are the row's number."""
    numbers = np.arange(first, first + rows)
    return pa.table({"x": numbers.astype(np.float32), "y": numbers})


def flip(path: Path, at: int, mask: int = 0xFF) -> Path:
    """Change bits of one byte in place; a negative place counts from the end."""
    content = bytearray(path.read_bytes())
    content[at] ^= mask
    path.write_bytes(content)
    return path


def corrupt(path: Path, column: int, group: int, mask: int = 0xFF) -> Path:
    """Change bits of the last byte of a column chunk."""
    chunk = pq.read_metadata(path).row_group(group).column(column)
    start = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    return flip(path, start + chunk.total_compressed_size - 1, mask)


def footer_length(path: Path) -> int:
    """Bytes of the footer, without its length and the magic."""
    return int.from_bytes(path.read_bytes()[-8:-4], "little")
