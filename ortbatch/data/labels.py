"""From a label column to class indices, in the order of the model's output.

Integers match class names by decimal form if every class name is an integer, else they index the classes; booleans are
`false` and `true`; strings match by name. What matches nothing is marked, never guessed: there is no negative index.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ortbatch.data.columns import family, to_numpy
from ortbatch.data.lists import is_list
from ortbatch.errors import DataError

NULL_LABEL = "null_label"
UNKNOWN_LABEL = "unknown_label"
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True)
class Labels:
    """How the label column is read.

    Args:
        column: its name.
        classes: C names, in output order.
        by: `name`: a label is a class's name; `index`: it is a class's number, from 0.
    """

    column: str
    classes: tuple[str, ...]
    by: str

    def take(self, column: pa.ChunkedArray) -> tuple[NDArray[np.int64], dict[str, NDArray[np.bool_]]]:
        """Class indices int64[N] (0 where a label is bad), and bad rows by reason."""
        array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        if pa.types.is_dictionary(array.type):
            # A null may hide in the dictionary as well as in the indices.
            array = array.dictionary_decode()
        if (plain := self._plain(array)) is not None:
            return plain, {}
        null = to_numpy(array.is_null(nan_is_null=True))
        index, known = self._text(array) if _is_text(array.type) else self._number(array, null)
        unknown = ~known & ~null
        bad = {reason: mask for reason, mask in ((NULL_LABEL, null), (UNKNOWN_LABEL, unknown)) if mask.any()}
        return np.where(known & ~null, index, 0), bad

    def _plain(self, array: pa.Array) -> NDArray[np.int64] | None:
        """Integers that are all indices of classes, as they mostly are; None where the long way must be gone."""
        if not pa.types.is_integer(array.type) or array.null_count or not (self.by == "index" or self._counted):
            return None
        values = to_numpy(array)
        if not values.size or (values.min() >= 0 and values.max() < len(self.classes)):
            return values.astype(np.int64, copy=False)
        return None

    @cached_property
    def _counted(self) -> bool:
        """Are the classes called 0, 1, ...?"""
        return all(name == str(place) for place, name in enumerate(self.classes))

    def _text(self, array: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        found = pc.index_in(array.cast(pa.large_string()), value_set=pa.array(self.classes, pa.large_string()))
        index = to_numpy(pc.fill_null(found, -1)).astype(np.int64)
        return index, index >= 0

    def _number(self, array: pa.Array, null: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        values, whole = _integers(array, null)
        if self.by == "index":
            return values, whole & (values >= 0) & (values < len(self.classes))
        if pa.types.is_boolean(array.type):
            names = np.array([{"false": 0, "true": 1}[name] for name in self.classes])
        else:
            names = np.array([int(name) for name in self.classes])
        order = np.argsort(names)
        place = np.minimum(np.searchsorted(names, values, sorter=order), names.size - 1)
        index = order[place]
        return index.astype(np.int64), whole & (names[index] == values)


def check_label_type(field: pa.Field) -> None:
    """Refuse a column that holds no label of a binary or multiclass task; raises DataError naming the task it holds."""
    kind, column = field.type, field.name
    if is_list(kind):
        raise DataError(
            f"label column `{column}` is a {kind}: this is a multilabel task; ortbatch evaluates binary and multiclass "
            "labels. Name a column with one label a row."
        )
    if not _is_text(kind) and family(kind) is None:
        raise DataError(
            f"label column `{column}` is a {kind}; expected integers, booleans or strings. Cast it when you write the "
            "Parquet, or name another column in `data.label`."
        )


def bind_labels(field: pa.Field, classes: Sequence[str] | None, label_is: str | None, outputs: int | None) -> Labels:
    """Decide how a label column is read.

    Args:
        field: the column.
        classes: names given by the job, in output order.
        label_is: `name`, `index` or None for the default.
        outputs: number of classes that the model scores; None if its graph does not say.

    Raises:
        DataError: if the column is no label of a binary or multiclass task, or needs `data.classes`.
    """
    check_label_type(field)
    kind, column = field.type, field.name
    names = tuple(classes) if classes is not None else _default_classes(field, outputs)
    return Labels(column, names, label_is or _default_by(kind, names, given=classes is not None))


def _default_classes(field: pa.Field, outputs: int | None) -> tuple[str, ...]:
    if _is_text(field.type):
        raise DataError(
            f"label column `{field.name}` holds strings, and the model does not name its outputs: which output is "
            "which class? List them in output order in `data.classes`."
        )
    if outputs is None:
        raise DataError("the model's graph does not say how many classes it scores; list them in `data.classes`.")
    if pa.types.is_boolean(field.type):
        if outputs != 2:
            raise DataError(
                f"label column `{field.name}` is boolean, the model scores {outputs} classes; expected 2 of both."
            )
        return ("false", "true")
    return tuple(str(index) for index in range(outputs))


def _default_by(kind: pa.DataType, names: Sequence[str], *, given: bool) -> str:
    if _is_text(kind) or pa.types.is_boolean(kind):
        return "name"
    return "name" if not given or all(is_integer_name(name) for name in names) else "index"


def is_integer_name(name: str) -> bool:
    """Is a class name the decimal form of an int64?"""
    return bool(_INTEGER.fullmatch(name)) and _INT64.min <= int(name) <= _INT64.max


def check_label_names(labels: Labels, kind: pa.DataType) -> None:
    """Refuse a way of reading that no label of this type can satisfy.

    Raises:
        DataError: naming column, type and classes.
    """
    if labels.by == "index" and _is_text(kind):
        raise DataError(
            f"label column `{labels.column}` holds strings; `data.label_is: index` needs integers. Take it out."
        )
    if labels.by == "name" and pa.types.is_boolean(kind) and set(labels.classes) != {"false", "true"}:
        raise DataError(
            f"label column `{labels.column}` is boolean and `data.classes` are {', '.join(labels.classes)}: say "
            "`data.label_is: index` if false is the first and true the second of them, or name the classes `false` and "
            "`true`."
        )
    if labels.by == "name" and family(kind) in ("int", "float"):
        wrong = next((name for name in labels.classes if not is_integer_name(name)), None)
        if wrong is not None:
            raise DataError(
                f"label column `{labels.column}` holds numbers, and class `{wrong}` is none: say `data.label_is: "
                "index` if the numbers are places in `data.classes`."
            )


def label_family(kind: pa.DataType) -> str:
    """`text`, `bool` or `number`: labels of one family read alike."""
    if _is_text(kind):
        return "text"
    return "bool" if pa.types.is_boolean(kind) else "number" if family(kind) else str(kind)


def fractional(column: pa.ChunkedArray) -> Any | None:
    """A label that is not a whole number, if there is one: the sign of a regression task."""
    if not pa.types.is_floating(column.type):
        return None
    values = column.to_numpy()
    finite = values[np.isfinite(values)]
    broken = finite[finite != np.floor(finite)]
    return float(broken[0]) if broken.size else None


def _is_text(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value))


def _integers(array: pa.Array, null: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Labels as int64, and where they are whole numbers that int64 holds."""
    if pa.types.is_boolean(array.type):
        values = to_numpy(pc.fill_null(array, False))
        return values.astype(np.int64), np.ones(values.size, np.bool_)
    raw = to_numpy(pc.fill_null(array, pa.scalar(0).cast(array.type)))
    if raw.dtype.kind == "f":
        raw = np.where(null, 0, raw).astype(np.float64)
        whole = (raw == np.floor(raw)) & (np.abs(raw) < 2.0**63)
        return np.where(whole, raw, 0).astype(np.int64), whole
    fits = raw <= _INT64.max if raw.dtype == np.uint64 else np.ones(raw.size, np.bool_)
    return np.where(fits, raw, 0).astype(np.int64), fits
