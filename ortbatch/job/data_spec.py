"""The `data` of a job: which Parquet files, which column is the label, what its classes are."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from ortbatch.job.classes import class_name, distinct
from ortbatch.job.part import Count, OneOrMany, Part, Text
from ortbatch.job.wording import did_you_mean, got, shortened

_Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
_OPERATORS = get_args(_Operator)
_Term = tuple[Text, _Operator, bool | int | float | str | list[bool | int | float | str]]

ClassName = Annotated[str, BeforeValidator(class_name, json_schema_input_type=Text | int | bool)]
"""A class; any scalar of YAML that has one text."""

_ClassList = Annotated[list[ClassName], Field(min_length=2, json_schema_extra={"uniqueItems": True})]


def _classes_input(value: object) -> object:
    if isinstance(value, str):
        raise ValueError("expected a list of classes; the path of a file is read only when a job is loaded")
    return tuple(value) if isinstance(value, list) else value


def _bad_rows(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,12})?%", value) and Decimal(value[:-1]) <= 100:
        return value
    raise ValueError(f'expected a whole number of at least 0, or a percentage such as "0.1%", got {got(value)}')


def _filter(value: object) -> object:
    """Terms `[column, operator, value]`, all of which must hold."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"expected a list of terms [column, operator, value], got {got(value)}")
    return tuple(_term(term, f"term {index} (counted from 0)") for index, term in enumerate(value))


def _term(term: object, where: str) -> tuple[str, str, Any]:
    if not isinstance(term, (list, tuple)) or len(term) != 3 or not isinstance(term[0], str):
        raise ValueError(f"{where}: expected [column, operator, value], got {got(term)}")
    column, operator, operand = term
    if operator not in _OPERATORS:
        raise ValueError(f"{where}: expected one of {', '.join(_OPERATORS)}, got {got(operator)}")
    many = isinstance(operand, (list, tuple))
    if many != (operator in ("in", "not in")):
        raise ValueError(f"{where}: `{operator}` takes {'one value' if many else 'a list'}, got {got(operand)}")
    for part in operand if many else [operand]:
        if not isinstance(part, (bool, int, float, str)):
            raise ValueError(f"{where}: expected text, a number, true or false, got {got(part)}")
    return column, operator, tuple(operand) if many else operand


class SampleSpec(Part):
    """Only some rows of the data, drawn with a seed."""

    section: ClassVar[str] = "data.sample"

    rows: Count = Field(description="How many rows.")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Seed of the draw.")


class ExpectSpec(Part):
    """What must be there, so that missing files are noticed."""

    section: ClassVar[str] = "data.expect"

    rows: Count | None = Field(None, description="Exact number of rows in all files.")
    files: Count | None = Field(None, description="Exact number of files.")


class DataSpec(Part):
    """The labelled rows. `classes` and `positive` are texts, however they were written."""

    section: ClassVar[str] = "data"

    path: OneOrMany = Field(description="File, folder or glob of Parquet files, local or a URI; or a list of them.")
    label: Text = Field(description="Column that holds the true class.")
    classes: (
        Annotated[
            tuple[ClassName, ...],
            AfterValidator(distinct),
            BeforeValidator(_classes_input, json_schema_input_type=Text | _ClassList),
        ]
        | None
    ) = Field(
        None,
        description="Classes in output order: a list, a file with one per line, or a config.json with id2label.",
    )
    label_is: Literal["name", "index"] | None = Field(
        None, description="Whether labels are names of classes or output indexes. Absent: decided from the labels."
    )
    positive: ClassName | None = Field(None, description="The positive class of a binary model.")
    filter: (
        Annotated[tuple[tuple[str, str, Any], ...], BeforeValidator(_filter, json_schema_input_type=list[_Term])] | None
    ) = Field(None, description="Terms [column, operator, value] that a row must meet.")
    sample: SampleSpec | None = Field(None, description="Evaluate only some rows.")
    unlabelled: Literal["reject", "score"] = Field(
        "reject", description="What becomes of rows without label: rejected rows are bad rows."
    )
    max_bad_rows: Annotated[
        Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,12})?%$")],
        BeforeValidator(_bad_rows),
    ] = Field(0, description='Most rejected rows before the run is incomplete: a number, or a share such as "0.1%".')
    expect: ExpectSpec = Field(ExpectSpec(), description="Guards against files that are missing altogether.")

    @field_validator("positive", mode="after")
    @classmethod
    def _one_of_two(cls, positive: str | None, info: ValidationInfo) -> str | None:
        classes = info.data.get("classes")
        if positive is None or classes is None:
            return positive
        if positive not in classes:
            named = shortened(", ".join(classes))
            raise ValueError(f"{got(positive)} is none of the classes {named}{did_you_mean(positive, classes)}")
        if len(classes) != 2:
            raise ValueError(f"a positive class needs exactly 2 classes, got {len(classes)}; take `positive` out")
        return positive

    def bad_rows_allowed(self, rows: int) -> int:
        """The largest number of rejected rows that `max_bad_rows` allows out of `rows`; a share is rounded down."""
        if isinstance(self.max_bad_rows, int):
            return self.max_bad_rows
        return int(Decimal(self.max_bad_rows[:-1]) * rows / 100)
