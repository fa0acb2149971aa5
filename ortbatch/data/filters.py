"""The job's filter: which rows are looked at. Rows that it leaves out are counted, not lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ortbatch.errors import DataError

Term = tuple[str, str, Any]

_COMPARE: dict[str, Callable[[pa.ChunkedArray, pa.Scalar], pa.ChunkedArray]] = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def matching(table: pa.Table, terms: Sequence[Term]) -> NDArray[np.bool_]:
    """Rows that meet every term; bool[N]. A null meets none, as in SQL."""
    keep = np.ones(table.num_rows, np.bool_)
    for column, operator, value in terms:
        met = _met(table.column(column), operator, value)
        keep &= pc.fill_null(met, False).to_numpy().astype(np.bool_)
    return keep


def check_terms(schema: pa.Schema, terms: Sequence[Term], where: str) -> None:
    """Refuse terms that a file cannot answer.

    Raises:
        DataError: naming file, column and types.
    """
    for column, operator, value in terms:
        if len(schema.get_all_field_indices(column)) != 1:
            raise DataError(f"{where}: data.filter names column `{column}`; columns: {', '.join(schema.names[:20])}.")
        kind = schema.field(column).type
        try:
            _met(pa.chunked_array([], kind), operator, value)
        except (pa.ArrowException, TypeError) as error:
            raise DataError(
                f"{where}: data.filter [{column}, {operator}, {value!r}]: column `{column}` holds {kind}, which "
                f"cannot be compared with that: {error}. Give a value of the column's type."
            ) from None


def _met(column: pa.ChunkedArray, operator: str, value: Any) -> pa.ChunkedArray:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    column = column.cast(kind)
    if operator in ("in", "not in"):
        found = pc.is_in(column, value_set=pa.array(list(value)).cast(kind))
        if operator == "in":
            return found
        # A null is in no list and outside none.
        return pc.if_else(column.is_valid(), pc.invert(found), None)
    return _COMPARE[operator](column, pa.scalar(value).cast(kind))
