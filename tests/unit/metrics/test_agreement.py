"""Agreement counts pairs of labels and adds up."""

from __future__ import annotations

import pytest

from ortbatch.metrics.agreement import Agreement


def test_what_does_not_agree_disagrees() -> None:
    assert Agreement(10, 7).disagreeing == 3


def test_no_rows_agree_and_none_disagree() -> None:
    assert (Agreement.empty().rows, Agreement.empty().agreeing, Agreement.empty().disagreeing) == (0, 0, 0)


def test_rows_and_agreeing_rows_are_added_apart() -> None:
    assert Agreement(10, 7).merge(Agreement(5, 1)) == Agreement(15, 8)


@pytest.mark.parametrize(("rows", "agreeing"), [(1, 2), (0, 1), (3, -1), (-1, -1)])
def test_more_agreement_than_rows_is_refused(rows: int, agreeing: int) -> None:
    with pytest.raises(ValueError, match=rf"expected 0 <= agreeing <= rows, got {agreeing} of {rows}"):
        Agreement(rows, agreeing)


def test_counts_of_any_size_stay_exact() -> None:
    assert Agreement(2**63, 2**63).merge(Agreement(1, 0)).disagreeing == 1
