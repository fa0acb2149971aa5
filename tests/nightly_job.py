"""A nightly job of a small model, as files that processes run; and what DuckDB sees of all its nights."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.models import linear_model

FEATURES, CLASSES, FILES, ROWS = 4, 3, 12, 50
NIGHTS = ("2026-11-23", "2026-11-24")

JOB = """\
name: nightly
model: {{path: model.onnx, inputs: {{x: [f0, f1, f2, f3]}}, batch_size: 50}}
data: {{path: "data/dt={{date}}/*.parquet", label: y, unlabelled: score}}
predictions: {{path: "{predictions}", columns: [id], scores: true}}
run_dir: runs/nightly/dt={{date}}
latency: {{max_seconds: 0.2}}
execution: {{shard_rows: {shard_rows}}}
"""


def make_nightly(
    folder: Path, *, shard_rows: int = 1, files: int = FILES, predictions: str = "predictions/dt={date}"
) -> Path:
    """job.yaml, its model and two nights of 600 rows in 12 files, a shard each; one row in five has a label."""
    folder.mkdir(parents=True)
    linear_model(folder / "model.onnx", FEATURES, CLASSES)
    for night, day in enumerate(NIGHTS):
        for file in range(files):
            first = (night * files + file) * ROWS
            rng = np.random.default_rng(first)
            columns = {f"f{n}": rng.normal(size=ROWS).astype(np.float32) for n in range(FEATURES)}
            label = [int(rng.integers(0, CLASSES)) if row % 5 == 0 else None for row in range(ROWS)]
            table = pa.table({"id": np.arange(first, first + ROWS), **columns, "y": pa.array(label, pa.int64())})
            path = folder / "data" / f"dt={day}" / f"{file:03}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path, write_page_checksum=True)
    (folder / "job.yaml").write_text(JOB.format(predictions=predictions, shard_rows=shard_rows))
    return folder / "job.yaml"


def rows_by_night(folder: Path) -> list[tuple[str, int, int, int, int]]:
    """Of each night: day, rows, distinct ids, smallest and largest id; by DuckDB, from all files that it finds."""
    query = f"""
        SELECT dt::VARCHAR, count(*), count(DISTINCT id), min(id), max(id)
        FROM read_parquet('{folder}/predictions/*/*.parquet', hive_partitioning = true) GROUP BY dt ORDER BY dt
    """
    with duckdb.connect() as connection:
        return connection.sql(query).fetchall()


def whole(nights: int = 2, files: int = FILES) -> list[tuple[str, int, int, int, int]]:
    """What it is to see: every row of every night, once."""
    rows = files * ROWS
    return [(NIGHTS[n], rows, rows, n * rows, (n + 1) * rows - 1) for n in range(nights)]


def files_of(folder: Path, day: str) -> dict[str, bytes]:
    """All files of a night, by name."""
    return {path.name: path.read_bytes() for path in (folder / "predictions" / f"dt={day}").iterdir()}
