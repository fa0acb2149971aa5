"""PyTorch models beside the ONNX one: an export is faithful, and a model that is another one is not taken for it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from ortbatch.api import Options, check, run_job
from ortbatch.errors import DataError, ModelError
from ortbatch.job import Job, load_job
from ortbatch.report.report import Report

NETWORK = """
from torch import nn


def make():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(512, 10),
    )


def pair():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = make()

        def forward(self, image):
            return image, self.inner(image)

    return Pair()


def number():
    return 3
"""


@pytest.fixture(scope="module", autouse=True)
def _threads() -> Iterator[None]:
    """torch knows one number of threads for the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits job beside which lie its weights, as two kinds of files."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("torch")
    for name in ("model.onnx", "model.pt2"):
        shutil.copy(digits.parent / name, folder)
    (folder / "data").symlink_to(digits.parent / "data")
    (folder / "net.py").write_text(NETWORK)
    state = torch.export.load(folder / "model.pt2").state_dict
    weights = {name.removeprefix("layers."): tensor.detach().clone() for name, tensor in state.items()}
    save_file(weights, folder / "net.safetensors")
    torch.save(weights, folder / "net.pt")
    weights["7.bias"][3] += 2
    torch.save(weights, folder / "biased.pt")
    torch.save({f"inner.{name}": tensor for name, tensor in weights.items()}, folder / "pair.pt")
    return folder


def job(folder: Path, **baselines: Any) -> Job:
    mapping = {
        "name": "digits",
        "model": "model.onnx",
        "data": {"path": "data/test", "label": "label"},
        "baselines": baselines,
        "latency": {"max_seconds": 0.2},
    }
    return Job.from_mapping(mapping, folder)


def run(asked: Job, folder: Path, engine: str = "inline") -> Report:
    return run_job(asked, Options(run_dir=str(folder), engine=engine)).report


FAITHFUL = {
    "exported": {"torch": "model.pt2"},
    "safetensors": {"torch": "net:make", "weights": "net.safetensors"},
    "state": {"torch": "net:make", "weights": "net.pt"},
}


@pytest.fixture(scope="module")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    other = {"biased": {"torch": "net:make", "weights": "biased.pt"}}
    return run(job(folder, **FAITHFUL, **other), tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("name", FAITHFUL)
def test_a_clean_export_agrees_on_every_row_and_nearly_in_every_score(report: Report, name: str) -> None:
    found = report.data["fidelity"][name]
    assert found["rows"] == 899
    assert found["agreement"]["value"] == 1.0
    assert 0 <= found["scores"]["max"]["value"] < 1e-4


def test_what_torch_says_is_what_a_plain_loop_makes_it_say(report: Report, folder: Path) -> None:
    tables = [pq.read_table(path, columns=["image", "label"]) for path in sorted((folder / "data/test").iterdir())]
    images = np.concatenate([np.array(table["image"].to_pylist(), np.float32) for table in tables])
    labels = np.concatenate([table["label"].to_numpy() for table in tables])
    biased = torch.load(folder / "biased.pt", weights_only=True)
    network = torch.export.load(folder / "model.pt2").module()
    with torch.inference_mode():
        logits = network(torch.from_numpy(images.reshape(-1, 1, 8, 8)))
        state = torch.load(folder / "net.pt", weights_only=True)
        theirs = logits + (biased["7.bias"] - state["7.bias"])
    found = report.data["fidelity"]["biased"]
    own, other = logits.argmax(1).numpy(), theirs.argmax(1).numpy()
    assert found["agreement"]["value"] == pytest.approx((own == other).mean(), abs=1e-12)
    assert found["metrics"]["accuracy"]["baseline"] == pytest.approx((other == labels).mean(), abs=1e-12)


def test_torch_on_ray_workers_says_the_same(folder: Path, report: Report, tmp_path: Path, ray_cluster: Any) -> None:
    found = run(job(folder, exported={"torch": "model.pt2"}), tmp_path, engine="ray").data["fidelity"]["exported"]
    assert found["agreement"] == report.data["fidelity"]["exported"]["agreement"]
    assert found["scores"] == report.data["fidelity"]["exported"]["scores"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"torch": "model.onnx"}, "torch cannot load the model"),
        ({"torch": "net:number", "weights": "net.pt"}, "net:number returned int; expected a torch.nn.Module"),
        ({"torch": "net:make", "weights": "pair.pt"}, r"torch cannot load the model: RuntimeError: .*Missing key"),
        ({"torch": "net:pair", "weights": "pair.pt"}, "the torch model returns 2 values; expected one tensor"),
        ({"torch": "net:gone", "weights": "net.pt"}, "net.py has no `gone`"),
    ],
)
def test_a_torch_model_that_cannot_be_used_is_refused(folder: Path, spec: dict[str, str], message: str) -> None:
    with pytest.raises((ModelError, DataError), match=f"(?s)baseline t: .*{message}"):
        check(job(folder, t=spec))


@pytest.mark.parametrize("spec", ["{torch: net:make}", "{torch: model.pt2, weights: net.pt}"])
def test_weights_belong_to_a_factory(folder: Path, tmp_path: Path, spec: str) -> None:
    from ortbatch.errors import JobError

    text = f"{{name: a, model: m.onnx, data: {{path: d, label: y}}, baselines: {{t: {spec}}}}}"
    (tmp_path / "job.yaml").write_text(text.replace("net:make", '"net:make"'))
    with pytest.raises(JobError, match=r"expected a torch.export file, or `module:factory` with `weights`"):
        load_job(tmp_path / "job.yaml")


def test_without_torch_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r"torch is not installed: pip install 'ortbatch\[torch\]'"):
        check(job(folder, t={"torch": "model.pt2"}))
