"""Which tracker a finished run is told to: the one that its job names, or another."""

from __future__ import annotations

from ortbatch.errors import ReportError
from ortbatch.job.redaction import redact
from ortbatch.job.tracking_spec import MlflowSpec
from ortbatch.report.report import Report


def spec_of(report: Report, uri: str | None = None, experiment: str | None = None) -> MlflowSpec:
    """What the job of a report says of its tracker, with another server or experiment if given.

    Raises:
        ReportError: if neither says which server.
    """
    kept = (report.data["job"].get("tracking") or {}).get("mlflow") or {}
    changes = {key: value for key, value in (("uri", uri), ("experiment", experiment)) if value is not None}
    if "uri" not in {**kept, **changes}:
        raise ReportError(
            f"{redact(report.path)}: its job names no tracker. Give a server with --mlflow URI, or `tracking` in the "
            "job."
        )
    return MlflowSpec.model_validate({**kept, **changes})
