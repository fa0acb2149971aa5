"""The `tracking` of a job: which experiment tracker hears of the run, and under which names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, model_validator

from ortbatch.job.part import Part, Text, short_forms


class MlflowSpec(Part):
    """An MLflow tracking server. Credentials come from the environment, as MLflow reads them."""

    section: ClassVar[str] = "tracking.mlflow"
    model_config = ConfigDict(
        json_schema_extra=short_forms({"type": "string", "minLength": 1, "description": "Short form of `uri`."})
    )

    uri: Text = Field(description="URI of the tracking server.")
    experiment: Text | None = Field(None, description="Name of the experiment. Absent: the name of the job.")
    run_name: Text | None = Field(None, description="Name of the run there. Absent: the id of the run.")
    tags: Mapping[Text, Text] = Field({}, description="Tags of the run there, besides those of ortbatch.")

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        return {"uri": value} if isinstance(value, str) else value


class TrackingSpec(Part):
    """An experiment tracker that hears of the run."""

    section: ClassVar[str] = "tracking"

    mlflow: MlflowSpec = Field(description="MLflow tracking server; its URI alone is the short form.")
