"""Runs logged to a real MLflow server, read back from its database and by its REST API, not with our code."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest

from ortbatch.metrics.reference import MetricRef
from ortbatch.tracking.names import metric_of
from tests.command_line import JOB, Done, call, make_job
from tests.mlflow_server import Mlflow

CLASSES = ("<b>a</b>", "../..", 'say "no" 猫/-')


@dataclass(frozen=True)
class Logged:
    """A run that was logged.

    Args:
        server: where.
        experiment: its name there.
        folder: of the run.
        done: what the command said.
    """

    server: Mlflow
    experiment: str
    folder: Path
    done: Done

    @property
    def report(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "report.json").read_text()))

    def runs(self) -> list[str]:
        """Ids there."""
        found = self.server.rows(
            "select run_uuid from runs join experiments using (experiment_id) where experiments.name = ?",
            self.experiment,
        )
        return [run for (run,) in found]

    @property
    def run(self) -> str:
        (only,) = self.runs()
        return only

    def told(self, table: str) -> dict[str, str]:
        """Keys and values of the run in a table."""
        return dict(self.server.rows(f"select key, value from {table} where run_uuid = ?", self.run))


def tracked(server: Mlflow, folder: Path, more: str = "", **keys: str) -> tuple[Path, str]:
    """A job of odd classes that logs to an experiment of its own."""
    experiment = f"nightly {uuid.uuid4().hex[:8]}"
    long = {"uri": keys.get("uri", server.uri), "experiment": experiment, "tags": {"team": "risk"}}
    classes = f"data: {{path: data, label: label, label_is: index, classes: {json.dumps(CLASSES)}}}"
    text = JOB.replace("data: {path: data, label: label}", classes)
    return make_job(folder, f"{text}tracking: {json.dumps({'mlflow': long})}\n{more}"), experiment


@pytest.fixture(scope="module")
def logged(mlflow_server: Mlflow, tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """A job that was run and logged, once for all tests that only look."""
    folder = tmp_path_factory.mktemp("logged")
    job, experiment = tracked(mlflow_server, folder / "job")
    done = call("run", job, "--run-dir", folder / "run", "--engine", "inline", "--json")
    return Logged(mlflow_server, experiment, folder / "run", done)


def test_the_run_is_there_once_and_finished(logged: Logged) -> None:
    assert logged.done.code == 0, logged.done.err
    ((experiment,),) = logged.server.rows("select experiment_id from runs where run_uuid = ?", logged.run)
    (run,) = logged.server.ask("runs/search", {"experiment_ids": [str(experiment)]})["runs"]
    assert (run["info"]["status"], run["info"]["run_name"]) == ("FINISHED", logged.report["run"]["id"])
    assert f"logged to MLflow: {logged.server.uri}/#/experiments/" in logged.done.err
    assert logged.run in logged.done.err


def test_standard_output_is_the_report_and_nothing_else(logged: Logged) -> None:
    assert json.loads(logged.done.out) == logged.report


def test_every_metric_equals_its_line_of_metrics_csv(logged: Logged) -> None:
    with (logged.folder / "metrics.csv").open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["value"]]
    told = {str(metric_of(key)): value for key, value in logged.told("metrics").items()}
    assert len(told) == len(lines)
    for line in lines:
        if "(" not in line["metric"]:
            name = f"{line['metric']}[{line['class']}]" if line["class"] else line["metric"]
            found = next(value for key, value in told.items() if metric_key(key) == name)
            assert float(found) == float(line["value"]), name


def metric_key(text: str) -> str:
    """`name[class]` as the table has it, without the quotes that a reference needs."""
    ref = MetricRef.parse(text)
    return ref.name if ref.class_name is None else f"{ref.name}[{ref.class_name}]"


def test_recall_of_a_class_with_an_odd_name_is_that_of_the_report(logged: Logged) -> None:
    recall = {row["class"]: row["recall"]["value"] for row in logged.report["quality"]["per_class"]}
    assert float(logged.told("metrics")["recall/class/-2e-2e-2f-2e-2e"]) == recall["../.."]


def test_tags_say_status_version_and_which_run(logged: Logged) -> None:
    tags, report = logged.told("tags"), logged.report
    assert (tags["ortbatch.status"], tags["ortbatch.exit_code"], tags["team"]) == ("passed", "0", "risk")
    assert tags["ortbatch.run_id"] == report["run"]["id"]
    assert tags["ortbatch.evaluation_digest"] == report["job"]["evaluation_digest"]
    assert "<b>" not in tags["mlflow.note.content"]


def test_parameters_are_those_of_the_report(logged: Logged) -> None:
    params, report = logged.told("params"), logged.report
    assert params["model.sha256"] == report["provenance"]["model"]["sha256"]
    assert (params["rows"], params["classes"], params["engine"]) == ("120", "3", "inline")
    assert params["job_digest"] == report["job"]["job_digest"]


def test_the_data_are_a_dataset_with_the_digest_of_the_plan(logged: Logged) -> None:
    (inputs,) = logged.server.ask(f"runs/get?run_id={logged.run}")["run"]["inputs"]["dataset_inputs"]
    plan = logged.report["provenance"]["data"]["plan_digest"]
    assert inputs["dataset"]["digest"] == plan[:36]
    assert json.loads(inputs["dataset"]["profile"]) == {"num_rows": 120, "num_files": 3}
    assert inputs["tags"] == [{"key": "mlflow.data.context", "value": "evaluation"}]


@pytest.mark.parametrize("name", ["report.json", "report.html", "metrics.csv"])
def test_the_files_of_the_run_are_kept_there_byte_for_byte(logged: Logged, name: str) -> None:
    assert logged.server.artifact(logged.run, name) == (logged.folder / name).read_bytes()


def everything(server: Mlflow) -> dict[str, Any]:
    """All that a server keeps, but for when it changed."""
    tables = ("metrics", "latest_metrics", "params", "tags", "datasets", "inputs", "experiments", "runs")
    return {table: sorted(map(str, server.rows(f"select * from {table}"))) for table in tables}


def test_logging_it_again_changes_nothing(logged: Logged) -> None:
    before = everything(logged.server)
    done = call("track", logged.folder)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"logged: {logged.server.uri}/#/experiments/{done.out.split('/')[-3]}/runs/{logged.run}\n"
    assert everything(logged.server) == before


def test_a_run_that_was_logged_half_is_logged_whole(mlflow_server: Mlflow, tmp_path: Path) -> None:
    job, experiment = tracked(mlflow_server, tmp_path / "job")
    call("run", job, "--run-dir", tmp_path / "run", "--engine", "inline", "--set", "tracking=null")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    made = mlflow_server.ask("experiments/create", {"name": experiment})["experiment_id"]
    tag = {"key": "ortbatch.run_id", "value": report["run"]["id"]}
    half = mlflow_server.ask("runs/create", {"experiment_id": made, "start_time": 1, "tags": [tag]})
    done = call("track", tmp_path / "run", "--mlflow", mlflow_server.uri, "--experiment", experiment)
    assert half["run"]["info"]["run_id"] in done.out
    assert mlflow_server.ask(f"runs/get?run_id={half['run']['info']['run_id']}")["run"]["info"]["status"] == "FINISHED"


def test_a_failed_gate_is_logged_and_keeps_its_exit_code(mlflow_server: Mlflow, tmp_path: Path) -> None:
    job, experiment = tracked(mlflow_server, tmp_path / "job")
    done = call("run", job, "--run-dir", tmp_path / "run", "--engine", "inline", "--set", "gates=[accuracy >= 0.99]")
    assert done.code == 1
    assert Logged(mlflow_server, experiment, tmp_path / "run", done).told("tags")["ortbatch.status"] == "failed"


@pytest.mark.parametrize(("gate", "code"), [("accuracy >= 0.5", 0), ("accuracy >= 0.99", 1)])
def test_a_server_that_is_down_takes_neither_report_nor_verdict(
    mlflow_server: Mlflow, tmp_path: Path, gate: str, code: int
) -> None:
    job, experiment = tracked(mlflow_server, tmp_path / "job", uri="http://me:hush@127.0.0.1:9")
    done = call("run", job, "--run-dir", tmp_path / "run", "--engine", "inline", "--set", f"gates=[{gate}]")
    assert done.code == code
    assert "NOT LOGGED to MLflow: MLflow at http://***@127.0.0.1:9: cannot be reached (Connection refused)" in done.err
    assert f"  ortbatch track {tmp_path / 'run'}" in done.err
    assert "hush" not in done.out + done.err + (tmp_path / "run" / "report.json").read_text()
    later = call("track", tmp_path / "run", "--mlflow", mlflow_server.uri)
    assert later.code == 0, later.err
    assert len(Logged(mlflow_server, experiment, tmp_path / "run", later).runs()) == 1


def test_a_uri_that_lost_its_secret_is_asked_for(mlflow_server: Mlflow, tmp_path: Path) -> None:
    job, _ = tracked(mlflow_server, tmp_path / "job", uri="http://me:hush@127.0.0.1:9")
    call("run", job, "--run-dir", tmp_path / "run", "--engine", "inline")
    done = call("track", tmp_path / "run")
    assert done.code == 2
    assert "the URI http://***@127.0.0.1:9 is kept without its secret; give it with --mlflow URI" in done.err


def test_an_experiment_that_is_deleted_there_is_named(mlflow_server: Mlflow, tmp_path: Path) -> None:
    job, experiment = tracked(mlflow_server, tmp_path / "job")
    made = mlflow_server.ask("experiments/create", {"name": experiment})["experiment_id"]
    mlflow_server.ask("experiments/delete", {"experiment_id": made})
    done = call("run", job, "--run-dir", tmp_path / "run", "--engine", "inline")
    assert done.code == 0
    assert f"experiment `{experiment}` is deleted there" in done.err


REGISTER = """
import sys, onnx, mlflow
mlflow.set_tracking_uri(sys.argv[1])
with mlflow.start_run():
    mlflow.onnx.log_model(onnx.load(sys.argv[2]), name="model", registered_model_name=sys.argv[3], pip_requirements=[])
with mlflow.start_run() as run:
    mlflow.log_artifact(sys.argv[2])
client = mlflow.MlflowClient()
client.create_model_version(sys.argv[3], run.info.artifact_uri + "/model.onnx", run.info.run_id)
client.set_registered_model_alias(sys.argv[3], "champion", "1")
print(run.info.run_id)
"""


@dataclass(frozen=True)
class Registry:
    """A registered model: version 1, by alias `champion`, has the onnx flavour, version 2 is a bare file of a run."""

    server: Mlflow
    name: str
    run: str
    file: Path

    def tags(self, version: int) -> dict[str, str]:
        query = "select key, value from model_version_tags where name = ? and version = ?"
        return dict(self.server.rows(query, self.name, version))


@pytest.fixture(scope="module")
def registry(mlflow_server: Mlflow, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder, name = tmp_path_factory.mktemp("registered"), f"fraud {uuid.uuid4().hex[:8]}"
    make_job(folder / "job")
    file = folder / "job" / "model.onnx"
    command = [sys.executable, "-c", REGISTER, mlflow_server.uri, str(file), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Registry(mlflow_server, name, done.stdout.split()[-1], file)


def evaluated(registry: Registry, folder: Path, uri: str, *more: str) -> Logged:
    """A job run with a model of the registry; no model lies beside it."""
    job, experiment = tracked(registry.server, folder / "job")
    (folder / "job" / "model.onnx").unlink()
    arguments = ("--run-dir", folder / "run", "--engine", "inline", "--set", f"model.path={uri}", *more)
    return Logged(registry.server, experiment, folder / "run", call("run", job, *arguments))


def test_an_alias_is_pinned_to_its_version_and_the_verdict_written_there(registry: Registry, tmp_path: Path) -> None:
    logged = evaluated(registry, tmp_path, f"models:/{registry.name}@champion")
    assert logged.done.code == 0, logged.done.err
    model, tags = logged.report["provenance"]["model"], registry.tags(1)
    assert model["registered"] == {"name": registry.name, "version": "1", "alias": "champion"}
    assert (tags["ortbatch.status"], tags["ortbatch.run_id"]) == ("passed", logged.report["run"]["id"])
    assert float(tags["ortbatch.accuracy"]) == logged.report["quality"]["accuracy"]["value"]
    assert tags["ortbatch.mlflow_run_id"] == logged.run


def test_an_alias_that_moved_is_another_version_in_the_same_process_too(registry: Registry, tmp_path: Path) -> None:
    found = []
    for version in ("2", "1"):
        alias = {"name": registry.name, "alias": "moving", "version": version}
        registry.server.ask("registered-models/alias", alias)
        logged = evaluated(registry, tmp_path / version, f"models:/{registry.name}@moving")
        found.append(logged.report["provenance"]["model"]["registered"]["version"])
    assert found == ["2", "1"]


@pytest.mark.parametrize("version", ["2", "latest"])
def test_a_version_that_is_a_bare_file_is_the_file(registry: Registry, tmp_path: Path, version: str) -> None:
    logged = evaluated(registry, tmp_path, f"models:/{registry.name}/{version}", "--set", "gates=[accuracy >= 0.99]")
    assert logged.done.code == 1, logged.done.err
    model = logged.report["provenance"]["model"]
    assert model["sha256"] == hashlib.sha256(registry.file.read_bytes()).hexdigest()
    assert model["registered"] == {"name": registry.name, "version": "2", "alias": None}
    assert registry.tags(2)["ortbatch.status"] == "failed"


def test_the_verdict_of_a_later_run_is_not_replaced_by_an_earlier_one(registry: Registry, tmp_path: Path) -> None:
    logged = evaluated(registry, tmp_path, f"models:/{registry.name}@champion")
    key = {"name": registry.name, "version": "1", "key": "ortbatch.evaluated_at"}
    registry.server.ask("model-versions/set-tag", {**key, "value": "2999-01-01T00:00:00Z"})
    registry.server.ask("model-versions/set-tag", {**key, "key": "ortbatch.status", "value": "of a later run"})
    assert call("track", logged.folder).code == 0
    assert registry.tags(1)["ortbatch.status"] == "of a later run"


def test_a_model_of_a_run_is_loaded_and_nothing_is_written_back(registry: Registry, tmp_path: Path) -> None:
    logged = evaluated(registry, tmp_path, f"runs:/{registry.run}/model.onnx")
    assert logged.done.code == 0, logged.done.err
    assert "registered" not in logged.report["provenance"]["model"]


def test_workers_on_ray_load_a_registered_model(registry: Registry, tmp_path: Path, ray_cluster: Any) -> None:
    inline = evaluated(registry, tmp_path / "inline", f"models:/{registry.name}@champion")
    job, _ = tracked(registry.server, tmp_path / "job")
    arguments = ("--engine", "ray", "--set", f"model.path=models:/{registry.name}/1")
    done = call("run", job, "--run-dir", tmp_path / "ray", *arguments)
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "ray" / "report.json").read_text())
    assert report["confusion_matrix"] == inline.report["confusion_matrix"]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("models:/{}/9", "no models:/{}/9 at http://127.0.0.1:"),
        ("models:/{}@nobody", "no models:/{}@nobody at http://127.0.0.1:"),
        ("models:/there is none/1", "no models:/there is none/1 at "),
        ("models:/{}", "expected models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME/latest or runs:/ID/PATH"),
        ("runs:/abc/model", "no runs:/abc/model at http://127.0.0.1:"),
    ],
)
def test_a_model_that_is_not_there_is_seen_before_the_run(
    registry: Registry, tmp_path: Path, uri: str, said: str
) -> None:
    done = evaluated(registry, tmp_path, uri.format(registry.name)).done
    assert done.code == 2
    assert said.format(registry.name) in done.err
    assert not (tmp_path / "run").exists()


def test_a_registered_model_stays_as_it_was(registry: Registry, tmp_path: Path) -> None:
    source = evaluated(registry, tmp_path, f"models:/{registry.name}/2").report["provenance"]["model"]
    assert source["opset"] == onnx.load(registry.file).opset_import[0].version
