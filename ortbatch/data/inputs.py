"""The inputs of a model as the graph declares them, and what feeds each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from ortbatch.data.columns import Cast
from ortbatch.data.ragged import Padding


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model.

    Args:
        name: its name.
        dtype: NumPy name of its elements, `float32`; `sequence(map)` and the like where it is no tensor.
        shape: its dimensions, None where the graph leaves one open; the first is the batch.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        dims = ", ".join("?" if dim is None else str(dim) for dim in self.shape)
        return f"{self.name}: {self.dtype}[{dims}]"


@dataclass(frozen=True)
class InputBinding:
    """One input of the model and the columns that feed it.

    Args:
        name: the input.
        columns: its columns, in order; exactly one when `is_list`.
        row_shape: shape of one row, without the batch dimension; (0,) where each batch has a length of its own.
        cast: how values are converted.
        is_list: does one list column hold the whole row?
        how: `job` (the job says so), `name` (same name) or `order` (numeric columns in file order).
        padding: how its ragged lists are made equally long; None if they are so already.
        like: the padded input whose shape it takes: a mask, or beside a `fill`; it has no columns then.
        fill: the one value of the whole input, which has no columns.
        by_columns: is it fed as [columns, rows], to a model that was made to take it so?
    """

    name: str
    columns: tuple[str, ...]
    row_shape: tuple[int, ...]
    cast: Cast
    is_list: bool
    how: str
    padding: Padding | None = None
    like: str | None = None
    fill: float | None = None
    by_columns: bool = False

    @property
    def width(self) -> int:
        """Values of one row; 0 where each batch has a length of its own."""
        return math.prod(self.row_shape)


def described(specs: Sequence[TensorSpec]) -> str:
    """Inputs as a message lists them."""
    return ", ".join(f"`{spec}`" for spec in specs)


def described_columns(schema: pa.Schema) -> str:
    """Columns as a message lists them, 20 at most."""
    shown = [f"{field.name} ({field.type})" for field in schema][:20]
    return ", ".join(shown) + (f", … ({len(schema)} in all)" if len(schema) > 20 else "")
