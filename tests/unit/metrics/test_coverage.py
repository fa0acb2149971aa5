"""Every planned row has exactly one fate."""

from __future__ import annotations

import pytest

from ortbatch.metrics.coverage import Coverage

REJECTED = {(3, "unknown_label"): 5, (1, "not_finite"): 2, (0, "unknown_label"): 2}


@pytest.mark.parametrize(
    "fates",
    [
        {"planned": 1},
        {"planned": 1, "evaluated": 2},
        {"evaluated": 1},
        {"planned": 3, "evaluated": 1, "unlabelled": 1, "filtered": 1, "rejected_rows": {(0, "x"): 1}},
    ],
)
def test_rows_that_do_not_add_up_are_refused(fates: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="rows do not add up: Coverage"):
        Coverage(**fates)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fates",
    [
        {"planned": -1, "evaluated": -1},
        {"planned": 0, "evaluated": 1, "filtered": -1},
        {"evaluated": 1, "rejected_rows": {(0, "x"): -1}},
    ],
)
def test_negative_rows_are_refused(fates: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="rows do not add up"):
        Coverage(**fates)  # type: ignore[arg-type]


def test_every_fate_counts_towards_the_plan() -> None:
    assert Coverage(13, 1, 1, 2, REJECTED).planned == 13


def test_rejected_rows_are_summed_by_reason_in_alphabetical_order() -> None:
    assert list(Coverage(9, rejected_rows=REJECTED).rejected.items()) == [("not_finite", 2), ("unknown_label", 7)]


def test_rejected_rows_are_summed_by_file_worst_first() -> None:
    coverage = Coverage(10, rejected_rows={**REJECTED, (1, "unknown_label"): 1})
    assert list(coverage.rejected_files.items()) == [(3, 5), (1, 3), (0, 2)]


def test_equally_bad_files_stand_in_the_order_of_the_plan() -> None:
    assert list(Coverage(9, rejected_rows=REJECTED).rejected_files) == [3, 0, 1]


def test_bad_rows_are_all_rejected_rows() -> None:
    assert Coverage(12, evaluated=3, rejected_rows=REJECTED).bad_rows == 9


def test_a_merge_adds_each_fate_to_its_own() -> None:
    a = Coverage(13, 1, 1, 2, REJECTED)
    b = Coverage(27, 10, 7, 5, {(3, "unknown_label"): 1, (4, "ragged"): 4})
    rejected = {(3, "unknown_label"): 6, (1, "not_finite"): 2, (0, "unknown_label"): 2, (4, "ragged"): 4}
    assert a.merge(b) == Coverage(40, 11, 8, 7, rejected)


def test_a_change_of_the_mapping_given_does_not_reach_the_value() -> None:
    given = dict(REJECTED)
    coverage = Coverage(9, rejected_rows=given)
    given[0, "unknown_label"] = 100
    assert coverage.bad_rows == 9


def test_a_reason_without_rows_is_no_reason() -> None:
    assert Coverage(1, 1, rejected_rows={(0, "not_finite"): 0}) == Coverage(1, 1)
