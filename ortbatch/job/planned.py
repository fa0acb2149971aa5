"""Sections of the job file beside model, data, gates and tracking: slices, baselines, checks and predictions."""

from __future__ import annotations

import re
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


Kind = Literal["logits", "probabilities", "label"]


class OnnxBaseline(ModelSpec):
    """Another ONNX model; all keys of `model`, but for the batch size, which is the model's."""

    section: ClassVar[str] = "baselines"

    @model_validator(mode="after")
    def _in_the_models_batches(self) -> OnnxBaseline:
        if self.batch_size != "auto":
            raise ValueError(f"a baseline runs in the batches of the model; take `batch_size: {self.batch_size}` out")
        return self


class TorchBaseline(Part):
    """A PyTorch model: an exported file, or a factory with its weights. It is fed what the model is fed."""

    section: ClassVar[str] = "baselines"

    torch: Text = Field(description="torch.export file (`.pt2`), or `module:factory` beside the job file.")
    weights: Text | None = Field(None, description="Weights for the factory: `.safetensors`, or a state dict.")
    kind: Kind | None = Field(None, description="What it puts out. Absent: decided from the first rows.")

    @model_validator(mode="after")
    def _weights_of_a_factory(self) -> TorchBaseline:
        if (self.factory is None) != (self.weights is None):
            raise ValueError(
                f"expected a torch.export file, or `module:factory` with `weights`, got `torch: {self.torch}` "
                f"{'with' if self.weights else 'without'} `weights`"
            )
        return self

    @property
    def factory(self) -> str | None:
        """`module:name`; None of an exported file."""
        return self.torch if re.fullmatch(r"[^\W\d]\w*:[^\W\d]\w*", self.torch) else None


class FunctionBaseline(Part):
    """A function that predicts a batch of columns: an Arrow RecordBatch in, labels or scores out."""

    section: ClassVar[str] = "baselines"

    function: Function = Field(description="`module:function` that predicts a batch.")
    columns: Many[Text] | None = Field(None, description="Columns that it reads. Absent: those that feed the model.")
    files: Many[Text] = Field((), description="Files beside the job file that it reads, such as a saved model.")
    kind: Kind | None = Field(None, description="What it returns. Absent: decided from the first rows.")


class ScoresBaseline(Part):
    """Scores or predictions that stand in the data."""

    section: ClassVar[str] = "baselines"

    scores: Text = Field(
        description="Column: of the positive class's scores, of lists with a score a class, or of labels."
    )
    kind: Kind | None = Field(None, description="What it holds. Absent: decided from the first rows.")


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
    Annotated[OnnxBaseline, Tag(f"{TAG}model")]
    | Annotated[TorchBaseline, Tag(f"{TAG}torch")]
    | Annotated[FunctionBaseline, Tag(f"{TAG}function")]
    | Annotated[ScoresBaseline, Tag(f"{TAG}scores")]
    | Annotated[RunBaseline, Tag(f"{TAG}run")],
    Discriminator(_kind),
]


def _count_or_all(value: object) -> object:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError(f"expected a whole number of at least 1, or `all`, got {got(value)}")


class OverfittingSpec(Part):
    """Which training rows are evaluated too; `true` stands for the defaults."""

    section: ClassVar[str] = "checks.overfitting"
    model_config = ConfigDict(
        json_schema_extra=short_forms({"type": "boolean", "description": "Short form: by default, or not at all."})
    )

    rows: Annotated[Count | Literal["all"], BeforeValidator(_count_or_all)] = Field(
        100_000, description="Rows that are drawn from the training data, or `all`."
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Seed of the draw.")

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        return {} if value is True else value


def _none_for_false(value: object) -> object:
    return None if value is False else value


class ChecksSpec(Part):
    """Checks against the training data."""

    section: ClassVar[str] = "checks"

    training_data: OneOrMany = Field(description="Parquet files the model was trained on.")
    leakage: bool = Field(True, description="Look for evaluation rows that stand in the training data.")
    overfitting: Annotated[OverfittingSpec | None, BeforeValidator(_none_for_false)] = Field(
        OverfittingSpec(), description="Evaluate training rows too, and tell the gap."
    )

    @model_validator(mode="after")
    def _asks_for_something(self) -> ChecksSpec:
        if not self.leakage and self.overfitting is None:
            raise ValueError("asks for neither `leakage` nor `overfitting`; take the section out")
        return self


class PredictionsSpec(Part):
    """Writing predictions beside the report."""

    section: ClassVar[str] = "predictions"

    path: Text | None = Field(
        None, description="Folder, relative to the job file, or a URI. Absent: `predictions` in the run folder."
    )
    columns: Many[Text] = Field((), description="Columns of the data to keep beside the prediction.")
    top_k: Count = Field(1, description="How many classes of each row.")
    scores: bool = Field(False, description="Keep what the model put out for each class, as it came.")
