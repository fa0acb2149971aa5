"""The main job against a plain loop: cell for cell, metric for metric, whatever engine, order or batch size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from ortbatch.api import Options, Outcome, run_job
from ortbatch.job import Job, load_job
from tests.oracle import Expected, plain_loop

RUNS_ON_RAY = [1, 2, 3]


@pytest.fixture(scope="module")
def expected(digits: Path) -> Expected:
    files = sorted((digits.parent / "data" / "test").glob("*.parquet"))
    return plain_loop(digits.parent / "model.onnx", files, "image", (1, 8, 8), "label")


def run(digits: Path, folder: Path, options: Options, *overrides: str) -> Outcome:
    return run_job(load_job(digits, overrides=overrides), replace(options, run_dir=str(folder)))


@pytest.fixture(scope="module")
def inline(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(digits, tmp_path_factory.mktemp("inline"), Options(engine="inline"))


def quality_bytes(outcome: Outcome) -> bytes:
    """The quality section as it stands in report.json."""
    return json.dumps(json.loads(Path(outcome.report.path).read_text())["quality"]).encode()


def test_confusion_counts_equal_the_plain_loop_cell_for_cell(inline: Outcome, expected: Expected) -> None:
    assert inline.report.confusion_matrix.tolist() == expected.confusion().tolist()


SCIKIT_LEARN = {
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "matthews_corrcoef": metrics.matthews_corrcoef,
    "cohen_kappa": metrics.cohen_kappa_score,
    **{
        f"{name}_{average}": lambda true, predicted, f=function, a=average: f(true, predicted, average=a)
        for name, function in (
            ("precision", metrics.precision_score),
            ("recall", metrics.recall_score),
            ("f1", metrics.f1_score),
        )
        for average in ("macro", "weighted")
    },
}


@pytest.mark.parametrize("name", SCIKIT_LEARN)
def test_metrics_of_predictions_equal_scikit_learn_on_raw_rows(inline: Outcome, expected: Expected, name: str) -> None:
    value = inline.report.quality[name].value
    assert value == pytest.approx(SCIKIT_LEARN[name](expected.labels, expected.predicted), abs=1e-12)


def test_log_loss_equals_scikit_learn_on_raw_rows(inline: Outcome, expected: Expected) -> None:
    truth = metrics.log_loss(expected.labels, expected.probabilities, labels=range(10))
    assert inline.report.quality["log_loss"].value == pytest.approx(truth, abs=1e-12)


def test_brier_score_equals_its_definition_on_raw_rows(inline: Outcome, expected: Expected) -> None:
    one_hot = np.eye(10)[expected.labels]
    truth = ((expected.probabilities - one_hot) ** 2).sum(axis=1).mean()
    assert inline.report.quality["brier"].value == pytest.approx(truth, abs=1e-12)


@pytest.mark.parametrize("column", ["precision", "recall", "f1"])
def test_metrics_per_class_equal_scikit_learn(inline: Outcome, expected: Expected, column: str) -> None:
    place = ("precision", "recall", "f1").index(column)
    truth = metrics.precision_recall_fscore_support(expected.labels, expected.predicted)[place]
    values = [row[column].value for row in inline.report.per_class.values()]
    assert values == pytest.approx(truth.tolist(), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "function"),
    [("roc_auc", metrics.roc_auc_score), ("average_precision", metrics.average_precision_score)],
)
def test_curve_metrics_of_raw_scores_lie_inside_the_proven_bound(
    inline: Outcome, expected: Expected, name: str, function: object
) -> None:
    for index, row in enumerate(inline.report.data["quality"]["per_class"]):
        truth = function(expected.labels == index, expected.probabilities[:, index])  # type: ignore[operator]
        low, high = row[name]["bound"]
        assert low - 1e-12 <= truth <= high + 1e-12


@pytest.mark.parametrize("workers", RUNS_ON_RAY)
def test_quality_on_ray_is_byte_identical_to_one_process(
    digits: Path, tmp_path: Path, inline: Outcome, workers: int, ray_cluster: object
) -> None:
    overrides = (f"execution.workers={workers}", "execution.cpus_per_worker=1")
    outcome = run(digits, tmp_path, Options(engine="ray"), *overrides)
    assert outcome.report.data["provenance"]["engine"]["workers"] == workers
    assert quality_bytes(outcome) == quality_bytes(inline)


@pytest.mark.parametrize("seed", range(3))
def test_quality_does_not_depend_on_the_order_of_shards(
    digits: Path, tmp_path: Path, inline: Outcome, seed: int
) -> None:
    shards = inline.report.data["coverage"]["shards"]["planned"]
    order = np.random.default_rng(seed).permutation(shards).tolist()
    outcome = run(digits, tmp_path, Options(engine="inline", order=order))
    assert quality_bytes(outcome) == quality_bytes(inline)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 5000])
def test_quality_of_this_model_does_not_depend_on_batch_size(
    digits: Path, tmp_path: Path, inline: Outcome, batch_size: int
) -> None:
    outcome = run(digits, tmp_path, Options(engine="inline"), f"model.batch_size={batch_size}")
    assert quality_bytes(outcome) == quality_bytes(inline)


def test_quality_does_not_depend_on_how_shards_are_cut(digits: Path, tmp_path: Path, inline: Outcome) -> None:
    outcome = run(digits, tmp_path, Options(engine="inline"), "execution.shard_rows=500")
    planned = outcome.report.data["coverage"]["shards"]["planned"]
    assert planned != inline.report.data["coverage"]["shards"]["planned"]
    assert quality_bytes(outcome) == quality_bytes(inline)


def test_coverage_adds_up(inline: Outcome) -> None:
    rows = inline.report.data["coverage"]["rows"]
    parts = rows["evaluated"] + rows["unlabelled"] + rows["filtered"] + sum(rows["rejected"].values())
    assert rows["planned"] == parts == 899


def test_a_job_from_python_gives_the_same_report(digits: Path, tmp_path: Path, inline: Outcome) -> None:
    keys = {"name": "digits", "model": "model.onnx", "data": {"path": "data/test", "label": "label"}}
    outcome = run_job(Job.from_mapping(keys, digits.parent), Options(run_dir=str(tmp_path), engine="inline"))
    assert outcome.report.status == "ungated"
    assert quality_bytes(outcome) == quality_bytes(inline)
