"""The smallest data have their sections too: nothing to divide by, nothing to draw, and no number made up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ortbatch.report.compare import compare_reports
from ortbatch.report.page.classes import classes
from ortbatch.report.page.compare_page import compare_page
from ortbatch.report.page.fidelity import fidelity
from ortbatch.report.page.matrix import matrix
from ortbatch.report.page.page import page
from ortbatch.report.page.quality import quality
from tests.unit.report.made import label_tally, report
from tests.unit.report.made_fidelity import Pair
from tests.unit.report.page.cells import keyed
from tests.unit.report.page.markup import parsed

REPORTS = {
    "no row": [[0, 0], [0, 0]],
    "one row": [[1, 0], [0, 0]],
    "one class": [[9, 0], [0, 0]],
    "all wrong": [[0, 5], [5, 0]],
    "no row of three": [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
}


@pytest.fixture(params=list(REPORTS))
def made(request: pytest.FixtureRequest) -> dict[str, Any]:
    return report(label_tally(REPORTS[request.param]))


@pytest.mark.parametrize("make", [quality, classes, matrix])
def test_sections_are_whole_and_well_formed(made: dict[str, Any], make: Any) -> None:
    text = " ".join(parsed(page("page.html", "x", [make(made)], {})).texts)
    assert "nan" not in text.lower().split()
    assert "None" not in text


def test_what_is_not_defined_has_no_number(made: dict[str, Any]) -> None:
    for name, value in keyed(quality(made)).items():
        assert value == made["quality"][name]["value"]


def test_two_such_runs_can_be_compared(made: dict[str, Any]) -> None:
    parsed(compare_page(compare_reports(made, made, "no predictions").data))


def test_a_model_beside_of_which_no_row_is_known_has_its_section() -> None:
    none = np.empty((0, 3))
    made_of = Pair(np.empty(0, np.int64), none, none, unusable={"nan_score": 5}).report()
    parsed(page("page.html", "x", [fidelity(made_of)], {}))  # type: ignore[list-item]
    assert keyed(fidelity(made_of))["fidelity[torch].agreement"] is None
