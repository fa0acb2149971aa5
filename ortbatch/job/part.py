"""What all parts of a job have in common: strict types, no unknown key, no change after loading."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ortbatch.job.wording import got

T = TypeVar("T")

TAG = "\0"
"""What tags of unions begin with; no key of a job can, so that a path of keys is told from them."""


class Part(BaseModel):
    """A mapping of the job file with fixed keys."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    section: ClassVar[str] = ""
    """Dotted key of this part in a job file, without names and indexes."""


def as_tuple(value: object) -> object:
    """A list as the tuple that a frozen part holds; other values are left to the type to refuse."""
    return tuple(value) if isinstance(value, list) else value


def _as_many(value: object) -> object:
    return (value,) if isinstance(value, str) else as_tuple(value)


def _count_or_auto(value: object) -> object:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError(f"expected a whole number of at least 1, or `auto`, got {got(value)}")


def _seconds_or_auto(value: object) -> object:
    if value == "auto" or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError(f"expected a number of seconds above 0, or `auto`, got {got(value)}")


def _function(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", text):
        raise ValueError(f"expected `module:function`, got {got(text)}")
    return text


def short_forms(*forms: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """A change to the JSON Schema of a part that also takes one of `forms` in place of its mapping."""

    def widen(schema: dict[str, Any]) -> None:
        mapping = dict(schema)
        schema.clear()
        schema["anyOf"] = [*forms, mapping]

    return widen


Text = Annotated[str, Field(min_length=1)]
"""Text that is not empty."""

Many = Annotated[tuple[T, ...], BeforeValidator(as_tuple)]
"""A list."""

Some = Annotated[tuple[T, ...], Field(min_length=1), BeforeValidator(as_tuple)]
"""A list of at least one."""

OneOrMany = Annotated[
    tuple[Text, ...],
    Field(min_length=1),
    BeforeValidator(_as_many, json_schema_input_type=Text | Annotated[list[Text], Field(min_length=1)]),
]
"""A text, or a list of at least one."""

Count = Annotated[int, Field(ge=1)]

CountOrAuto = Annotated[Count | Literal["auto"], BeforeValidator(_count_or_auto)]

SecondsOrAuto = Annotated[Annotated[float, Field(gt=0)] | Literal["auto"], BeforeValidator(_seconds_or_auto)]

Function = Annotated[str, AfterValidator(_function)]
"""A function of a module beside the job file, `module:function`."""
