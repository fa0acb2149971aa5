"""Models as their makers export them, and tables for them: trained or seeded here, tiny, in less than a second each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ortbatch.api import Options, run_job
from ortbatch.job import Job
from ortbatch.report.report import Report

FEATURES = 4
SIDE = 8
IMAGE = (1, SIDE, SIDE)
GROUP = 100
"""Rows of a row group of images: no batch is larger."""


@dataclass(frozen=True)
class Rows:
    """Features float32[N, 4] and labels [N], integers or strings."""

    features: NDArray[np.float32]
    labels: NDArray[Any]

    def write(self, folder: Path) -> None:
        """data.parquet: a column a feature, every second missing value null and every other NaN."""
        columns: dict[str, Any] = {}
        for place, values in enumerate(self.features.T):
            null = np.isnan(values) & (np.arange(len(values)) % 2 == 0)
            columns[f"f{place}"] = pa.array(values, mask=null)
        pq.write_table(pa.table({**columns, "label": self.labels.tolist()}), folder / "data.parquet", row_group_size=97)


def rows(names: Sequence[Any], number: int = 300, missing: float = 0.0, seed: int = 0) -> Rows:
    """Rows of classes that a model learns in part; features are multiples of 1/16, so that no split is near one."""
    rng = np.random.default_rng(seed)
    features = np.round(rng.normal(size=(number, FEATURES)) * 16) / 16
    scores = features @ rng.normal(size=(FEATURES, len(names))) + rng.normal(size=(number, len(names)))
    features[rng.random(features.shape) < missing] = np.nan
    return Rows(features.astype(np.float32), np.array(names)[scores.argmax(axis=1)])


def images(folder: Path, number: int = 203, dtype: str = "float32", seed: int = 0) -> NDArray[Any]:
    """data.parquet with `image`, lists of 64, and `label` from 0 to 9; returns the images [N, 1, 8, 8].

    Rows are of very different size, as they must be for a scale taken over a batch to show.
    """
    rng = np.random.default_rng(seed)
    pixels = (rng.normal(size=(number, SIDE * SIDE)) * np.exp(rng.normal(size=(number, 1)))).astype(dtype)
    column = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), SIDE * SIDE)
    table = pa.table({"image": column, "label": rng.integers(0, 10, number)})
    pq.write_table(table, folder / "data.parquet", row_group_size=GROUP)
    return pixels.reshape(-1, *IMAGE)


def true_labels(folder: Path) -> list[Any]:
    return list(pq.read_table(folder / "data.parquet", columns=["label"]).column("label").to_pylist())


def evaluate(
    folder: Path, model: Any = "model.onnx", *, engine: str = "inline", run: str = "run", **keys: Any
) -> Report:
    """The report of a minimal job on model.onnx and data.parquet; `threshold` is a key of the job, others of `data`."""
    job = {"name": "made", "model": model} | {key: keys.pop(key) for key in ("threshold",) if key in keys}
    data = {"path": "data.parquet", "label": "label", **keys}
    options = Options(run_dir=str(folder / f"{run}-{engine}"), engine=engine)
    return run_job(Job.from_mapping({**job, "data": data}, folder), options).report


def findings(report: Report) -> dict[str, str]:
    """Code → text."""
    return {finding["code"]: finding["text"] for finding in report.data["findings"]}


def scikit_learn(folder: Path, model: Any, made: Rows, **options: bool) -> Any:
    """Fit a classifier, export it with skl2onnx and its options (`zipmap`, `raw_scores`), and return it."""
    from skl2onnx import to_onnx

    model.fit(made.features, made.labels)
    exported = to_onnx(model, made.features[:1], options={id(model): options} if options else None)
    (folder / "model.onnx").write_bytes(exported.SerializeToString())
    return model


def lightgbm(folder: Path, made: Rows) -> Any:
    """Fit a LightGBM classifier, export it with onnxmltools, which ends it with ZipMap, and return it."""
    from lightgbm import LGBMClassifier
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    model = LGBMClassifier(n_estimators=8, num_leaves=7, n_jobs=1, verbose=-1, random_state=0)
    model.fit(made.features, made.labels)
    exported = convert_lightgbm(model, initial_types=[("x", FloatTensorType([None, FEATURES]))])
    (folder / "model.onnx").write_bytes(exported.SerializeToString())
    return model


def xgboost(folder: Path, made: Rows) -> Any:
    """Fit an XGBoost classifier, export it with onnxmltools, which ends it without ZipMap, and return it."""
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    from xgboost import XGBClassifier

    model = XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1, random_state=0)
    model.fit(made.features, made.labels)
    exported = convert_xgboost(model, initial_types=[("x", FloatTensorType([None, FEATURES]))])
    (folder / "model.onnx").write_bytes(exported.SerializeToString())
    return model


def cnn() -> Any:
    """A torch module from images to ten logits, with seeded weights."""
    import torch

    torch.manual_seed(0)
    width = 4 * (SIDE - 2) ** 2
    layers = (torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(width, 10))
    return torch.nn.Sequential(*layers).eval()


def torchscript(path: Path, module: Any, batch: int | None = None) -> Path:
    """Export with the TorchScript exporter: input `image`, output `logits`, for one batch size or for any."""
    import torch

    example = torch.zeros(batch or 2, *IMAGE, dtype=next(module.parameters()).dtype)
    axes = None if batch else {"image": {0: "N"}, "logits": {0: "N"}}
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"]}
    torch.onnx.export(module, (example,), str(path), dynamo=False, dynamic_axes=axes, **names)
    return path


def dynamo(path: Path, module: Any, *, external: bool) -> Path:
    """Export with the exporter that torch uses by default; `external` puts weights into `<path>.data`."""
    import torch

    shapes = ({0: torch.export.Dim("N")},)
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"], "verbose": False}
    example = (torch.zeros(2, *IMAGE),)
    torch.onnx.export(module, example, str(path), dynamo=True, dynamic_shapes=shapes, external_data=external, **names)
    return path


def quantised(path: Path, model: Path, pixels: NDArray[np.float32], *, static: bool) -> Path:
    """Quantise to int8 with ONNX Runtime's tools."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = iter([{"image": pixels}])

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self._batches, None)

    if static:
        quantize_static(model, path, Reader())
    else:
        quantize_dynamic(model, path)
    return path


def outside(folder: Path, location: str) -> None:
    """Move the weights of model.onnx to `location`, relative to it, whether or not that is allowed."""
    model = onnx.load(str(folder / "model.onnx"))
    (folder / "w.bin").unlink(missing_ok=True)
    onnx.save_model(model, str(folder / "model.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0)
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "w.bin").rename(folder / location)
