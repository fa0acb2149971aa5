"""Parquet parts as the jobs write them: lz4, page checksums, a dictionary only where values repeat."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.stamp import replacing


def part_paths(folder: Path, parts: int) -> list[Path]:
    return [folder / f"part-{number:02}.parquet" for number in range(parts)]


def bounds(rows: int, parts: int) -> list[tuple[int, int]]:
    """Start and stop of each part: in order, without gaps, of sizes that differ by one at most."""
    edges = np.linspace(0, rows, parts + 1).astype(int).tolist()
    return list(itertools.pairwise(edges))


def write_parts(table: pa.Table, folder: Path, parts: int, row_group_rows: int, repeating: Sequence[str]) -> list[Path]:
    """Writes a table as `parts` files, and removes other parts, so that the folder holds these rows only."""
    paths = part_paths(folder, parts)
    for path, (start, stop) in zip(paths, bounds(table.num_rows, parts), strict=True):
        starts = range(start, stop, row_group_rows)
        write_part(path, (table[at : min(at + row_group_rows, stop)] for at in starts), table.schema, repeating)
    remove_other_parts(folder, paths)
    return paths


def write_part(path: Path, row_groups: Iterable[pa.Table], schema: pa.Schema, repeating: Sequence[str]) -> None:
    """Writes one file, one row group for each table; holds one table at a time. `repeating`: columns of few values."""
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression="lz4",
            # Numbers that do not repeat gain nothing from a dictionary: it only slows the reader down.
            use_dictionary=list(repeating),
            write_page_checksum=True,
        ) as writer,
    ):
        for row_group in row_groups:
            writer.write_table(row_group, row_group_size=max(1, row_group.num_rows))


def remove_other_parts(folder: Path, paths: Iterable[Path]) -> None:
    for stray in set(folder.glob("part-*.parquet")) - set(paths):
        stray.unlink()
