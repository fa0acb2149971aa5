"""The labels that a model puts out itself, held against the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ortbatch.data.labels import is_integer_name
from ortbatch.errors import ModelError


def label_places(names: Sequence[str], values: NDArray[Any], *, by_place: bool = False) -> NDArray[np.int64]:
    """Class indices of labels that a model puts out, int64[N]; -1 for a label that is no class.

    A label is a class's name; a number is a place in classes that are no numbers, or if `by_place`.
    """
    if values.dtype.kind in "OUS":
        index = {name: place for place, name in enumerate(names)}
        return np.array([index.get(str(value), -1) for value in values], np.int64)
    by_name = not by_place and all(is_integer_name(name) for name in names)
    numbers = np.array([int(name) if by_name else place for place, name in enumerate(names)])
    order = np.argsort(numbers)
    place = order[np.minimum(np.searchsorted(numbers, values, sorter=order), numbers.size - 1)]
    return np.where(numbers[place] == values, place, -1).astype(np.int64)


def settle_by_place(names: Sequence[str], values: NDArray[Any], *, given: bool) -> bool:
    """Are a model's own labels places in the classes, though the classes are numbers?

    Args:
        names: the classes.
        values: own labels of some rows.
        given: does the job or the graph name the classes, or are they 0, 1, ... for want of names?

    Raises:
        ModelError: if the classes are such defaults, and a label of the model is none of them: its columns then stand
            for other classes than their places say.
    """
    unknown = label_places(names, values) < 0
    if not unknown.any():
        return False
    if not given:
        seen, classes = ", ".join(str(value) for value in np.unique(values)[:5]), ", ".join(names[:10])
        raise ModelError(
            f"the model's own label output holds {seen}, the classes are {classes} for want of names: say in "
            "`data.classes` which class each score stands for, in output order."
        )
    return bool(unknown.all() and (label_places(names, values, by_place=True) >= 0).all())
