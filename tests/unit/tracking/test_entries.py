"""What MLflow is told is what the report says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from ortbatch.errors import ReportError
from ortbatch.report.report import Report
from ortbatch.tracking import entries
from ortbatch.tracking.entries import (
    data_of,
    left_out,
    metrics_of,
    parameters_of,
    tags_of,
    times_of,
    verdict_of,
)
from ortbatch.tracking.names import metric_of
from ortbatch.tracking.spec import spec_of
from tests.unit.report import made_slices
from tests.unit.report.made import binary, label_tally, multiclass, report
from tests.unit.report.made_fidelity import two
from tests.unit.report.test_table import rows_of


def decoded(made: dict[str, Any]) -> dict[str, Any]:
    made["provenance"]["identity"] = {"evaluation": "e" * 64, "batch_size": "64"}
    made["provenance"]["model"]["path"] = "model.onnx"
    return dict(json.loads(Report(made).encode()))


@pytest.mark.parametrize("made", [binary(), multiclass(), made_slices.made(), two().report()])
def test_every_defined_line_of_metrics_csv_is_told_under_its_own_name(made: dict[str, Any]) -> None:
    told = metrics_of(decoded(made))
    lines = [line for line in rows_of(made) if line["value"]]
    assert sorted(told.values()) == sorted(float(line["value"]) for line in lines)
    for name in told:
        assert metric_of(name).name in {line["metric"].partition("(")[0] for line in lines} | {
            metric_of(name).name for line in lines if line["metric"].startswith("fidelity[")
        }


def test_a_metric_of_a_class_and_one_of_a_slice_are_those_of_the_report() -> None:
    assert metrics_of(decoded(multiclass()))["recall/class/class_1"] == 0.85
    made = decoded(made_slices.made())
    entry = next(entry for entry in made["slices"] if entry["name"] == "country=PL")
    assert metrics_of(made)["accuracy/slice/country/PL"] == entry["accuracy"]["value"] == 0.6


def test_undefined_metrics_are_left_out() -> None:
    assert "log_loss" not in metrics_of(decoded(multiclass()))


def test_of_many_classes_the_metrics_of_all_rows_are_told_and_what_is_left_out_is_counted() -> None:
    made = decoded(report(label_tally(np.eye(700, dtype=np.int64))))
    told, defined = metrics_of(made), sum(bool(line["value"]) for line in rows_of(made))
    assert len(told) == entries.MOST_METRICS
    assert {"accuracy", "f1_macro", "coverage", "latency.single.p99_ms"} <= set(told)
    assert left_out(made) == defined - len(told) > 0
    assert tags_of(made)["ortbatch.metrics_left_out"] == str(left_out(made))


def test_tags_say_how_it_ended_and_which_run_it_was() -> None:
    made = decoded(multiclass("accuracy >= 0.99"))
    tags = tags_of(made)
    assert (tags["ortbatch.status"], tags["ortbatch.exit_code"]) == ("failed", "1")
    assert tags["ortbatch.run_id"] == made["run"]["id"]
    assert "ortbatch.metrics_left_out" not in tags


def test_parameters_are_what_the_numbers_depend_on() -> None:
    made = decoded(binary())
    told = parameters_of(made)
    assert (told["threshold"], told["positive"], told["classes"], told["rows"]) == ("0.5", "dog", "2", "200")
    assert (told["model.sha256"], told["job_digest"]) == ("a" * 64, made["job"]["job_digest"])
    assert "threshold" not in parameters_of(decoded(multiclass()))


def test_secrets_of_paths_reach_neither_parameters_nor_data() -> None:
    made = decoded(binary())
    made["job"]["data"]["path"] = ["s3://key:hush@bucket/x?token=hush"]
    assert "hush" not in str((parameters_of(made), data_of(made)))
    assert data_of(made).kind == "s3"


def test_long_values_are_cut() -> None:
    made = decoded(binary())
    made["job"]["data"]["path"] = ["x" * 10_000]
    assert {len(parameters_of(made)["data.path"]), len(data_of(made).name)} == {500}


def test_the_data_are_named_by_the_digest_of_the_plan() -> None:
    entry = data_of(decoded(binary()))
    assert (entry.digest, entry.rows, entry.kind) == ("b" * 36, 200, "local")


def test_a_description_that_is_too_long_is_left_out() -> None:
    made = decoded(binary())
    made["findings"] = [{"severity": "info", "code": "a", "text": "x" * 190} for _ in range(60)]
    assert "mlflow.note.content" in tags_of(decoded(binary()))
    assert "mlflow.note.content" not in tags_of(made)


def test_times_are_those_of_the_run() -> None:
    # 2026-11-23T19:09:45Z, by `date -d @1795460985 -u`
    assert times_of(decoded(binary())) == (1_795_460_985_000, 1_795_460_989_500)


def test_the_verdict_for_a_registered_model_has_status_and_metrics_that_are_defined() -> None:
    verdict = verdict_of(decoded(multiclass("accuracy >= 0.5")))
    assert (verdict["ortbatch.status"], float(verdict["ortbatch.accuracy"])) == ("passed", 56 / 60)
    assert "ortbatch.log_loss" not in verdict


def test_a_run_is_told_to_the_tracker_of_its_job_or_to_another() -> None:
    made = decoded(binary(keys={"tracking": {"mlflow": {"uri": "http://h", "experiment": "e", "tags": {"a": "b"}}}}))
    assert spec_of(Report(made)).uri == "http://h"
    other = spec_of(Report(made), "http://other", "x")
    assert (other.uri, other.experiment, dict(other.tags)) == ("http://other", "x", {"a": "b"})


def test_a_run_whose_job_names_no_tracker_asks_for_one() -> None:
    with pytest.raises(
        ReportError, match=r"runs/a/report\.json: its job names no tracker. Give a server with --mlflow"
    ):
        spec_of(Report(decoded(binary()), "runs/a/report.json"))
    assert spec_of(Report(decoded(binary())), "http://h").uri == "http://h"
