"""Telling an MLflow server of a finished run: once, however often it is told.

A run there carries the id of ours as a tag from the moment it exists; telling it again finds it and tells the same
values at the same times, which MLflow keeps once. A registered model's version gets the verdict, unless a later run's
stands there.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ortbatch.data.storage import exists, read_bytes
from ortbatch.engine.folder import RunFolder
from ortbatch.errors import ReportError, StorageError
from ortbatch.job.redaction import MARK, redact
from ortbatch.job.tracking_spec import MlflowSpec
from ortbatch.mlflow_client import INSTALL, Missing, Server, connected, has_mlflow
from ortbatch.report.report import Report
from ortbatch.tracking.entries import (
    RUN_ID,
    DataEntry,
    artifacts,
    data_of,
    metrics_of,
    parameters_of,
    tags_of,
    times_of,
    verdict_of,
)

_METRICS_AT_ONCE, _TAGS_AT_ONCE = 500, 100  # a server refuses more than 1,000 and 100
_EVALUATED = "ortbatch.evaluated_at"


def track(report: Report, folder: RunFolder, spec: MlflowSpec) -> str:
    """Tell a server of a run; returns where it stands there, without secrets.

    Args:
        report: of the run.
        folder: where its files lie.
        spec: which server, and under which names.

    Raises:
        ReportError: without MLflow, or if the URI lost its secret.
        StorageError: if the server cannot be reached, or refuses.
    """
    if not has_mlflow():
        raise ReportError(f"tracking {INSTALL}")
    if MARK in spec.uri:
        raise ReportError(f"the URI {spec.uri} is kept without its secret; give it with --mlflow URI.")
    data = report.data
    if not re.fullmatch(r"[\w.-]+", data["run"]["id"]):
        raise ReportError(f"{redact(report.path)}: run.id is no id of a run of ortbatch")
    try:
        with connected(spec.uri) as server:
            experiment = _experiment(server, spec.experiment or data["run"]["name"])
            run_id = _run(server, experiment, data, spec)
            _tell(server, run_id, data, spec)
            _keep_files(server, run_id, folder)
            _tag_model(server, run_id, data)
            server.client.set_terminated(run_id, "FINISHED", times_of(data)[1])
    except Missing as error:
        raise StorageError(f"MLflow at {redact(spec.uri)}: {error}") from None
    http = spec.uri.startswith(("http://", "https://"))
    where = (
        f"{spec.uri.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}" if http else f"run {run_id} in {spec.uri}"
    )
    return redact(where)


def _experiment(server: Server, name: str) -> str:
    """The id of an experiment, which is made if there is none; somebody else may make it meanwhile."""
    from mlflow.exceptions import MlflowException

    found = server.client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(server.client.create_experiment(name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = server.client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        raise StorageError(
            f"MLflow at {redact(server.uri)}: experiment `{name}` is deleted there. Restore it, or name another in "
            "`tracking.mlflow.experiment`."
        )
    return str(found.experiment_id)


def _run(server: Server, experiment: str, data: Mapping[str, Any], spec: MlflowSpec) -> str:
    """The id there of the run that has ours as a tag; one is made if there is none."""
    ours = data["run"]["id"]
    found = server.client.search_runs([experiment], f"tags.`{RUN_ID}` = '{ours}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    name, begun = spec.run_name or ours, times_of(data)[0]
    return str(server.client.create_run(experiment, begun, {RUN_ID: ours}, name).info.run_id)


def _tell(server: Server, run_id: str, data: Mapping[str, Any], spec: MlflowSpec) -> None:
    """Metrics, parameters, tags and data; the last are told once, as MLflow would keep them twice."""
    from mlflow.entities import Metric, Param, RunTag

    when = times_of(data)[1]
    metrics = [Metric(key, value, when, 0) for key, value in metrics_of(data).items()]
    for start in range(0, len(metrics), _METRICS_AT_ONCE):
        server.client.log_batch(run_id, metrics=metrics[start : start + _METRICS_AT_ONCE])
    params = [Param(key, value) for key, value in parameters_of(data).items()]
    tags = [RunTag(key, value) for key, value in {**spec.tags, **tags_of(data)}.items()]
    server.client.log_batch(run_id, params=params)
    for start in range(0, len(tags), _TAGS_AT_ONCE):
        server.client.log_batch(run_id, tags=tags[start : start + _TAGS_AT_ONCE])
    if not server.client.get_run(run_id).inputs.dataset_inputs:
        server.client.log_inputs(run_id, _inputs(data_of(data)))


def _inputs(entry: DataEntry) -> Sequence[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = json.dumps({"num_rows": entry.rows, "num_files": entry.files})
    source = json.dumps({"uri": entry.name})
    dataset = Dataset(entry.name, entry.digest, entry.kind, source, profile=profile)
    return [DatasetInput(dataset, [InputTag("mlflow.data.context", "evaluation")])]


def _keep_files(server: Server, run_id: str, folder: RunFolder) -> None:
    """Copy the files of the run folder; those that are there are replaced."""
    with tempfile.TemporaryDirectory(prefix="ortbatch-") as name:
        for file in _copied(folder, Path(name)):
            server.client.log_artifact(run_id, str(file))


def _copied(folder: RunFolder, target: Path) -> Iterator[Path]:
    for name in artifacts():
        if exists(folder.file(name)):
            (target / name).write_bytes(read_bytes(folder.file(name)))
            yield target / name


def _tag_model(server: Server, run_id: str, data: Mapping[str, Any]) -> None:
    """Write the verdict to the version that was evaluated, unless that of a later run stands there."""
    model = data["provenance"]["model"].get("registered")
    if model is None:
        return
    verdict = verdict_of(data) | {"ortbatch.mlflow_run_id": run_id}
    there = server.client.get_model_version(model["name"], model["version"]).tags
    if there.get(_EVALUATED, "") > verdict[_EVALUATED]:
        return
    for key, value in verdict.items():
        server.client.set_model_version_tag(model["name"], model["version"], key, value)
