"""The job file: read, checked, and made into a `Job`.

    job = load_job("jobs/digits/job.yaml", variables={"date": "2026-11-23"}, overrides=["threshold=0.3"])
    job.data.label, job.gates, job.digest()

Knows the names of metrics, and nothing of models, data or reports. Loads neither NumPy nor anything else heavy.
"""

from __future__ import annotations

from ortbatch.job.data_spec import DataSpec, ExpectSpec, SampleSpec
from ortbatch.job.execution_spec import ExecutionSpec
from ortbatch.job.gates import Gate, Operator
from ortbatch.job.job import Job, LatencySpec, job_schema
from ortbatch.job.load import load_job
from ortbatch.job.model_spec import InputSpec, ModelSpec, OutputSpec, TransformSpec
from ortbatch.job.planned import Baseline, ChecksSpec, PredictionsSpec, SliceSpec
from ortbatch.job.redaction import redact, redacted
from ortbatch.job.tracking_spec import MlflowSpec, TrackingSpec
from ortbatch.metrics.reference import MetricRef

__all__ = [
    "Baseline",
    "ChecksSpec",
    "DataSpec",
    "ExecutionSpec",
    "ExpectSpec",
    "Gate",
    "InputSpec",
    "Job",
    "LatencySpec",
    "MetricRef",
    "MlflowSpec",
    "ModelSpec",
    "Operator",
    "OutputSpec",
    "PredictionsSpec",
    "SampleSpec",
    "SliceSpec",
    "TrackingSpec",
    "TransformSpec",
    "job_schema",
    "load_job",
    "redact",
    "redacted",
]
