"""`ortbatch thresholds`: chosen from a stored report, and true of a run that uses what was chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.command_line import Done, call
from tests.models import linear_model, linear_weights

JOB = """\
name: scored
model: {path: model.onnx, inputs: {x: [f0, f1, f2, f3]}}
data: {path: data, label: label, classes: [no, "yes"], label_is: index, positive: "yes"}
gates: ["recall_at_precision(0.6) >= 0.1", "precision_at_top(0.05)[yes] >= 0.1"]
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A binary model that is right by and large, and 4,000 rows."""
    folder = tmp_path_factory.mktemp("scored")
    (folder / "data").mkdir()
    linear_model(folder / "model.onnx", 4, 2)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4_000, 4)).astype(np.float32)
    weights, bias = linear_weights(4, 2)
    logits = features @ weights + bias
    label = (logits[:, 1] - logits[:, 0] + rng.normal(0, 0.5, 4_000) > 0.5).astype(np.int64)
    columns = {f"f{index}": features[:, index] for index in range(4)}
    pq.write_table(pa.table({**columns, "label": label}), folder / "data" / "rows.parquet")
    (folder / "job.yaml").write_text(JOB)
    return folder / "job.yaml"


def run(job: Path, folder: Path, *options: str) -> dict[str, Any]:
    done = call("run", job, "--run-dir", folder, "--engine", "inline", *options)
    assert done.code == 0, done.err
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


@pytest.fixture(scope="module")
def folder(job: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; read only."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    run(job, folder)
    return folder


def thresholds(folder: Path, *options: str) -> Done:
    return call("thresholds", folder, *options)


@pytest.mark.parametrize("options", [(), ("--min-recall", "0.9"), ("--min-precision", "0.7"), ("--cost", "fn=3,fp=1")])
def test_a_run_with_the_threshold_chosen_counts_what_was_promised(
    job: Path, folder: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    picked = json.loads(thresholds(folder, *options, "--json").out)["picked"]
    again = run(job, tmp_path / "again", "--set", f"threshold={picked['threshold']!r}")
    (tn, fp), (fn, tp) = again["confusion_matrix"]["counts"]
    assert {"tp": tp, "fp": fp, "fn": fn, "tn": tn} == picked["confusion"]
    assert again["quality"]["recall"]["value"] == picked["recall"]["value"]


def test_gates_on_operating_points_are_judged_by_the_run(folder: Path) -> None:
    gates = json.loads((folder / "report.json").read_text())["gates"]
    assert [gate["outcome"] for gate in gates] == ["passed", "passed"]
    assert all(gate["ci"] for gate in gates)


def test_a_stored_report_is_judged_by_gates_on_other_operating_points(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "gates.yaml").write_text('gates: ["recall_at_fpr(0.2) >= 0.1", "recall_at_precision(0.61) >= 1"]')
    done = call("gate", folder, "--gates", tmp_path / "gates.yaml")
    assert done.code == 1
    assert "recall_at_precision(0.61) >= 1" in done.out


def test_operating_points_stand_in_the_table(folder: Path) -> None:
    lines = (folder / "metrics.csv").read_text().splitlines()
    assert any(",recall_at_precision(0.6),yes," in line for line in lines)


def test_it_prints_the_choice_and_ends_with_0(folder: Path) -> None:
    done = thresholds(folder)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("class yes: best F1\n")
    assert "use it: --set threshold=0." in done.out


def test_a_confirmed_choice_shows_both_halves_of_the_rows(folder: Path) -> None:
    said = json.loads(thresholds(folder, "--confirm", "--json").out)
    halves = [sum(said[name]["confusion"].values()) for name in ("picked", "confirmed")]
    assert sum(halves) == 4_000
    assert min(halves) > 1_800


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--min-recall", "0.5", "--cost", "fn=1,fp=1"), "give one of --min-recall and --cost"),
        (("--min-recall", "1.5"), "--min-recall: expected a number above 0 and at most 1, got 1.5"),
        (("--min-precision", "0"), "--min-precision: expected a number above 0 and at most 1, got 0"),
        (("--min-precision", "nan"), "--min-precision: expected a number above 0 and at most 1, got nan"),
        (("--cost", "fn=1"), "--cost: expected fn=A,fp=B, such as fn=10,fp=1, got 'fn=1'"),
        (("--cost", "fn=-1,fp=1"), "--cost: expected two costs, none below 0"),
        (("--class", "maybe"), "no score curve of class `maybe`; it has those of yes"),
        (("--class", "no"), "curves are kept for the positive class, `yes`"),
    ],
)
def test_what_cannot_be_answered_ends_with_2_and_one_error(folder: Path, options: tuple[str, ...], said: str) -> None:
    done = thresholds(folder, *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.lower().count("error") == 1


def test_a_folder_without_a_report_ends_with_2(tmp_path: Path) -> None:
    assert thresholds(tmp_path / "nothing").code == 2
