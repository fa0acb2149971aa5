"""Columns of thresholds: small, read fast, and refused where they are not what the schema says."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

from ortbatch.report.encode import plain
from ortbatch.report.report import Report
from ortbatch.report.schema import problems_of
from tests.unit.report.made import binary
from tests.unit.report.test_thresholds import BINS, curve_of


@pytest.fixture(scope="module")
def full() -> dict[str, Any]:
    """A report in which 8,000,000 rows fill more than 40,000 cells."""
    rng = np.random.default_rng(0)
    made = binary()
    cells = np.flatnonzero(rng.random(BINS + 4) < 0.7)
    curve = curve_of(made)
    curve["histogram"] = {
        "cell": cells.tolist(),
        **{name: rng.integers(0, 160, cells.size).tolist() for name in ("negative_0", "negative_1")},
        **{name: rng.integers(0, 3, cells.size).tolist() for name in ("positive_0", "positive_1")},
    }
    return made


def test_eight_million_rows_make_less_than_3_megabytes_of_few_lines(full: dict[str, Any]) -> None:
    text = Report(full).encode()
    assert len(curve_of(full)["histogram"]["cell"]) > 40_000
    assert len(text) < 3_000_000
    assert text.count("\n") < 600
    assert all(f'"{name}": [' in text for name in curve_of(full)["points"])


def test_they_are_decoded_and_held_to_the_schema_in_half_a_second(full: dict[str, Any]) -> None:
    text = Report(full).encode()
    Report.decode(text, "x")
    start = time.process_time()
    Report.decode(text, "x")
    assert time.process_time() - start < 0.5


def broken(made: dict[str, Any], change: Any) -> list[str]:
    copy = plain(made)
    change(curve_of(copy))
    return problems_of(copy)


REFUSED = {
    "a negative count": (lambda c: c["histogram"]["positive_0"].__setitem__(3, -1), "histogram.positive_0.3"),
    "half a row": (lambda c: c["histogram"]["negative_1"].__setitem__(0, 0.5), "histogram.negative_1.0"),
    "true for 1": (lambda c: c["points"]["tp"].__setitem__(0, True), "points.tp.0"),
    "NaN": (lambda c: c["points"]["recall"].__setitem__(0, math.nan), "points.recall"),
    "a share above 1": (lambda c: c["points"]["precision"].__setitem__(0, 1.5), "points.precision.0"),
    "a threshold of null": (lambda c: c["points"]["threshold"].__setitem__(0, None), "points.threshold.0"),
    "no column": (lambda c: c["histogram"].pop("cell"), "'cell' is a required property"),
    "another column": (lambda c: c["points"].update(more=[]), "'more' was unexpected"),
    "a column that is none": (lambda c: c["points"].update(tp=3), "points.tp"),
    "a short column": (lambda c: c["points"]["tp"].pop(), "points: expected columns of one length"),
    "cells that do not rise": (lambda c: c["histogram"]["cell"].reverse(), "histogram.cell: expected rising"),
    "a cell too far": (lambda c: c["histogram"]["cell"].__setitem__(-1, BINS + 4), "a cell is beyond"),
    "a class that is none": (lambda c: c.update({"class": "cow"}), "class: none of the classes"),
    "a pick without reason": (lambda c: c["recommended"]["best_f1"].update(threshold=None), "'reason' is a required"),
    "a pick without counts": (lambda c: c["recommended"]["best_f1"].pop("confusion"), "'confusion' is a required"),
    "a pick with more": (lambda c: c["recommended"]["best_f1"].update(extra=1), "'extra' was unexpected"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_section_is_refused_with(what: str) -> None:
    change, message = REFUSED[what]
    problems = broken(binary(), change)
    assert any(message in problem for problem in problems), problems
