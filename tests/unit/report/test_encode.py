"""report.json is strict JSON that people can read and diff."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortbatch.metrics.estimate import Estimate
from ortbatch.report.encode import encode, plain
from tests.unit.report.made import binary, label_tally, multiclass, report

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True, database=None)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=20
)


@SETTINGS
@given(VALUES)
def test_what_is_encoded_is_read_back(value: object) -> None:
    assert json.loads(encode(value)) == value


@SETTINGS
@given(VALUES)
def test_the_text_is_utf8_without_ascii_escapes(value: object) -> None:
    assert encode(value).encode().decode() == encode(value)


def test_half_a_surrogate_pair_is_escaped_as_no_file_could_hold_it() -> None:
    text = encode({"vars": {"\udcff": "a\udcffb"}})
    assert json.loads(text.encode()) == {"vars": {"\udcff": "a\udcffb"}}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("wrap", [lambda n: n, lambda n: [n], lambda n: {"value": n, "ci": None}])
def test_numbers_that_json_lacks_are_refused(number: float, wrap: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(wrap(number))


def estimates(value: object) -> Iterator[object]:
    if isinstance(value, dict) and {"value", "ci"} <= value.keys():
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from estimates(item)


@pytest.mark.parametrize("made", [binary("accuracy >= 0.5"), multiclass()], ids=["binary", "multiclass"])
def test_every_estimate_stands_on_one_line(made: dict[str, Any]) -> None:
    lines = [line.strip().rstrip(",") for line in encode(made).splitlines()]
    for estimate in estimates(made):
        assert any(line.endswith(json.dumps(estimate, ensure_ascii=False)) for line in lines)


def test_a_row_of_the_matrix_stands_on_one_line_however_long_it_is() -> None:
    text = encode(report(label_tally(np.full((60, 60), 10**9)))["confusion_matrix"])
    assert len([line for line in text.splitlines() if line.count("1000000000") == 60]) == 60


def test_a_long_list_of_texts_has_a_line_for_each() -> None:
    assert encode(["x" * 60, "y" * 60]).count("\n") == 3


def test_an_estimate_without_reason_has_no_key_for_it() -> None:
    expected = {"value": 0.5, "ci": [0.25, 0.75], "method": "wilson"}
    assert plain(Estimate(0.5, (0.25, 0.75), method="wilson")) == expected


def test_an_undefined_estimate_has_its_reason() -> None:
    assert plain({"f1": Estimate.undefined("no rows")}) == {"f1": {"value": None, "ci": None, "reason": "no rows"}}


@dataclass
class Thing:
    """No JSON value."""

    number: int = 1


@pytest.mark.parametrize("value", [np.int64(1), {1, 2}, b"bytes", Thing(), np.array([1])])
def test_what_is_no_json_value_is_refused_by_type(value: object) -> None:
    with pytest.raises(TypeError, match=f"{type(value).__name__} is no JSON value"):
        plain({"a": [value]})
