"""Taking rows away is the inverse of merging them in, and rows that are not there cannot be taken away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortbatch.errors import MergeError
from ortbatch.metrics.fidelity import Baselines
from ortbatch.metrics.latency import LatencyHistogram
from ortbatch.metrics.slices import SliceCounts
from ortbatch.metrics.stages import StageTimes
from ortbatch.metrics.tally import Tally
from tests.laws.kit import Case, content
from tests.laws.values import (
    AGREEMENT,
    CELLS_CASES,
    CONFIDENCE_SCORES,
    CONFUSION,
    CONFUSION_OF_MANY,
    COVERAGE,
    LOST_LABELS,
    SCORES,
    SUM,
    TALLY,
)

EXACT = (
    *CELLS_CASES, COVERAGE, CONFUSION, CONFUSION_OF_MANY, SCORES, SUM, AGREEMENT, CONFIDENCE_SCORES, LOST_LABELS,
)  # fmt: skip


def lasting(tally: Tally) -> Tally:
    """A tally without what `without` leaves empty."""
    return replace(
        tally, latency=LatencyHistogram.empty(), stages=StageTimes(), slices=SliceCounts(), baselines=Baselines()
    )


@pytest.mark.parametrize("case", EXACT, ids=lambda case: case.name)
@given(data=st.data())
def test_without_is_the_inverse_of_merge(case: Case, data: st.DataObject) -> None:
    a, b = case.leaf(data), case.leaf(data)
    assert content(a.merge(b).without(b)) == content(a)
    assert content(a.merge(b).without(a)) == content(b)
    assert content(a.without(case.empty())) == content(a)
    assert content(a.without(a)) == content(case.empty())


@given(data=st.data())
def test_a_tally_without_some_rows_is_that_of_the_others(data: st.DataObject) -> None:
    a, b = TALLY.leaf(data), TALLY.leaf(data)
    assert content(a.merge(b).without(b)) == content(lasting(a))


@pytest.mark.parametrize("case", EXACT, ids=lambda case: case.name)
@given(data=st.data())
def test_without_changes_no_operand(case: Case, data: st.DataObject) -> None:
    a, b = case.leaf(data), case.leaf(data)
    both, before = a.merge(b), (content(a.merge(b)), content(b))
    both.without(b)
    assert (content(both), content(b)) == before


@pytest.mark.parametrize("case", EXACT, ids=lambda case: case.name)
@given(data=st.data())
def test_rows_that_are_not_there_cannot_be_taken_away(case: Case, data: st.DataObject) -> None:
    rows = data.draw(st.lists(case.row, min_size=1, max_size=10), label="rows")
    value = case.of(rows)
    with pytest.raises(ValueError, match=r"cannot take|do not add up|0 <= agreeing"):
        value.without(value.merge(value))
    with pytest.raises(ValueError, match=r"cannot take|do not add up|0 <= agreeing"):
        case.empty().without(value)


@pytest.mark.parametrize("case", [case for case in EXACT if case.unlike], ids=lambda case: case.name)
def test_values_of_unlike_layouts_are_not_taken_from_each_other(case: Case) -> None:
    for unlike in case.unlike:
        with pytest.raises(MergeError) as refused:
            unlike.left.without(unlike.right)
        assert all(name in str(refused.value) for name in unlike.names)
