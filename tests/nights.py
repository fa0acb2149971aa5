"""A night that is scored, and labels that come later: small jobs of any kind of model, to be held against each other.

night = Night(folder, end="Softmax", columns=3)
night.score()                       predictions/dt=1
night.late(rows).report             joined, against night.full(rows).report
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ortbatch.api import Options, Outcome, run_job
from ortbatch.job import Job
from tests.models import linear_model

FEATURES = 4
INPUTS = {"x": [f"f{number}" for number in range(FEATURES)]}
SCORED = ("quality", "confusion_matrix", "calibration", "thresholds", "slices")


@dataclass(frozen=True)
class Night:
    """A job folder: model.onnx, data/, late/, predictions/dt=1."""

    folder: Path
    end: str = "logits"
    columns: int = 3
    engine: str = "inline"

    def make(self, ids: Sequence[Any] | pa.Array, *, seed: int = 0, files: int = 3) -> pa.Table:
        """Model and rows of the night, without labels."""
        self.folder.mkdir(parents=True, exist_ok=True)
        linear_model(self.folder / "model.onnx", FEATURES, self.columns, end=self.end)
        rng, rows = np.random.default_rng(seed), len(ids)
        features = {f"f{n}": rng.normal(size=rows).astype(np.float32) for n in range(FEATURES)}
        table = pa.table(
            {"id": ids, **features, "group": [f"g{n % 3}" for n in range(rows)], "y": pa.nulls(rows, pa.int64())}
        )
        self.write("data", table, files)
        return table

    def write(self, name: str, table: pa.Table, files: int = 1) -> None:
        """A folder of files, in the place of one that was there."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.parquet"):
            path.unlink()
        step = -(-table.num_rows // files)
        for number in range(files):
            part = table.slice(number * step, step)
            pq.write_table(part, folder / f"{number:03}.parquet", write_page_checksum=True)

    def job(self, name: str, model: Any, path: str, **more: Any) -> Job:
        asked = {"path": path, "label": "y", **more.pop("data", {})}
        keys = {"name": name, "model": model, "data": asked, "run_dir": f"runs/{name}", "latency": {"max_seconds": 0.2}}
        return Job.from_mapping({**keys, **more}, self.folder)

    def run(self, job: Job, **options: Any) -> Outcome:
        return run_job(job, Options(engine=self.engine, page=False, **options))

    def score(self, *, scores: bool = True, force: bool = False, **more: Any) -> Outcome:
        """The night's run."""
        kept = {"path": "predictions/dt=1", "columns": ["id"], **({"scores": True} if scores else {}), **more}
        model = {"path": "model.onnx", "inputs": INPUTS}
        asked = {
            "unlabelled": "score",
            "max_bad_rows": "100%",
            **({} if self.end != "ArgMax" else {"classes": self.classes}),
        }
        return self.run(self.job("night", model, "data", data=asked, predictions=kept), force=force)

    @property
    def classes(self) -> list[str]:
        return [str(number) for number in range(max(2, self.columns))]

    def late(self, table: pa.Table | None = None, *, force: bool = True, **more: Any) -> Outcome:
        """The night's predictions joined with labelled rows."""
        return self._labelled("late", {"scores": "predictions/dt=1", "join": "id"}, table, force=force, **more)

    def full(self, table: pa.Table | None = None, **more: Any) -> Outcome:
        """The model over the same rows."""
        model = {"path": "model.onnx", "inputs": INPUTS}
        return self._labelled("full", model, table, force=True, **more)

    def _labelled(self, name: str, model: Any, table: pa.Table | None, *, force: bool, **more: Any) -> Outcome:
        if table is not None:
            self.write("late", table, 2)
        asked = {
            "max_bad_rows": "100%",
            **({} if self.end != "ArgMax" else {"classes": self.classes}),
            **more.pop("data", {}),
        }
        return self.run(self.job(name, model, "late", data=asked, **more), force=force)


def labelled(table: pa.Table, classes: int, seed: int = 1) -> pa.Table:
    """The same rows with labels, in another order."""
    rng = np.random.default_rng(seed)
    labels = pa.array(rng.integers(0, classes, table.num_rows))
    table = table.set_column(table.schema.get_field_index("y"), "y", labels)
    return table.take(pa.array(rng.permutation(table.num_rows)))


def scored_sections(outcome: Outcome) -> dict[str, str]:
    """What scores and labels make, as it is written."""
    return {name: json.dumps(outcome.report.data[name]) for name in SCORED if name in outcome.report.data}
