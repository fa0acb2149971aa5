"""How the values of an input are converted, and whether a number of the job fits it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ortbatch.data.columns import Cast
from ortbatch.data.inputs import TensorSpec
from ortbatch.errors import DataError
from ortbatch.job import InputSpec

_NUMERIC = {np.dtype(code).name for code in "?bhilqBHILQefd"}


def cast_of(spec: TensorSpec, given: InputSpec | None) -> Cast:
    """How columns become this input.

    Raises:
        DataError: if no column can, or its `null` does not fit.
    """
    if spec.dtype != "string" and spec.dtype not in _NUMERIC:
        raise DataError(
            f"input `{spec}` of the model is not numeric and not text; ortbatch feeds numbers, booleans and "
            "text: export"
            " the model with such an input."
        )
    if given is None:
        return Cast(spec.dtype)
    return Cast(spec.dtype, lossy=given.cast == "lossy", null=_null_of(spec, given))


def fitting(spec: TensorSpec, key: str, value: float) -> float:
    """A number of the job, if the input can hold it.

    Raises:
        DataError: naming the key, if it cannot.
    """
    if spec.dtype not in _NUMERIC or not _holds(np.dtype(spec.dtype), value):
        raise DataError(f"model.inputs.{spec.name}.{key}: {value:g} does not fit input `{spec}`; give one that does.")
    return value


def _null_of(spec: TensorSpec, given: InputSpec) -> float | int | bool | str | None:
    """What stands for null; `nan` and `inf` are kept as text in a job."""
    null = given.null
    if spec.dtype == "string":
        if null is not None and not isinstance(null, str):
            raise DataError(
                f"model.inputs.{spec.name}.null: {null!r} is not text; input `{spec}` takes text: put it in quotes."
            )
        return null
    if isinstance(null, str):
        if null not in ("nan", "inf", "-inf"):
            raise DataError(
                f"model.inputs.{spec.name}.null: {null!r} is not a number; input `{spec}` takes one: give a number."
            )
        null = float(null)
    if null is not None and not _holds(np.dtype(spec.dtype), null):
        raise DataError(f"model.inputs.{spec.name}.null: {null} does not fit input `{spec}`; give one that does.")
    return null


def _holds(dtype: np.dtype[Any], value: float | int | bool) -> bool:
    """Has a type this number, up to rounding of a fraction?"""
    if isinstance(value, float) and not math.isfinite(value):
        return dtype.kind == "f"
    if dtype.kind == "f":
        return abs(value) <= float(np.finfo(dtype).max)
    if dtype.kind == "b":
        return value in (0, 1)
    return value == int(value) and int(np.iinfo(dtype).min) <= value <= int(np.iinfo(dtype).max)
