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
    """The report of a minimal job on model.onnx and data.parquet.

    `threshold` and `baselines` are keys of the job, others of `data`.
    """
    job = {"name": "made", "model": model} | {key: keys.pop(key) for key in ("threshold", "baselines") if key in keys}
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


CUSTOMER = ("amount", "age", "visits", "country", "device")
TEXT = pa.string()
NEVER_MIDWAY = (0, 1, 3, 4, 9, 10, 12, 13, 27, 28, 30, 31, 36, 37, 39, 40)


@dataclass(frozen=True)
class Customers:
    """Values object[N, 5] in the order of CUSTOMER, NaN for a missing number, None for a missing text; labels [N]."""

    values: NDArray[np.object_]
    labels: NDArray[Any]

    def columns(self, text: pa.DataType = TEXT, age: str = "int64") -> dict[str, pa.Array]:
        """Every missing age and every second missing amount null, other missing amounts NaN; visits are int64."""
        amount, years, visits, country, device = self.values.T
        null = np.isnan(amount.astype(float)) & (np.arange(len(amount)) % 2 == 0)
        return {
            "amount": pa.array(amount.astype(float), mask=null),
            "age": pa.array([None if np.isnan(value) else value for value in years], pa.float64()).cast(age),
            "visits": pa.array(visits.tolist(), pa.int64()),
            "country": pa.array(country.tolist(), text),
            "device": pa.array(device.tolist(), text),
            "label": pa.array(self.labels.tolist()),
        }

    def write(self, folder: Path) -> None:
        """data.parquet: columns in the order of CUSTOMER, label last."""
        pq.write_table(pa.table(self.columns()), folder / "data.parquet", row_group_size=97)


def customers(names: Sequence[Any], number: int = 400, seed: int = 0) -> Customers:
    """Amounts, years and visits, some missing, beside texts; each column has a say in the class.

    No number is midway between two others: a forest splits there, and float32 would fall on either side.
    """
    rng = np.random.default_rng(seed)
    texts = rng.choice(["DE", "FR", "日本"], number), rng.choice(["ios", "web"], number)
    numbers = rng.normal(50, 20, number), 18 + rng.choice(NEVER_MIDWAY, number), rng.choice(NEVER_MIDWAY[:8], number)
    codes = [np.unique(column, return_inverse=True)[1] for column in texts]
    parts = [(column - column.mean()) / column.std() for column in (*numbers, *codes)]
    scores = np.column_stack(parts) @ rng.normal(size=(5, len(names))) + rng.normal(size=(number, len(names))) / 2
    values = np.empty((number, 5), object)
    for place, column in enumerate((*numbers, *texts)):
        values[:, place] = column.tolist()
    values[rng.random(number) < 0.2, 0] = values[rng.random(number) < 0.2, 1] = np.nan
    return Customers(values, np.array(names)[scores.argmax(axis=1)])


def pipeline(folder: Path, classifier: Any, made: Customers, inputs: Sequence[tuple[str, Any]]) -> Any:
    """Fit a pipeline that imputes, scales and encodes before a classifier; export it with these inputs; return it."""
    from skl2onnx import to_onnx
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    texts = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("numbers", numbers, [0, 1, 2]), ("texts", texts, [3, 4])])
    model = make_pipeline(columns, classifier).fit(made.values, made.labels)
    (folder / "model.onnx").write_bytes(to_onnx(model, initial_types=list(inputs)).SerializeToString())
    return model


def three_inputs(path: Path, third: str, *, new: bool) -> Any:
    """A torch module of floats `amount` and `rate` [N, 1] and a third: int64 `age` [N, 1] or float `f` [N, 4]; seeded.

    Exported by the exporter that torch uses by default, or by the TorchScript one.
    """
    import torch

    width = {"age": 1, "f": FEATURES}[third]

    class Three(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2 + width, 3)

        def forward(self, amount: Any, rate: Any, other: Any) -> Any:
            return self.layer(torch.cat([amount, rate, other.to(amount.dtype)], dim=1))

    torch.manual_seed(0)
    module = Three().eval()
    kind = torch.int64 if third == "age" else torch.float32
    examples = (torch.zeros(2, 1), torch.zeros(2, 1), torch.zeros(2, width, dtype=kind))
    names: dict[str, Any] = {"input_names": ["amount", "rate", third], "output_names": ["logits"]}
    if new:
        shapes = ({0: torch.export.Dim.DYNAMIC},) * 3
        torch.onnx.export(module, examples, str(path), dynamo=True, dynamic_shapes=shapes, verbose=False, **names)
    else:
        axes = {name: {0: "N"} for name in ("amount", "rate", third, "logits")}
        torch.onnx.export(module, examples, str(path), dynamo=False, dynamic_axes=axes, **names)
    return module
