"""Every mergeable value obeys the laws that make a result independent of batches, workers, order and retries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.metrics.tally import Tally
from tests.laws.kit import LAWS, Case, Law, unlike_layouts
from tests.laws.values import CASES


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@given(data=st.data())
def test_value_obeys(case: Case, law: Law, data: st.DataObject) -> None:
    law(case, data)


@pytest.mark.parametrize("case", [case for case in CASES if case.unlike], ids=lambda case: case.name)
@given(data=st.data())
def test_unlike_layouts_are_refused_naming_both(case: Case, data: st.DataObject) -> None:
    unlike_layouts(case, data)


def test_every_field_of_a_tally_is_held_against_the_laws() -> None:
    kinds = {type(getattr(Tally.empty(["a"], ["a"]), name)).__name__ for name in Tally.__dataclass_fields__}
    assert kinds < {case.name for case in CASES}
