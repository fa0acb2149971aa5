"""From a job with a baseline to its cause: real ONNX models of one network, changed as conversions change them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper

from ortbatch.api import Options, judge_again, run_job
from ortbatch.job import Gate, Job
from ortbatch.report.report import Report
from tests.unit.report.networks import Network, Trained, digits, float16

COLUMNS = [f"f{place}" for place in range(64)]
NUMPY = """
from pathlib import Path

import numpy as np

ARRAYS = np.load(Path(__file__).with_name("weights.npz"))


def predict(batch):
    hidden = np.column_stack([batch.column(f"f{place}").to_numpy(zero_copy_only=False) for place in range(64)])
    for layer in range(3):
        hidden = hidden @ ARRAYS[f"w{layer}"] + ARRAYS[f"b{layer}"]
        hidden = np.maximum(hidden, 0) if layer < 2 else hidden
    return hidden
"""


@dataclass(frozen=True)
class Made:
    """A folder of models and rows."""

    folder: Path
    trained: Trained


def save(network: Network, path: Path, scale: float = 1.0) -> None:
    """Logits of a network as ONNX; its inputs are multiplied first."""
    constants = [numpy_helper.from_array(np.array(scale, np.float32), "scale")]
    nodes, last = [helper.make_node("Mul", ["x", "scale"], ["h0"])], len(network.weights) - 1
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        constants.append(numpy_helper.from_array(weight, f"w{layer}"))
        constants.append(numpy_helper.from_array(bias, f"b{layer}"))
        out = "logits" if layer == last else f"g{layer}"
        nodes.append(helper.make_node("Gemm", [f"h{layer}", f"w{layer}", f"b{layer}"], [out]))
        if layer < last:
            nodes.append(helper.make_node("Relu", [out], [f"h{layer + 1}"]))
    shapes = [("x", ["n", 64]), ("logits", ["n", 10])]
    inputs, outputs = ([helper.make_tensor_value_info(n, TensorProto.FLOAT, s)] for n, s in shapes)
    graph = helper.make_graph(nodes, "network", inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder, trained = tmp_path_factory.mktemp("fidelity"), digits(0)
    network = trained.network
    swap = [1, 0, *range(2, 10)]
    swapped = Network(
        (*network.weights[:2], network.weights[2][:, swap]), (*network.biases[:2], network.biases[2][swap])
    )
    for name, other in {
        "clean": network,
        "float16": network.of(float16),
        "swapped": swapped,
        "weight": network.with_weight(1, lambda weight: weight.__setitem__((3, 5), weight[3, 5] + 2)),
        "class": network.with_weight(2, lambda weight: weight.__setitem__((slice(None), 8), 0)),
    }.items():
        save(other, folder / f"{name}.onnx")
    save(network, folder / "scaled.onnx", 0.2)
    arrays = {f"{kind}{layer}": a for kind, parts in (("w", network.weights), ("b", network.biases))
              for layer, a in enumerate(parts)}  # fmt: skip
    np.savez(folder / "weights.npz", **arrays)
    (folder / "plain.py").write_text(NUMPY)
    table = pa.table({name: trained.rows[:, place] for place, name in enumerate(COLUMNS)})
    table = table.append_column("label", pa.array(trained.labels))
    table = table.append_column("country", pa.array(["DE", "FR", "PL"][row % 3] for row in range(len(trained.labels))))
    half = table.num_rows // 2
    for name, part in (("a", table.slice(0, half)), ("b", table.slice(half))):
        pq.write_table(part, folder / f"{name}.parquet", row_group_size=100)
    return Made(folder, trained)


def run(made: Made, tmp_path: Path, model: str, baseline: object = "clean.onnx", *gates: object, **keys: Any) -> Report:
    """The report of a model against a baseline of the name `before`."""
    data = {"path": ["a.parquet", "b.parquet"], "label": "label"}
    asked = {
        "name": "made", "model": {"path": f"{model}.onnx", "inputs": {"x": COLUMNS}}, "data": data,
        "baselines": {"before": baseline}, "gates": list(gates), "latency": {"max_seconds": 0.5},
    }  # fmt: skip
    job = Job.from_mapping({**asked, **keys}, made.folder)
    return run_job(job, Options(run_dir=str(tmp_path / "run"), engine="inline")).report


def cause(report: Report) -> str:
    (code,) = [f["code"] for f in report.data["findings"] if f["code"].startswith("fidelity")]
    return str(code)


def test_a_clean_export_agrees_everywhere_within_a_ten_thousandth(made: Made, tmp_path: Path) -> None:
    baseline = {"function": "plain:predict", "columns": COLUMNS, "files": ["weights.npz"], "kind": "logits"}
    asked = ["fidelity[before].agreement >= 1", "fidelity[before].max_difference <= 0.0001"]
    report = run(made, tmp_path, "clean", baseline, *asked)
    assert report.status == "passed"
    entry = report.data["fidelity"]["before"]
    assert (entry["rows"], entry["unusable"]) == (len(made.trained.labels), {})
    assert cause(report) in ("fidelity_precision", "fidelity_identical")


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("clean", "fidelity_identical"),
        ("float16", "fidelity_precision"),
        ("swapped", "fidelity_classes_swapped"),
        ("weight", "fidelity_weights"),
        ("class", "fidelity_one_class"),
        ("scaled", "fidelity_preprocessing"),
    ],
)
def test_the_cause_of_a_change_is_told(made: Made, tmp_path: Path, model: str, code: str) -> None:
    assert cause(run(made, tmp_path, model)) == code


def test_numbers_of_both_are_those_of_a_plain_loop(made: Made, tmp_path: Path) -> None:
    trained, asked = made.trained, {"metric": "accuracy", "versus": "before", "max_drop": 0.5, "confidence": 0.95}
    report = run(made, tmp_path, "class", "clean.onnx", asked, slices=["country"])
    broken = trained.network.with_weight(2, lambda weight: weight.__setitem__((slice(None), 8), 0))
    one, other = broken(trained.rows), trained.network(trained.rows)
    entry, gap = report.data["fidelity"]["before"], np.abs(one - other).max(axis=1)
    flips = one.argmax(axis=1) != other.argmax(axis=1)
    assert entry["flips"] == flips.sum()
    assert entry["scores"]["mean"]["value"] == pytest.approx(gap.mean(), rel=1e-4)
    assert entry["scores"]["max"]["value"] == pytest.approx(gap.max(), rel=1e-4)
    right, before = (scores.argmax(axis=1) == trained.labels for scores in (one, other))
    assert report.data["gates"][0]["value"] == pytest.approx(right.mean() - before.mean(), abs=1e-9)
    own = np.arange(len(flips)) % 3 == 1
    part = next(part for part in entry["slices"] if part["name"] == "country=FR")
    assert part["agreement"]["value"] == pytest.approx(1 - flips[own].mean())
    worst, half = entry["worst"][0], len(flips) // 2
    place = int(gap.argmax())
    assert (Path(worst["file"]).name, worst["row"]) == (
        ("a.parquet", place) if place < half else ("b.parquet", place - half)
    )


def test_the_section_has_the_same_bytes_whatever_the_order_of_the_work(made: Made, tmp_path: Path) -> None:
    keys = {"execution": {"shard_rows": 100}, "slices": ["country"]}
    one = run(made, tmp_path / "one", "weight", "clean.onnx", **keys)
    other = run(made, tmp_path / "other", "weight", "clean.onnx", slices=["country"])
    assert one.data["fidelity"] == other.data["fidelity"]


def test_a_stored_report_is_judged_again_by_gates_on_its_baseline(made: Made, tmp_path: Path) -> None:
    report = run(made, tmp_path, "float16")
    assert judge_again(report, [Gate.parse("fidelity[before].agreement >= 0.99")]).status == "passed"


def test_a_stored_gate_against_a_model_is_judged_again_from_the_report_alone(made: Made, tmp_path: Path) -> None:
    report = run(made, tmp_path, "float16")
    stored = {"metric": "f1_macro", "versus": "before", "max_drop": 0.01, "confidence": 0.9}
    again = judge_again(replace(report, data={**report.data, "job": {**report.data["job"], "gates": [stored]}}), None)
    assert (again.status, again.data["gates"][0]["versus"]["baseline"]) == ("passed", "before")
