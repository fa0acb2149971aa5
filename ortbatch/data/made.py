"""Inputs that are padded, and those that are made beside them: masks, and inputs of one value."""

from __future__ import annotations

from collections.abc import Sequence

from ortbatch.data.casts import cast_of, fitting
from ortbatch.data.columns import Cast
from ortbatch.data.inputs import InputBinding, TensorSpec
from ortbatch.data.ragged import Padding
from ortbatch.errors import DataError
from ortbatch.job import InputSpec

_OF_PADDING = ("pad_to", "max_length", "overflow")


def needs_padding(spec: TensorSpec, given: InputSpec) -> bool:
    """Does the job pad this input?

    Raises:
        DataError: if it says how, but not with what.
    """
    if given.pad is None:
        for key in _OF_PADDING:
            if getattr(given, key) is not None:
                raise DataError(
                    f"model.inputs.{spec.name}.{key}: it needs `pad`, the value that fills lists up; give it."
                )
    return given.pad is not None


def padded(spec: TensorSpec, given: InputSpec, columns: tuple[str, ...], cast: Cast) -> InputBinding:
    """Bind one column of ragged lists.

    Raises:
        DataError: if the input takes no lists of any length, or the numbers of the job contradict it.
    """
    where = f"model.inputs.{spec.name}"
    if len(columns) != 1 or len(spec.shape) != 2:
        raise DataError(
            f"{where}.pad: it fills up the lists of one column for an input of two dimensions; got "
            f"{len(columns)} column(s) for input `{spec}`. Take `pad` out, or name one."
        )
    if given.overflow is not None and given.max_length is None and given.pad_to in (None, "longest"):
        raise DataError(
            f"{where}.overflow: no list is too long without `max_length` or a number in `pad_to`; give one, or "
            "take it out."
        )
    asked, declared = given.pad_to, spec.shape[1]
    if declared is not None and asked not in (None, declared):
        raise DataError(f"{where}.pad_to: {asked} does not fit input `{spec}`; expected {declared}.")
    length = declared if declared is not None else asked if isinstance(asked, int) else None
    limits = [limit for limit in (length, given.max_length) if limit is not None]
    value = fitting(spec, "pad", given.pad or 0)
    padding = Padding(value, length, min(limits, default=None), given.overflow == "truncate")
    return InputBinding(spec.name, columns, (length or 0,), cast, False, "job", padding=padding)


def bind_made(spec: TensorSpec, given: InputSpec, bound: Sequence[InputBinding]) -> InputBinding:
    """Bind an input that no column feeds: a mask, or one value throughout.

    Raises:
        DataError: if there is no padded input to take the shape of, or the value does not fit.
    """
    for key in ("pad", *_OF_PADDING, "null"):
        if getattr(given, key) is not None:
            raise DataError(
                f"model.inputs.{spec.name}.{key}: it has no meaning beside `mask_of` or `fill`; take it out."
            )
    ragged = {binding.name: binding for binding in bound if binding.padding is not None}
    if given.mask_of is not None:
        return _mask(spec, given.mask_of, ragged)
    cast, value = cast_of(spec, None), fitting(spec, "fill", given.fill or 0)
    dims = tuple(dim for dim in spec.shape[1:] if dim is not None)
    if spec.shape and len(dims) == len(spec.shape) - 1:
        return InputBinding(spec.name, (), dims, cast, False, "job", fill=value)
    if len(spec.shape) != 2 or len(ragged) != 1:
        raise DataError(
            f"model.inputs.{spec.name}.fill: the shape of input `{spec}` is open, and takes exactly one padded input "
            f"beside it to be filled; got {', '.join(ragged) or 'none'}. Export the model with a shape for it."
        )
    (like,) = ragged.values()
    return InputBinding(spec.name, (), like.row_shape, cast, False, "job", like=like.name, fill=value)


def _mask(spec: TensorSpec, of: str, ragged: dict[str, InputBinding]) -> InputBinding:
    if of not in ragged:
        raise DataError(
            f"model.inputs.{spec.name}.mask_of: `{of}` is no padded input; padded are: "
            f"{', '.join(ragged) or 'none'}. Name one."
        )
    like = ragged[of]
    cast = cast_of(spec, None)
    declared = spec.shape[1] if len(spec.shape) == 2 else -1
    if cast.dtype == "string" or declared not in (None, *like.row_shape):
        raise DataError(f"model.inputs.{spec.name}.mask_of: input `{spec}` is no mask of `{of}`, which has one length.")
    return InputBinding(spec.name, (), like.row_shape, cast, False, "job", like=of)
