"""The job: what to evaluate, on which data, and which gates the result must pass.

Strict and frozen; equal by value; pickles. A job knows neither whether its model loads nor whether its data is there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

from pydantic import AfterValidator, Field, model_validator

from ortbatch.job.build import build
from ortbatch.job.data_spec import DataSpec
from ortbatch.job.execution_spec import ExecutionSpec
from ortbatch.job.gates import Gate, check_class
from ortbatch.job.model_spec import Model
from ortbatch.job.part import Count, Many, Part, Text
from ortbatch.job.planned import Baseline, ChecksSpec, PredictionsSpec, SliceSpec
from ortbatch.job.redaction import redacted
from ortbatch.job.schema import schema_of
from ortbatch.job.templates import BUILT_IN, fill
from ortbatch.job.tracking_spec import TrackingSpec
from ortbatch.job.tree import tree_of
from ortbatch.job.wording import got


def _name(name: str) -> str:
    if not re.fullmatch(r"[^\W_][\w .+-]{0,99}", name) or name != name.strip():
        allowed = "letters, digits, spaces and _.+-, at most 100, beginning with a letter or digit"
        raise ValueError(f"expected {allowed} (it names a folder), got {got(name)}")
    return name


def _run_dir(template: str) -> str:
    fill(template, dict.fromkeys(BUILT_IN, ""))
    return template


def _distinct_slices(slices: tuple[SliceSpec, ...]) -> tuple[SliceSpec, ...]:
    for place, spec in enumerate(slices):
        if any(set(spec.column) == set(earlier.column) for earlier in slices[:place]):
            raise ValueError(f"two slices are by {', '.join(spec.column)}; leave one of them out")
    return slices


class LatencySpec(Part):
    """Latency of single predictions: one row at a time, in a session of its own."""

    section: ClassVar[str] = "latency"

    threads: Count = Field(1, description="Threads of the session that is timed.")
    max_seconds: Annotated[float, Field(gt=0)] = Field(30.0, description="Longest time to spend on it, in seconds.")


class Job(Part):
    """Everything a run needs to know. `folder` and `variables` are no keys of the file.

    `run_dir` is a template: `run_folder` fills it.
    """

    name: Annotated[Text, AfterValidator(_name)] = Field(description="Name of the job, also of its folder of runs.")
    model: Model = Field(description="The ONNX model; its path alone is the short form. Or stored predictions.")
    data: DataSpec = Field(description="The labelled rows: Parquet files and the column of the label.")
    threshold: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="Score from which on a binary model says positive."
    )
    slices: Annotated[Many[SliceSpec], AfterValidator(_distinct_slices)] = Field(
        (), description="Parts of the rows to report apart."
    )
    latency: LatencySpec = Field(LatencySpec(), description="How latency of single predictions is measured.")
    baselines: Mapping[Text, Baseline] = Field({}, description="Other models on the same rows.")
    checks: ChecksSpec | None = Field(None, description="Compare with the training data.")
    gates: Many[Gate] = Field((), description="Limits that the result must keep.")
    predictions: PredictionsSpec | None = Field(None, description="Write predictions. Absent: none are written.")
    tracking: TrackingSpec | None = Field(None, description="Tell an experiment tracker.")
    run_dir: Annotated[Text, AfterValidator(_run_dir)] = Field(
        "runs/{name}/{started}", description="Folder of the run; `{name}` and `{started}` are filled by the run."
    )
    execution: ExecutionSpec = Field(ExecutionSpec(), description="How the work is spread.")
    folder: Path = Field(default_factory=lambda: Path().absolute(), description="Absolute folder of the job file.")
    variables: Mapping[str, str] = Field({}, description="What `--var` gave.")

    @model_validator(mode="after")
    def _one_run_a_folder(self) -> Job:
        if self.predictions is not None and self.predictions.path is not None and "{started}" in self.run_dir:
            raise ValueError(
                f"`predictions.path` is one folder for all runs of `run_dir: {self.run_dir}`; name the run by what the "
                "predictions are named by, such as `run_dir: runs/{name}/dt={date}`"
            )
        return self

    @model_validator(mode="after")
    def _classes_of_gates(self) -> Job:
        for gate in self.gates:
            check_class(gate, self.data.classes)
        return self

    @classmethod
    def from_mapping(
        cls, mapping: Mapping[str, object], folder: str | Path = ".", variables: Mapping[str, str] | None = None
    ) -> Job:
        """Make a job of the same keys that a job file has; relative paths count from `folder`.

        Raises:
            JobError: with every problem; `where` is `job`.

        >>> Job.from_mapping({"name": "digits", "model": "m.onnx", "data": {"path": "d", "label": "y"}}).threshold
        0.5
        """
        return build(cls, tree_of(mapping, "job"), Path(folder).absolute(), variables or {})

    def resolved(self) -> dict[str, Any]:
        """All keys with their defaults filled in, as JSON values without secrets; the same on every machine."""
        keys = self.model_dump(mode="json", by_alias=True, exclude={"folder", "variables"})
        return cast(dict[str, Any], redacted(keys))

    def digest(self) -> str:
        """SHA-256, in hex, of `resolved()`: equal exactly if all keys are."""
        text = json.dumps(self.resolved(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def locate(self, path: str) -> str:
        """A path of the job made absolute against the job's folder; a URI (`scheme://`, `models:/`) is left alone."""
        return path if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|(models|runs):/", path) else str(self.folder / path)

    @property
    def tracker(self) -> str | None:
        """URI of the MLflow server, whose registry `models:/` is; None where the environment names one."""
        return None if self.tracking is None else self.tracking.mlflow.uri

    def run_folder(self, started: str) -> str:
        """The folder of a run that began at `started`, absolute or a URI."""
        return self.locate(fill(self.run_dir, {"name": self.name, "started": started}))


def job_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the job file, for editors."""
    return deepcopy(schema_of(Job))
