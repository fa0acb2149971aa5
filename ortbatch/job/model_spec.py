"""The `model` of a job: which graph, how columns feed its inputs, what its output means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from ortbatch.job.part import TAG, Count, CountOrAuto, Function, Many, Part, Some, Text, short_forms
from ortbatch.job.wording import got

Scalar = bool | int | float | str


def _scalar(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"expected a number, text, true or false, got {got(value)}")


def _pad_to(value: object) -> object:
    if value in (None, "longest") or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError(f"expected a whole number of at least 1, or `longest`, got {got(value)}")


def _form_of_columns(value: object) -> str:
    return f"{TAG}file" if isinstance(value, str) else f"{TAG}list"


Columns = Annotated[
    Annotated[Text, Tag(f"{TAG}file")] | Annotated[Some[Text], Tag(f"{TAG}list")],
    Discriminator(_form_of_columns),
]


class InputSpec(Part):
    """What feeds one input of the model: `column`, `columns`, `mask_of` or `fill`.

    `null` is the value put in for nulls, None where a null is not replaced. A value that is not finite is kept as the
    text `nan`, `inf` or `-inf`.
    """

    section: ClassVar[str] = "model.inputs"
    model_config = ConfigDict(
        json_schema_extra=short_forms(
            {
                "type": "string",
                "minLength": 1,
                "description": "Short form of `column`; of `columns` if it holds a `*`.",
            },
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "Short form of `columns`."},
        )
    )

    column: Text | None = Field(None, description="One column: scalars bind to [N, 1], lists to the input's shape.")
    columns: Columns | None = Field(
        None, description="Columns side by side, [N, columns]; `*` stands for any characters; or a file of names."
    )
    null: Annotated[Scalar | None, BeforeValidator(_scalar)] = Field(
        None,
        description="Value that replaces nulls, such as 0 or `nan`. Absent: nulls of a float input become NaN, "
        "other nulls reject the row.",
    )
    cast: Literal["exact", "lossy"] = Field("exact", description="`lossy` allows casts that lose digits.")
    pad: float | None = Field(None, description="Value that fills ragged lists up.")
    pad_to: Annotated[Literal["longest"] | Count | None, BeforeValidator(_pad_to)] = Field(
        None, description="Length to pad to: `longest` of the batch, or a number."
    )
    max_length: Count | None = Field(None, description="Longest list allowed.")
    overflow: Literal["reject", "truncate"] | None = Field(None, description="What becomes of a longer list.")
    mask_of: Text | None = Field(None, description="Name of the input whose padding this one marks.")
    fill: float | None = Field(None, description="One value for the whole input.")

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"columns": [value]} if "*" in value else {"column": value}
        return {"columns": value} if isinstance(value, (list, tuple)) else value

    @model_validator(mode="after")
    def _one_source(self) -> InputSpec:
        sources = {"column": self.column, "columns": self.columns, "mask_of": self.mask_of, "fill": self.fill}
        given = [key for key, value in sources.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of {', '.join(sources)}, got {' and '.join(given) or 'none of them'}")
        return self


class TransformSpec(Part):
    """A function that turns columns into the model's inputs."""

    section: ClassVar[str] = "model.transform"

    function: Function = Field(description="`module:function` beside the job file.")
    columns: Some[Text] = Field(description="Columns that the function reads.")
    files: Many[Text] = Field((), description="Files beside the job file that it reads, such as a vocabulary.")


class OutputSpec(Part):
    """Which output of the model to read, and what it holds; what is absent is decided from the graph."""

    section: ClassVar[str] = "model.output"

    name: Text | None = Field(None, description="Output of the model. Absent: decided from the graph.")
    kind: Literal["logits", "probabilities", "label"] | None = Field(
        None, description="What the output holds. Absent: decided from the graph, and recorded as inferred."
    )


def _providers(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not name.endswith("ExecutionProvider"):
            raise ValueError(f"expected ONNX Runtime's names, such as CPUExecutionProvider, got {got(name)}")
    if len(set(names)) != len(names):
        raise ValueError(f"a provider stands twice in {', '.join(names)}")
    return names


class ModelSpec(Part):
    """The model; `inputs` is None where columns bind by default."""

    section: ClassVar[str] = "model"
    model_config = ConfigDict(
        json_schema_extra=short_forms({"type": "string", "minLength": 1, "description": "Short form of `path`."})
    )

    path: Text = Field(description="ONNX file, relative to the job file, or a URI; `models:/name@alias` of a registry.")
    providers: Annotated[Some[Text], AfterValidator(_providers)] = Field(
        ("CPUExecutionProvider",), description="Execution providers of ONNX Runtime, in order of preference."
    )
    inputs: Mapping[Text, InputSpec] | None = Field(
        None, description="Inputs of the model and the columns that feed them. Absent: bound by name or width."
    )
    transform: TransformSpec | None = Field(None, description="A function between columns and inputs.")
    output: OutputSpec = Field(OutputSpec(), description="Which output to read, and as what.")
    batch_size: CountOrAuto = Field("auto", description="Rows in one call of the model, or `auto`.")

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class StoredSpec(Part):
    """Predictions of an earlier run in place of a model: a labelled row has the scores that its id was given then.

    It answers what is asked of a model, so that nobody else need know of it.
    """

    section: ClassVar[str] = "model"

    scores: Text = Field(description="Predictions of an earlier run: their folder, relative to the job file, or a URI.")
    join: Text = Field(description="Column of ids, in the predictions and in the data: integers or text.")

    @property
    def path(self) -> str:
        """Where they lie."""
        return self.scores

    @property
    def providers(self) -> tuple[str, ...]:
        """None: nothing is run."""
        return ()

    @property
    def inputs(self) -> Mapping[Text, InputSpec] | None:
        """None: only ids are read."""
        return None

    @property
    def transform(self) -> TransformSpec | None:
        """None."""
        return None

    @property
    def output(self) -> OutputSpec:
        """What the predictions say."""
        return OutputSpec()

    @property
    def batch_size(self) -> int | Literal["auto"]:
        """Nothing depends on it."""
        return "auto"


def _form_of_model(value: object) -> str:
    stored = isinstance(value, Mapping) and "path" not in value and bool({"scores", "join"} & value.keys())
    return f"{TAG}stored" if stored or isinstance(value, StoredSpec) else f"{TAG}path"


Model = Annotated[
    Annotated[ModelSpec, Tag(f"{TAG}path")] | Annotated[StoredSpec, Tag(f"{TAG}stored")],
    Discriminator(_form_of_model),
]
