"""A table with every kind of column that cuts rows, in folders, and what a plain loop finds in each part of it.

Nothing of ortbatch is used here: rows are plain Python values, parts are named by hand, scores are ONNX Runtime's.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tests.models import linear_model, linear_weights

ROWS = 3_000
EDGES = [0, 0.5, 10]
SCHEMA = pa.schema(
    {
        "f0": pa.float32(), "f1": pa.float32(), "label": pa.int64(), "country": pa.string(),
        "device": pa.dictionary(pa.int32(), pa.string()), "vip": pa.bool_(), "age": pa.int16(), "big": pa.uint64(),
        "day": pa.date32(), "seen": pa.timestamp("us", tz="UTC"), "local": pa.timestamp("ms"),
        "price": pa.decimal128(7, 2), "amount": pa.float64(), "split": pa.string(), "region": pa.string(),
    }
)  # fmt: skip
_WEIGHTS, _BIAS = linear_weights(2, 2)
PLAIN = ("country", "device", "vip", "age", "big", "day", "seen", "local", "price", "region")


@dataclass(frozen=True)
class Sliced:
    """Rows as Python values, in the order of the files, and the model's outputs float32[N, 2] for them."""

    folder: Path
    rows: list[dict[str, Any]]

    @cached_property
    def outputs(self) -> NDArray[np.float32]:
        session = onnxruntime.InferenceSession(self.folder / "model.onnx", providers=["CPUExecutionProvider"])
        features = np.array([[row["f0"], row["f1"]] for row in self.rows], np.float32)
        return np.asarray(session.run(None, {"x": features})[0])

    def evaluated(self, keep: Callable[[dict[str, Any]], bool] = lambda _: True) -> list[int]:
        """Rows that have a label and a score, and that a filter keeps."""
        good = np.isfinite(self.outputs).all(axis=1)
        return [n for n, row in enumerate(self.rows) if good[n] and row["label"] is not None and keep(row)]

    def parts(self, rows: Sequence[int], *columns: str) -> dict[tuple[str, ...], list[int]]:
        """Texts of columns → rows; `amount` by its edges."""
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for n in rows:
            groups[tuple(named(column, self.rows[n][column]) for column in columns)].append(n)
        return dict(groups)

    def labels(self, rows: Sequence[int]) -> NDArray[np.int64]:
        return np.array([self.rows[n]["label"] for n in rows])

    def scores(self, rows: Sequence[int]) -> NDArray[np.float64]:
        return self.outputs[list(rows), 1].astype(np.float64)


def named(column: str, value: Any) -> str:
    """What a slice of this value is called, spelt out."""
    if value is None:
        return "(null)"
    if column == "amount":
        return binned(value)
    if column == "seen":
        return named("local", value.astimezone(UTC).replace(tzinfo=None)) + "Z"
    if column == "local":
        whole = value.replace(microsecond=0).isoformat()
        return whole + (f".{value.microsecond:06d}".rstrip("0") if value.microsecond else "")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


def binned(value: float) -> str:
    if math.isnan(value):
        return "(nan)"
    if value < 0:
        return "below 0"
    if value < 0.5:
        return "0..0.5"
    return "0.5..10" if value < 10 else "10 or more"


def make(folder: Path, seed: int = 0, rows: int = ROWS) -> Sliced:
    """model.onnx (softmax of two numbers) and data/, four files in two folders of `region`, some rows of no use."""
    rng = np.random.default_rng(seed)
    linear_model(folder / "model.onnx", 2, 2, end="Softmax")
    made = [_row(rng, number) for number in range(rows)]
    ordered: list[dict[str, Any]] = []
    for region in (None, "north"):
        name = "__HIVE_DEFAULT_PARTITION__" if region is None else region
        of_region = [row for row in made if row["region"] == region]
        for part, start in enumerate((0, len(of_region) // 3)):
            stop = len(of_region) // 3 if part == 0 else len(of_region)
            path = folder / "data" / f"region={name}" / f"part-{part}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            table = pa.Table.from_pylist(of_region[start:stop], SCHEMA).drop_columns("region")
            pq.write_table(table, path, row_group_size=137)
            ordered += of_region[start:stop]
    return Sliced(folder, ordered)


def _row(rng: np.random.Generator, number: int) -> dict[str, Any]:
    x = rng.normal(size=2)
    country = [None, "DE", "FR", "a, b", ""][int(rng.integers(5))]
    # Scores say less of FR, so that something is worse.
    noise = 20.0 if country == "FR" else 1.0
    label = int(x @ (_WEIGHTS[:, 1] - _WEIGHTS[:, 0]) + _BIAS[1] - _BIAS[0] + noise * rng.normal() > 0)
    when = datetime(2026, 11, 25) + timedelta(milliseconds=int(rng.integers(4)) * 500)
    return {
        "f0": math.nan if number % 97 == 0 else float(x[0]),
        "f1": float(x[1]),
        "label": None if number % 89 == 0 else label,
        "country": country,
        "device": ["ios", "android", None][int(rng.choice(3, p=[0.6, 0.3, 0.1]))],
        "vip": [True, False, None][int(rng.integers(3))],
        "age": int(rng.integers(-1, 3)),
        "big": [2**64 - 1, 2**63, 0][int(rng.integers(3))],
        "day": date(2026, 11, 23) + timedelta(days=int(rng.integers(3))),
        "seen": when.replace(tzinfo=UTC),
        "local": when,
        "price": Decimal(int(rng.integers(-1, 3))) / 2,
        "amount": [None, math.nan, -1.0, -0.0, 0.25, 0.5, 9.99, 10.0, math.inf, -math.inf][int(rng.integers(10))],
        "split": ["test", "train"][int(rng.random() < 0.2)],
        "region": [None, "north"][int(rng.random() < 0.7)],
    }
