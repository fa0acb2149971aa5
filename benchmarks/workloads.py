"""What is evaluated: workloads, each a table, a model and the columns that feed it.

Sizes are for 2 cores: a plain loop needs 4 to 40 seconds for each. `scaled` shrinks rows (for `tiny`: files) to try
something out; figures count at scale 1 only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import onnx

from benchmarks import models

STAGES = ("decode", "pack", "infer")


@dataclass(frozen=True)
class Workload:
    """One table and one model.

    Args:
        name: as `--workloads` takes it.
        data: name of the table; workloads may share one.
        files: Parquet files of the table. rows: of all files together.
        group_rows: rows of a row group.
        row_shape: of the model's input `x`, without the batch.
        dtype: of the input and of the columns.
        classes: columns of the model's output, which are logits.
        listed: the features are one fixed-size list column, else one scalar column each.
        model: makes the model from its seed.
        labelled_by: makes the model whose answers the labels are, nine times of ten.
        limit: stages of the naive limit that its limit is made of.
    """

    name: str
    data: str
    files: int
    rows: int
    group_rows: int
    row_shape: tuple[int, ...]
    dtype: str
    classes: int
    listed: bool
    model: Callable[[], onnx.ModelProto]
    labelled_by: Callable[[], onnx.ModelProto]
    limit: tuple[str, ...] = STAGES

    @property
    def columns(self) -> tuple[str, ...]:
        """Feature columns in the order of the model's input."""
        return ("image",) if self.listed else tuple(f"f{place}" for place in range(self.row_shape[0]))

    @property
    def file_rows(self) -> int:
        """Rows of each file."""
        return self.rows // self.files


TABULAR = Workload(
    "tabular", "tabular", 16, 8_000_000, 65_536, (32,), "float32", 2, False, models.mlp, models.mlp
)  # fmt: skip

WORKLOADS = {
    workload.name: workload
    for workload in (
        TABULAR,
        replace(TABULAR, name="null", model=models.first_columns, limit=("decode", "pack")),
        replace(TABULAR, name="tiny", data="tiny", files=5_000, rows=1_000_000),
        Workload(
            "wide", "wide", 8, 500_000, 16_384, (64,), "float32", 1_000, False, models.linear, models.linear
        ),
        Workload(
            "image", "image", 16, 200_000, 4_096, (1, 28, 28), "float32", 10, True, models.small_cnn, models.small_cnn
        ),
        Workload(
            "heavy", "heavy", 16, 640, 8, (3, 224, 224), "uint8", 10, True, models.resnet50, models.resnet50
        ),
    )
}  # fmt: skip


def scaled(workload: Workload, scale: float) -> Workload:
    """The same with fewer rows; small files become fewer, not smaller."""
    if workload.name == "tiny":
        files = max(2, round(workload.files * scale))
        return replace(workload, files=files, rows=files * workload.file_rows)
    rows = max(1, round(workload.file_rows * scale))
    return replace(workload, rows=workload.files * rows)
