"""Reports of real runs that browser tests look at, each made once a session, and the pages of them.

Small data, every section: two classes with slices and a gate that fails, another model beside it, rows that leaked,
200 classes with 100 slices, and names given by somebody who means no good.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ortbatch.api import Options, run_job
from ortbatch.job import Job, load_job
from ortbatch.metrics.confusion import ConfusionMatrix
from ortbatch.metrics.coverage import Coverage
from ortbatch.metrics.tally import Tally
from ortbatch.report.encode import encode
from ortbatch.report.page.page import report_page
from tests import leaky, sliced
from tests.digits import prepare_digits
from tests.models import linear_model
from tests.tables import write_table
from tests.unit.report import made as by_hand

HOSTILE = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>",
    "\"'`><b>", "two\nlines", "\u202egnp.exe", "\x1b]0;owned\x07", "{{ 7*7 }} {% raw %} &lt;b&gt;",
    "👩\u200d💻 emoji", "日本語", "=1+1", "javascript:alert(1)", "]]> --> */ </style>", "x" * 10_000,
)  # fmt: skip
QUICK = {"max_seconds": 0.2}


def _digits(folder: Path) -> Job:
    return load_job(prepare_digits(folder), overrides=("latency.max_seconds=0.5",))


def _fraud(folder: Path) -> Job:
    """Two classes, slices of one and of two columns, gates of every outcome."""
    sliced.make(folder)
    asked = ["accuracy >= 0.5", "recall[1] >= 0.99", "latency.single.p99_9_ms <= 10", "coverage >= 0.9"]
    return _of_sliced(folder, "fraud", *asked, slices=["country", ["country", "device"], "day"])


def _fidelity(folder: Path) -> Job:
    """Another model beside the model, and gates on both."""
    sliced.make(folder)
    linear_model(folder / "other.onnx", 2, 2, end="Softmax", seed=3)
    other = {"path": "other.onnx", "inputs": {"x": ["f0", "f1"]}}
    asked = ["fidelity[before].agreement >= 0.999", {"metric": "accuracy", "versus": "before", "max_drop": 0.01}]
    return _of_sliced(folder, "fidelity", *asked, slices=["device"], baselines={"before": other})


def _of_sliced(folder: Path, name: str, *gates: object, **keys: Any) -> Job:
    data = {"path": "data", "label": "label", "max_bad_rows": "5%", "positive": 1}
    model = {"path": "model.onnx", "inputs": {"x": ["f0", "f1"]}}
    asked = {"name": name, "model": model, "data": data, "gates": list(gates), "latency": QUICK}
    return Job.from_mapping({**asked, **keys}, folder)


def _leaky(folder: Path) -> Job:
    leaky.make(folder)
    return Job.from_mapping(leaky.mapping({}, "leakage.share <= 0.001"), folder)


def _wide(folder: Path) -> Job:
    """200 classes and 100 slices; no gate."""
    rng = np.random.default_rng(0)
    linear_model(folder / "model.onnx", 8, 200, end="Softmax")
    columns = {f"f{place}": rng.normal(size=8_000).astype(np.float32) for place in range(8)}
    shop = [f"shop {number % 100:02}" for number in range(8_000)]
    write_table(folder / "data" / "a.parquet", {**columns, "label": rng.integers(0, 200, 8_000), "shop": shop})
    asked = {"name": "wide", "model": {"path": "model.onnx", "inputs": {"x": list(columns)}}, "slices": ["shop"]}
    return Job.from_mapping({**asked, "data": {"path": "data", "label": "label"}, "latency": QUICK}, folder)


def _hostile(folder: Path) -> Job:
    """Classes, slices, columns and files are named like markup; a job and a baseline may not be."""
    rng = np.random.default_rng(0)
    model = {"path": "model.onnx", "inputs": {"x": ["f0", "f1", "f2", "f3"]}}
    linear_model(folder / "model.onnx", 4, len(HOSTILE), end="Softmax")
    linear_model(folder / "other.onnx", 4, len(HOSTILE), end="Softmax", seed=5)
    columns = {f"f{place}": rng.normal(size=1_400).astype(np.float32) for place in range(4)}
    labels, cut = [*HOSTILE] * 100, HOSTILE[1]
    named = [label[:200] for label in labels]  # a slice has a name of at most 1,000
    write_table(folder / "data" / "a<b>&'\".parquet", {**columns, "label": labels, cut: named[::-1]})
    asked = {"name": "hostile", "model": model, "slices": [cut], "latency": QUICK}
    data = {
        "path": "data",
        "label": "label",
        "classes": [name.replace("{", "{{").replace("}", "}}") for name in HOSTILE],
    }
    gates = [{"metric": "recall", "class": HOSTILE[0], "min": 0.5}]
    baselines = {"before": {"path": "other.onnx", "inputs": model["inputs"]}}
    return Job.from_mapping({**asked, "data": data, "gates": gates, "baselines": baselines}, folder)


JOBS: dict[str, Callable[[Path], Job]] = {
    "digits": _digits, "fraud": _fraud, "fidelity": _fidelity, "leaky": _leaky, "wide": _wide, "hostile": _hostile,
}  # fmt: skip


def ten_thousand_classes() -> dict[str, Any]:
    """A report of labels only, 100,000 rows, made without a run."""
    rng = np.random.default_rng(0)
    classes = by_hand.names(10_000)
    true = rng.integers(0, len(classes), 100_000)
    said = np.where(rng.random(true.size) < 0.8, true, rng.integers(0, len(classes), true.size))
    counts = ConfusionMatrix.of(classes, true, said)
    rows = Coverage(planned=true.size, evaluated=true.size)
    tally = replace(Tally.empty(classes, ()), coverage=rows, confusion=counts)
    made: dict[str, Any] = json.loads(encode(by_hand.report(by_hand.timed(tally))))
    return made


@dataclass(frozen=True)
class Made:
    """report.json as decoded, and its page in a file of its own, in a folder with nothing else."""

    report: dict[str, Any]
    page: Path

    @property
    def url(self) -> str:
        return self.page.as_uri()


@dataclass(frozen=True)
class Reports:
    """Makes each report when it is first asked for."""

    folders: pytest.TempPathFactory
    made: dict[str, Made] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Made:
        if name not in self.made:
            folder = self.folders.mktemp(name)
            outcome = run_job(JOBS[name](folder), Options(run_dir=str(folder / "run"), engine="inline"))
            report = json.loads(Path(outcome.report.path).read_text())
            self.made[name] = Made(report, self.folders.mktemp(f"page_of_{name}") / "report.html")
            self.made[name].page.write_text(report_page(report), "utf-8")
        return self.made[name]
