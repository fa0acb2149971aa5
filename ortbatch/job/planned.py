"""Sections of the job file beside model, data and gates; of those whose features come later the shape is checked."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from ortbatch.job.model_spec import ModelSpec
from ortbatch.job.part import TAG, Count, Function, Many, OneOrMany, Part, Text, as_tuple, short_forms
from ortbatch.job.wording import got

_EDGES_AT_LEAST = 2


def _increasing(edges: tuple[float, ...]) -> tuple[float, ...]:
    # Not by the type: pydantic also calls a list too short that holds a value of another type.
    if len(edges) < _EDGES_AT_LEAST:
        raise ValueError(f"expected a list of at least {_EDGES_AT_LEAST}, got {got(edges)}")
    if any(low >= high for low, high in pairwise(edges)):
        raise ValueError("expected edges that increase, such as [0, 10, 100]")
    return edges


class SliceSpec(Part):
    """One way to cut the rows: by the values of columns together, or by bins of one column."""

    section: ClassVar[str] = "slices"
    model_config = ConfigDict(
        json_schema_extra=short_forms(
            {"type": "string", "minLength": 1, "description": "Short form of one column."},
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "Several columns together."},
        )
    )

    column: OneOrMany = Field(description="Column whose values cut the rows, or several together.")
    bins: (
        Annotated[
            tuple[float, ...],
            Field(json_schema_extra={"minItems": _EDGES_AT_LEAST}),
            AfterValidator(_increasing),
            BeforeValidator(as_tuple),
        ]
        | None
    ) = Field(None, description="Edges of bins of a number column, increasing.")

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, (str, list, tuple)) else value

    @model_validator(mode="after")
    def _one_column_of_bins(self) -> SliceSpec:
        if len(set(self.column)) < len(self.column):
            raise ValueError(f"names a column twice: {', '.join(self.column)}")
        if self.bins is not None and len(self.column) > 1:
            raise ValueError(f"`bins` cut one column, got {len(self.column)}: {', '.join(self.column)}")
        return self


class TorchBaseline(Part):
    """A PyTorch model: an exported file, or a factory with its weights."""

    section: ClassVar[str] = "baselines"

    torch: Text = Field(description="torch.export file, or `module:factory`.")
    weights: Text | None = Field(None, description="Weights for the factory.")


class FunctionBaseline(Part):
    """A function that predicts a batch of columns."""

    section: ClassVar[str] = "baselines"

    function: Function = Field(description="`module:function` that predicts a batch.")
    columns: Many[Text] | None = Field(None, description="Columns that the function reads.")


class ScoresBaseline(Part):
    """Scores that stand in the data."""

    section: ClassVar[str] = "baselines"

    scores: Text = Field(description="Column of stored scores.")


class RunBaseline(Part):
    """An earlier run of this or another job: a fixed one, or the newest of several."""

    section: ClassVar[str] = "baselines"

    run: Text = Field(description="Run folder, or a glob of run folders.")
    pick: Literal["latest_passed", "latest"] = Field("latest_passed", description="Which run of several.")
    if_missing: Literal["pass", "fail"] = Field("fail", description="No such run: its gates pass, or nothing is run.")


_KINDS = {"torch": TorchBaseline, "function": FunctionBaseline, "scores": ScoresBaseline, "run": RunBaseline}


def _kind(value: object) -> str:
    """The tag of the baseline's form: by its own key, else all keys of `model`."""
    for key, form in _KINDS.items():
        if isinstance(value, form) or (isinstance(value, Mapping) and key in value):
            return f"{TAG}{key}"
    return f"{TAG}model"


Baseline = Annotated[
    Annotated[ModelSpec, Tag(f"{TAG}model")]
    | Annotated[TorchBaseline, Tag(f"{TAG}torch")]
    | Annotated[FunctionBaseline, Tag(f"{TAG}function")]
    | Annotated[ScoresBaseline, Tag(f"{TAG}scores")]
    | Annotated[RunBaseline, Tag(f"{TAG}run")],
    Discriminator(_kind),
]


class ChecksSpec(Part):
    """Checks against the training data."""

    section: ClassVar[str] = "checks"

    training_data: OneOrMany = Field(description="Parquet files the model was trained on.")


class PredictionsSpec(Part):
    """Writing predictions beside the report."""

    section: ClassVar[str] = "predictions"

    columns: Many[Text] = Field((), description="Columns of the data to keep beside the prediction.")
    top_k: Count = Field(1, description="How many classes of each row.")


class TrackingSpec(Part):
    """An experiment tracker that hears of the run."""

    section: ClassVar[str] = "tracking"

    mlflow: Text = Field(description="URI of an MLflow tracking server.")
    experiment: Text | None = Field(None, description="Name of the experiment. Absent: the name of the job.")
