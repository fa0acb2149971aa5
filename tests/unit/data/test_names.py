"""Columns of an input by pattern or by a file of names."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from ortbatch.data.binding import TensorSpec, bind_inputs
from ortbatch.errors import DataError
from ortbatch.job import InputSpec

SCHEMA = pa.schema([(name, pa.float32()) for name in ("f2", "amount", "f1", "fraud", "g.1")])


def columns(value: Any, width: int, names: list[str] | None = None) -> tuple[str, ...]:
    given = {"x": InputSpec.model_validate(value)}
    options = () if names is None else (lambda path: names,)
    (binding,) = bind_inputs([TensorSpec("x", "float32", (None, width))], SCHEMA, given, "fraud", *options)
    return binding.columns


def test_a_pattern_takes_its_matches_in_file_order_and_never_the_label() -> None:
    assert columns("f*", 2) == ("f2", "f1")


def test_a_pattern_does_not_take_a_column_twice() -> None:
    assert columns(["f1", "f*", "*"], 4) == ("f1", "f2", "amount", "g.1")


def test_only_the_star_of_a_pattern_is_special() -> None:
    assert columns("g.*", 1) == ("g.1",)


def test_a_pattern_without_a_match_is_refused_with_the_columns() -> None:
    with pytest.raises(DataError, match=r"model.inputs.x.columns: no column matches `q\*`. Columns: f2 \(float\)"):
        columns("q*", 1)


def test_a_file_of_names_gives_its_lines_in_order() -> None:
    assert columns({"columns": "names.txt"}, 2, ["f1\n", "", " amount "]) == ("f1", "amount")


def test_a_name_of_a_file_that_the_data_lack_is_refused() -> None:
    with pytest.raises(DataError, match="names column `q`"):
        columns({"columns": "names.txt"}, 1, ["q"])


def test_an_empty_file_of_names_is_refused() -> None:
    with pytest.raises(DataError, match=r"names.txt is empty"):
        columns({"columns": "names.txt"}, 1, [""])


def test_a_file_of_names_is_refused_where_nothing_reads_it() -> None:
    with pytest.raises(DataError, match=r"names.txt cannot be read here"):
        columns({"columns": "names.txt"}, 1)
